"""Scalar terms of a statement, as Spark's Python workers compute them: by DuckDB, column by column, in batches.

So a term means the same with both engines: its regular expressions, casts and case mapping, and the definitions in
Python that it calls, and calls only for the rows that need them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from service.engine.definitions import create_function

MEMORY_MB = 256
"""Of one worker, which has one batch of rows at a time."""


class Function(NamedTuple):
    """A definition that is callable from SQL: text arguments, text or null out."""

    name: str
    definition: Callable[..., Any]
    result: str = "varchar"


class Term(NamedTuple):
    """A scalar term over the columns ``c0``, ``c1``, …

    sql        in the dialect of the contract
    result     the SQL type of its value
    functions  those that it calls
    """

    sql: str
    result: str
    functions: tuple[Function, ...]

    def value(self, *columns: pa.Array) -> pa.Array:
        """The value of the term for each row."""
        names = [f"c{number}" for number in range(len(columns))]
        rows = pa.Table.from_arrays(list(columns), names)
        connection = worker_connection()
        for function in self.functions:
            if function.name not in _known:
                create_function(connection, function.name, function.definition, function.result)
                _known.add(function.name)
        connection.register("term_rows", rows)
        try:
            found = connection.sql(f"select ({self.sql})::{self.result} as value from term_rows").to_arrow_table()
        finally:
            connection.unregister("term_rows")
        value = found.column("value").combine_chunks()
        # A column of no chunk stays one of none.
        return value.combine_chunks() if isinstance(value, pa.ChunkedArray) else value


_known: set[str] = set()
"""The functions of this worker's connection."""


@cache
def worker_connection() -> duckdb.DuckDBPyConnection:
    """The DuckDB of this worker process."""
    return connected()


def connected() -> duckdb.DuckDBPyConnection:
    """A DuckDB of a Python worker: one thread, because Spark starts one Python worker for each task."""
    config: dict[str, Any] = {
        "memory_limit": f"{MEMORY_MB}MB",
        "threads": 1,
        "async_threads": 0,
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
    }
    return duckdb.connect(":memory:", config=config)
