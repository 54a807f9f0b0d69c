"""The embedded engine: DuckDB in this process, within a memory limit, spilling into the work folder.

Nothing is fetched from the network: extensions are neither installed nor loaded automatically. Files are reached in our
own folders only, and the configuration is locked: no statement can change that.
"""

from __future__ import annotations

import csv
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
from duckdb.func import FunctionNullHandling, PythonUDFType

from service.engine import embedded_files
from service.engine.contract import Engine, Table, sql_text
from service.engine.embedded_tables import Database, EmbeddedTable
from service.model import InputFile
from service.progress import Meter
from service.readers.rows import FileReport
from service.readers.served_files import SCHEME
from service.workers.pool import open_workers


@contextmanager
def open_embedded(
    work_folder: Path,
    folders: Sequence[Path] = (),
    meter: Meter | None = None,
    *,
    memory_limit_mb: int,
    threads: int = 0,
) -> Iterator[EmbeddedEngine]:
    """See ``service.engine.open_engine``."""
    config: dict[str, Any] = {
        "memory_limit": f"{memory_limit_mb}MB",
        "threads": threads or len(os.sched_getaffinity(0)),
        # Else eight more threads, for object stores, each with 72 MB of address space: stack and malloc's arena.
        "async_threads": 0,
        "temp_directory": str(work_folder),
        "home_directory": str(work_folder),
        "extension_directory": str(work_folder),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(":memory:", config=config)
    try:
        engine = EmbeddedEngine(connection, work_folder, meter or Meter())
        _lock(connection, (work_folder, *folders))
        with engine.meter.following(engine.steps):
            yield engine
    finally:
        connection.close()


def _lock(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> None:
    """Restrict file access to ``folders`` and what the engine serves, and lock the configuration."""
    # DuckDB knows how far a statement is only while its own bar, which is not to be printed, is on.
    connection.execute("set enable_progress_bar = true")
    connection.execute("set enable_progress_bar_print = false")
    # The engine compares resolved paths: a link in one of the folders does not lead out of it.
    allowed = ", ".join(map(sql_text, [f"{SCHEME}://", *(str(folder.absolute()) for folder in folders)]))
    connection.execute(f"set allowed_directories = [{allowed}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


_CALLS = 4_000
"""So many calls are given to a worker process at a time: they take about as long as a step of progress."""


class EmbeddedEngine(Database):
    """See ``Engine``; a folder of ours holds what does not fit into memory."""

    @cached_property
    def _functions(self) -> dict[str, Callable[..., Any]]:
        """Those that are registered."""
        return {}

    def read(self, file: InputFile) -> tuple[EmbeddedTable, FileReport]:
        """See ``Engine.read``."""
        return embedded_files.read(self, file, self._work_folder)

    def read_parquet(self, path: Path) -> EmbeddedTable:
        """See ``Engine.read_parquet``."""
        return self.materialise(f"select * from read_parquet({sql_text(str(path))}, hive_partitioning=false)")

    def read_csv(self, path: Path, columns: Sequence[str]) -> EmbeddedTable:
        """See ``Engine.read_csv``."""
        return self.read_own_csv(path, [f"'{column}': 'VARCHAR'" for column in columns], has_header=True)

    def text_table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> EmbeddedTable:
        """See ``Engine.text_table``."""
        rest = iter(rows)
        if (first := next(rest, None)) is None:
            empty = ", ".join(f"null::varchar as {column}" for column in columns)
            return self.materialise(f"select {empty} where false")
        # Through a file: inserting row by row takes milliseconds each.
        with self.own_csv() as path:
            with open(path, "w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(chain([first], rest))
            names = (column.strip('"') for column in columns)  # words of SQL are in quotes
            return self.read_own_csv(path, [f"'{name}': 'VARCHAR'" for name in names])

    def call(self, name: str, arguments: Table, columns: Sequence[str]) -> EmbeddedTable:
        """See ``Engine.call``."""
        count = arguments.count()
        numbered, listed = arguments.numbered("number"), ", ".join(columns)
        part = f"select {listed} from this where number >= {{0}} and number < {{0}} + {_CALLS} order by number"
        parts = (numbered.rows(part.format(start)) for start in range(0, count, _CALLS))
        with self.meter.part(0.9, steps=count // _CALLS + 1):
            found = self.text_table(("number", "result"), enumerate(self._results(self._functions[name], parts)))
        known = found.derive(
            f"select {listed}, this.result from this join numbered on this.number::bigint = numbered.number",
            numbered=numbered,
        )
        found.release()
        return known

    def _results(
        self, function: Callable[..., str | None], parts: Iterable[Sequence[tuple[str, ...]]]
    ) -> Iterator[str | None]:
        if self.threads == 1:
            yield from (function(*row) for part in parts for row in part)
            return
        with open_workers(self.threads) as workers:
            yield from chain.from_iterable(workers.results(function, parts))

    def register(self, name: str, function: Callable[..., Any], result: str = "varchar") -> None:
        """See ``Engine.register``."""
        self._functions[name] = function

        # DuckDB counts the parameters of what it is given, so there is one wrapper for each number.
        wrappers: dict[int, Callable[..., Any]] = {
            1: lambda value: None if value is None else function(value),
            2: lambda value, rule: None if value is None else function(value, rule),
        }
        parameters = len(inspect.signature(function).parameters)
        self._connection.create_function(
            name,
            wrappers[parameters],
            ["varchar"] * parameters,
            result,
            type=PythonUDFType.NATIVE,
            # "special": else DuckDB takes a null result for an error.
            null_handling=FunctionNullHandling.SPECIAL,
        )

    def interrupt(self) -> None:
        """See ``Engine.interrupt``."""
        with suppress(duckdb.ConnectionException):  # it was closed at this moment: there is nothing to interrupt
            self._connection.interrupt()


_is_engine: type[Engine] = EmbeddedEngine
