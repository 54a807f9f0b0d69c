"""What a delivered CSV file is (encoding, delimiter, header), and the careful way to read it.

The engine reads a plain file by itself. This module looks at the head of every file first, and reads those
the engine refuses: other encodings, ragged rows, stray quotes. Rules: CONTRACT section 3.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO

from service.errors import DuplicateColumn, MissingColumn, UnreadableFile
from service.model import FieldPath, Layout, Source
from service.readers.rows import RawRow, RejectedRow

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 1 << 20
MAX_CELL_CHARACTERS = 16 << 20
MAX_LINE_BYTES = 16 << 20
MAX_ROW_CHARACTERS = 18 << 20
"""The longest cell and some others. Cells of a character or two take twenty times their length, in the engine more."""
MAX_COLUMNS = 4096
_COLUMNS_THAT_TELL_A_SYSTEM = 3
"""Fewer known columns may be anybody's: then what is missing is told as the source's own layout calls it."""
_UNDECODED = (re.compile("[\ud800-\udfff]"), re.compile("[\ud800-\udfff\ufffd]"))
"""What an undecodable byte comes through as: in UTF-8 and Windows-1252, and in UTF-16."""
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class CsvDialect:
    """How a CSV file is to be read."""

    encoding: str
    delimiter: str
    width: int
    layout: Layout
    positions: tuple[int | None, ...]
    """For every place of the layout the index of its column; None where the file has none."""
    header_lines: int
    """Physical lines up to and with the header."""
    is_plain: bool
    """Whether an engine may try to read it without help: UTF-8, and the header is one line."""
    unknown_columns: int
    warnings: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    """The names as they stand in the file, each on one line."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The places of the layout that the file has."""
        known = zip(self.layout.paths, self.positions, strict=True)
        return tuple(place for place, position in known if position is not None)


