"""Read a CSV file row by row, whatever is odd about it: other encodings, ragged rows, stray quotes.

The engine reads plain files by itself; these rows are for the files that it refuses.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

from service.errors import UnreadableFile
from service.model import Source
from service.readers.csv_bytes import CsvBytes, Utf8Count, binary_faults_first, endless_row
from service.readers.csv_sniff import CsvDialect, sniff
from service.readers.rows import RawRow, RejectedRow
from service.readers.text_end import TextFile

MAX_CELL_CHARACTERS = 16 << 20
MAX_ROW_CHARACTERS = 18 << 20
"""The longest cell and some others. Cells of a character or two take twenty times their length, in the engine more."""
_BUFFER_BYTES = 1 << 20
_UNDECODED = (re.compile("[\ud800-\udfff]"), re.compile("[\ud800-\udfff\ufffd]"))
"""Characters that stand for an undecodable byte: in most encodings, and in UTF-16."""


class Kept(Protocol):
    """Rows that were kept."""

    def release(self) -> None:
        """Remove them."""


S = TypeVar("S", bound=Kept)


def careful_rows(path: Path, dialect: CsvDialect, count: Utf8Count | None = None) -> Iterator[RawRow | RejectedRow]:
    """Every row that is not blank, in order, as cells or as a reject; ``count`` counts the bytes of the file.

    Raises: UnreadableFile for a quote that is never closed, NUL bytes, or a row without end.
    """
    with _opened(path, dialect, count) as (reader, lines):
        for row_number, line, cells in _numbered(reader, lines):
            yield (
                _broken_row(row_number, line, lines.opened or line, cells)
                if isinstance(cells, csv.Error)
                else _row(row_number, line, cells, dialect)
            )


def stored_rows(
    path: Path, dialect: CsvDialect, store: Callable[[Iterator[RawRow | RejectedRow]], S]
) -> tuple[S, CsvDialect]:
    """What ``store`` makes of ``careful_rows``, and the dialect that all bytes of the file decide.

    A file that they show to have another encoding is read again, in that.
    """
    count = Utf8Count()
    stored = store(careful_rows(path, dialect, count))
    decided = dialect.decided(count)
    if decided.encoding == dialect.encoding:
        return stored, decided
    stored.release()
    return store(careful_rows(path, decided)), decided


def lines_of(path: Path, source: Source, rows: Collection[int]) -> dict[int, int]:
    """Row number -> the line on which the row begins, from 1, for these rows of an export of ``source``.

    Raises: InputError for a wrong file.
    """
    # The encoding does not matter: line breaks, quotes and delimiters are the same bytes in UTF-8 and Windows-1252.
    with _opened(path, sniff(path, source)) as (reader, lines):
        return {row_number: line for row_number, line, _ in _numbered(reader, lines) if row_number in rows}


@contextmanager
def _opened(
    path: Path, dialect: CsvDialect, count: Utf8Count | None = None
) -> Iterator[tuple[Iterator[list[str]], _Lines]]:
    """A reader of the rows after the header, and the lines that it reads."""
    encoding = dialect.encoding
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    checked = io.BufferedReader(_Checked(path, dialect.end, CsvBytes(encoding), count), _BUFFER_BYTES)
    # Undecodable bytes become characters that mark their row.
    errors = "replace" if encoding.startswith("utf-16") else "surrogateescape"
    with (
        binary_faults_first(path, encoding),
        io.TextIOWrapper(checked, encoding=encoding, errors=errors, newline="") as text,
    ):
        for _ in range(dialect.header_lines):
            text.readline()
        # Blanks after a delimiter carry no data, and a quote may follow them.
        lines = _Lines(text, dialect.header_lines)
        yield csv.reader(lines, delimiter=dialect.delimiter, strict=True, skipinitialspace=True), lines


class _Checked(TextFile):
    """The bytes of a file, each checked before it is read."""

    def __init__(self, path: Path, end: int, check: CsvBytes, count: Utf8Count | None) -> None:
        super().__init__(path, end)
        self._check = check
        self._count = count

    def readinto(self, buffer: Any) -> int:
        length = super().readinto(buffer)
        chunk = bytes(memoryview(buffer)[:length])
        self._check.feed(chunk)
        if self._count is not None:
            self._count.feed(chunk, final=not chunk)
        return length


class _Lines:
    """The lines after the header; a row of more than ``MAX_ROW_CHARACTERS`` raises UnreadableFile."""

    def __init__(self, text: TextIO, number: int) -> None:
        self._text = text
        self._left = 0
        self.number = number
        """The line that was read last, from 1."""
        self.opened = 0
        """The line in which the row's last quote opened; 0 if all are closed."""

    def begin_row(self) -> None:
        """The next line begins another row."""
        self._left = MAX_ROW_CHARACTERS
        self.opened = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._left)
        self._left -= len(line)
        if not self._left:
            raise endless_row(self.number + 1)
        if not line:
            raise StopIteration
        self.number += 1
        # Doubled quotes do not open a cell; of the others every second one does.
        if marks := line.replace('""', "").count('"'):
            self.opened = self.number if (marks + bool(self.opened)) % 2 else 0
        return line


def _numbered(reader: Iterator[list[str]], lines: _Lines) -> Iterator[tuple[int, int, list[str] | csv.Error]]:
    """Row number, first line, and the cells or the error of every row that is not blank."""
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
    return RejectedRow(row_number, "stray_quote", f"line {line}: a quote inside a cell is not doubled")


def _row(row_number: int, line: int, cells: list[str], dialect: CsvDialect) -> RawRow | RejectedRow:
    if any(cell.strip() for cell in cells[dialect.width :]):
        return RejectedRow(
            row_number,
            "too_many_cells",
            f"line {line}: {len(cells)} cells where the header has {dialect.width}",
        )
    undecoded = _UNDECODED[dialect.encoding.startswith("utf-16")]
    at_fault = next((i for i, cell in enumerate(cells) if undecoded.search(cell)), None)
    if at_fault is not None:
        why = f"line {line}: bytes that are not text in the encoding of the file"
        column = dialect.columns.written[at_fault] if at_fault < len(dialect.columns.written) else ""
        return RejectedRow(row_number, "undecodable", why, column=column)
    return row_number, tuple(cells[i] if i is not None and i < len(cells) else None for i in dialect.positions)
