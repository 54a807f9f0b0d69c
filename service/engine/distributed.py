"""The distributed engine: Spark, on a cluster that exists already or on the processors of this machine.

The work folder and the exports lie on file systems that driver and executors share. Large exports are read by tasks,
small ones in the driver, both as the embedded engine reads them. Imported only where it is asked for: it needs the
extra ``spark``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.engine import components, embedded_files, spark_components, spark_groups, spark_reading
from service.engine.contract import DamagedFile, Engine, GroupFunction, Prepared, Table
from service.engine.embedded import EmbeddedEngine, PreparedEngine
from service.engine.embedded_tables import EmbeddedTable
from service.engine.spark_application import start
from service.engine.spark_session import Session, errors_translated
from service.engine.spark_sql import POSITION
from service.engine.spark_tables import SparkTable, number_rows, own, rows_in
from service.engine.spark_terms import Function
from service.model import InputFile
from service.progress import Meter
from service.readers.rows import FileReport

_LEAST_LOCAL_MB = 512
FEW_NODES = 1_000_000
"""The components of so small a graph are found in the driver, in a few megabytes."""
_GROUPS = """
    select this.ordinal, coalesce(labels.label, this.ordinal) as group_id
    from this left join labels on labels.node = this.ordinal order by ordinal
"""
# To plan and compile a small statement takes longer than to run it.
_BY_SIZE = {
    "spark.sql.adaptive.enabled": ("false", "true"),
    "spark.sql.codegen.wholeStage": ("false", "true"),
    "spark.sql.codegen.factoryMode": ("NO_CODEGEN", "FALLBACK"),
}
"""Setting of a session -> its values for a small batch, and for a large one."""
_PARTITIONS = "spark.sql.shuffle.partitions"
"""1 for a small batch, that of the cluster's configuration for a large one."""


