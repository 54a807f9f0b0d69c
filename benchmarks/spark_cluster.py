"""A standalone cluster of Spark on this machine: a master and workers, as processes of their own, on the loopback.

They are those that ``pyspark`` brings. Needs the extra ``spark`` and Java.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from benchmarks.process_tree import tree_of

_START_SECONDS = 240.0
"""Seconds on a machine that is free, minutes on one that is busy."""
_ADDRESS = r"Starting Spark master at (spark://\S+)"
_REGISTERED = "(Successfully registered with master)"
_ADDRESSES = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
# The shell waits for the end of its input, which comes when the process ends that started it, however it ends.
_GUARDED = '"$@" & child=$!; cat >/dev/null; kill -9 $child'
_EXECUTOR_MB = 1024
"""Half of the memory of a worker; the rest is for the Python of its executor."""


class ClusterFailed(Exception):
    """A process of the cluster does not start; the text names its log."""


class Node:
    """A master or a worker, and the executors that it started. It does not outlive this process."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                ["sh", "-c", _GUARDED, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=dict(environment),
                start_new_session=True,
            )

    def said(self, pattern: str) -> str:
        """The first group of the pattern in the log, once it is there. Raises: ClusterFailed."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(pattern, self.log.read_text(encoding="utf-8", errors="replace"))
            if found:
                return found[1]
            time.sleep(0.05)
        raise ClusterFailed(f"Spark's {self.log.stem} does not start: {self.log}")

    def pids(self) -> list[int]:
        """Its processes, and those of its executors."""
        return tree_of(self.process.pid)

    def kill(self) -> None:
        """End it, its executors and their workers in Python, with SIGKILL, as a machine that is lost."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Cluster:
    """A master and its workers; each is started by a method."""

    def __init__(self, folder: Path, *, executor_mb: int = _EXECUTOR_MB, java_options: str = "") -> None:
        """``folder``, which must exist: for logs and what executors write. ``java_options``: of executors."""
        self.folder = folder
        self.master = ""
        """The address; empty before ``start``."""
        self.workers: list[Node] = []
        self._worker_mb = 2 * executor_mb
        self._nodes: list[Node] = []
        conf = {
            "spark.executor.memory": f"{executor_mb}m",
            "spark.executor.extraJavaOptions": java_options,
            "spark.driver.host": "127.0.0.1",
        }
        lines = (f"{name} {value}\n" for name, value in conf.items() if value)
        (folder / "spark-defaults.conf").write_text("".join(lines), encoding="utf-8")

    def start(self, workers: int) -> None:
        """Start the master and so many workers, and wait until they work together. Raises: ClusterFailed."""
        arguments = ["org.apache.spark.deploy.master.Master", *_ADDRESSES]
        master = self._node("master", arguments)
        self.master = master.said(_ADDRESS)
        for _ in range(workers):
            self.add_worker()
        for worker in self.workers:
            worker.said(_REGISTERED)

    def environment(self) -> dict[str, str]:
        """What a driver needs in its environment."""
        return {"SPARK_CONF_DIR": str(self.folder), "SPARK_LOCAL_IP": "127.0.0.1"}

    def add_worker(self, prefix: Sequence[str] = ()) -> Node:
        """Start a worker of one core, which registers by itself; ``prefix``: the command that runs it."""
        name = f"worker_{len(self._nodes)}"
        arguments = ["org.apache.spark.deploy.worker.Worker", *_ADDRESSES]
        arguments += ["--cores", "1", "--memory", f"{self._worker_mb}M", "--work-dir", str(self.folder / name)]
        worker = self._node(name, [*arguments, self.master], prefix)
        self.workers.append(worker)
        return worker

    def kill_worker(self, worker: Node) -> None:
        """See ``Node.kill``. The master finds out by itself."""
        self.workers.remove(worker)
        worker.kill()

    def close(self) -> None:
        """End every process of the cluster."""
        for node in reversed(self._nodes):
            node.kill()

    def _node(self, name: str, arguments: Sequence[str], prefix: Sequence[str] = ()) -> Node:
        command = [*prefix, str(spark_home() / "bin" / "spark-class"), *arguments]
        self._nodes.append(Node(command, self.folder / f"{name}.log", self._of_daemons()))
        return self._nodes[-1]

    def _of_daemons(self) -> dict[str, str]:
        own = {"SPARK_DAEMON_MEMORY": "256m", "SPARK_LOCAL_DIRS": str(self.folder / "local")}
        quick = {"SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
        return {**os.environ, **self.environment(), **own, **quick}


def spark_home() -> Path:
    """The folder of Spark's programs and jars. Raises: ClusterFailed where the extra is missing."""
    found = find_spec("pyspark")
    if found is None or found.origin is None:
        raise ClusterFailed("pyspark is not installed: the extra spark")
    return Path(found.origin).parent


@contextmanager
def running(
    folder: Path, *, workers: int = 2, executor_mb: int = _EXECUTOR_MB, java_options: str = ""
) -> Iterator[Cluster]:
    """A cluster until the block ends, however it ends; see ``Cluster``. Raises: ClusterFailed."""
    cluster = Cluster(folder, executor_mb=executor_mb, java_options=java_options)
    try:
        cluster.start(workers)
        yield cluster
    finally:
        cluster.close()
