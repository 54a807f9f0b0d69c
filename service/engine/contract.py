"""What an engine and its tables can do. Stages speak SQL to these and know no engine by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from service.model import InputFile
from service.readers.rows import FileReport

BLANK = "[" + "".join(f"\\x{{{ord(c):x}}}" for c in map(chr, range(0x3001)) if c.isspace()) + "]"
"""What Python's ``strip`` takes off, as a regular expression; SQL's own ``trim`` knows the blank alone, and
is fifteen times slower where it is given more."""


def sql_text(text: str | None) -> str:
    """A text as an SQL literal, with its quotes; None is ``null``.

    >>> sql_text("O'Brien"), sql_text(None)
    ("'O''Brien'", 'null')
    """
    return "null" if text is None else "'" + text.replace("'", "''") + "'"


IntArray = npt.NDArray[np.int64]
Row = tuple[Any, ...]


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
