"""Tables of a DuckDB connection, and the statements that make them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import duckdb
import numpy as np

from service.engine.contract import AnyIntArray, IntArray, Row, Table, sql_text
from service.engine.first_alike import first_alike
from service.engine.memory import LEAST_MB, sufficient_limit_mb
from service.errors import Interrupted, TransientError
from service.progress import Meter
from service.readers.csv_rows import MAX_CELL_CHARACTERS
from service.readers.served_files import Served, ServedFiles

T = TypeVar("T")

# Zstandard halves the files and costs no more time. A reader unpacks whole row groups: these are small, so that one
# customer is found in milliseconds.
PARQUET_OPTIONS = "format parquet, compression zstd, compression_level 1, row_group_size 14336"
# An empty comment character: DuckDB would else put quotes round every cell with a "#".
CSV_OPTIONS = "format csv, delimiter ',', quote '\"', escape '\"', nullstr '', comment ''"
LINES_OPTIONS = "format csv, header false, delimiter '\x01', quote '', escape '', nullstr '', comment ''"
_WITH = re.compile(r"\s*with\b", re.IGNORECASE)


_FEW_ROWS = 5_000
"""Up to so many texts are numbered one by one, which takes fewer statements."""
_MOST_PARSED = 160
"""Statements that are kept. A batch has about a hundred; few of them are of this batch alone."""
_last_parsed: dict[str, duckdb.Statement] = {}
"""Text -> statement, the one that was used last at the end. To parse a small one may take as long as to run it."""
_ORDER = "the rows are in the order of their ordinals"
_TINY_ROWS = 100
"""A table of so many rows is not worth the statement that frees it before the engine closes."""
_COLUMNS_AT_A_TIME = 2
"""So many columns of texts are numbered at the same time, if memory suffices."""
_SHARE_OF_CODES, _STEPS_OF_CODES = 0.8, 4
"""Of the work around it, and statements for each column of texts."""
_BYTES_OF_A_CODE = 16
"""While a column of texts is numbered: its sort key, its code, and what the engine has of the result."""
_ROWS_OF_A_PART = 1 << 20
_TEXTS_AT_A_TIME = 50_000
"""So many take some megabytes; more at a time save no time."""
_SPILLED_TOO_MUCH = "'max_temp_directory_size'"
"""The message of the engine names its setting."""
_LEAST_LENT_MB = 8
"""Less is not worth two statements: the margin of ``memory.engine_mb`` holds it."""


class EmbeddedTable:
    """A temporary table of the connection."""

    def __init__(self, database: Database, table: str, count: int, rows: str = "", order: str = "") -> None:
        """``rows``: SQL for its ``count`` rows, unless they are those of ``table``; ``order``: how they are sorted."""
        self._database = database
        self._table = table
        self._count = count
        self._order = order
        self.name = rows or table

    def derive(self, sql: str, **others: Table) -> EmbeddedTable:
        """See ``Table.derive``. The result is computed at once."""
        return self._database.materialise(_with_names(sql, {"this": self, **others}))

    def sorted(self, order_by: str, sql: str = "from this", **others: Table) -> EmbeddedTable:
        """See ``Table.sorted``."""
        ordered = f"select * from ({sql}) order by {order_by}"
        table = self._database.materialise(_with_names(ordered, {"this": self, **others}))
        return EmbeddedTable(self._database, table.name, table.count(), order=order_by)

    def rows(self, sql: str = "from this", **others: Table) -> list[Row]:
        """See ``Table.rows``."""
        return self._database.run(_with_names(sql, {"this": self, **others}))

    def count(self) -> int:
        """See ``Table.count``."""
        return self._count

    def integers(self, *columns: str) -> tuple[IntArray, ...]:
        """Columns of integers without nulls, ordered by the first column, then the second, …"""
        listed = ", ".join(columns)
        arrays = self._database.arrays(f"select {listed} from {self.name} order by {listed}")
        return tuple(np.asarray(arrays[column], dtype=np.int64) for column in columns)

    def integer_chunks(self, *columns: str) -> Iterator[tuple[IntArray, ...]]:
        """See ``Table.integer_chunks``."""
        listed = ", ".join(columns)
        for start in range(0, self._count, _ROWS_OF_A_PART):
            arrays = self._database.arrays(
                f"select {listed} from {self._table} where rowid between {start} and {start + _ROWS_OF_A_PART - 1}",
                is_step=start == 0,  # together they are one
            )
            yield tuple(np.asarray(arrays[column], dtype=np.int64) for column in columns)

    def row_lists(self, columns: Sequence[str], size: int) -> Iterator[list[Row]]:
        """See ``Table.row_lists``."""
        sql = self._rows_between_sql(columns)
        for start in range(0, self._count, size):
            yield self._database.run(sql, str(start), str(start + size - 1))

    def text_lists(self, columns: Sequence[str], size: int) -> Iterator[list[list[str]]]:
        """The texts of these columns, without nulls, of at most ``size`` rows at a time: a list for each column."""
        sql = self._rows_between_sql(columns)
        for start in range(0, self._count, size):
            arrays = self._database.arrays(sql, str(start), str(start + size - 1))
            yield [arrays[column].tolist() for column in columns]

    def _rows_between_sql(self, columns: Sequence[str]) -> str:
        """SQL: the rows from one position to another; the positions are its parameters."""
        assert self.name == self._table, "rows of a query have no positions"
        return f"select {', '.join(columns)} from {self._table} where rowid between ?::bigint and ?::bigint"

    def numbered(self, column: str, start: int = 0, without: str = "") -> EmbeddedTable:
        """See ``Table.numbered``; ``without``: a column that is left out."""
        assert "," not in self._table, "rows of several tables have no positions"
        others = f"* exclude ({without})" if without else "*"
        rows = f"(select rowid + {start} as {column}, {others} from {self._table})"
        return EmbeddedTable(self._database, self._table, self._count, rows, self._order)

    def with_rows_of(self, *others: Table) -> EmbeddedTable:
        """See ``Table.with_rows_of``."""
        tables = [self, *map(_own, others)]
        rows = " union all ".join(f"from {table.name}" for table in tables)
        count = sum(table.count() for table in tables)
        return EmbeddedTable(self._database, ", ".join(table._table for table in tables), count, f"({rows})")

    def codes(self, terms: Mapping[str, str]) -> Table:
        """See ``Table.codes``."""
        few = self._count <= _FEW_ROWS
        return self._codes_of_few(terms) if few else self._codes_of_many(terms, self._count)

    def _codes_of_few(self, terms: Mapping[str, str]) -> EmbeddedTable:
        with self._database.meter.part(_SHARE_OF_CODES):
            rows = self._database.run(f"select ordinal, {', '.join(terms.values())} from {self.name}")
        assert all(row[0] == ordinal for ordinal, row in enumerate(rows)), _ORDER
        codes = {name: _codes_one_by_one(row[index] for row in rows) for index, name in enumerate(terms, start=1)}
        return self._database.table({"ordinal": np.arange(len(rows), dtype=np.int64), **codes})

    def _codes_of_many(self, terms: Mapping[str, str], count: int) -> EmbeddedTable:
        strays = self._database.run(
            f"select count(*) from (select rowid, ordinal from {self.name}) where ordinal <> rowid"
        )
        assert strays == [(0,)], _ORDER
        query = f"select ordinal, {{}} as text from {self.name}"
        # The engine runs one statement at a time; the numbers of one column are sorted beside that of the next.
        workers = min(self._database.threads, _COLUMNS_AT_A_TIME)
        lent = workers * _BYTES_OF_A_CODE * (count + _ROWS_OF_A_PART)
        if not self._database.can_lend(lent):
            workers, lent = 1, lent // workers
        with (
            self._database.meter.part(_SHARE_OF_CODES, steps=_STEPS_OF_CODES * len(terms)),
            self._database.lending(lent),
            ThreadPoolExecutor(workers) as threads,
        ):
            columns = list(threads.map(lambda name: self._codes_of(query.format(terms[name]), name, count), terms))
        # Each is a table by now, so that not all are arrays at the same time.
        first, *others = (column.name for column in columns)
        beside = " positional join ".join([first, *others])
        codes = self._database.materialise(f"select {first}.rowid as ordinal, {', '.join(terms)} from {beside}")
        for column in columns:
            column.release()
        return codes

    def _codes_of(self, texts: str, name: str, count: int) -> EmbeddedTable:
        """The numbers of the texts that the query ``texts`` (ordinal · text) gives, in the column ``name``."""
        bits = max(count - 1, 1).bit_length()
        keys = self._database.arrays(
            f"select (hash(text) >> {bits} << {bits}) | ordinal::ubigint as key from ({texts}) where text is not null"
        )["key"]
        codes = first_alike(keys, bits, count)
        del keys
        # Different texts may have one hash, similar ones above all.
        others = np.flatnonzero((codes >= 0) & (codes != np.arange(count, dtype=np.int32))).astype(np.int32)
        linked = self._database.table({"ordinal": others, "first": codes[others]})
        del others
        different = self._database.run(
            f"""
            with texts as not materialized ({texts}), linked as not materialized (from {linked.name}),
            firsts as (
                select distinct linked.first from linked join texts as one using (ordinal)
                join texts as other on other.ordinal = linked.first where one.text <> other.text
            )
            select linked.ordinal, texts.text
            from (select * from linked union all select first, first from firsts) as linked
            join firsts using (first) join texts using (ordinal)
            order by linked.ordinal
            """
        )
        linked.release()
        first_of: dict[str, int] = {}
        for ordinal, text in different:
            codes[ordinal] = first_of.setdefault(text, ordinal)
        return self._database.table({name: codes})

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
        """See ``Table.write_csv``."""
        # The mark precedes the first name of the header: this saves a second pass over a large file.
        mark = "\ufeff" if bom else ""
        listed = ", ".join([f'{columns[0]} as "{mark}{columns[0]}"', *columns[1:]])
        query = f"select {listed} from {self._in_order(order_by, sql, others)}"
        self._copy(query, path, f"{CSV_OPTIONS}, header true")

    def write_lines(self, path: Path, column: str, order_by: str, sql: str = "from this") -> None:
        """See ``Table.write_lines``."""
        self._copy(f"select {column} from {self._in_order(order_by, sql)}", path, LINES_OPTIONS)

    def write_parquet(
        self, path: Path, order_by: str, columns: Sequence[str] = ("*",), sql: str = "from this", **others: Table
    ) -> None:
        """See ``Table.write_parquet``."""
        rows = self._in_order(order_by, sql, others)
        self._copy(f"select {', '.join(columns)} from {rows}", path, PARQUET_OPTIONS)

    def _in_order(self, order_by: str, sql: str = "from this", others: Mapping[str, Table] | None = None) -> str:
        """SQL, behind ``from``: the rows of a query in this order; those of one sorted table are in its order."""
        rows = f"({_with_names(sql, {'this': self, **(others or {})})})"
        return rows if self._order == order_by and not others else f"{rows} order by {order_by}"

    def release(self) -> None:
        """See ``Table.release``."""
        if self._count > _TINY_ROWS:
            for table in self._table.split(", "):
                self._database.drop(table)

    def _copy(self, select: str, path: Path, options: str) -> None:
        # The path is a parameter, so that the text is the same in each batch.
        self._database.run(f"copy ({select}) to ? ({options})", str(path))


def _codes_one_by_one(texts: Iterable[str | None]) -> IntArray:
    """See ``Table.codes``."""
    first_of: dict[str, int] = {}
    codes = [-1 if text is None else first_of.setdefault(text, ordinal) for ordinal, text in enumerate(texts)]
    return np.array(codes, dtype=np.int64)


def _own(table: Table) -> EmbeddedTable:
    assert isinstance(table, EmbeddedTable), "tables of two engines do not mix"
    return table


def _with_names(sql: str, tables: Mapping[str, Table]) -> str:
    """The query ``sql`` with the names of its tables defined."""
    # Names of this statement alone, not views: those would be shared by all statements of the connection.
    names: list[str] = []
    for alias, table in tables.items():
        # Not materialised: DuckDB would copy the table first.
        names.append(f'"{alias}" as not materialized (from {_own(table).name})')
    own_names = _WITH.match(sql)
    rest = sql if own_names is None else f", {sql[own_names.end() :]}"
    return f"with {', '.join(names)} {rest}"


class Database:
    """A DuckDB connection and the folder that it may write to; statements run one at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, work_folder: Path) -> None:
        self.meter = Meter()
        self.threads = 1
        """How many run a statement."""
        self._connection = connection
        self._memory_mb = LEAST_MB
        self._work_folder = work_folder
        self._numbers = count(1)
        self._statement = Lock()
        self._ended = 0
        self._is_interrupted = False
        self._served_files = ServedFiles()
        connection.register_filesystem(self._served_files)

    def materialise(self, select: str) -> EmbeddedTable:
        """Run a query into a new table."""
        name = f"table_{next(self._numbers)}"
        ((count,),) = self.run(f"create temp table {name} as {select}")
        return EmbeddedTable(self, name, int(count))

    @contextmanager
    def lending(self, size_bytes: int) -> Iterator[int]:
        """See ``Engine.lending``."""
        former, lent_mb = self._memory_mb, size_bytes >> 20
        if lent_mb < _LEAST_LENT_MB:
            yield 0
            return
        self.set_memory(max(former - lent_mb, min(former, LEAST_MB)))
        try:
            yield 0 if lent_mb + LEAST_MB <= former else sufficient_limit_mb(lent_mb)
        finally:
            self.set_memory(former)

    def can_lend(self, size_bytes: int) -> bool:
        """Whether the engine can do without so much and still has half of its memory."""
        return size_bytes >> 20 <= self._memory_mb // 2

    def set_memory(self, memory_mb: int) -> None:
        """Let the engine use so much. Where it cannot do with so little, the limit is missed, not the batch."""
        with _errors_translated(), suppress(duckdb.OutOfMemoryException):
            self._connection.execute(f"set memory_limit = '{memory_mb}MiB'")
            self._memory_mb = memory_mb

    def drop(self, table: str) -> None:
        """Free a table; no step, because it takes no time."""
        with self._one_statement(is_step=False):
            self._connection.execute(f"drop table {table}")

    def served(self, served: Served) -> AbstractContextManager[str]:
        """A URL under which a query can read ``served`` until the block ends."""
        return self._served_files.at_url(served)

    def own_path(self, name: str) -> Path:
        """A new path in the work folder, which is removed with the folder."""
        return self._work_folder / f"{name}_{next(self._numbers)}.csv"

    @contextmanager
    def own_csv(self) -> Iterator[Path]:
        """A path for a CSV file of ours, which is removed when the block ends."""
        path = self.own_path("rows")
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def read_own_csv(self, path: Path, columns: Sequence[str], *, has_header: bool = False) -> EmbeddedTable:
        """A CSV file that we wrote ourselves. ``columns``: ``'name': 'TYPE'`` each."""
        # The line break is given: else DuckDB guesses it, and fails at "\r\n" inside a cell.
        return self.materialise(
            f"select * from read_csv({sql_text(str(path))}, auto_detect=false, hive_partitioning=false, "
            f"header={has_header}, delim=',', quote='\"', "
            f"escape='\"', new_line='\\n', parallel=false, max_line_size={4 * MAX_CELL_CHARACTERS}, "
            f"columns={{{', '.join(columns)}}})"
        )

    def run(self, sql: str, *parameters: str) -> list[Row]:
        """Run a statement; errors of the engine are translated into ours."""
        with self._one_statement():
            return self._within_memory(lambda: list(self._executed(sql, *parameters).fetchall()))

    def table(self, columns: Mapping[str, AnyIntArray]) -> EmbeddedTable:
        """A table of integer columns."""
        if all(len(array) <= _TINY_ROWS and array.dtype == np.int64 for array in columns.values()):
            lists = (f"unnest({array.tolist()}::bigint[]) as {name}" for name, array in columns.items())
            return self.materialise(f"select {', '.join(lists)}")
        with self._registered(columns) as arrays:
            return self.materialise(f"from {arrays}")

    def texts(self, column: str, texts: Iterable[str | None]) -> EmbeddedTable:
        """A table of one column of texts, in their order."""
        table = self.materialise(f"select null::varchar as {column} where false").name
        rest, row_count = iter(texts), 0
        while part := list(islice(rest, _TEXTS_AT_A_TIME)):
            with self._registered({column: np.array(part, dtype=object)}) as array:
                self._append(table, array)
            row_count += len(part)
        return EmbeddedTable(self, table, row_count)

    def _append(self, table: str, others: str) -> None:
        """Append the rows of another table; no step, because what made them was one."""
        insert = f"insert into {table} from {others}"
        with self._one_statement(is_step=False):
            # Not kept as parsed: no other batch has a statement with these names.
            self._within_memory(lambda: self._connection.execute(insert).fetchall())

    @contextmanager
    def _registered(self, columns: Mapping[str, Any]) -> Iterator[str]:
        """The name under which statements find these arrays until the block ends."""
        name = f"numpy_{next(self._numbers)}"
        with self._statement, _errors_translated():
            self._connection.register(name, dict(columns))
        try:
            yield name
        finally:
            with self._statement, _errors_translated():
                self._connection.unregister(name)

    def arrays(self, sql: str, *parameters: str, is_step: bool = True) -> dict[str, Any]:
        """Run a query into numpy columns."""
        with self._one_statement(is_step=is_step):
            return self._within_memory(lambda: dict(self._executed(sql, *parameters).fetchnumpy()))

    def _within_memory(self, run: Callable[[], T]) -> T:
        """What ``run`` returns; if it does not fit into memory, it runs again, and all later statements on one thread.

        Each thread has buffers of its own, which cannot be spilled. A query may fail while its rows are fetched.
        """
        try:
            return run()
        except duckdb.OutOfMemoryException as error:
            if self.threads == 1 or _SPILLED_TOO_MUCH in str(error):
                raise
        self.threads = 1
        self._connection.execute("set threads = 1")
        return run()

    def _executed(self, sql: str, *parameters: str) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(self._parsed(sql), parameters or None)

    def _parsed(self, sql: str) -> duckdb.Statement:
        """The statement, parsed once in this process, not once in each batch."""
        statement = _last_parsed.pop(sql, None)
        if statement is None:
            (statement,) = self._connection.extract_statements(sql)
        _last_parsed[sql] = statement
        if len(_last_parsed) > _MOST_PARSED:
            _last_parsed.pop(next(iter(_last_parsed)), None)
        return statement

    def steps(self) -> float:
        """The number of statements that have ended, and the share of the running one that is done; from any thread."""
        ended = self._ended
        share = self._connection.query_progress() / 100
        is_running = ended == self._ended and share > 0  # without a statement DuckDB says -1
        return ended + min(share, 1.0) if is_running else float(ended)

    @contextmanager
    def _one_statement(self, *, is_step: bool = True) -> Iterator[None]:
        with self._statement, _errors_translated():
            self._refuse_interrupted()
            try:
                yield
            finally:
                self._ended += is_step

    def _refuse_interrupted(self) -> None:
        """Raises: Interrupted, also where it was asked for between two statements."""
        if self._is_interrupted:
            raise _interrupted()


