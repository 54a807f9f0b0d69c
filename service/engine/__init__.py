"""Relational work on tables, independent of the engine: ``contract`` says what an engine can do, ``embedded`` does it.

``distributed`` does it on Spark, where that is asked for; without the extra ``spark`` nothing of it is imported.

``prepare_engine`` and ``open_engine`` are the only ways to get an engine, ``open_reader`` is the one to read what was
published: no other room names one.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from service.engine.contract import Engine, Prepared, Reader
from service.errors import SettingsError
from service.printable import printable
from service.progress import Meter

_INSTALL_SPARK = (
    f"install the extra in the checkout: {shlex.quote(sys.executable)} -m pip install --require-hashes"
    " -r requirements/spark.txt; in Docker use the image of deploy/spark/Dockerfile; Spark needs Java 17 or later;"
    " docs/scaling.md shows each step; without a cluster: SERVICE_ENGINE=embedded"
)
_NEEDED_BY_SPARK = ("pyspark", "pyarrow", "pandas", "sqlglot")


def refuse_missing(spark_master: str) -> None:
    """Raises: SettingsError if Spark is asked for, and a package that it needs is not installed."""
    missing = [name for name in _NEEDED_BY_SPARK if find_spec(name) is None] if spark_master else []
    if missing:
        raise SettingsError(
            f"SERVICE_ENGINE=spark needs packages that are not installed: {', '.join(missing)}", hint=_INSTALL_SPARK
        )


def refuse_lost_configuration(spark_master: str) -> None:
    """Raises: SettingsError if Spark is asked for, and SPARK_CONF_DIR is not a folder: Spark would not say so."""
    configuration = os.environ.get("SPARK_CONF_DIR")
    if spark_master and configuration and not Path(configuration).is_dir():
        raise SettingsError(
            f"SPARK_CONF_DIR is not a folder: {printable(configuration)}",
            hint="name the folder that has spark-defaults.conf, or unset SPARK_CONF_DIR",
        )


def unreachable_addresses(spark_master: str) -> list[str]:
    """``host:port (reason)`` of each address of a master; none where one answers, or the master has no address."""
    from service.engine.spark_master import unreachable

    return unreachable(spark_master)


def cluster_probe(spark_master: str, folders: Sequence[Path]) -> tuple[list[str], Path]:
    """The command that looks at a cluster, and the file in which it leaves what it found; see ``spark_probe``.

    ``folders`` are ones that executors should share with us. The command may wait for ever: the caller ends it.
    """
    from service.engine import spark_probe

    for folder in folders:
        (folder / spark_probe.OF_DRIVER).write_bytes(b"1")
    paths = (str(folder.absolute()) for folder in folders)
    return [sys.executable, "-m", spark_probe.__name__, spark_master, *paths], folders[0] / spark_probe.RESULT


def prepare_engine(
    work_folder: Path,
    folders: Sequence[Path] = (),
    *,
    memory_limit_mb: int,
    threads: int = 0,
    spark_master: str = "",
) -> Prepared:
    """An engine that is open before there is work for it.

    ``work_folder`` must exist. The embedded engine reads and writes by path only in it and in ``folders``, whatever a
    statement says; Spark is not restricted. Exports are given to it. ``threads``: of this process; 0: one per processor
    that we may use. ``spark_master``: the URL of a master of Spark, which does the work; empty: this process does it.

    Raises: SettingsError if Spark is not installed, TransientError if it does not start.
    """
    refuse_missing(spark_master)
    if spark_master:
        from service.engine.distributed import PreparedSpark

        return PreparedSpark(spark_master, work_folder, folders, memory_limit_mb=memory_limit_mb, threads=threads)
    # Imported here, so that an import of the contract does not load DuckDB.
    from service.engine.embedded import PreparedEngine

    return PreparedEngine(work_folder, folders, memory_limit_mb=memory_limit_mb, threads=threads)


@contextmanager
def open_engine(
    work_folder: Path,
    folders: Sequence[Path] = (),
    meter: Meter | None = None,
    *,
    memory_limit_mb: int,
    threads: int = 0,
) -> Iterator[Engine]:
    """An engine whose tables exist until the block ends; see ``prepare_engine``.

    ``meter`` is moved by each statement.
    """
    from service.engine.embedded import open_embedded

    with open_embedded(work_folder, folders, meter, memory_limit_mb=memory_limit_mb, threads=threads) as engine:
        yield engine


@contextmanager
def open_reader(folders: Sequence[Path], *, memory_limit_mb: int = 96, limit_seconds: float = 5.0) -> Iterator[Reader]:
    """A reader of the Parquet files below ``folders`` until the block ends; nothing else can be read, nothing written.

    All statements together have ``memory_limit_mb``; each has one thread and, with the time it waits for others,
    ``limit_seconds``.
    """
    from service.engine.reading import open_embedded_reader

    with open_embedded_reader(folders, memory_limit_mb=memory_limit_mb, limit_seconds=limit_seconds) as reader:
        yield reader
