"""A look at a cluster: does a task run there, with our packages, and does it share a folder with the driver?

In a process of its own, which the caller ends after a time: a cluster that has no core to give lets a driver wait for
ever. Executors import this module; what only the driver needs is imported where it is used.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

_MEMORY_MB = 1024
_NEEDED = ("duckdb", "pyarrow", "pandas", "numpy", "phonenumbers")
OF_DRIVER, OF_TASK, RESULT = "of_driver", "of_task", "result.json"
"""Names in the folder; the result holds what each task found, or ``error``, the class of what failed."""


class SharedFolder(NamedTuple):
    """What a task does: it reads the driver's file in ``folder``, and writes one."""

    folder: str

    def found(self, number: int) -> dict[str, Any]:
        """Where the task ran, and what it can do there."""
        written = Path(self.folder, f"{OF_TASK}_{number}")
        try:
            sees = Path(self.folder, OF_DRIVER).read_bytes() != b""
            written.write_bytes(b"1")
            has_written = True
        except OSError:
            sees, has_written = Path(self.folder, OF_DRIVER).exists(), False
        return {
            "host": platform.node(),
            "python": platform.python_version(),
            "user": os.geteuid(),
            "missing": [name for name in _NEEDED if find_spec(name) is None],
            "sees": sees,
            "has_written": has_written,
        }


def probe(master: str, folder: str) -> None:
    """Run tasks that look, and leave the result in the folder."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    from service.engine import spark_session
    from service.errors import ServiceError

    result: dict[str, Any]
    try:
        spark = spark_session.start(master, _MEMORY_MB)
        count = spark.sparkContext.defaultParallelism
        tasks = spark.sparkContext.parallelize(range(count), count).map(SharedFolder(folder).found).collect()
        arrived = sum(Path(folder, f"{OF_TASK}_{number}").exists() for number in range(count))
        result = {"version": spark.version, "tasks": tasks, "arrived": arrived}
    except (PySparkException, Py4JError, ServiceError, OSError) as error:
        result = {"error": type(error).__name__}  # not its text, which may name paths and hosts of the cluster
    Path(folder, RESULT).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    # By its name, so that executors import it, as they import the service.
    from service.engine.spark_probe import probe as probe_as_imported

    probe_as_imported(sys.argv[1], sys.argv[2])
