"""What a CSV file is: encoding, delimiter, header and layout, read from its first megabyte.

Rules: docs/specification.md section 3.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

from service.errors import UnreadableFile
from service.model import Layout, Source
from service.readers import csv_header
from service.readers.csv_bytes import CsvBytes, binary_faults_first

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 1 << 20
MAX_COLUMNS = 4096
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ENCODING_NAMES = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with byte order mark",
    "utf-16": "UTF-16",
    "cp1252": "Windows-1252",
}


@dataclass(frozen=True)
class CsvDialect:
    """How a CSV file is to be read."""

    encoding: str
    delimiter: str
    width: int
    """The number of columns of the header."""
    layout: Layout
    positions: tuple[int | None, ...]
    """For every path of the layout the index of its column; None if the file has no such column."""
    header_lines: int
    """Physical lines up to and including the header."""
    is_plain: bool
    """Whether the engine may try to read the file by itself: UTF-8, and the header is one line."""
    unknown_columns: int
    warnings: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    """The column names as written, line breaks and runs of blanks replaced by one blank."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the layout that the file has."""
        known = zip(self.layout.paths, self.positions, strict=True)
        return tuple(path for path, position in known if position is not None)

    @property
    def description(self) -> str:
        """Encoding and delimiter, for a person: ``UTF-8, delimiter ;``."""
        delimiter = {"\t": "tab"}.get(self.delimiter, self.delimiter)
        return f"{_ENCODING_NAMES[self.encoding]}, delimiter {delimiter}"

    def as_windows_1252(self) -> CsvDialect:
        """The dialect of a file that has bytes which are not UTF-8, with a warning that says so."""
        warning = "the file is not UTF-8; it is read as Windows-1252"
        return replace(self, encoding="cp1252", is_plain=False, warnings=(*self.warnings, warning))


def sniff(path: Path, source: Source) -> CsvDialect:
    """Find encoding, delimiter, header and layout.

    Raises: UnreadableFile (empty, binary, no header), DuplicateColumn, MissingColumn.
    """
    encoding, head, is_decoded = _decoded_head(path)
    with binary_faults_first(path, encoding):
        dialect = _dialect(encoding, head, source)
    if is_decoded:
        return dialect
    return replace(dialect, is_plain=False) if encoding == "utf-16" else dialect.as_windows_1252()


def _decoded_head(path: Path) -> tuple[str, str, bool]:
    """Encoding by byte order mark, the file's first megabyte, and whether it decodes in that encoding.

    Raises: UnreadableFile for an empty file, and for NUL bytes in the head.
    """
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
    CsvBytes(encoding).feed(head)
    try:
        # Incremental: the last character may be cut.
        return encoding, codecs.getincrementaldecoder(encoding)().decode(head), True
    except UnicodeDecodeError:
        fallback = "utf-16" if encoding == "utf-16" else "cp1252"
        return encoding, head.removeprefix(codecs.BOM_UTF8).decode(fallback, errors="replace"), False


def _dialect(encoding: str, head: str, source: Source) -> CsvDialect:
    skipped, declared, body = _before_header(head)
    delimiters = (declared,) if declared else DELIMITERS
    headers = {delimiter: _first_record(body, delimiter) for delimiter in delimiters}
    most = max(len(names) for names, _ in headers.values())
    if most > MAX_COLUMNS or (len(body) > HEAD_BYTES // 4 and not re.search("[\r\n]", body)):
        raise UnreadableFile(
            f"the header has more than {MAX_COLUMNS} columns or no end",
            where="line 1",
            hint="check that it is a CSV export",
        )
    delimiter = max(headers, key=lambda d: (csv_header.most_known_paths(headers[d][0], source), -delimiters.index(d)))
    names, lines = headers[delimiter]
    layout = source.layout_of(lambda it: csv_header.known_paths(names, it))
    csv_header.refuse_unusable(names, layout, source)
    # DuckDB miscounts the lines to skip if their line breaks are mixed: one line at most is safe.
    is_one_line = skipped + lines == 1 and _has_plain_quotes(body, delimiter)
    return CsvDialect(
        encoding=encoding,
        delimiter=delimiter,
        width=len(names),
        layout=layout,
        positions=csv_header.positions(names, layout),
        header_lines=skipped + lines,
        is_plain=is_one_line and encoding.startswith("utf-8"),
        unknown_columns=csv_header.count_unknown(names, layout),
        warnings=csv_header.missing_column_warnings(names, layout, source),
        header=_header_as_written(body, delimiter),
    )


def _before_header(head: str) -> tuple[int, str, str]:
    """The number of lines before the header, the delimiter that a ``sep=`` line declares (or ""), and the rest."""
    # Not splitlines(): a form feed or U+2028 does not end a line of a CSV file.
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
    """The column names, folded for comparison, and the number of lines of the header."""
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        names = next(reader)
    except (csv.Error, StopIteration):
        return (), 1
    return tuple(csv_header.folded(name) for name in names), reader.line_num


def _header_as_written(body: str, delimiter: str) -> tuple[str, ...]:
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, skipinitialspace=True)
    return tuple(" ".join(name.split()) for name in next(reader))


def _has_plain_quotes(body: str, delimiter: str) -> bool:
    """Whether the header quotes whole names only: after any other quote DuckDB loses all rows without an error."""
    line = re.split("[\r\n]", body, maxsplit=1)[0]
    return all(re.fullmatch('[^"]*|"[^"]*"', name) for name in line.split(delimiter))