def inspect(path: Path, source: Source) -> CsvDialect:
    """Find encoding, delimiter and header.

    Raises: UnreadableFile (empty, binary, no header), DuplicateColumn, MissingColumn.
    """
    encoding, head, is_decoded = _decoded_head(path)
    _refuse_what_is_no_text(path, encoding)
    skipped, declared, body = _before_header(head)
    delimiters = (declared,) if declared else DELIMITERS
    headers = {delimiter: _first_record(body, delimiter) for delimiter in delimiters}
    most = max(len(names) for names, _ in headers.values())
    if most > MAX_COLUMNS or (len(body) > HEAD_BYTES // 4 and not re.search("[\r\n]", body)):
        raise UnreadableFile(
            f"the header has more than {MAX_COLUMNS} columns or no end",
            where="line 1",
            hint="is it a CSV export at all?",
        )
    delimiter = max(headers, key=lambda d: (_most_known(headers[d][0], source), -delimiters.index(d)))
    names, lines = headers[delimiter]
    layout = source.layout_of(lambda it: _known(names, it))
    _refuse_unusable(names, layout, source)
    # DuckDB counts the lines it is to skip wrongly where their endings are mixed: one line at most is safe.
    is_one_line = skipped + lines == 1 and _has_plain_quotes(body, delimiter)
    return CsvDialect(
        encoding,
        delimiter,
        len(names),
        layout,
        _positions(names, layout),
        skipped + lines,
        is_one_line and is_decoded and encoding.startswith("utf-8"),
        len({name for name in names if name} - {_folded(place) for place in _known(names, layout)}),
        _unheard(names, layout, source),
        _header_as_written(body, delimiter),
    )


def _folded(name: str) -> str:
    """A column's name as it is compared: case, form of its accents and blanks around it do not matter."""
    return unicodedata.normalize("NFC", name).strip().lower()


def _known(names: Collection[str], layout: Layout) -> list[str]:
    """The places of a layout that a header has; of a composed value all or none: half a name is another name."""
    held = set(names)
    values = [value for values in layout.fields.values() for value in values]
    whole = {place for value in values if all(_folded(it) in held for it in value) for place in value}
    return [place for place in layout.paths if place in whole]


def _positions(names: Sequence[str], layout: Layout) -> tuple[int | None, ...]:
    known = set(_known(names, layout))
    return tuple(names.index(_folded(place)) if place in known else None for place in layout.paths)


def _most_known(names: Sequence[str], source: Source) -> int:
    return max(len(_known(names, layout)) for layout in source.layouts)


def _unheard(names: Sequence[str], layout: Layout, source: Source) -> tuple[str, ...]:
    """A word for every field of which the header has no value whole."""
    known = set(_known(names, layout))
    # Orders are no column of the master, and where there is a default nothing is N/A.
    fields = [field for field in layout.fields if field != "orders_count" and field not in source.defaults]
    missing = [values[0] for values in map(layout.fields.__getitem__, fields) if not _has_one(values, known)]
    lacking = (next(place for place in value if _folded(place) not in names) for value in missing)
    return tuple(f'no column "{place}"; its values are N/A' for place in lacking)


def _has_one(values: Sequence[FieldPath], known: Collection[str]) -> bool:
    return any(set(value) <= set(known) for value in values)


def _decoded_head(path: Path) -> tuple[str, str, bool]:
    """Encoding by byte order mark, the file's first megabyte, and whether that is what the mark says."""
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise UnreadableFile("the file is empty (zero bytes)", hint="export it again and drop it again")
    if head.startswith(_UTF16_BOMS):
        encoding = "utf-16"
    elif head.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    else:
        encoding = "utf-8"
    try:
        # Incremental: the last character may be cut.
        return encoding, codecs.getincrementaldecoder(encoding)().decode(head), True
    except UnicodeDecodeError:
        fallback = "utf-16" if encoding == "utf-16" else "cp1252"
        return encoding, head.removeprefix(codecs.BOM_UTF8).decode(fallback, errors="replace"), False


def _refuse_what_is_no_text(path: Path, encoding: str) -> None:
    """Raises: UnreadableFile for NUL bytes, which a hole in a file is full of, and for a line without end.

    DuckDB takes gigabytes for such a line, or loses it in silence; one look over the file costs next to nothing.
    """
    line, length = 1, 0
    with open(path, "rb") as file:
        while chunk := file.read(HEAD_BYTES):
            if encoding != "utf-16" and b"\0" in chunk:
                raise UnreadableFile(
                    "the file holds NUL bytes; it is no CSV text",
                    where=f"line {line + chunk[: chunk.index(0)].count(10)}",
                    hint="export as CSV in UTF-8",
                )
            line += chunk.count(10)
            last_break = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
            length = length + len(chunk) if last_break < 0 else len(chunk) - last_break - 1
            if length > MAX_LINE_BYTES:
                raise _endless(line)


def _endless(line: int) -> UnreadableFile:
    return UnreadableFile(
        f"a row is longer than {MAX_LINE_BYTES >> 20} MB", where=f"line {line}", hint="is it a CSV export at all?"
    )


def _before_header(head: str) -> tuple[int, str, str]:
    """Lines to skip before the header, the delimiter a ``sep=`` line declares (or ""), and the rest."""
    # Not splitlines(): a form feed or U+2028 ends no line of a CSV file.
    lines = io.StringIO(head, newline="").readlines()
    skipped, declared = 0, ""
    for line in lines:
        text = line.strip("\r\n")
        if text.lower().startswith("sep=") and len(text) == 5 and not declared:
            declared = text[4]
        elif text.strip():
            break
        skipped += 1
    if skipped == len(lines):
        raise UnreadableFile("the file holds blank lines only", hint="a header line must name the columns")
    return skipped, declared, "".join(lines[skipped:])


def _first_record(body: str, delimiter: str) -> tuple[tuple[str, ...], int]:
    """The header's names, trimmed and lower case, and how many lines it takes."""
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        names = next(reader)
    except (csv.Error, StopIteration):
        return (), 1
    return tuple(_folded(name) for name in names), reader.line_num


def _header_as_written(body: str, delimiter: str) -> tuple[str, ...]:
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, skipinitialspace=True)
    return tuple(" ".join(name.split()) for name in next(reader))