class PreparedSpark:
    """See ``Prepared``."""

    def __init__(
        self, master: str, work_folder: Path, folders: Sequence[Path], *, memory_limit_mb: int, threads: int
    ) -> None:
        """``master``: the URL of Spark's master; see ``service.engine.prepare_engine``."""
        self._spark = start(master, memory_limit_mb)
        with errors_translated():
            self._partitions = self._spark.conf.get(_PARTITIONS) or "200"
        self._work_folder = work_folder
        local_mb = max(_LEAST_LOCAL_MB, memory_limit_mb // 2)
        self._local = PreparedEngine(work_folder, folders, memory_limit_mb=local_mb, threads=threads)
        self._functions: dict[str, Function] = {}

    @contextmanager
    def begin(self, meter: Meter, *, is_small: bool = False) -> Iterator[SparkEngine]:
        """See ``Prepared.begin``."""
        with self._local.begin(meter, is_small=is_small) as local:
            session = self._session(local, is_small=is_small)
            with meter.following(session.steps):
                yield SparkEngine(session, meter)

    def _session(self, local: EmbeddedEngine, *, is_small: bool) -> Session:
        """Raises: TransientError."""
        with errors_translated():
            for name, (of_small, of_large) in _BY_SIZE.items():
                self._spark.conf.set(name, of_small if is_small else of_large)
            self._spark.conf.set(_PARTITIONS, "1" if is_small else self._partitions)
            session = Session(self._spark, local, self._work_folder)
        session.functions.update(self._functions)
        return session

    def register(self, name: str, function: Callable[..., Any], result: str = "varchar") -> None:
        """See ``Callables.register``."""
        self._local.register(name, function, result)
        self._functions[name] = Function(name, function, result)

    def warm_up(self) -> None:
        """See ``Prepared.warm_up``."""
        self._local.warm_up()
        with errors_translated():
            self._spark.sql("select 1").collect()

    def close(self) -> None:
        """See ``Prepared.close``."""
        self._local.close()


class SparkEngine:
    """See ``Engine``."""

    calls_in_parallel = True

    def __init__(self, session: Session, meter: Meter) -> None:
        self.meter = meter
        self._session = session
        self._local: EmbeddedEngine = session.local

    def read(self, file: InputFile) -> tuple[SparkTable, FileReport]:
        """See ``Engine.read``."""
        with embedded_files.content_file(file, self._session.folder) as path:
            if spark_reading.is_large(path):
                return spark_reading.read(self._session, file, path)
            table, report = embedded_files.read_content(self._local, file, path)
        ((last,),) = table.rows("select max(row_number) from this")
        given = self._given(table, ("*", f"row_number - 1 as {POSITION}"), "row_number", is_dense=last == table.count())
        return given, report

    def read_parquet(self, path: Path) -> SparkTable:
        """See ``Engine.read_parquet``. Damage outside the footer is an error of Spark."""
        _refuse_damaged(path)
        rows = rows_in(self._session, path, f"_metadata.row_index as {POSITION}")
        return SparkTable(self._session, rows._replace(is_dense=True, folders=()))

    def read_csv(self, path: Path, columns: Sequence[str]) -> SparkTable:
        """See ``Engine.read_csv``."""
        return self._given(self._local.read_csv(path, columns))

    def table(self, columns: Mapping[str, Any]) -> SparkTable:
        """See ``EmbeddedEngine.table``."""
        return self._given(self._local.table(columns))

    def text_table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> SparkTable:
        """See ``Engine.text_table``."""
        return self._given(self._local.text_table(columns, rows))

    def register(self, name: str, function: Callable[..., Any], result: str = "varchar") -> None:
        """See ``Callables.register``."""
        self._local.register(name, function, result)
        self._session.functions[name] = Function(name, function, result)

    def calling(self) -> AbstractContextManager[None]:
        """See ``Engine.calling``: Spark's workers are there already."""
        return nullcontext()

    def call(self, name: str, arguments: Table, columns: Sequence[str]) -> SparkTable:
        """See ``Engine.call``."""
        listed = ", ".join(columns)
        return own(arguments).derive(f"select {listed}, {name}({listed}) as result from this")

    def components(self, links: Table, nodes: int) -> SparkTable:
        """See ``Engine.components``."""
        if max(links.count(), nodes) <= FEW_NODES:
            smallest = components.smallest_of_component(nodes, links.integer_chunks("one", "other"))
            return self.table({"group_id": smallest}).numbered("ordinal")
        of_links = spark_components.labels(own(links))
        found = SparkTable(self._session, number_rows(self._session, "ordinal", nodes)).derive(_GROUPS, labels=of_links)
        of_links.release()
        return found

    def by_group(self, rows: Table, function: GroupFunction) -> SparkTable:
        """See ``Engine.by_group``: each task has the groups of its part."""
        return SparkTable(self._session, spark_groups.by_group(self._session, own(rows), function))

    def lending(self, size_bytes: int) -> AbstractContextManager[int]:
        """See ``Engine.lending``: by the engine of the driver."""
        return self._local.lending(size_bytes)

    def interrupt(self) -> None:
        """See ``Engine.interrupt``."""
        self._local.interrupt()
        self._session.interrupt()

    def _given(
        self,
        table: EmbeddedTable,
        columns: Sequence[str] = ("*",),
        order_by: str = POSITION,
        *,
        is_dense: bool = True,
    ) -> SparkTable:
        """A table of the driver's engine, as one of Spark's; in this order, else in its own."""
        folder = self._session.new_folder("given")
        folder.mkdir()
        numbered = table if order_by != POSITION else table.numbered(POSITION)
        numbered.write_parquet(folder / "part.parquet", order_by, columns)
        table.release()
        return SparkTable(self._session, rows_in(self._session, folder)._replace(is_dense=is_dense))


def _refuse_damaged(path: Path) -> None:
    """Raises: DamagedFile, OSError."""
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        raise DamagedFile(path) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedFile(path) from None  # without a number it is an error of the parser


_is_engine: type[Engine] = SparkEngine
_is_prepared: type[Prepared] = PreparedSpark
