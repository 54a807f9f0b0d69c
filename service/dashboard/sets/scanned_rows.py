"""Rows of a large CSV file of a set: counted once by a scan, then read a page at a time.

The scan keeps only counts and a few positions. Sets are immutable, so that its result holds as long as the file is
the same; ``Scans`` keeps the last ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from service.files import fingerprint_of, open_file
from service.masters.kept_values import KeptValues
from service.masters.set_files import why_unreadable

PAGE_ROWS = 100
MOST_ROWS = 3_000_000
"""A scan ends after so many rows."""
_MOST_KINDS = 500
_MOST_ROW_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 20
_PAGE_BYTES = 1 << 15
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
    kinds_by: tuple[str] | tuple[str, str]


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
        self._results = KeptValues(_MOST_SCANS)

    def of(self, path: Path, what: Hashable, scan: Callable[[BinaryIO], V]) -> V:
        """The result of ``scan`` on the file at ``path``; ``what`` names it. Raises: DamagedSet."""

        def result() -> V:
            with open_file(path) as file:
                return scan(file)

        with damage_named(path):
            return self._results.get((path, fingerprint_of(path), what), result)

    def rows_of(self, path: Path, shape: CsvShape) -> RowScan:
        """The rows of the CSV file at ``path``. Raises: DamagedSet."""
        return self.of(path, shape, lambda file: _scan_rows(file, shape))


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Raises: DamagedSet, with the name of the file, for what the block cannot read."""
    try:
        yield
    except OSError as error:
        raise DamagedSet(why_unreadable(path, error)) from None
    except _NotAsWritten:
        raise DamagedSet(f"{path.name} is damaged: it is not as it was written") from None


def _scan_rows(file: BinaryIO, shape: CsvShape) -> RowScan:
    """Count the rows by their kinds. Raises: _NotAsWritten where the file has other columns."""
    counts: dict[Kind, int] = {}
    starts: dict[Kind | None, list[int]] = {None: []}
    rows_before = 0
    for offset, rows in row_blocks(file, shape):
        kept = rows[: MOST_ROWS - rows_before]
        begins = list(accumulate(map(len, kept), initial=offset))
        starts[None].extend(begins[-rows_before % PAGE_ROWS : len(kept) : PAGE_ROWS])
        for kind, numbers in _numbers_by_kind(kept, shape).items():
            first = -counts.get(kind, 0) % PAGE_ROWS
            starts.setdefault(kind, []).extend(begins[number] for number in numbers[first::PAGE_ROWS])
            counts[kind] = counts.get(kind, 0) + len(numbers)
        rows_before += len(kept)
        if len(counts) > _MOST_KINDS:
            raise _NotAsWritten
        if len(kept) < len(rows):
            return _scan(counts, starts, is_whole=False)
    return _scan(counts, starts, is_whole=True)


def _scan(counts: dict[Kind, int], starts: dict[Kind | None, list[int]], *, is_whole: bool) -> RowScan:
    ordered = sorted(counts.items(), key=lambda it: (-it[1], it[0]))
    return RowScan(dict(ordered), starts, is_whole)


def page_of_rows(path: Path, shape: CsvShape, scan: RowScan, page: int, kind: Kind | None = None) -> list[list[str]]:
    """The rows of a page, from 1, of a kind or of all; none behind the last page. Raises: DamagedSet."""
    begins = scan.starts.get(kind, ())
    if page > len(begins):
        return []
    wanted = min(PAGE_ROWS, scan.count(kind) - PAGE_ROWS * (page - 1))
    found: list[bytes] = []
    with damage_named(path), open_file(path) as file:
        for _, rows in row_blocks(file, shape, begins[page - 1], _PAGE_BYTES):
            numbers = range(len(rows)) if kind is None else _numbers_by_kind(rows, shape).get(kind, ())
            found.extend(rows[number] for number in numbers)
            if len(found) >= wanted:
                break
        return [cells_of(row)[: len(shape.columns)] for row in found[:wanted]]


def row_blocks(
    file: BinaryIO, shape: CsvShape, begin: int | None = None, block_bytes: int = _BLOCK_BYTES
) -> Iterator[tuple[int, list[bytes]]]:
    """Rows, which may contain quoted line breaks, some at a time, and where the first of them begins.

    From ``begin`` on, where a row begins; without it after the header, which must be that of ``shape``.
    """
    if begin is None:
        header = file.readline(_MOST_ROW_BYTES)
        if tuple(cells_of(header.removeprefix(_BOM))[: len(shape.columns)]) != shape.columns:
            raise _NotAsWritten
        begin = len(header)
    file.seek(begin)
    while block := file.read(block_bytes):
        block += _rest_of_row(file, block)
        lines = BytesIO(block).readlines()
        yield begin, lines if _QUOTE not in block else list(_joined(lines))
        begin += len(block)


def _rest_of_row(file: BinaryIO, block: bytes) -> bytes:
    """The bytes behind ``block`` up to the end of the row in which it ends."""
    rest = b"" if block.endswith(b"\n") else file.readline(_MOST_ROW_BYTES)
    is_quoted = (block.count(_QUOTE) + rest.count(_QUOTE)) % 2 == 1
    while is_quoted and len(rest) < _MOST_ROW_BYTES and (line := file.readline(_MOST_ROW_BYTES)):
        rest += line
        is_quoted ^= line.count(_QUOTE) % 2 == 1
    if is_quoted or len(rest) >= _MOST_ROW_BYTES:
        raise _NotAsWritten
    return rest


def _joined(lines: list[bytes]) -> Iterator[bytes]:
    """Rows of lines: one that ends within quotes goes on in the next line."""
    row = b""
    for line in lines:
        row += line
        if row.count(_QUOTE) % 2 == 0:
            yield row
            row = b""


def _numbers_by_kind(rows: Sequence[bytes], shape: CsvShape) -> dict[Kind, Sequence[int]]:
    """Kind -> the numbers, in ``rows``, of its rows."""
    kind_of = _kind_reader(shape)
    try:
        kinds = [kind_of(row) for row in rows]
    except (IndexError, UnicodeDecodeError):
        raise _NotAsWritten from None
    found: dict[tuple[bytes, ...], Sequence[int]] = {kind: [] for kind in set(kinds)}
    if len(found) == 1:
        found[kinds[0]] = range(len(rows))
    else:
        for number, kind in enumerate(kinds):
            cast("list[int]", found[kind]).append(number)
    return {tuple(cell.decode() for cell in kind): numbers for kind, numbers in found.items()}


def _kind_reader(shape: CsvShape) -> Callable[[bytes], tuple[bytes, ...]]:
    """A function that gives the kind of a row; a fast one, because it is called for each row of a large file."""
    indexes = [shape.columns.index(name) for name in shape.kinds_by]
    first, last = indexes[0], indexes[-1]

    def kind_of(row: bytes) -> tuple[bytes, ...]:
        cells = row.split(b",", last + 1)
        behind = len(cells[-1]) if len(cells) == last + 2 else 0
        if _QUOTE in row[: len(row) - behind]:
            texts = cells_of(row)
            return tuple([texts[index].encode() for index in indexes])
        if not behind:
            cells[-1] = cells[-1].rstrip(b"\r\n")
        return (cells[first], cells[last]) if first != last else (cells[first],)

    return kind_of


def cells_of(row: bytes) -> list[str]:
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
