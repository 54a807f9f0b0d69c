"""What a CSV file is: encoding, delimiter, header and layout, read from its first megabyte.

Source: docs/specification.md section 3
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from service.errors import UnreadableFile
from service.model import Layout, Source
from service.readers.csv_bytes import CsvBytes, Utf8Count, binary_faults_first
from service.readers.csv_header import Header, column_names, missing_column, refuse_repeated
from service.readers.quotable_names import quotable_names
from service.readers.rows import FileReport, RejectedRow
from service.readers.text_end import text_end

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 1 << 20
MAX_COLUMNS = 16_384
"""Spreadsheets have no more. A file in which this is exceeded has no line breaks, or is no table."""
MAX_TITLE_LINES = 10
"""The header may be below so many lines that are not blank."""
MAX_HEADER_LINES = 20
"""Of a header below title lines."""
_BOM = "\ufeff"
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ENCODING_NAMES = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with byte order mark",
    "utf-16": "UTF-16",
    "cp1252": "Windows-1252",
}


@dataclass(frozen=True)
class ColumnNames:
    """The names in the header of a CSV file."""

    written: tuple[str, ...] = ()
    """As written, line breaks and runs of blanks replaced by one blank."""
    unread: tuple[str, ...] = ()
    """Those that no field uses, as far as a message may quote them."""
    unread_count: int = 0
    """The number of those that no field uses."""
    of_paths: Mapping[str, str] = field(default_factory=dict)
    """Path -> the name of its column, as ``csv_header.exact`` writes it."""


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
    end: int
    """The offset at which the text ends."""
    is_plain: bool
    """Whether the engine may try to read the file by itself: UTF-8, and the header is one line."""
    is_guessed: bool
    """Whether the bytes of the whole file decide about the encoding: UTF-8 without a byte order mark, or
    Windows-1252."""
    warnings: tuple[str, ...] = ()
    columns: ColumnNames = ColumnNames()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the layout that the file has."""
        known = zip(self.layout.paths, self.positions, strict=True)
        return tuple(path for path, position in known if position is not None)

    @property
    def description(self) -> str:
        """Encoding and delimiter, for a person: ``UTF-8, delimiter ;``."""
        delimiter = {"\t": "tab"}.get(self.delimiter, self.delimiter)
        return f"{_ENCODING_NAMES.get(self.encoding, self.encoding)}, delimiter {delimiter}"

    def report(self, rejects: Sequence[RejectedRow] = ()) -> FileReport:
        """What reading a file with this dialect and these rejects showed."""
        return FileReport(
            self.layout,
            self.paths,
            rejects=rejects,
            warnings=self.warnings,
            unknown_columns=self.columns.unread_count,
            unread=self.columns.unread,
            column_names=self.columns.of_paths,
            is_csv=True,
            written=self.description,
        )

    def decided(self, count: Utf8Count) -> CsvDialect:
        """The dialect of a file with these bytes; its warnings name the encoding if it is not UTF-8."""
        if not self.is_guessed:
            return self
        if count.is_utf_8:
            return replace(self, encoding="utf-8", is_guessed=False)
        warning = "the file is not UTF-8; it is read as Windows-1252"
        return replace(self, encoding="cp1252", is_guessed=False, warnings=(warning, *self.warnings))


@dataclass(frozen=True)
class _Head:
    """The first megabyte of a file."""

    encoding: str
    text: str
    is_plain: bool
    """Whether it decodes, and has no second byte order mark."""
    is_guessed: bool


def sniff(path: Path, source: Source) -> CsvDialect:
    """Find encoding, delimiter, header and layout.

    Raises: UnreadableFile (empty, binary, no header), DuplicateColumn, MissingColumn.
    """
    head = _head(path, source.encoding)
    with binary_faults_first(path, head.encoding):
        dialect = _dialect(head, source)
    end = text_end(path, unit_bytes=2 if head.encoding.startswith("utf-16") else 1)
    return replace(dialect, end=end)


