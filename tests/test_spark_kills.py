"""A worker of the cluster, or the driver, is killed in the middle of a batch: the set has the same bytes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.generate import write_messy_pair
from benchmarks.process_tree import tree_of
from benchmarks.spark_cluster import Node
from service.jobs import JOBS
from service.progress import Meter
from tests import sizes
from tests.small_batches import integrate_pair, published
from tests.spark_runs import SparkCluster, differing, end_session
from tests.worlds import CRM, ECOM, House, wait_until

_LOOK_SECONDS = 0.01


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A messy pair, whose set of the embedded engine is in ``outbox`` beside it."""
    folder = tmp_path_factory.mktemp("pair")
    write_messy_pair(folder, sizes.SPARK_KILLED_RECORDS)
    integrate_pair(folder, folder / "outbox", state=folder / "state", memory_limit_mb=1024)
    return folder


class Killer:
    """Kills a worker in each of these stages while it has a task, and starts another one; in a thread of its own."""

    def __init__(self, spark: SparkCluster, stages: Sequence[str]) -> None:
        self.killed: dict[str, Node] = {}
        """Stage -> the worker that was killed in it."""
        self._spark = spark
        self._stages = stages
        self._stage = ""
        self._has_ended = threading.Event()

    @contextmanager
    def at_work(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Kill until the block ends."""
        begin = Meter.begin

        def noted(meter: Meter, stage: str, rows: int) -> None:
            begin(meter, stage, rows)
            self._stage = stage

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
            if stage not in self._stages or stage in self.killed:
                continue
            for worker in self._spark.busy_workers()[:1]:
                self._spark.cluster.kill_worker(worker)
                self.killed[stage] = worker
                self._spark.cluster.add_worker()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("stages", sizes.SPARK_KILLS, ids="-".join)
def test_a_worker_that_is_killed_in_a_stage_costs_time_only(
    stages: Sequence[str], spark: SparkCluster, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    killer = Killer(spark, stages)
    with killer.at_work(monkeypatch):
        integrate_pair(pair, tmp_path / "outbox", **spark.settings, state=tmp_path / "state")
    assert list(killer.killed) == list(stages)
    assert differing(published(pair / "outbox"), published(tmp_path / "outbox")) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("stage", sizes.SPARK_DRIVER_KILLS)
def test_a_driver_that_is_killed_leaves_no_process_and_the_next_start_publishes_its_batch(
    stage: str, spark: SparkCluster, pair: Path, house: House
) -> None:
    end_session()
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


def test_every_stage_of_the_integration_is_killed_in_the_long_run() -> None:
    assert [(stage,) for stage in JOBS["integration"].stages] == list(sizes.SPARK_KILLS_OF_EVERY_STAGE)
