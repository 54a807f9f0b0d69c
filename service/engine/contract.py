"""What an engine and its tables can do. Stages give SQL to these and know no engine by name.

The dialect is DuckDB SQL, the subset that ``tests/test_dialect.py`` holds; another engine translates it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from service.commands import command
from service.errors import TransientError
from service.model import InputFile
from service.progress import Meter
from service.readers.rows import FileReport

BLANK = "[" + "".join(f"\\x{{{ord(c):x}}}" for c in map(chr, range(0x3001)) if c.isspace()) + "]"
"""The characters that Python's ``strip`` removes, as a regular expression; SQL's own ``trim`` removes spaces only, and
is fifteen times slower if it is given more characters."""


def sql_text(text: str | None) -> str:
    """A text as an SQL literal, with its quotes; None is ``null``.

    >>> sql_text("O'Brien"), sql_text(None)
    ("'O''Brien'", 'null')
    """
    return "null" if text is None else "'" + text.replace("'", "''") + "'"


PARQUET = "read_parquet(?, hive_partitioning=false, file_row_number=true)"
"""SQL: the rows of the published Parquet file that a parameter names, for ``Reader.rows``. Their position in the file,
from 0, is the column ``file_row_number``: a page is ``where file_row_number between ? and ?``, which reads only the
part of the file that it lies in."""

IntArray = npt.NDArray[np.int64]
AnyIntArray = IntArray | npt.NDArray[np.int32]
"""Half the size suffices for ordinals."""
Row = tuple[Any, ...]


class GroupFunction(NamedTuple):
    """A function of whole groups of rows, of integers without nulls.

    function        a function of a module, which other processes can import. It is given some of the groups, ascending,
                    and ``columns`` of all rows of these, ordered by the first column, then the second, …; it returns
                    the columns ``result``
    group           the column that says which rows belong together
    bytes_of_a_row  the memory that it takes, with the columns
    """

    function: Callable[..., tuple[AnyIntArray, ...]]
    group: str
    columns: Sequence[str]
    result: Sequence[str]
    bytes_of_a_row: int


class Table(Protocol):
    """A table of the engine; it does not change."""

    def derive(self, sql: str, **others: Table) -> Table:
        """The result of ``sql``, which names this table ``this`` and the others by their keywords."""

    def sorted(self, order_by: str, sql: str = "from this", **others: Table) -> Table:
        """The result of ``sql``, see ``derive``, in this order.

        To write it in the same order, as it is or with other cells in its rows, costs no sort.
        """

    def rows(self, sql: str = "from this", **others: Table) -> list[Row]:
        """The rows of the result of ``sql``, see ``derive``, as tuples; for small results."""

    def count(self) -> int:
        """The number of rows."""

    def integer_chunks(self, *columns: str) -> Iterator[tuple[IntArray, ...]]:
        """Columns of integers without nulls, in parts of bounded size and in the order of the rows."""

    def row_lists(self, columns: Sequence[str], size: int) -> Iterator[list[Row]]:
        """Lists of at most ``size`` rows with these columns, in the order of the rows.

        Not for what ``numbered`` or ``with_rows_of`` gives.
        """

    def numbered(self, column: str, start: int = 0) -> Table:
        """The same rows with their positions, from ``start``, in ``column``; no table is made of it.

        Not for what ``with_rows_of`` gives.
        """

    def with_rows_of(self, *others: Table) -> Table:
        """The rows of this table and then those of the others, which have its columns; no table is made of it."""

    def codes(self, terms: Mapping[str, str]) -> Table:
        """Numbers instead of texts: the same number for the same text.

        In:     this   ordinal, the position of each row from 0 · what the terms need
                terms  column -> SQL term of a text
        Out:    ordinal · one column for each term: the smallest ordinal of the rows with this text, -1 where it is null
        """

    def write_csv(
        self,
        path: Path,
        columns: Sequence[str],
        order_by: str,
        sql: str = "from this",
        *,
        bom: bool = False,
        **others: Table,
    ) -> None:
        """Write ``columns`` of the result of ``sql``, see ``derive``, with a header; no table is made of it.

        UTF-8, ``,``, ``\\n``, quotes where they are needed.
        """

    def write_lines(self, path: Path, column: str, order_by: str, sql: str = "from this") -> None:
        """Write one text column of the result of ``sql`` as lines; a text with line breaks becomes several lines."""

    def write_parquet(
        self, path: Path, order_by: str, columns: Sequence[str] = ("*",), sql: str = "from this", **others: Table
    ) -> None:
        """Write ``columns`` of the result of ``sql``, see ``derive``, with their types; no table is made of it.

        Schema, rows and order are the same for any number of threads.
        """

    def release(self) -> None:
        """Free the table's memory and disk before the engine closes; it cannot be used any more."""


