"""The heartbeat of the daemon: real processes whose loop is stopped, hangs, or is dead, and one that is only busy."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service import health
from service.folders import Folders
from service.health import HealthCheck
from service.jobs.batch_runner import BatchRunner
from service.watch import heartbeat
from service.watch.heartbeat import Pulse
from tests.worlds import House, Works, wait_until

MOST_SECONDS = 10.0

# The daemon, with a fault: a file of this name beside its folders makes the loop, outside of a batch, hang or die (the
# thread alone, as the kernel ends one), or a stage of its batch wait.
FAULTY = """
import ctypes, os, sys, time
from service import cli
from service.inbox import Inbox
from service.jobs import integration

scan, extract = Inbox.scan, integration.extract_records

def faulty_scan(self):
    if os.path.exists("hang"):
        time.sleep(3600)
    if os.path.exists("die"):
        ctypes.CDLL(None).pthread_exit(None)
    return scan(self)

def slow_extract(*arguments, **more):
    while os.path.exists("wait"):
        time.sleep(0.05)
    return extract(*arguments, **more)

Inbox.scan, integration.extract_records = faulty_scan, slow_extract
sys.exit(cli.main(["watch"]))
"""


class Site:
    """A house with a daemon in it whose loop can be disturbed."""

    def __init__(self, root: Path) -> None:
        self.house = House(root)
        self._log = open(root / "daemon.log", "wb")  # noqa: SIM115  # closed in close
        self.daemon = subprocess.Popen(
            [sys.executable, "-c", FAULTY],
            cwd=root,
            env=self.house.environment(settle_seconds="0.2", rescan_seconds="0.5", threads="1"),
            stdout=self._log,
            stderr=self._log,
        )

    def check(self) -> HealthCheck:
        """The judgement at this moment."""
        return health.judge(self.house.state, datetime.now(UTC), stall_minutes=30)

    def is_ready(self) -> bool:
        """Whether it is healthy, and every check of readiness ok."""
        return self.check().is_healthy and not self.unready()

    def unready(self) -> set[str]:
        """The checks of readiness that are not ok at this moment."""
        folders = Folders(self.house.inbox, self.house.outbox, self.house.state)
        checks = health.readiness(folders, datetime.now(UTC), stall_minutes=30, min_free_mb=0)
        return {check.name for check in checks if not check.is_ok}

    def close(self) -> None:
        """End the daemon at once."""
        self.daemon.kill()
        self.daemon.wait(60)
        self._log.close()


@pytest.mark.large
@pytest.mark.slow
def test_a_loop_that_is_stopped_hangs_or_is_dead_is_noticed_in_ten_seconds_and_one_that_is_busy_is_not(
    tmp_path: Path,
) -> None:
    sites = {name: Site(tmp_path / name) for name in ("stopped", "hangs", "dead", "busy")}
    try:
        for site in sites.values():
            wait_until(site.is_ready)
        disturb(sites)
        began = time.monotonic()
        while time.monotonic() - began < MOST_SECONDS:
            assert sites["busy"].check().is_healthy
            time.sleep(0.2)
        for name in ("stopped", "hangs", "dead"):
            assert "no heartbeat for" in sites[name].check().sentence, name
            assert sites[name].unready() == {"heartbeat", "health"}
            assert sites[name].daemon.poll() is None, "the process itself lives, and holds its lock"
        assert sites["busy"].is_ready()
        sites["stopped"].daemon.send_signal(signal.SIGCONT)
        wait_until(sites["stopped"].is_ready, MOST_SECONDS)
        sites["stopped"].daemon.kill()
        wait_until(lambda: "lock" in sites["stopped"].unready(), MOST_SECONDS)
        (sites["busy"].house.root / "wait").unlink()
        wait_until(sites["busy"].house.archived)
        assert sites["busy"].check().is_healthy
    finally:
        for site in sites.values():
            site.close()


def disturb(sites: dict[str, Site]) -> None:
    """Stop one, let one hang, kill the thread of one, and let a stage of the last wait."""
    (sites["busy"].house.root / "wait").touch()
    sites["busy"].house.drop()
    wait_until(lambda: sites["busy"].house.health()["busy_since"])
    (sites["hangs"].house.root / "hang").touch()
    (sites["dead"].house.root / "die").touch()
    sites["stopped"].daemon.send_signal(signal.SIGSTOP)


def test_once_writes_no_heartbeat(works: Works) -> None:
    works.drop()
    works.once()
    assert not (works.state / "heartbeat.json").exists()
    assert works.health()["has_heartbeat"] is False


def test_the_first_heartbeat_is_there_before_health_promises_it(works: Works) -> None:
    with works.watching():
        assert works.health()["has_heartbeat"] is True
        assert health.judge(works.state, datetime.now(UTC), stall_minutes=30) == HealthCheck(True, "ok")


class Clock:
    """A monotonic clock that tests advance, and the wall clock beside it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self.seconds

    def now(self) -> datetime:
        """The wall clock."""
        return datetime(2024, 1, 15, 12, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def beats_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat every few milliseconds of the real time, so that an advance of the test's clock shows at once."""
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.005)


@pytest.mark.usefixtures("beats_often")
def test_the_heartbeat_is_as_old_as_the_last_turn_unless_a_batch_is_in_work(tmp_path: Path) -> None:
    clock = Clock()
    pulse = Pulse(tmp_path, clock.now, clock.monotonic)

    def alive_at() -> str:
        return str(json.loads((tmp_path / "heartbeat.json").read_text(encoding="utf-8"))["alive_at"])[11:19]

    pulse.begin()
    assert alive_at() == "12:00:00"
    clock.seconds = 60.0
    time.sleep(0.1)
    assert alive_at() == "12:00:00", "the loop has not turned"
    pulse.turned()
    wait_until(lambda: alive_at() == "12:01:00", 5)
    with pulse.working():
        clock.seconds = 3600.0
        wait_until(lambda: alive_at() == "13:00:00", 5)
    pulse.end()
    clock.seconds = 7200.0
    pulse.turned()
    time.sleep(0.1)
    assert alive_at() == "13:00:00", "it has ended"


def test_to_open_the_engine_is_work(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application of Spark takes longer to start than a loop may stand still."""
    watcher, prepare, found = works.watcher(), BatchRunner.prepare, []

    def noted(runner: BatchRunner) -> None:
        found.append(watcher.status.pulse._is_working)
        prepare(runner)

    monkeypatch.setattr(BatchRunner, "prepare", noted)
    works.drop()
    assert watcher.run(once=True).published == 1
    assert found and all(found)


@pytest.mark.usefixtures("beats_often")
def test_the_heartbeat_of_a_thread_that_died_in_a_batch_ends(tmp_path: Path) -> None:
    clock = Clock()
    pulse = Pulse(tmp_path, clock.now, clock.monotonic)
    working = pulse.working()  # kept here: it would end with the last name for it

    def work() -> None:
        pulse.begin()
        working.__enter__()  # and no end: the thread dies in the middle

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    clock.seconds = 60.0
    time.sleep(0.1)
    last = (tmp_path / "heartbeat.json").read_text(encoding="utf-8")
    clock.seconds = 120.0
    time.sleep(0.1)
    assert (tmp_path / "heartbeat.json").read_text(encoding="utf-8") == last
    pulse.end()


@pytest.mark.usefixtures("beats_often")
def test_a_heartbeat_that_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    clock = Clock()
    pulse = Pulse(tmp_path / "later", clock.now, clock.monotonic)
    pulse.begin()
    (tmp_path / "later").mkdir()
    wait_until((tmp_path / "later" / "heartbeat.json").exists, 5)
    pulse.end()