def _head(path: Path, encoding: str | None) -> _Head:
    """Encoding and first megabyte; ``encoding`` is what the user says.

    Raises: UnreadableFile for an empty file, and for NUL bytes in the head.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise UnreadableFile("the file is empty (zero bytes)", hint="export it again and drop it again")
    is_guessed = False
    if encoding is None:
        has_bom = head.startswith((*_UTF16_BOMS, codecs.BOM_UTF8))
        encoding = "utf-16" if head.startswith(_UTF16_BOMS) else "utf-8-sig" if has_bom else "utf-8"
        is_guessed = not has_bom
    CsvBytes(encoding).feed(head)
    is_decoded = True
    try:
        # Incremental: the last character may be cut.
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        is_decoded = False
        count = Utf8Count()
        count.feed(head)
        encoding = "cp1252" if is_guessed and not count.is_utf_8 else encoding
        text = head.decode(encoding, errors="replace")
    is_plain = is_decoded and encoding.startswith("utf-8") and not text.startswith(_BOM)
    return _Head(encoding, text.lstrip(_BOM), is_plain, is_guessed)


@dataclass(frozen=True)
class _Record:
    """A line, or several, that may be the header."""

    line: int
    """Its first line, from 1."""
    lines: int
    delimiter: str
    header: Header
    text: str
    """The file from its first line on."""


def _dialect(head: _Head, source: Source) -> CsvDialect:
    skipped, declared, lines = _before_header(head.text)
    first = _record(skipped + 1, declared, "".join(lines), source)
    _refuse_endless(first)
    if layout := first.header.layout(source):
        return _with_layout(head, first, layout, is_below_titles=False)
    records = (first, *_records_below(skipped, declared, lines, source))
    for find in (Header.layout, Header.layout_without_ids):
        for record in records:
            if layout := find(record.header, source):
                return _with_layout(head, record, layout, is_below_titles=record is not first)
    refuse_repeated(first.header, source.own, first.line)
    raise missing_column(first.header, source, first.line)


def _records_below(skipped: int, declared: str, lines: list[str], source: Source) -> Iterator[_Record]:
    """The lines below the first that may be the header instead of it."""
    candidates = (index for index, line in enumerate(lines) if index and line.strip())
    for index in islice(candidates, MAX_TITLE_LINES):
        # A header is rarely longer than a line; not the rest of the megabyte for each of them.
        record = _record(skipped + index + 1, declared, "".join(lines[index : index + MAX_HEADER_LINES]), source)
        if len(record.header.names) <= MAX_COLUMNS:
            yield record


def _record(line: int, declared: str, text: str, source: Source) -> _Record:
    delimiters = (declared,) if declared else DELIMITERS
    headers = {delimiter: _first_record(text, delimiter) for delimiter in delimiters}
    # A header without end fits no layout, and looking for one would take long.
    delimiter = max(
        headers, key=lambda d: (*_most_known(headers[d][0], source), len(headers[d][0].names), -delimiters.index(d))
    )
    header, count = headers[delimiter]
    return _Record(line, count, delimiter, header, text)


def _most_known(header: Header, source: Source) -> tuple[int, int]:
    return header.most_known(source) if len(header.names) <= MAX_COLUMNS else (0, 0)


def _refuse_endless(record: _Record) -> None:
    has_no_end = len(record.text) > HEAD_BYTES // 4 and not re.search("[\r\n]", record.text)
    if len(record.header.names) > MAX_COLUMNS or has_no_end:
        raise UnreadableFile(
            f"the header has more than {MAX_COLUMNS} columns or no end",
            where=f"line {record.line}",
            hint="check that it is a CSV export",
        )


def _with_layout(head: _Head, record: _Record, layout: Layout, *, is_below_titles: bool) -> CsvDialect:
    header = record.header
    refuse_repeated(header, layout, record.line)
    # DuckDB miscounts the lines to skip if their line breaks are mixed: one line at most is safe.
    is_one_line = record.line + record.lines == 2 and _has_plain_quotes(record.text, record.delimiter)
    above = f"the header is in line {record.line}; the lines above it are left out"
    unread = header.unread(layout)
    return CsvDialect(
        encoding=head.encoding,
        delimiter=record.delimiter,
        width=len(header.names),
        layout=layout,
        positions=header.positions(layout),
        header_lines=record.line + record.lines - 1,
        end=0,
        is_plain=is_one_line and head.is_plain,
        is_guessed=head.is_guessed,
        warnings=(above,) if is_below_titles else (),
        columns=ColumnNames(
            written=tuple(" ".join(name.split()) for name in header.names),
            unread=quotable_names(unread),
            unread_count=len(unread),
            of_paths=column_names(header, layout),
        ),
    )


def _before_header(head: str) -> tuple[int, str, list[str]]:
    """The number of lines before the header, the delimiter of a ``sep=`` line (or ""), and the other lines."""
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
    return skipped, declared, lines[skipped:]


def _first_record(body: str, delimiter: str) -> tuple[Header, int]:
    """The column names, and the number of lines of the header."""
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        names = next(reader)
    except (csv.Error, StopIteration):
        return Header(()), 1
    return Header(tuple(names)), reader.line_num


def _has_plain_quotes(body: str, delimiter: str) -> bool:
    """Whether the header quotes whole names only: after any other quote DuckDB loses all rows without an error."""
    line = re.split("[\r\n]", body, maxsplit=1)[0]
    return all(re.fullmatch('[^"]*|"[^"]*"', name) for name in line.split(delimiter))
