"""What an engine and its tables can do. Stages speak SQL to these and know no engine by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from service.model import InputFile, Layout

BLANK = "[" + "".join(f"\\x{{{ord(c):x}}}" for c in map(chr, range(0x3001)) if c.isspace()) + "]"
"""What Python's ``strip`` takes off, as a regular expression; SQL's own ``trim`` knows the blank alone, and
is fifteen times slower where it is given more."""


def cell_name(index: int) -> str:
    """What the column of a layout's place with this index is called in the tables that ``Engine.read`` gives."""
    return f"cell_{index}"


IntArray = npt.NDArray[np.int64]
Row = tuple[Any, ...]


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot enter: its position, a code, and why."""

    row_number: int
    code: str
    explanation: str
    column: str = ""


@dataclass(frozen=True)
class FileReport:
    """What reading one file showed besides its rows."""

    layout: Layout
    """The one that fits it; its places are the table's cells."""
    places: tuple[str, ...] = ()
    """Those of the layout that the file has."""
    rejects: tuple[RejectedRow, ...] = ()
    warnings: tuple[str, ...] = ()
    unknown_columns: int = 0
    """Columns of a CSV file that nobody asked for."""
    members: Mapping[str, str] = field(default_factory=dict)
    """JSON: texts that stand beside the array of customers, before it: when it was fetched, ...; true is "true"."""
    written: str = "UTF-8"
    """Encoding and delimiter, for a person."""


class Table(Protocol):
    """A relation the engine holds."""

    def derive(self, sql: str, **others: Table) -> Table:
        """The result of ``sql``, in which this table is called ``this`` and others by their keyword."""

    def rows(self) -> list[Row]:
        """All rows, as tuples; for small results."""

    def count(self) -> int:
        """How many rows."""

    def integers(self, *columns: str) -> tuple[IntArray, ...]:
        """Columns of integers without nulls, in one fixed order of rows."""

    def write_csv(self, path: Path, columns: Sequence[str], order_by: str, *, bom: bool = False) -> None:
        """Write ``columns`` with a header: UTF-8, ``,``, ``\\n``, quotes where they are needed."""

    def write_lines(self, path: Path, column: str, order_by: str) -> None:
        """Write one text column as lines."""

    def write_parquet(self, path: Path, order_by: str) -> None:
        """Write the table for ``Engine.read_parquet``."""


class Engine(Protocol):
    """Where tables come from."""

    def read(self, delivery: InputFile) -> tuple[Table, FileReport]:
        """The rows of one export as columns ``RAW``; InputError for a wrong file."""

    def read_parquet(self, path: Path) -> Table:
        """What ``write_parquet`` wrote."""

    def table(self, columns: Mapping[str, IntArray]) -> Table:
        """A table of integer columns."""

    def text_table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
        """A table of text columns; an empty text is null."""

    def register(self, name: str, function: Callable[..., Any], result: str = "varchar") -> None:
        """Make ``function`` (text arguments, text or null out) callable from SQL under ``name``."""

    def interrupt(self) -> None:
        """Make the running statement, if any, raise Interrupted; from another thread."""