class Callables(Protocol):
    """Has functions that statements can call."""

    def register(self, name: str, function: Callable[..., Any], result: str = "varchar") -> None:
        """Make ``function`` (text arguments, text or null out) callable from SQL under ``name``; may be repeated."""


class Engine(Callables, Protocol):
    """Makes tables."""

    meter: Meter
    """Each statement that ends is a step of it, and so is the reading of an export row by row, in parts of a step."""
    calls_in_parallel: bool
    """Whether the functions that a statement calls run on all processors; else ``call`` makes them."""

    def read(self, file: InputFile) -> tuple[Table, FileReport]:
        """The rows of one export, with the columns ``readers.rows.RAW``.

        Raises: InputError for a wrong file.
        """

    def read_parquet(self, path: Path) -> Table:
        """The table that ``write_parquet`` wrote. Raises: DamagedFile, TransientError, at the latest in use."""

    def read_csv(self, path: Path, columns: Sequence[str]) -> Table:
        """The table of texts that ``write_csv`` wrote, with these columns; the file lies in the work folder."""

    def text_table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
        """A table of text columns; an empty text is null."""

    def calling(self) -> AbstractContextManager[None]:
        """Until the block ends, ``call`` may be used.

        The first call starts worker processes. They, and the memory that the engine lends them, are kept for the next.
        """

    def call(self, name: str, arguments: Table, columns: Sequence[str]) -> Table:
        """The rows of ``arguments`` with the ``result`` of a registered function of a module, called on all processors.

        ``columns`` are its arguments, texts without nulls.
        """

    def components(self, links: Table, nodes: int) -> Table:
        """The connected components of a graph whose nodes are 0 … nodes - 1.

        In:     links  one · other, the nodes of each edge
        Out:    ordinal · group_id: each node, and the smallest of its component
        """

    def by_group(self, rows: Table, function: GroupFunction) -> Table:
        """What a function makes of the groups of a table, of all at once or of some after the others.

        The rows of one group are in the memory of one process.
        """

    def lending(self, size_bytes: int) -> AbstractContextManager[int]:
        """Until the block ends, there are arrays of about this size: the engine keeps so much less in memory.

        Gives 0; where it cannot do with so little, and so would miss the memory limit, a limit in MB that suffices.
        """

    def interrupt(self) -> None:
        """Make the running statement and all later ones raise Interrupted; called from another thread."""


class Prepared(Callables, Protocol):
    """An engine that is open before there is work for it: to open one takes as long as many small statements."""

    def begin(self, meter: Meter, *, is_small: bool = False) -> AbstractContextManager[Engine]:
        """The engine, whose tables exist until the block ends; once. See ``open_engine``."""

    def warm_up(self) -> None:
        """Let it take the memory that small statements need: the first ones would wait for it."""

    def close(self) -> None:
        """Close it instead of using it."""


class Reader(Protocol):
    """Queries over published Parquet files, from any number of threads at once."""

    def rows(self, sql: str, *parameters: Any) -> list[Row]:
        """The rows of one ``select``; each ``?`` in it is a parameter. Values from outside are parameters only.

        Raises: FileNotFoundError where the file is gone, as after retention; StatementTooSlow; TransientError for a
        file that is damaged or lies elsewhere, and where memory does not suffice; ValueError if it is no ``select``.
        """


class DamagedFile(TransientError):
    """A file that ``write_parquet`` wrote cannot be read as such."""

    def __init__(self, path: Path) -> None:
        hint = f"`{command('verify')}` says whether a file was changed"
        super().__init__("the file is damaged", where=str(path), hint=hint)


class StatementTooSlow(TransientError):
    """A statement was ended because it took longer than a reader may."""
