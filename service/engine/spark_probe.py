"""A look at a cluster: do tasks run there, with our packages, and do they share folders with the driver?

In a process of its own, which the caller ends after a time: a cluster that has no core to give lets a driver wait for
ever. Executors import this module; what only the driver needs is imported where it is used.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

_MEMORY_MB = 1024
_MODULES = (
    "service.engine.spark_files",
    "service.engine.spark_groups",
    "service.engine.spark_exports",
    "service.engine.spark_terms",
    "service.pipeline.normalise",
    "service.pipeline.evidence",
    "service.pipeline.analytics.records",
)
"""Those that tasks import, with their packages."""
OF_DRIVER, OF_TASK = "of_driver", "of_task"
"""Names of files in each folder; that of a task ends with its number."""
RESULT = "result.json"
"""The file in the first folder: what the tasks found, or an ``error`` with a ``hint``, which is empty if unknown."""


class SharedFolders(NamedTuple):
    """What a task does: in each folder it reads the driver's file, and writes one."""

    folders: tuple[str, ...]
    program: str
    """A file of the program, where the driver has it: executors need the program at the same path."""

    def found(self, number: int) -> dict[str, Any]:
        """Where the task ran, and which folders it does not share with the driver."""
        missing = sorted({name for module in _MODULES if (name := _missing_for(module))})
        return {
            "host": platform.node(),
            "user": os.geteuid(),
            "missing": missing if Path(self.program).exists() else [*missing, f"the program, which has {self.program}"],
            "apart": [folder for folder in self.folders if not _is_shared(Path(folder), number)],
        }

    def unseen(self, tasks: int) -> list[str]:
        """The folders in which the driver does not see what so many tasks wrote."""
        return [
            folder
            for folder in self.folders
            if not all(Path(folder, f"{OF_TASK}_{number}").exists() for number in range(tasks))
        ]


def _missing_for(module: str) -> str | None:
    """The module or package that is not there to import this one."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        return error.name
    return None


def _is_shared(folder: Path, number: int) -> bool:
    try:
        found = (folder / OF_DRIVER).read_bytes()
        (folder / f"{OF_TASK}_{number}").write_bytes(b"1")
    except OSError:
        return False
    return found != b""


def probe(master: str, *folders: str) -> None:
    """Run tasks that look, and leave the result in the first folder."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    from service.engine import spark_application
    from service.errors import ServiceError

    result: dict[str, Any]
    shared = SharedFolders(folders, str(spark_application.SILENT_LOGS))
    try:
        spark = spark_application.start(master, _MEMORY_MB)
        count = spark.sparkContext.defaultParallelism
        tasks = spark.sparkContext.parallelize(range(count), count).map(shared.found).collect()
        result = {"version": spark.version, "tasks": tasks, "unseen": shared.unseen(count)}
    except ServiceError as error:
        result = {"error": error.message, "hint": error.hint}
    except (PySparkException, Py4JError, OSError) as error:
        result = {"error": spark_application.kind_of(error), "hint": ""}
    Path(folders[0], RESULT).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    # By its name, so that executors import it, as they import the service.
    from service.engine.spark_probe import probe as probe_as_imported

    probe_as_imported(*sys.argv[1:])
