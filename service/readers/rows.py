"""What reading one file gives: raw rows, rejected rows, and a report of the file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import overload

from service.model import Layout

RawRow = tuple[int, tuple[str | None, ...]]
"""Row number, and the cells in the order of the layout's paths; None where the row has none."""

RAW: Mapping[str, str] = {
    "row_number": "position in the file, from 1; blank rows do not count",
    "cell_0, cell_1, …": "text as written, one column for every path of the layout, in their order; null = absent",
}
"""The columns of the table that ``Engine.read`` returns."""
BOOLEAN_MARK = "\x02"
"""The first character of the cell of a JSON ``true`` or ``false``, before that word.

Programs write them where there is no text, so no field gets one.
"""


def cell_name(index: int) -> str:
    """The column of ``RAW`` that holds the layout's path with this index."""
    return f"cell_{index}"


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot enter the batch."""

    row_number: int
    code: str
    """The reason, one word."""
    explanation: str
    """The reason for a person; never a customer's value."""
    column: str = ""
    """The column or path at fault, if there is one."""


REJECTS_IN_MEMORY = 10_000


class ManyRejects(Sequence[RejectedRow]):
    """So many rejects that they are made again each time they are read, instead of being held in memory."""

    def __init__(self, count: int, read: Callable[[], Iterator[RejectedRow]]) -> None:
        self._count = count
        self._read = read

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[RejectedRow]:
        return self._read()

    @overload
    def __getitem__(self, index: int) -> RejectedRow: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[RejectedRow]: ...

    def __getitem__(self, index: int | slice) -> RejectedRow | Sequence[RejectedRow]:
        if isinstance(index, slice):
            return tuple(islice(self._read(), *index.indices(self._count)))
        return next(islice(self._read(), range(self._count)[index], None))


def rejects_of(count: int, read: Callable[[], Iterator[RejectedRow]]) -> Sequence[RejectedRow]:
    """The ``count`` rejects that ``read`` gives, in memory if they are few."""
    return tuple(read()) if count <= REJECTS_IN_MEMORY else ManyRejects(count, read)


class RejectFile:
    """Rejects on their way to a report, in a file."""

    def __init__(self, path: Path, count: int = 0) -> None:
        """``count``: how many another process has written into the file."""
        self._path = path
        self.count = count
        """How many are in the file."""

    @contextmanager
    def writing(self) -> Iterator[Callable[[RejectedRow], None]]:
        """A function that adds a reject, until the block ends."""
        with open(self._path, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            writer = csv.writer(file)

            def add(row: RejectedRow) -> None:
                self.count += 1
                writer.writerow((row.row_number, row.code, row.explanation, row.column))

            yield add

    def rejects(self) -> Sequence[RejectedRow]:
        """All that were added; the file is needed as long as they are read, if they are many."""
        found = rejects_of(self.count, self._read)
        if not isinstance(found, ManyRejects):
            self._path.unlink()
        return found

    def _read(self) -> Iterator[RejectedRow]:
        with open(self._path, encoding="utf-8", errors="surrogatepass", newline="") as file:
            for number, code, explanation, column in csv.reader(file):
                yield RejectedRow(int(number), code, explanation, column)


@dataclass(frozen=True)
class FileReport:
    """What reading one file showed besides its rows."""

    layout: Layout
    """The layout that fits the file; its paths are the cells of the table."""
    paths: tuple[str, ...] = ()
    """The paths of the layout that the file has."""
    rejects: Sequence[RejectedRow] = ()
    warnings: tuple[str, ...] = ()
    unknown_columns: int = 0
    """CSV: the number of columns that no field uses."""
    unread: tuple[str, ...] = ()
    """Names of columns or paths of members that no field uses, as far as a message may quote them."""
    column_names: Mapping[str, str] = field(default_factory=dict)
    """CSV: path -> the name of its column, as ``csv_header.exact`` writes it."""
    is_csv: bool = False
    members: Mapping[str, str] = field(default_factory=dict)
    """JSON: scalar members before the array of customers, as text ("fetched_at", …); true is "true"."""
    written: str = "UTF-8"
    """Encoding and delimiter, for a person."""
