"""The embedded engine: DuckDB in this process, within a memory limit, spilling into the work folder.

Nothing is fetched from the network: extensions are neither installed nor loaded automatically. Files are reached in our
own folders only, and the configuration is locked: no statement can change that.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

from service.engine import components, embedded_files, memory
from service.engine.contract import DamagedFile, Engine, GroupFunction, Prepared, Table, sql_text
from service.engine.definitions import create_function
from service.engine.embedded_tables import Database, EmbeddedTable
from service.errors import TransientError
from service.model import InputFile
from service.progress import Meter
from service.readers.rows import FileReport
from service.readers.served_files import SCHEME
from service.workers.pool import Workers, open_workers

_SPILLED_SHARE = 0.9
"""Of the free disk space, at most so much is spilled: the rest is for what the batch publishes."""
_NEEDED_OPTIMIZER = "statistics_propagation"
"""It finds the columns without nulls, which a Parquet file declares."""
# Each distinct aggregate takes a megabyte, as large as no other small statement's hash tables.
_DISTINCT = ", ".join(f"count(distinct concat(a, {number})) filter (a = 0)" for number in range(8))
_WARM_UP = (
    f"select {_DISTINCT} from range(1) as t(a) group by a",
    "select a, b from range(1) as t(a) join range(1) as u(b) on a = b left join range(1) as v(c) on b = c order by a",
)


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
    prepared = PreparedEngine(work_folder, folders, memory_limit_mb=memory_limit_mb, threads=threads)
    with prepared.begin(meter or Meter()) as engine:
        yield engine


class PreparedEngine:
    """See ``Prepared``."""

    def __init__(
        self, work_folder: Path, folders: Sequence[Path] = (), *, memory_limit_mb: int, threads: int = 0
    ) -> None:
        """See ``service.engine.prepare_engine``."""
        memory.return_large_blocks()
        config: dict[str, Any] = {
            "memory_limit": f"{memory.LEAST_MB}MiB",
            # Else eight more threads, for object stores, each with 72 MB of address space: stack and malloc's arena.
            "async_threads": 0,
            "temp_directory": str(work_folder),
            "home_directory": str(work_folder),
            "extension_directory": str(work_folder),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": True,
        }
        self._connection = duckdb.connect(":memory:", config=config)
        self._work_folder = work_folder
        self._memory_limit_mb, self._threads = memory_limit_mb, threads
        self._is_warm = False
        self._engine = EmbeddedEngine(self._connection, work_folder)
        _restrict(self._connection, (work_folder, *folders))

    @contextmanager
    def begin(self, meter: Meter, *, is_small: bool = False) -> Iterator[EmbeddedEngine]:
        """See ``Prepared.begin``."""
        engine = self._engine
        try:
            self._set_limits(is_small=is_small)
            self._connection.execute("set lock_configuration = true")
            engine.meter = meter
            with meter.following(engine.steps):
                yield engine
        finally:
            self.close()

    def _set_limits(self, *, is_small: bool) -> None:
        # Before the rest is measured: this makes the engine return what a former batch left in its allocator.
        self._connection.execute(f"set memory_limit = '{memory.LEAST_MB}MiB'")
        engine_mb = memory.engine_mb(self._memory_limit_mb)
        self._engine.set_memory(engine_mb)
        self._connection.execute(f"set max_temp_directory_size = '{_spilled_bytes(self._work_folder)}B'")
        self._engine.threads = 1 if is_small else self._threads or memory.threads_for(engine_mb)
        if not is_small:
            self._connection.execute(f"set threads = {self._engine.threads}; reset disabled_optimizers")
        elif not self._is_warm:
            self._connection.execute(self._for_small())

    def register(self, name: str, function: Callable[..., Any], result: str = "varchar") -> None:
        """See ``Callables.register``."""
        self._engine.register(name, function, result)

    def warm_up(self) -> None:
        """See ``Prepared.warm_up``."""
        self._is_warm = True
        for statement in (self._for_small(), *_WARM_UP):
            self._connection.execute(statement).fetchall()  # no function can be registered beside an open result

    def _for_small(self) -> str:
        """To plan a small statement takes longer than to run it: less is planned, and no thread waits for another."""
        names = self._connection.execute("select name from duckdb_optimizers()").fetchall()
        disabled = ",".join(name for (name,) in names if name != _NEEDED_OPTIMIZER)
        return f"set threads = 1; set disabled_optimizers = {sql_text(disabled)}"

    def close(self) -> None:
        """See ``Prepared.close``."""
        self._connection.close()


def _spilled_bytes(work_folder: Path) -> int:
    disk = os.statvfs(work_folder)
    return int(disk.f_bavail * disk.f_frsize * _SPILLED_SHARE)


def _restrict(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> None:
    """Restrict file access to ``folders`` and what the engine serves, and what may still be set."""
    # DuckDB knows how far a statement is only while its own bar, which is not to be printed, is on.
    connection.execute("set enable_progress_bar = true")
    connection.execute("set enable_progress_bar_print = false")
    # The engine compares resolved paths: a link in one of the folders does not lead out of it.
    allowed = ", ".join(map(sql_text, [f"{SCHEME}://", *(str(folder.absolute()) for folder in folders)]))
    connection.execute(f"set allowed_directories = [{allowed}]")
    connection.execute("set enable_external_access = false")
    # Only by ``Database``: no statement of a stage sets anything.
    connection.execute("set allowed_configs = ['memory_limit', 'threads']")


_MOST_CALLS, _PARTS_FOR_EACH = 10_000, 4
"""At most so many calls are given to a worker process at a time: more save no time, and are one step of progress. Fewer
where a process would get less than so many parts: the others would wait for the last one."""
_BYTES_OF_A_WORKER = 88 << 20
"""Of a worker process: the interpreter, the definitions with their tables, the full caches of names and addresses."""


class EmbeddedEngine(Database):
    """See ``Engine``; a folder of ours holds what does not fit into memory."""

    calls_in_parallel = False
    _calls: ExitStack | None = None
    """Ends the worker processes and returns their memory; None outside of ``calling``."""
    _workers: Workers | None = None
    """Those of the block, once a call has started them."""

    @cached_property
    def _functions(self) -> dict[str, Callable[..., Any]]:
        """Those that are registered."""
        return {}

    def read(self, file: InputFile) -> tuple[EmbeddedTable, FileReport]:
        """See ``Engine.read``."""
        return embedded_files.read(self, file, self._work_folder)

    def read_parquet(self, path: Path) -> EmbeddedTable:
        """See ``Engine.read_parquet``."""
        try:
            return self.materialise(f"select * from read_parquet({sql_text(str(path))}, hive_partitioning=false)")
        except duckdb.InvalidInputException:
            raise DamagedFile(path) from None

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

    @contextmanager
    def calling(self) -> Iterator[None]:
        """See ``Engine.calling``."""
        assert self._calls is None, "blocks are not nested"
        try:
            with ExitStack() as self._calls:
                yield
        finally:
            self._calls = self._workers = None

    def call(self, name: str, arguments: Table, columns: Sequence[str]) -> EmbeddedTable:
        """See ``Engine.call``."""
        assert isinstance(arguments, EmbeddedTable)
        size = min(_MOST_CALLS, arguments.count() // (_PARTS_FOR_EACH * self.threads) + 1)
        parts = arguments.text_lists(columns, size)
        with self.meter.part(0.9, steps=arguments.count() // size + 1):
            try:
                found = self.texts("result", self._results(self._functions[name], parts))
            except TransientError:
                self._refuse_interrupted()  # it ended the worker processes
                raise
        assert found.count() == arguments.count(), "one result for each row"
        # The results are in the order of the arguments.
        known = found.derive(f"select {', '.join(columns)}, result from this positional join given", given=arguments)
        found.release()
        return known

    def _results(
        self, function: Callable[..., str | None], parts: Iterable[Sequence[list[str]]]
    ) -> Iterator[str | None]:
        workers = self._workers or self._started_workers()
        of_parts = (map(function, *part) for part in parts) if workers is None else workers.results(function, parts)
        return chain.from_iterable(of_parts)

    def _started_workers(self) -> Workers | None:
        """New worker processes for this block; None with one thread, or where their memory does not suffice."""
        assert self._calls is not None, "only within ``calling``"
        lent = self.threads * _BYTES_OF_A_WORKER
        if self.threads > 1 and self.can_lend(lent):
            self._calls.enter_context(self.lending(lent))
            self._workers = self._calls.enter_context(open_workers(self.threads))
        return self._workers

    def register(self, name: str, function: Callable[..., Any], result: str = "varchar") -> None:
        """See ``Callables.register``."""
        if self._functions.get(name) is function:
            return
        self._functions[name] = function
        create_function(self._connection, name, function, result)

    def components(self, links: Table, nodes: int) -> EmbeddedTable:
        """See ``Engine.components``."""
        with self.lending(components.bytes_for(nodes, links.count())):
            labels = components.smallest_of_component(nodes, links.integer_chunks("one", "other"))
            return self.table({"group_id": labels}).numbered("ordinal")

    def by_group(self, rows: Table, function: GroupFunction) -> EmbeddedTable:
        """See ``Engine.by_group``: all at once."""
        assert isinstance(rows, EmbeddedTable)
        with self.lending(function.bytes_of_a_row * rows.count()):
            # The group of each row would take memory, too, and is not asked for.
            groups = self.arrays(f"select distinct {function.group} as id from {rows.name} order by id")["id"]
            found = function.function(groups, *rows.integers(*function.columns))
            return self.table(dict(zip(function.result, found, strict=True)))

    def interrupt(self) -> None:
        """See ``Engine.interrupt``."""
        self._is_interrupted = True
        if (workers := self._workers) is not None:
            workers.end()  # a call may take long
        with suppress(duckdb.ConnectionException):  # it was closed at this moment: there is nothing to interrupt
            self._connection.interrupt()


_is_engine: type[Engine] = EmbeddedEngine
_is_prepared: type[Prepared] = PreparedEngine