def _has_plain_quotes(body: str, delimiter: str) -> bool:
    """Whether quotes in the header stand round whole names only: behind any other DuckDB loses all rows in silence."""
    line = re.split("[\r\n]", body, maxsplit=1)[0]
    return all(re.fullmatch('[^"]*|"[^"]*"', name) for name in line.split(delimiter))


def _refuse_unusable(names: Sequence[str], layout: Layout, source: Source) -> None:
    """Raises: DuplicateColumn, MissingColumn."""
    known = _known(names, layout)
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    # A file without a header shows a customer in its first line: names are told only where it is a header.
    if repeated and known:
        # Nor where the first customer has slipped into the header's line.
        mine = repeated if _is_header(names, layout) else sorted({_folded(name) for name in known} & set(repeated))
        raise DuplicateColumn(
            f"column {', '.join(map(repr, mine)) or 'of an unknown name'} stands more than once in the header",
            where="line 1",
            hint="keep one of them and drop it again",
        )
    if layout.lacking(known):
        raise _missing_column(names, _closest(names, source), source)


def _closest(names: Sequence[str], source: Source) -> Layout:
    """The layout that a header which none fits was probably meant for."""
    closest = max(source.layouts, key=lambda layout: len(_known(names, layout)))
    return closest if len(_known(names, closest)) >= _COLUMNS_THAT_TELL_A_SYSTEM else source.own


def _missing_column(names: Sequence[str], layout: Layout, source: Source) -> MissingColumn:
    lacking = layout.lacking(_known(names, layout)) or ("source_id",)
    wanted = layout.paths_of("email" if "email" in lacking else lacking[0])
    is_header = _is_header(names, layout)
    close = get_close_matches(_folded(wanted[0]), names, n=1, cutoff=0.6) if wanted else []
    found = ", ".join(names) if is_header else f"{len(names)} columns, none of them known"
    rename = f'did you mean "{close[0]}"? Rename it' if close and is_header else ""
    hint = rename or "add the column or a header line"
    remedy = f", as {layout.page} lists them" if layout.page else ", or map the columns in service.toml"
    system = "" if layout is source.own else f" (its other columns are those of {layout.name})"
    listed = " or ".join(f'"{place}"' for place in wanted[:3])
    return MissingColumn(
        f"there is no column {listed}{system}",
        where="line 1",
        found=found,
        hint=f"{hint}{remedy}, and drop it again",
    )


def _is_header(names: Sequence[str], layout: Layout) -> bool:
    """Whether the first line holds names of columns: a file without a header shows a customer there instead."""
    if any("@" in name or name.isdigit() or re.search(r"\d{3}", name) for name in names):
        return False
    columns = [_folded(place) for place in layout.paths]
    alike = [column for column in columns if get_close_matches(column, names, n=1, cutoff=0.6)]
    return len(alike) > 2 or (len(alike) > 1 and not set(columns).isdisjoint(names))


def careful_rows(path: Path, layout: CsvDialect, warnings: list[str]) -> Iterator[RawRow | RejectedRow]:
    """Every row that is not blank, in order, as cells or as a reject; adds to ``warnings`` what is odd.

    Raises: UnreadableFile where a quote is opened and never closed.
    """
    with _opened(path, layout, warnings) as (reader, lines):
        for row_number, line, cells in _numbered(reader, lines):
            yield (
                _broken_row(row_number, line, lines.opened or line, cells)
                if isinstance(cells, csv.Error)
                else _row(row_number, line, cells, layout)
            )


