"""Which columns of a published Parquet file are declared as without nulls: those of which the embedded engine knows it.

It knows it from the least and greatest values of the tables that a statement reads, and from whether they have nulls.
So the statement is run once more in the driver, on tables of the few rows that have just these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from service.engine.contract import sql_text
from service.engine.embedded import EmbeddedEngine


class ColumnStatistics(NamedTuple):
    """Of a column: its least and greatest value, both None where it has none, and whether it has nulls."""

    least: Any
    greatest: Any
    has_nulls: bool


class TableStatistics(NamedTuple):
    """Of a table: column -> its type and its extremes, and whether it has no rows."""

    columns: Mapping[str, tuple[str, ColumnStatistics]]
    is_empty: bool


class DeclaredColumn(NamedTuple):
    """A column of a published file."""

    name: str
    is_required: bool


class ParquetQuery(NamedTuple):
    """What is to be written: see ``Table.write_parquet``."""

    order_by: str
    columns: Sequence[str]
    sql: str


def declared(
    local: EmbeddedEngine, request: ParquetQuery, statistics: Mapping[str, TableStatistics], path: Path
) -> list[DeclaredColumn]:
    """The columns of the file that the embedded engine would write; ``path`` is for a file that is removed again."""
    tables = {name: local.materialise(_smallest_like(table)) for name, table in statistics.items()}
    this = tables.pop("this")
    this.write_parquet(path, request.order_by, request.columns, request.sql, **tables)
    schema = pq.read_schema(path)
    path.unlink()
    for table in (this, *tables.values()):
        table.release()
    return [DeclaredColumn(field.name, not field.nullable) for field in schema]


def as_declared(field: DeclaredColumn) -> str:
    """SQL for the column. If it is not required, a ``case`` keeps DuckDB from declaring it as without nulls."""
    name = f'"{field.name}"'
    return name if field.is_required else f"case when {name} is null then null else {name} end as {name}"


def statistics_of(paths: Iterable[Path]) -> dict[str, ColumnStatistics]:
    """Column -> its extremes in Parquet files, as their footers state them."""
    found: dict[str, ColumnStatistics] = {}
    for footer in map(pq.read_metadata, paths):
        for group in map(footer.row_group, range(footer.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                name, stated = column.path_in_schema.partition(".")[0], column.statistics
                least, greatest = (
                    (stated.min, stated.max) if stated is not None and stated.has_min_max else (None, None)
                )
                its = ColumnStatistics(least, greatest, stated is None or stated.null_count != 0)
                found[name] = _of_both(found[name], its) if name in found else its
    return found


def _of_both(one: ColumnStatistics, other: ColumnStatistics) -> ColumnStatistics:
    least = [it for it in (one.least, other.least) if it is not None]
    greatest = [it for it in (one.greatest, other.greatest) if it is not None]
    return ColumnStatistics(min(least, default=None), max(greatest, default=None), one.has_nulls or other.has_nulls)


def _smallest_like(table: TableStatistics) -> str:
    """SQL: the least values, the greatest ones, and nulls where there are any."""
    least, greatest, last = [], [], []
    for name, (kind, its) in table.columns.items():
        typed = f'::{kind} as "{name}"'
        if its.least is None and not its.has_nulls and not table.is_empty:
            raise ValueError(f"the files of a table do not say what {name} has")
        least.append(_literal(its.least) + typed)
        greatest.append(_literal(its.greatest) + typed)
        last.append(_literal(None if its.has_nulls else its.greatest) + typed)
    if table.is_empty:
        return f"select {', '.join(least)} where false"
    return " union all ".join(f"select {', '.join(row)}" for row in (least, greatest, last))


def _literal(value: Any) -> str:
    return "null" if value is None else sql_text(str(value))
