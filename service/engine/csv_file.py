"""What a delivered CSV file is (encoding, delimiter, header), and the careful way to read it.

The engine reads a plain file by itself. This module looks at the head of every file first, and reads those
the engine refuses: other encodings, ragged rows, stray quotes. Rules: CONTRACT section 3.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO

from service.engine.contract import RejectedRow
from service.errors import DuplicateColumn, MissingColumn, UnreadableFile
from service.model import RAW_FIELDS, Source

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 1 << 20
MAX_CELL_CHARACTERS = 16 << 20
MAX_LINE_BYTES = 16 << 20
MAX_ROW_CHARACTERS = 32 << 20
MAX_COLUMNS = 4096
_UNDECODED = (re.compile("[\ud800-\udfff]"), re.compile("[\ud800-\udfff\ufffd]"))
"""What an undecodable byte comes through as: in UTF-8 and Windows-1252, and in UTF-16."""
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

RawRow = tuple[int, tuple[str | None, ...]]
"""Row number and the cells in the order of ``RAW_FIELDS``."""


@dataclass(frozen=True)
class CsvLayout:
    """How a CSV file is to be read."""

    encoding: str
    delimiter: str
    width: int
    positions: Mapping[str, int]
    """Delivered field -> index of its column; absent where the file has none."""
    header_lines: int
    """Physical lines up to and with the header."""
    is_plain: bool
    """Whether an engine may try to read it without help: UTF-8, and the header is one line."""
    warnings: tuple[str, ...] = ()


def inspect(path: Path, source: Source) -> CsvLayout:
    """Find encoding, delimiter and header.

    Raises: UnreadableFile (empty, binary, no header), DuplicateColumn, MissingColumn.
    """
    encoding, head = _decoded_head(path)
    _refuse_what_is_no_text(path, encoding)
    skipped, declared, body = _before_header(head)
    delimiters = (declared,) if declared else DELIMITERS
    known = {column[0] for column in source.fields.values()}
    headers = {delimiter: _first_record(body, delimiter) for delimiter in delimiters}
    delimiter = max(headers, key=lambda d: (len(known & set(headers[d][0])), -delimiters.index(d)))
    names, lines = headers[delimiter]
    if len(names) > MAX_COLUMNS or (len(body) > HEAD_BYTES // 4 and not re.search("[\r\n]", body)):
        raise UnreadableFile(
            f"the header has more than {MAX_COLUMNS} columns or no end",
            where="line 1",
            hint="is it a CSV export at all?",
        )
    positions = _positions(names, source)
    missing = [f for f, column in source.fields.items() if f not in positions and column[0] not in names]
    warnings = tuple(f'no column "{source.fields[field][0]}"; its values are N/A' for field in missing)
    unknown = len([name for name in names if name and name not in known])
    if unknown:
        warnings += (f"{unknown} unknown columns are ignored",)
    # DuckDB counts the lines it is to skip wrongly where their endings are mixed: one line at most is safe.
    is_plain = encoding.startswith("utf-8") and skipped + lines == 1
    return CsvLayout(encoding, delimiter, len(names), positions, skipped + lines, is_plain, warnings)


def _decoded_head(path: Path) -> tuple[str, str]:
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise UnreadableFile("the file is empty (zero bytes)", hint="export it again and drop the pair again")
    if head.startswith(_UTF16_BOMS):
        encoding = "utf-16"
    elif head.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    else:
        encoding = "utf-8"
    return encoding, head.decode(encoding, errors="replace")


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
    return tuple(name.strip().lower() for name in names), reader.line_num


def _positions(names: Sequence[str], source: Source) -> dict[str, int]:
    known = {field: column[0] for field, column in source.fields.items()}
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    # A file without a header shows a customer in its first line: names are told only where it is a header.
    if repeated and set(known.values()) & set(names):
        raise DuplicateColumn(
            f"column {', '.join(repr(name) for name in repeated)} stands more than once in the header",
            where="line 1",
            hint="keep one of them and drop the pair again",
        )
    positions = {field: names.index(column) for field, column in known.items() if column in names}
    if "source_id" not in positions:
        raise _missing_column(known["source_id"], names, known)
    if not positions.keys() & {"full_name", "email", "phone"}:
        raise _missing_column(known["email"], names, known)
    return positions


def _missing_column(column: str, names: Sequence[str], known: Mapping[str, str]) -> MissingColumn:
    is_header = _is_header(names, known)
    close = get_close_matches(column, names, n=1, cutoff=0.6)
    found = ", ".join(names) if is_header else f"{len(names)} columns, none of them known"
    rename = f'did you mean "{close[0]}"? Rename it' if close and is_header else ""
    hint = rename or "add the column, or a header line if there is none"
    return MissingColumn(
        f'there is no column "{column}"', where="line 1", found=found, hint=f"{hint}, and drop the pair again"
    )


def _is_header(names: Sequence[str], known: Mapping[str, str]) -> bool:
    """Whether the first line holds names of columns: a file without a header shows a customer there instead."""
    if any("@" in name or re.search(r"\d{3}", name) for name in names):
        return False
    return len([column for column in known.values() if get_close_matches(column, names, n=1, cutoff=0.6)]) > 1


def careful_rows(path: Path, layout: CsvLayout, warnings: list[str]) -> Iterator[RawRow | RejectedRow]:
    """Every row that is not blank, in order, as cells or as a reject; adds to ``warnings`` what is odd.

    Raises: UnreadableFile where a quote is opened and never closed.
    """
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
        reader = csv.reader(lines, delimiter=layout.delimiter, strict=True, skipinitialspace=True)
        yield from _number(reader, lines, layout)


class _Lines:
    """The lines behind the header, as long as one row of them fits into ``MAX_ROW_CHARACTERS``."""

    def __init__(self, text: TextIO, number: int) -> None:
        self._text = text
        self._left = 0
        self.number = number
        """Of the line that was read last, from 1."""

    def begin_row(self) -> None:
        """What is read from here on is another row."""
        self._left = MAX_ROW_CHARACTERS

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


def _number(reader: Iterator[list[str]], lines: _Lines, layout: CsvLayout) -> Iterator[RawRow | RejectedRow]:
    row_number = 0
    while True:
        first_line = lines.number + 1
        lines.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row_number += 1
            yield _broken_row(row_number, first_line, error)
            continue
        if any(cell.strip() for cell in cells):
            row_number += 1
            yield _row(row_number, first_line, cells, layout)


def _broken_row(row_number: int, line: int, error: csv.Error) -> RejectedRow:
    if "unexpected end" in str(error) or "field larger" in str(error):
        raise UnreadableFile(
            "a quote is opened and never closed",
            where=f"line {line}",
            hint="close or double the quote and drop the pair again",
        ) from None
    return RejectedRow(row_number, "stray_quote", f"line {line}: a quote stands inside a cell without being doubled")


def _row(row_number: int, line: int, cells: list[str], layout: CsvLayout) -> RawRow | RejectedRow:
    if any(cell.strip() for cell in cells[layout.width :]):
        return RejectedRow(
            row_number,
            "too_many_cells",
            f"line {line}: {len(cells)} cells where the header has {layout.width}",
        )
    if any(_UNDECODED[layout.encoding == "utf-16"].search(cell) for cell in cells):
        return RejectedRow(row_number, "undecodable", f"line {line}: bytes that are no text in the file's encoding")
    wanted = (layout.positions.get(field) for field in RAW_FIELDS)
    return row_number, tuple(cells[i] if i is not None and i < len(cells) else None for i in wanted)