@contextmanager
def _opened(path: Path, layout: CsvDialect, warnings: list[str]) -> Iterator[tuple[Iterator[list[str]], _Lines]]:
    """A reader of the rows behind the header, and the lines that it reads."""
    encoding = layout.encoding
    if encoding.startswith("utf-8") and not _decodes(path, encoding):
        encoding = "cp1252"
        warnings.append("the file is not UTF-8; it is read as Windows-1252")
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    with open(path, encoding=encoding, errors=_on_error(encoding), newline="") as text:
        for _ in range(layout.header_lines):
            text.readline()
        # Blanks after a delimiter are nobody's data, and a quote may stand behind them.
        lines = _Lines(text, layout.header_lines)
        yield csv.reader(lines, delimiter=layout.delimiter, strict=True, skipinitialspace=True), lines


def lines_of(path: Path, layout: CsvDialect, rows: Collection[int]) -> dict[int, int]:
    """The line on which each of these rows begins."""
    with _opened(path, layout, []) as (reader, lines):
        return {row_number: line for row_number, line, _ in _numbered(reader, lines) if row_number in rows}


class _Lines:
    """The lines behind the header, as long as one row of them fits into ``MAX_ROW_CHARACTERS``."""

    def __init__(self, text: TextIO, number: int) -> None:
        self._text = text
        self._left = 0
        self.number = number
        """Of the line that was read last, from 1."""
        self.opened = 0
        """The line in which the row's last quote opened; 0 where all are closed."""

    def begin_row(self) -> None:
        """What is read from here on is another row."""
        self._left = MAX_ROW_CHARACTERS
        self.opened = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._left)
        self._left -= len(line)
        if not self._left:
            raise _endless(self.number + 1)
        if not line:
            raise StopIteration
        self.number += 1
        # Doubled quotes open nothing; of the others every second one does.
        if marks := line.replace('""', "").count('"'):
            self.opened = self.number if (marks + bool(self.opened)) % 2 else 0
        return line


def _on_error(encoding: str) -> str:
    # Undecodable bytes come through as lone surrogates, so that their row can be told apart and rejected.
    return "replace" if encoding == "utf-16" else "surrogateescape"


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with open(path, "rb") as file:
        try:
            while chunk := file.read(HEAD_BYTES):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _numbered(reader: Iterator[list[str]], lines: _Lines) -> Iterator[tuple[int, int, list[str] | csv.Error]]:
    """Row number, line, and the cells of every row that is not blank; or what is wrong with it."""
    row_number = 0
    while True:
        first_line = lines.number + 1
        lines.begin_row()
        try:
            cells: list[str] | csv.Error = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells = error
        if isinstance(cells, csv.Error) or any(cell.strip() for cell in cells):
            row_number += 1
            yield row_number, first_line, cells


def _broken_row(row_number: int, line: int, opened: int, error: csv.Error) -> RejectedRow:
    if "unexpected end" in str(error) or "field larger" in str(error):
        raise UnreadableFile(
            "a quote is opened and never closed",
            where=f"line {opened}",
            hint="close or double the quote and drop it again",
        ) from None
    return RejectedRow(row_number, "stray_quote", f"line {line}: a quote stands inside a cell without being doubled")


def _row(row_number: int, line: int, cells: list[str], layout: CsvDialect) -> RawRow | RejectedRow:
    if any(cell.strip() for cell in cells[layout.width :]):
        return RejectedRow(
            row_number,
            "too_many_cells",
            f"line {line}: {len(cells)} cells where the header has {layout.width}",
        )
    undecoded = _UNDECODED[layout.encoding == "utf-16"]
    at_fault = next((i for i, cell in enumerate(cells) if undecoded.search(cell)), None)
    if at_fault is not None:
        why = f"line {line}: bytes that are no text in the file's encoding"
        return RejectedRow(row_number, "undecodable", why, column=layout.header[at_fault])
    return row_number, tuple(cells[i] if i is not None and i < len(cells) else None for i in layout.positions)