def _interrupted() -> Interrupted:
    return Interrupted("the work was interrupted", hint="it continues at the next start")


class OutOfMemory(TransientError):
    """The engine reached its memory limit."""


def _reason(error: duckdb.Error) -> str:
    """The system's message, if the engine's text contains it; the rest of that text may hold a customer's value."""
    reasons = (os.strerror(number) for number in errno.errorcode)
    return next((reason for reason in reasons if f": {reason}" in str(error)), type(error).__name__)


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except duckdb.InterruptException:
        raise _interrupted() from None
    except UnicodeDecodeError:
        # The value that the engine's message quotes is cut at a byte, perhaps within a character.
        raise duckdb.InvalidInputException("the engine's message is no text") from None
    except duckdb.OutOfMemoryException as error:
        if _SPILLED_TOO_MUCH in str(error):
            raise TransientError(
                "the engine failed: what does not fit into memory does not fit on the disk of the work folder, either",
                hint="free space on the disk of SERVICE_STATE, or raise SERVICE_MEMORY_LIMIT_MB",
            ) from None
        raise OutOfMemory(
            "the engine failed: too little memory",
            hint="raise SERVICE_MEMORY_LIMIT_MB, or lower SERVICE_THREADS",
        ) from None
    except (duckdb.IOException, duckdb.PermissionException) as error:
        raise TransientError(
            f"the engine failed: {_reason(error)}",
            hint="check the disk of SERVICE_STATE, and what SERVICE_MEMORY_LIMIT_MB leaves for other programs",
        ) from None
