"""A cluster of Spark for tests: a standalone master, two workers with a core each, and one application for all tests.

Most users work without the extra ``spark``, and ``make test`` installs nothing for it: the tests are skipped there.
``make spark``, as in CI, requires it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from benchmarks.spark_cluster import Cluster, Node, running
from service import engine as engines
from service.engine import plain_files
from service.folders import TEXT_LOG
from service.progress import Meter
from service.readers import csv_sniff, json_window
from service.readers import rows as readers_rows
from tests.regenerate import stamped

MEMORY_LIMIT_MB = 3000
_QUICK_JAVA = "-XX:TieredStopAtLevel=1"
"""A run of the tests is short: code is compiled once, quickly, instead of often and well. An executor of one core then
takes two thirds of the CPU seconds for a small batch."""
_OF_A_RUN = {"manifest.json", "integration_log.jsonl"}


class SparkCluster:
    """A cluster, and what is done with it in this process."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.master = cluster.master

    @property
    def settings(self) -> dict[str, Any]:
        """Those of a service that works on it."""
        return {"engine": "spark", "spark_master": self.master, "memory_limit_mb": MEMORY_LIMIT_MB}

    def busy_workers(self) -> list[Node]:
        """Those whose executor has a task of this process now."""
        from pyspark import SparkContext

        tracker = SparkContext.getOrCreate().statusTracker()
        ports = {it.port for it in tracker.getExecutorInfos() if it.numRunningTasks}
        return [worker for worker in self.cluster.workers if ports & _listening(worker.pids())]

    @contextmanager
    def engine_in(self, folder: Path, *, is_small: bool = True) -> Iterator[Any]:
        """The engine, for few rows or for many, with its tables in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        prepared = engines.prepare_engine(
            folder, (folder.parent,), memory_limit_mb=MEMORY_LIMIT_MB, spark_master=self.master
        )
        with prepared.begin(Meter(), is_small=is_small) as engine:
            yield engine

    @contextmanager
    def for_laws(self, folder: Path) -> Iterator[Any]:
        """The same, which finds components by its own statements, however few the nodes are."""
        from service.engine import distributed

        with mock.patch.object(distributed, "FEW_NODES", 0), self.engine_in(folder) as engine:
            yield engine


@contextmanager
def spark_cluster() -> Iterator[SparkCluster]:
    """The cluster; skips where Spark cannot run, or fails with ``REQUIRE_SPARK=1``."""
    _require()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        running(Path(name), java_options=f"{_QUICK_JAVA} -XX:+UseSerialGC") as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        for variable, value in cluster.environment().items():
            patch.setenv(variable, value)
        patch.setenv("PYSPARK_SUBMIT_ARGS", f"--driver-java-options {_QUICK_JAVA} pyspark-shell")
        yield SparkCluster(cluster)
        end_application()


@contextmanager
def read_by_tasks() -> Iterator[None]:
    """Files of any size are read by tasks, in parts of a few rows."""
    from service.engine import spark_reading

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spark_reading, "PART_BYTES", 200)
        patch.setattr(json_window, "_SMALLEST_PART_BYTES", 1)
        patch.setattr(json_window, "_HEAD_BYTES", 1 << 10)
        patch.setattr(csv_sniff, "HEAD_BYTES", 256)
        patch.setattr(plain_files, "_MANY_COLUMNS", 8)
        patch.setattr(readers_rows, "REJECTS_IN_MEMORY", 3)
        yield


def end_application() -> None:
    """End the application of this process, if there is one: its executors leave the cluster."""
    from service.engine import spark_application

    spark_application.end()


def kill_jvm() -> None:
    """Kill the JVM of this process, as where it runs out of memory. The next one reads spark-defaults.conf."""
    from pyspark import SparkContext

    if SparkContext._gateway is not None:
        SparkContext._gateway.proc.kill()
        SparkContext._gateway.proc.wait()


def _listening(pids: Iterable[int]) -> set[int]:
    """The ports on which processes listen."""
    found: set[int] = set()
    for pid in pids:
        with suppress(OSError):
            sockets = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
            rows = [line.split() for it in ("tcp", "tcp6") for line in Path("/proc/net", it).read_text().splitlines()]
            found |= {int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in sockets}
    return found


def _require() -> None:
    missing = [name for name in ("pyspark", "pyarrow", "pandas") if importlib.util.find_spec(name) is None]
    lacking = [f"needs the extra spark: {', '.join(missing)}"] if missing else []
    lacking += [] if shutil.which("java") else ["needs Java 17 or later"]
    if lacking and os.environ.get("REQUIRE_SPARK") == "1":
        pytest.fail("; ".join(lacking))
    if lacking:
        # Not ``required.is_lacking``: CI runs all other tests with REQUIRE_ALL=1 where Spark is not installed, because
        # pandas, which it needs, slows the service; ``make spark`` runs these in an environment that has it.
        pytest.skip(f"{'; '.join(lacking)} (REQUIRE_SPARK=1 makes this a failure)")


def differing(expected: Path, found: Path) -> list[str]:
    """The files of two published sets that differ; what holds the time or the settings of a run is not compared.

    Parquet files are compared by schema and rows: where a group of rows ends depends on the threads that wrote it.
    """
    names = {path.name for folder in (expected, found) for path in folder.iterdir()}
    return sorted(name for name in names - _OF_A_RUN if _content(expected / name) != _content(found / name))


def _content(path: Path) -> Any:
    if path.suffix == ".parquet" and path.exists():
        from pyarrow.parquet import read_table

        return read_table(path)
    content = path.read_bytes() if path.exists() else b"missing"
    return stamped(content.decode()).encode() if path.name == TEXT_LOG else content
