"""A session of Spark, and the statements that are run in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as spark_types
from pyspark.sql.functions import arrow_udf

from service.engine.embedded import EmbeddedEngine
from service.engine.spark_application import kind_of
from service.engine.spark_sql import Call, Columns, Translated, translated
from service.engine.spark_terms import Function, Term
from service.errors import Interrupted, TransientError

T = TypeVar("T")
U = TypeVar("U")

_GLOB = re.compile(r"([\[\]{}*?\\])")
"""Characters that Spark reads as a pattern in a path."""
_TASKS_OF_HALF_A_STATEMENT = 100
"""This many ended tasks count as half a statement; a shuffle has about 200 tasks."""

_SPARK_TYPES = {
    "VARCHAR": "string",
    "BIGINT": "bigint",
    "INTEGER": "int",
    "BOOLEAN": "boolean",
    "DOUBLE": "double",
    "DATE": "date",
    "TIMESTAMP": "timestamp_ntz",
    "DECIMAL(38,0)": "decimal(38,0)",
}
_TYPES = {spark: ours for ours, spark in _SPARK_TYPES.items()}


class Session:
    """A Spark session with names of its own, and the folder of its tables."""

    def __init__(self, spark: SparkSession, local: EmbeddedEngine, folder: Path) -> None:
        """``local``: the engine of the driver, which reads small exports, types terms and assembles files."""
        self.local = local
        self.functions: dict[str, Function] = {}
        self._spark = spark
        self.folder = folder
        self._numbers = count(1)
        self._prefix = token_hex(4)
        self._called: set[str] = set()
        self._ended = 0
        self._seen = (0, 0)
        """Statements that had ended, and tasks that had, when ``steps`` was last called for another statement."""
        self._is_interrupted = False
        # The job group lets ``interrupt`` cancel the jobs of this session only.
        spark.sparkContext.setJobGroup(self._prefix, "a batch", interruptOnCancel=False)

    def translated(
        self, sql: str, tables: Mapping[str, Columns], views: Mapping[str, str], *, is_table: bool
    ) -> Translated:
        """A statement for Spark; what it calls can be called."""
        found = translated(sql, tables, self.functions, self._types_of, is_table=is_table)
        for call in found.calls:
            self._enable(call)
        return found.on(views)

    def _types_of(self, query: str) -> list[str]:
        return [str(row[1]) for row in self.local.run(f"describe {query}")]

    def _enable(self, call: Call) -> None:
        if call.name in self._called:
            return
        term = Term(call.sql, call.result, tuple(self.functions[name] for name in call.functions))
        # A function, because Spark takes no bound method of a tuple.
        function = arrow_udf(lambda *columns: term.value(*columns), spark_type(call.result))
        with errors_translated():
            self._spark.udf.register(call.name, function)
        self._called.add(call.name)

    # -------------------------------------------------------------------------------------------- statements

    def data(self, query: str) -> DataFrame:
        """The result of a query, not computed yet."""
        return self._spark.sql(query)

    def collected(self, query: str) -> list[Any]:
        """The rows of a small result."""
        with self.one_statement():
            return list(self.data(query).collect())

    def write(self, query: str, folder: Path) -> spark_types.StructType:
        """Run a query into Parquet files, with this schema."""
        with self.one_statement():
            data = self.data(query)
            for field in data.schema.fields:
                if isinstance(field.dataType, spark_types.NullType):
                    data = data.withColumn(field.name, data[field.name].cast("string"))
            data.write.parquet(_url(folder))
            # Without what Spark notes about columns that come from a file's metadata: it would look for them there.
            return spark_types.StructType([spark_types.StructField(it.name, it.dataType) for it in data.schema])

    def each(self, items: Sequence[T], work: Callable[[T], U]) -> list[U]:
        """What ``work`` gives for each item, in their order; each is a task."""
        with self.one_statement():
            return list(self._spark.sparkContext.parallelize(items, len(items)).map(work).collect())

    def view(self, query: str) -> str:
        """A new name for a query."""
        name = f"view_{next(self._numbers)}"
        with self.one_statement(is_step=False):
            self.data(query).createOrReplaceTempView(name)
        return name

    def view_of_batches(
        self, query: str, function: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]], schema: str
    ) -> str:
        """A new name for what a function makes of the rows of each part of a query, batch by batch."""
        name = f"batches_{next(self._numbers)}"
        with self.one_statement(is_step=False):
            self.data(query).mapInArrow(function, schema).createOrReplaceTempView(name)
        return name

    def view_of_files(
        self, folder: Path, *terms: str, schema: spark_types.StructType | None = None
    ) -> tuple[str, Columns]:
        """A new name for the rows of the Parquet files in a folder, with more terms; and its columns.

        ``schema``: of the files; else it is read from one of them.
        """
        name = f"files_{next(self._numbers)}"
        with self.one_statement(is_step=False):
            reader = self._spark.read if schema is None else self._spark.read.schema(schema)
            data = reader.parquet(_GLOB.sub(r"\\\1", _url(folder))).selectExpr("*", *terms)
            data.createOrReplaceTempView(name)
            return name, {field: _type(kind) for field, kind in data.dtypes}

    def counts_of_files(self, folder: Path) -> dict[str, int]:
        """Name -> rows of each Parquet file in a folder, in the order in which they were written."""
        return {path.name: int(pq.read_metadata(path).num_rows) for path in parquet_files(folder)}

    def count_of_files(self, folder: Path) -> int:
        """The rows of all Parquet files in a folder."""
        return sum(self.counts_of_files(folder).values())

    def new_folder(self, kind: str) -> Path:
        """A path in the work folder that no session uses: a task may outlive its statement, and its driver."""
        return self.folder / f"{kind}_{self._prefix}_{next(self._numbers)}"

    # ---------------------------------------------------------------------------------------------- progress

    def steps(self) -> float:
        """The number of statements that have ended, and a share of the running one.

        Spark does not know how many tasks a statement will have: each that ends makes the share a little larger. So
        does what the engine of the driver does for a statement.
        """
        ended, tasks = self._ended, self._ended_tasks()
        if self._seen[0] != ended:
            self._seen = ended, tasks
        more = max(tasks - self._seen[1], 0)
        return ended + max(more / (_TASKS_OF_HALF_A_STATEMENT + more), self.local.steps() % 1)

    def _ended_tasks(self) -> int:
        try:
            executors = self._spark.sparkContext._jsc.sc().statusStore().executorList(False)
            return sum(executors.apply(index).completedTasks() for index in range(executors.size()))
        except (Py4JError, OSError):  # the JVM is gone: the next statement says so
            return 0

    def interrupt(self) -> None:
        """See ``Engine.interrupt``."""
        self._is_interrupted = True
        with suppress(PySparkException, Py4JError, OSError):  # the JVM is gone, and with it what it did
            self._spark.sparkContext._jsc.sc().cancelJobGroupAndFutureJobs(self._prefix)

    @contextmanager
    def one_statement(self, *, is_step: bool = True) -> Iterator[None]:
        """Raises: Interrupted; TransientError, see ``errors_translated``."""
        try:
            self._refuse_interrupted()
            with errors_translated():
                yield
        except TransientError:
            self._refuse_interrupted()
            raise
        finally:
            self._ended += is_step

    def _refuse_interrupted(self) -> None:
        if self._is_interrupted:
            raise Interrupted("the work was interrupted", hint="it continues at the next start")


@contextmanager
def errors_translated() -> Iterator[None]:
    """Errors of Spark as TransientError: their text may hold a customer's value, and is not passed on."""
    try:
        yield
    except (PySparkException, Py4JError, OSError) as error:
        raise TransientError(
            f"Spark failed: {kind_of(error)}",
            hint="check the cluster, the disk of SERVICE_STATE and SERVICE_MEMORY_LIMIT_MB",
        ) from None


def _url(path: Path) -> str:
    """The path as a ``file://`` URL. Spark looks for a path without a scheme in the cluster's default file system."""
    return f"file://{path.absolute()}"


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files in a folder, in the order in which they were written; ``folder`` may be one itself."""
    return sorted(folder.glob("*.parquet")) if folder.is_dir() else [folder]


def spark_type(kind: str) -> str:
    """The type of the contract as Spark calls it."""
    if kind.endswith("[]"):
        return f"array<{spark_type(kind[:-2])}>"
    return _SPARK_TYPES[kind]


def _type(kind: str) -> str:
    if kind.startswith("array<"):
        return f"{_type(kind[6:-1])}[]"
    return _TYPES[kind]
