"""Rows of a large CSV file of a set: counted once by a scan, then read a page at a time.

The scan keeps only counts and a few positions. Sets are immutable, so that its result holds as long as the file is
the same; ``Scans`` keeps the last ones.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from service.files import fingerprint_of, open_file
from service.model import Fingerprint

PAGE_ROWS = 100
MOST_ROWS = 3_000_000
"""A scan ends after so many rows."""
_MOST_KINDS = 500
_MOST_ROW_BYTES = 1 << 20
_MOST_SCANS = 32
_QUOTE = b'"'
_CELL = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",]*))(,|\Z)')
_BOM = b"\xef\xbb\xbf"

Kind = tuple[str, ...]
V = TypeVar("V")


class DamagedSet(Exception):
    """A file of a set is missing or not as it was written; the message is a sentence that names it."""


class _NotAsWritten(Exception):
    """The contents of a file are not what the service wrote."""


@dataclass(frozen=True)
class CsvShape:
    """The columns of a CSV file (later versions may have more at the end), and those, in order, that make its kinds."""

    columns: tuple[str, ...]
    kinds_by: tuple[str, ...]


@dataclass(frozen=True)
class RowScan:
    """How many rows of each kind a CSV file has, and where they are."""

    counts: Mapping[Kind, int]
    """By the values of ``CsvShape.kinds_by``, the most frequent first."""
    starts: Mapping[Kind | None, Sequence[int]]
    """Kind, None for all -> where each page of its rows begins."""
    is_whole: bool
    """False where the file has more than ``MOST_ROWS`` rows, which are not counted."""

    @property
    def rows(self) -> int:
        """The number of rows, without the header."""
        return sum(self.counts.values())

    def count(self, kind: Kind | None) -> int:
        """The number of rows of a kind; None: of all."""
        return self.rows if kind is None else self.counts.get(kind, 0)


class Scans:
    """The results of the last scans, by file. One scan runs at a time."""

    def __init__(self) -> None:
        self._results: OrderedDict[tuple[Path, Fingerprint, Hashable], Any] = OrderedDict()
        self._lock, self._working = threading.Lock(), threading.Lock()

    def of(self, path: Path, what: Hashable, scan: Callable[[BinaryIO], V]) -> V:
        """The result of ``scan`` on the file at ``path``; ``what`` names it. Raises: DamagedSet."""
        with _damage_named(path):
            key = (path, fingerprint_of(path), what)
            with self._lock:
                if key in self._results:
                    self._results.move_to_end(key)
                    return cast("V", self._results[key])
            with self._working, open_file(path) as file:
                result = scan(file)
        with self._lock:
            self._results[key] = result
            while len(self._results) > _MOST_SCANS:
                self._results.popitem(last=False)
        return result

    def rows_of(self, path: Path, shape: CsvShape) -> RowScan:
        """The rows of the CSV file at ``path``. Raises: DamagedSet."""
        return self.of(path, shape, lambda file: _scan_rows(file, shape))


def damaged(path: Path, error: OSError) -> DamagedSet:
    """The sentence for a file that cannot be read."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return DamagedSet(f"{path.name} is missing")
    return DamagedSet(f"{path.name} cannot be read ({error.strerror})")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise damaged(path, error) from None
    except _NotAsWritten:
        raise DamagedSet(f"{path.name} is damaged: it is not as it was written") from None


def _scan_rows(file: BinaryIO, shape: CsvShape) -> RowScan:
    """Count the rows by their kinds. Raises: _NotAsWritten where the file has other columns."""
    indexes = [shape.columns.index(name) for name in shape.kinds_by]
    counts: dict[Kind, int] = {}
    starts: dict[Kind | None, list[int]] = {None: []}
    _skip_header(file, shape.columns)
    is_whole = True
    for number, (offset, row) in enumerate(_rows(file)):
        if number == MOST_ROWS:
            is_whole = False
            break
        kind = _kind_of(row, indexes)
        before = counts.get(kind, 0)
        if before % PAGE_ROWS == 0:
            starts.setdefault(kind, []).append(offset)
        if number % PAGE_ROWS == 0:
            starts[None].append(offset)
        counts[kind] = before + 1
        if len(counts) > _MOST_KINDS:
            raise _NotAsWritten
    ordered = sorted(counts.items(), key=lambda it: (-it[1], it[0]))
    return RowScan(dict(ordered), starts, is_whole)


def page_of_rows(path: Path, shape: CsvShape, scan: RowScan, page: int, kind: Kind | None = None) -> list[list[str]]:
    """The rows of a page, from 1, of a kind or of all; none behind the last page. Raises: DamagedSet."""
    begins = scan.starts.get(kind, ())
    if page > len(begins):
        return []
    indexes = [shape.columns.index(name) for name in shape.kinds_by]
    found: list[list[str]] = []
    with _damage_named(path), open_file(path) as file:
        file.seek(begins[page - 1])
        for _, row in _rows(file):
            if kind is None or _kind_of(row, indexes) == kind:
                found.append(_cells_of(row)[: len(shape.columns)])
            if len(found) == min(PAGE_ROWS, scan.count(kind) - PAGE_ROWS * (page - 1)):
                break
    return found


def _skip_header(file: BinaryIO, columns: tuple[str, ...]) -> None:
    header = _cells_of(next(_rows(file), (0, b""))[1].removeprefix(_BOM))
    if tuple(header[: len(columns)]) != columns:
        raise _NotAsWritten


def _rows(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Position and bytes of each row, which may contain quoted line breaks."""
    offset = file.seek(0, os.SEEK_CUR)
    while row := file.readline(_MOST_ROW_BYTES):
        if _QUOTE in row:
            while row.count(_QUOTE) % 2 and len(row) < _MOST_ROW_BYTES and (more := file.readline(_MOST_ROW_BYTES)):
                row += more
        if len(row) >= _MOST_ROW_BYTES:
            raise _NotAsWritten
        yield offset, row
        offset += len(row)


def _kind_of(row: bytes, indexes: Sequence[int]) -> Kind:
    try:
        if _QUOTE in row:
            texts = _cells_of(row)
            return tuple([texts[index] for index in indexes])
        cells = row.rstrip(b"\r\n").split(b",", indexes[-1] + 1)
        return tuple([cells[index].decode() for index in indexes])
    except (IndexError, UnicodeDecodeError):
        raise _NotAsWritten from None


def _cells_of(row: bytes) -> list[str]:
    """The cells of a row. Not by the csv module: its limit for a cell is smaller than a group that became one."""
    try:
        text = row.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _NotAsWritten from None
    cells: list[str] = []
    at, more = 0, ","
    while more:
        found = _CELL.match(text, at)
        if found is None:
            raise _NotAsWritten
        quoted, plain, more = found.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        at = found.end()
    return cells
