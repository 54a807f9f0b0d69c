"""A worker of the cluster, or the driver, is killed in the middle of a batch: the set has the same bytes."""

from __future__ import annotations

import importlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import pytest

from benchmarks.generate import write_messy_pair
from benchmarks.generate_api import write_api_file
from benchmarks.process_tree import tree_of
from benchmarks.spark_cluster import Node
from service.job_name import JobName
from service.jobs import JOBS
from service.model import API
from service.progress import Meter
from tests import sizes, small_exports
from tests.small_batches import delivered_file, integrate_pair, published
from tests.spark_runs import SparkCluster, differing, end_application
from tests.worlds import CRM, ECOM, House, wait_until

_LOOK_SECONDS = 0.01
_EVERY_STAGE: Sequence[tuple[JobName, Sequence[str]]]
_EVERY_STAGE = [(name, (stage,)) for name, job in JOBS.items() for stage in job.stages]
_OF_THE_DRIVER: Mapping[JobName, str] = {"analytics": "publish"}
"""Job -> a stage in which no task runs: a worker is killed when it begins."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A messy pair, whose set of the embedded engine is in ``outbox`` beside it."""
    folder = tmp_path_factory.mktemp("pair")
    write_messy_pair(folder, sizes.SPARK_KILLED_RECORDS)
    integrate_pair(folder, folder / "outbox", state=folder / "state", memory_limit_mb=1024)
    return folder


@pytest.fixture(scope="module")
def api_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the API, of customers who are in the pair and of others."""
    return write_api_file(tmp_path_factory.mktemp("api"), sizes.SPARK_KILLED_RECORDS)


Made = Callable[[JobName, Path, "SparkCluster | None"], Path]


@pytest.fixture(scope="module")
def made(pair: Path, api_file: Path) -> Made:
    """Lets a job work in a folder, on the cluster or embedded, and returns the set."""

    def of_job(job: JobName, folder: Path, spark: SparkCluster | None) -> Path:
        if job == "integration":
            settings = {"memory_limit_mb": 1024} if spark is None else spark.settings
            integrate_pair(pair, folder / "outbox", **settings, state=folder / "state")
            return published(folder / "outbox")
        with pytest.MonkeyPatch.context() as patch:
            if spark is not None:
                patch.setattr(small_exports, "small_engine", partial(spark.engine_in, is_small=False))
            file = delivered_file(API, folder / API.file_name, api_file.read_bytes())
            return small_exports.analysed_file(folder, file, master=published(pair / "outbox"))[1]

    return of_job


@pytest.fixture(scope="module")
def expected(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Callable[[JobName], Path]:
    """The set of the embedded engine, by the name of the job."""
    return cache(lambda job: made(job, tmp_path_factory.mktemp("expected"), None))


class Killer:
    """Kills a worker in each of these stages while it has a task, and starts another one; in a thread of its own."""

    def __init__(self, spark: SparkCluster, stages: Sequence[str], of_driver: str | None = None) -> None:
        """``of_driver``: the stage in which no worker has a task."""
        self.killed: dict[str, Node] = {}
        """Stage -> the worker that was killed in it."""
        self._spark = spark
        self._stages = stages
        self._of_driver = of_driver
        self._stage = ""
        self._has_ended = threading.Event()

    @contextmanager
    def at_work(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Kill until the block ends."""
        begin = Meter.begin

        def noted(meter: Meter, stage: str, rows: int) -> None:
            begin(meter, stage, rows)
            self._stage = stage
            if stage == self._of_driver and stage in self._stages:
                self._kill_one(stage, self._spark.cluster.workers[0])

        patch.setattr(Meter, "begin", noted)
        thread = threading.Thread(target=self._kill, name="killer")
        thread.start()
        try:
            yield
        finally:
            self._has_ended.set()
            thread.join()

    def _kill(self) -> None:
        while not self._has_ended.wait(_LOOK_SECONDS):
            stage = self._stage
            if stage in self._stages and stage not in self.killed and stage != self._of_driver:
                for worker in self._spark.busy_workers()[:1]:
                    self._kill_one(stage, worker)

    def _kill_one(self, stage: str, worker: Node) -> None:
        self._spark.cluster.kill_worker(worker)
        self.killed[stage] = worker
        self._spark.cluster.add_worker()


def _id(part: str | Sequence[str]) -> str:
    return part if isinstance(part, str) else "-".join(part)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("job", "stages"), [("integration", sizes.SPARK_KILLS)] if sizes.SPARK_KILLS else _EVERY_STAGE, ids=_id
)
def test_a_worker_that_is_killed_in_a_stage_costs_time_only(
    job: JobName,
    stages: Sequence[str],
    spark: SparkCluster,
    made: Made,
    expected: Callable[[JobName], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    # Tasks read the exports, too.
    monkeypatch.setattr(importlib.import_module("service.engine.spark_reading"), "PART_BYTES", 1 << 20)
    killer = Killer(spark, stages, _OF_THE_DRIVER.get(job))
    with killer.at_work(monkeypatch):
        found = made(job, tmp_path, spark)
    assert list(killer.killed) == list(stages)
    assert differing(expected(job), found) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("stage", sizes.SPARK_DRIVER_KILLS)
def test_a_driver_that_is_killed_leaves_no_process_and_the_next_start_publishes_its_batch(
    stage: str, spark: SparkCluster, pair: Path, house: House
) -> None:
    end_application()
    settings = {name: str(value) for name, value in spark.settings.items()} | {"settle_seconds": "0.2"}
    for name in (CRM, ECOM):
        shutil.copyfile(pair / name, house.inbox / name)
    daemon = house.watch(**settings)
    wait_until(lambda: house.health()["stage"] == stage, 400)
    processes = tree_of(daemon.process.pid)
    daemon.kill()
    wait_until(lambda: not any(map(_is_alive, processes)))
    assert house.batches() == []
    assert house.claim_files(), "the batch is not forgotten"
    ended = house.run_cold("watch", "--once", **settings)
    assert ended.code == 0, ended.out[-2000:]
    (batch,) = house.batches()
    assert differing(published(pair / "outbox"), house.outbox / "batches" / batch) == []
    assert house.verified().findings == []


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
