"""``run``: real processes, one of which is killed, or all of which are stopped."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.worlds import House, wait_until

PROGRAM = """
import json, sys
from service import logs
from service.supervisor import supervise

logs.configure()
sys.exit(supervise(json.loads(sys.argv[1]), json.loads(sys.argv[2]), stop_seconds=8))
"""
WATCH = (sys.executable, "-m", "service", "watch")
LASTS = ("sleep", "600")
IGNORES = (sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")


class Supervised:
    """A supervisor with its children, in a house."""

    def __init__(self, house: House, watcher: Sequence[str], helpers: Mapping[str, Sequence[str]]) -> None:
        self._log = house.root / "run.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, json.dumps(watcher), json.dumps(helpers)],
                cwd=house.root,
                env=house.environment(settle_seconds="0.2", threads="1"),
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: set(self.pids()) == {"watcher", *helpers})

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of this name, so far."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [event for event in found if event["event"] == name]

    def pids(self) -> dict[str, int]:
        """The process that was started last under each name."""
        return {event["name"]: event["pid"] for event in self.events("process.started")}

    def left(self) -> list[int]:
        """Every process that it ever started and that is still there."""
        started = [event["pid"] for event in self.events("process.started")]
        return [pid for pid in started if is_running(pid)]


def is_running(pid: int) -> bool:
    """Whether there is such a process; one that has ended and was not asked for its exit code does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def supervised(house: House) -> Iterator[Any]:
    """Starts a supervisor in the house; nothing of it outlives the test."""
    started: list[Supervised] = []

    def start(watcher: Sequence[str], helpers: Mapping[str, Sequence[str]]) -> Supervised:
        started.append(Supervised(house, watcher, helpers))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(20)
        for pid in one.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_dashboard_that_is_killed_comes_back_and_the_watcher_is_untouched(house: House, supervised: Any) -> None:
    run = supervised(WATCH, {"dashboard": LASTS, "notify": ("false",)})
    wait_until((house.state / "health.json").exists)
    before = run.pids()
    os.kill(before["dashboard"], signal.SIGKILL)
    wait_until(lambda: run.pids()["dashboard"] != before["dashboard"], 10)
    assert is_running(run.pids()["dashboard"])
    house.drop()
    wait_until(house.archived)
    assert run.pids()["watcher"] == before["watcher"]
    assert is_running(before["watcher"])

    def pauses_of(name: str) -> list[float]:
        return [event["restart_in_seconds"] for event in run.events("process.ended") if event["name"] == name]

    assert pauses_of("dashboard") == [1.0]
    wait_until(lambda: len(pauses_of("notify")) > 2, 10)
    assert pauses_of("notify")[:3] == [1.0, 2.0, 4.0], "one that ends at once is started more and more rarely"
    assert {event["code"] for event in run.events("process.ended")} == {1, 137}


@pytest.mark.parametrize(("watcher", "code"), [(("sh", "-c", "sleep 0.3; exit 3"), 3), (LASTS, 137)])
def test_when_the_watcher_ends_all_end_with_its_exit_code(supervised: Any, watcher: tuple[str, ...], code: int) -> None:
    run = supervised(watcher, {"dashboard": LASTS, "notify": LASTS})
    if code == 137:
        os.kill(run.pids()["watcher"], signal.SIGKILL)
    assert run.process.wait(20) == code
    assert run.left() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_in_order(house: House, supervised: Any, number: int) -> None:
    run = supervised(WATCH, {"dashboard": LASTS})
    wait_until((house.state / "health.json").exists)
    run.process.send_signal(number)
    assert run.process.wait(20) == 0
    assert run.left() == []
    assert [event["why"] for event in run.events("service.stopped")] == ["SIGTERM"], "the watcher ended in order"


def test_a_stop_does_not_wait_for_a_process_that_ignores_it(supervised: Any) -> None:
    run = supervised(LASTS, {"dashboard": IGNORES})
    wait_until(lambda: ignores_a_stop(run.pids()["dashboard"]))
    began = time.monotonic()
    run.process.terminate()
    assert run.process.wait(20) == 143
    assert time.monotonic() - began < 10
    assert run.left() == []


def ignores_a_stop(pid: int) -> bool:
    """Whether the process ignores SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (ignored,) = re.findall(r"^SigIgn:\s*(\w+)$", status, re.MULTILINE)
    return bool(int(ignored, 16) & 1 << signal.SIGTERM - 1)


def test_a_supervisor_that_is_killed_leaves_no_orphan(house: House, supervised: Any) -> None:
    run = supervised(WATCH, {"dashboard": IGNORES})
    wait_until((house.state / "health.json").exists)
    run.process.kill()
    wait_until(lambda: run.left() == [], 20)
    assert [event["why"] for event in run.events("service.stopped")] == ["SIGTERM"], "the watcher ended in order"


def test_on_a_terminal_run_first_prints_what_to_do(house: House) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "run"],
        cwd=house.root,
        env=house.environment(http_port="0"),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    try:
        while b"service.started" not in shown:
            shown += os.read(ours, 4096)
    finally:
        process.terminate()
        assert process.wait(30) == 0
        os.close(ours)
    lines = shown.decode().splitlines()
    assert lines[:5] == [
        f"watching  {house.inbox}",
        "drop      crm_customers.csv and ecommerce_customers.json",
        f"results   {house.outbox}: customer_master.csv, duplicate_report.csv, integration_log.txt",
        "page      at a free port, which the log names",
        "stop      Ctrl-C",
    ]


def test_without_a_terminal_run_prints_json_only(house: House) -> None:
    with (house.root / "run.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "run"],
            cwd=house.root,
            env=house.environment(http_port="0"),
            stdout=log,
            stderr=subprocess.DEVNULL,
        )
    wait_until(lambda: "service.started" in (house.root / "run.log").read_text(encoding="utf-8"))
    process.terminate()
    assert process.wait(30) == 0
    events = [json.loads(line)["event"] for line in (house.root / "run.log").read_text("utf-8").splitlines()]
    assert {"process.started", "service.started", "service.stopped", "process.ended"} <= set(events)
