"""The two engines on the same messy pair: the embedded one, and Spark on a cluster of this machine with two workers.

The cluster is started here, and ended. Needs the extra ``spark`` and Java; run it with the Python that has the extra.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Stage
from benchmarks.generate import write_messy_pair
from benchmarks.parts.stages import staged_run, stages_of
from benchmarks.process_tree import Sample, Watch, memory_mb
from benchmarks.spark_cluster import ClusterFailed, Node, running

_WORKERS = 2
_LEAST_EXECUTOR_MB, _MOST_EXECUTOR_MB = 1024, 8192
_LIMIT_MB = 2048
"""``SERVICE_MEMORY_LIMIT_MB``, for all sizes: half of it is the most that the driver's JVM may keep."""
_OF_A_RUN = ("manifest.json", "integration_log.txt", "integration_log.jsonl")


@dataclass(frozen=True)
class EngineRun:
    """One engine on one pair."""

    seconds: float
    cpu_seconds: float
    """Of the driver, with Spark also of all executors."""
    driver_mb: float
    """The peak of the process tree: Python, and with Spark its JVM."""
    executors_mb: tuple[float, ...]
    """The peak of each worker with its executor and that one's Python."""
    stages: Mapping[str, Stage]
    """Name -> seconds, and the peak of the driver's process tree."""


def report(records: int, rounds: int) -> None:
    """Measure and print one table. Raises: SystemExit where the engines publish other files."""
    executor_mb = int(min(max(memory_mb() / 8, _LEAST_EXECUTOR_MB), _MOST_EXECUTOR_MB))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        pair = write_messy_pair(folder, records)
        runs: dict[str, list[EngineRun]] = {"embedded": [], "spark": []}
        same: list[bool] = []
        try:
            for _ in range(rounds):
                runs["embedded"].append(_run(folder / "embedded", pair, {}, ()))
                # A cluster of its own for each run: else the first would pay for what the others find compiled.
                (folder / "cluster").mkdir(exist_ok=True)
                with running(folder / "cluster", workers=_WORKERS, executor_mb=executor_mb) as cluster:
                    settings = {"SERVICE_ENGINE": "spark", "SERVICE_SPARK_MASTER": cluster.master}
                    settings |= cluster.environment()
                    runs["spark"].append(_run(folder / "spark", pair, settings, cluster.workers))
                same.append(_set_of(folder / "embedded") == _set_of(folder / "spark"))
        except ClusterFailed as error:
            raise SystemExit(str(error)) from None
    _print(records, {name: _median(found) for name, found in runs.items()}, same, executor_mb)
    if not all(same):
        raise SystemExit("the two engines published different files")


def _run(folder: Path, pair: Sequence[Path], settings: Mapping[str, str], workers: Sequence[Node]) -> EngineRun:
    folder.mkdir(exist_ok=True)
    watches = [Watch(worker.process.pid, time.perf_counter()) for worker in workers]
    ran, events = staged_run(folder, pair, {"SERVICE_MEMORY_LIMIT_MB": str(_LIMIT_MB), **settings})
    for watch in watches:
        watch.end()
    # The JVM is not waited for, so the kernel does not add its seconds to those of the driver.
    samples: list[Sequence[Sample]] = [ran.samples, *(watch.samples for watch in watches)]
    of_trees = [max((it.cpu_seconds for it in found), default=0.0) for found in samples]
    return EngineRun(
        seconds=ran.seconds,
        cpu_seconds=max(ran.cpu_seconds, of_trees[0]) + sum(of_trees[1:]),
        driver_mb=ran.peak_mb,
        executors_mb=tuple(watch.peak_mb for watch in watches),
        stages={stage.name: stage for stage in stages_of(ran, events)},
    )


def _set_of(folder: Path) -> dict[str, Any]:
    """The files of the published set, but those that hold times of the run.

    Parquet files by schema and rows: where a group of rows ends depends on the threads that wrote it.
    """
    (found,) = (folder / "outbox" / "batches").iterdir()
    return {path.name: _content(path) for path in found.iterdir() if path.name not in _OF_A_RUN}


def _content(path: Path) -> Any:
    if path.suffix != ".parquet":
        return path.read_bytes()
    from pyarrow.parquet import read_table  # only where the extra is installed

    return read_table(path)


def _median(runs: Sequence[EngineRun]) -> EngineRun:
    """The run with the median time."""
    return sorted(runs, key=lambda run: run.seconds)[(len(runs) - 1) // 2]


def _print(records: int, runs: Mapping[str, EngineRun], same: Sequence[bool], executor_mb: int) -> None:
    cores = len(os.sched_getaffinity(0))
    print(f"{records:,} records, {len(same)} rounds, {cores} cores, {_WORKERS} workers with {executor_mb} MB executors")
    print(f"SERVICE_MEMORY_LIMIT_MB={_LIMIT_MB}")
    print(f"same files: {'yes' if all(same) else 'NO'}")
    print(f"{'':28}{'embedded':>12}{'spark':>12}{'ratio':>8}")
    of = [runs["embedded"], runs["spark"]]
    _row("wall s", *(run.seconds for run in of))
    _row("CPU s", *(run.cpu_seconds for run in of))
    _row("wall µs for each record", *(run.seconds / records * 1e6 for run in of))
    _row("CPU µs for each record", *(run.cpu_seconds / records * 1e6 for run in of))
    _row("driver, peak MB", *(run.driver_mb for run in of))
    print(f"{'executors, peak MB':28}{'':12}{statistics.mean(of[1].executors_mb):12.0f}  each")
    for name, stage in of[0].stages.items():
        _row(f"{name}, s", stage.seconds, of[1].stages[name].seconds)
        _row(f"{name}, driver, peak MB", stage.peak_mb, of[1].stages[name].peak_mb)


def _row(name: str, embedded: float, spark: float) -> None:
    print(f"{name:28}{embedded:12.1f}{spark:12.1f}{spark / embedded if embedded else 0:8.1f}")
