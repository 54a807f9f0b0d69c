"""Tables of a Spark session: Parquet files in the work folder, which driver and executors share.

Each table is written when it is made: its lineage ends there, and it survives the loss of an executor. Its rows have
no order of their own; where one is known, ``POSITION`` is a column of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql.types import LongType, StringType, StructField, StructType

from service.engine import spark_files
from service.engine.contract import IntArray, Row, Table
from service.engine.spark_schema import ColumnStatistics, ParquetQuery, TableStatistics, statistics_of
from service.engine.spark_session import Session, parquet_files
from service.engine.spark_sql import POSITION, Columns, Translated, ordered_sql
from service.files import remove_tree

_FILE_NAME = "_metadata.file_name as file_name"
_ROWS_OF_A_CHUNK = 1 << 20


class Rows(NamedTuple):
    """The rows of a table, as a view.

    view     its name
    columns  column -> type
    size     the number of rows
    is_dense whether the positions are 0, 1, …, without a gap
    folders  what is removed with it
    """

    view: str
    columns: Columns
    size: int
    is_dense: bool = False
    folders: tuple[Path, ...] = ()


class SparkTable:
    """See ``Table``."""

    def __init__(self, session: Session, rows: Rows, order: str = "") -> None:
        """``order``: the terms by which its positions were given."""
        self._session = session
        self._rows = rows
        self._order = order

    @property
    def view(self) -> str:
        """The name of its rows in Spark's SQL."""
        return self._rows.view

    def derive(self, sql: str, **others: Table) -> SparkTable:
        """See ``Table.derive``. The result is computed at once."""
        tables = {"this": self, **others}
        translated = self._translated(sql, tables, is_table=True)
        made = materialised(self._session, translated.sql)
        is_dense = translated.keeps_rows and self._rows.is_dense and made.size == self._rows.size
        return SparkTable(self._session, made._replace(is_dense=is_dense))

    def sorted(self, order_by: str, sql: str = "from this", **others: Table) -> SparkTable:
        """See ``Table.sorted``."""
        rows = self.derive(sql, **others)
        found = _dense(self._session, rows._rows, ordered_sql(order_by))
        rows.release()
        return SparkTable(self._session, found._replace(folders=found.folders[-1:]), order_by)

    def rows(self, sql: str = "from this", **others: Table) -> list[Row]:
        """See ``Table.rows``."""
        translated = self._translated(sql, {"this": self, **others})
        query = translated.sql
        if translated.has_position:
            query = f"select * except ({POSITION}) from ({query}) order by {POSITION}"
        found = self._session.collected(query)
        return [tuple(int(it) if isinstance(it, Decimal) else it for it in row) for row in found]

    def count(self) -> int:
        """See ``Table.count``."""
        return self._rows.size

    def integer_chunks(self, *columns: str) -> Iterator[tuple[IntArray, ...]]:
        """See ``Table.integer_chunks``. The driver has one part at a time."""
        for batch in self._batches(columns, _ROWS_OF_A_CHUNK):
            yield tuple(np.array(column.to_numpy(), dtype=np.int64) for column in batch.columns)

    def row_lists(self, columns: Sequence[str], size: int) -> Iterator[list[Row]]:
        """See ``Table.row_lists``."""
        batches = self._batches(columns, size)
        rows = (row for batch in batches for row in zip(*(it.to_pylist() for it in batch.columns), strict=True))
        while listed := list(islice(rows, size)):
            yield listed

    def _batches(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """The rows in order, at most so many at a time; the driver has one batch."""
        ordered = f" order by {POSITION}" if POSITION in self._rows.columns else ""
        folder = self._session.new_folder("batches")
        self._session.write(f"select {', '.join(columns)} from {self._rows.view}{ordered}", folder)
        try:
            for path in parquet_files(folder):
                with pq.ParquetFile(path) as file:
                    yield from file.iter_batches(size)
        finally:
            remove_tree(folder)

    def numbered(self, column: str, start: int = 0) -> SparkTable:
        """See ``Table.numbered``."""
        rows = _as_dense(self._session, self._rows)
        view = self._session.view(f"select {POSITION} + {start} as `{column}`, * from {rows.view}")
        return SparkTable(
            self._session, rows._replace(view=view, columns={column: "BIGINT", **rows.columns}), self._order
        )

    def with_rows_of(self, *others: Table) -> SparkTable:
        """See ``Table.with_rows_of``."""
        tables = [_as_dense(self._session, it._rows) for it in (self, *map(own, others))]
        columns = [it for it in tables[0].columns if it != POSITION]
        listed, queries, before = ", ".join(f"`{it}`" for it in columns), [], 0
        for rows in tables:
            queries.append(f"select {listed}, {POSITION} + {before} as {POSITION} from {rows.view}")
            before += rows.size
        rows = tables[0]._replace(
            view=self._session.view(" union all ".join(queries)),
            size=before,
            folders=tuple(folder for it in tables for folder in it.folders),
        )
        return SparkTable(self._session, rows)

    def codes(self, terms: Mapping[str, str]) -> SparkTable:
        """See ``Table.codes``."""
        texts = self.derive(
            f"select ordinal, {', '.join(f'{term} as {name}' for name, term in terms.items())} from this"
        )
        firsts = {
            f"of_{name}": texts.derive(
                f"select {name} as text, min(ordinal) as first from this where {name} is not null "
                f"group by {name} having count(*) > 1"
            )
            for name in terms
        }
        codes = ", ".join(
            f"case when this.{name} is null then -1 else coalesce(of_{name}.first, this.ordinal) end as {name}"
            for name in terms
        )
        joins = " ".join(f"left join of_{name} on of_{name}.text = this.{name}" for name in terms)
        found = texts.derive(f"select this.ordinal, {codes} from this {joins} order by ordinal", **firsts)
        for table in (texts, *firsts.values()):
            table.release()
        return found

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
        query = self._ordered(columns, order_by, sql, others)
        spark_files.write_csv(self._session, query, path, columns, bom=bom)

    def write_lines(self, path: Path, column: str, order_by: str, sql: str = "from this") -> None:
        """See ``Table.write_lines``."""
        spark_files.write_lines(self._session, self._ordered([column], order_by, sql, {}), path)

    def write_parquet(
        self, path: Path, order_by: str, columns: Sequence[str] = ("*",), sql: str = "from this", **others: Table
    ) -> None:
        """See ``Table.write_parquet``."""
        query = self._ordered(columns, order_by, sql, others)
        statistics = {name: own(table)._statistics() for name, table in {"this": self, **others}.items()}
        spark_files.write_parquet(self._session, query, path, ParquetQuery(order_by, columns, sql), statistics)

    def release(self) -> None:
        """See ``Table.release``."""
        for folder in self._rows.folders:
            remove_tree(folder)

    # ------------------------------------------------------------------------------------------------------

    def _translated(self, sql: str, tables: Mapping[str, Table], *, is_table: bool = False) -> Translated:
        found = {name: own(table)._rows for name, table in tables.items()}
        columns = {name: rows.columns for name, rows in found.items()}
        views = {name: rows.view for name, rows in found.items()}
        return self._session.translated(sql, columns, views, is_table=is_table)

    def _statistics(self) -> TableStatistics:
        found = statistics_of(path for folder in self._rows.folders for path in parquet_files(folder))
        unknown = ColumnStatistics(None, None, has_nulls=True)
        typed = {it: (kind, found.get(it, unknown)) for it, kind in self._rows.columns.items() if it != POSITION}
        return TableStatistics(typed, is_empty=not self._rows.size)

    def _ordered(self, columns: Sequence[str], order_by: str, sql: str, others: Mapping[str, Table]) -> str:
        """The query for ``columns`` of the result of ``sql``, in this order."""
        translated = self._translated(sql, {"this": self, **others})
        shown = f"* except ({POSITION})" if translated.has_position else "*"
        listed = ", ".join(shown if it == "*" else it.replace('"', "`") for it in columns)
        is_in_order = self._order == order_by and not others and translated.has_position
        return f"select {listed} from ({translated.sql}) order by {POSITION if is_in_order else ordered_sql(order_by)}"


def own(table: Table) -> SparkTable:
    """The table as one of Spark's."""
    assert isinstance(table, SparkTable), "tables of two engines do not mix"
    return table


def materialised(session: Session, query: str) -> Rows:
    """Run a query into a new table."""
    folder = session.new_folder("table")
    return rows_in(session, folder, schema=session.write(query, folder))


def number_rows(session: Session, column: str, size: int) -> Rows:
    """A table of the numbers from 0, each its own position; there are ``size`` of them."""
    view = session.view(f"select id as `{column}`, id as {POSITION} from range({size})")
    return Rows(view, {column: "BIGINT", POSITION: "BIGINT"}, size, is_dense=True)


def rows_in(session: Session, folder: Path, *terms: str, schema: StructType | None = None) -> Rows:
    """The table whose Parquet files lie in ``folder``, with more terms of Spark as columns."""
    view, columns = session.view_of_files(folder, *terms, schema=schema)
    return Rows(view, columns, session.count_of_files(folder), folders=(folder,))


def rows_of_numbered_files(session: Session, folder: Path, counts: Mapping[str, int], columns: Sequence[str]) -> Rows:
    """The rows of Parquet files, one after the other.

    ``counts``: name -> rows of each file, in their order. In:  row_number, from 1 in each file · ``columns``, texts
    """
    fields = [StructField("row_number", LongType()), *(StructField(it, StringType()) for it in columns)]
    view, _ = session.view_of_files(folder, _FILE_NAME, schema=StructType(fields))
    terms = ("start + row_number as row_number", *columns, f"start + row_number - 1 as {POSITION}")
    view = session.view(f"select {', '.join(terms)} from {view} join {_starts(counts)}")
    types = {"row_number": "BIGINT", **dict.fromkeys(columns, "VARCHAR"), POSITION: "BIGINT"}
    return Rows(view, types, sum(counts.values()), is_dense=True, folders=(folder,))


def _starts(counts: Mapping[str, int]) -> str:
    """SQL, behind ``join``: the number of rows before those of each file, by ``_FILE_NAME``."""
    befores = accumulate(counts.values(), initial=0)
    starts = ", ".join(f"('{name}', {before}L)" for name, before in zip(counts, befores, strict=False))
    return f"(values {starts}) as starts(name, start) on starts.name = file_name"


def _as_dense(session: Session, rows: Rows) -> Rows:
    return rows if rows.is_dense else _dense(session, rows)


def _dense(session: Session, rows: Rows, order_by: str = "") -> Rows:
    """The same rows with positions without gaps: sorted into files, whose rows have positions of their own.

    ``order_by``: terms of Spark; else by their positions. Rows without an order get one, which is kept.
    """
    order_by = order_by or (POSITION if POSITION in rows.columns else "")
    ordered = f" order by {order_by}" if order_by else ""
    folder = session.new_folder("sorted")
    schema = session.write(f"select * from {rows.view}{ordered}", folder)
    files = rows_in(session, folder, _FILE_NAME, "_metadata.row_index as position_in_file", schema=schema)
    listed = ", ".join(f"`{it}`" for it in rows.columns if it != POSITION)
    starts = _starts(session.counts_of_files(folder))
    view = session.view(f"select {listed}, start + position_in_file as {POSITION} from {files.view} join {starts}")
    columns = {**rows.columns, POSITION: "BIGINT"}
    return Rows(view, columns, rows.size, is_dense=True, folders=(*rows.folders, folder))
