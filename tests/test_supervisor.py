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
from pathlib import Path

import pytest

from tests.supervised import Supervise, is_running
from tests.worlds import House, wait_until

WATCH = (sys.executable, "-m", "service", "watch")
LASTS = ("sleep", "600")
IGNORES = (sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")


def test_a_dashboard_that_is_killed_comes_back_and_the_watcher_is_untouched(
    house: House, supervised: Supervise
) -> None:
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


def test_a_dashboard_that_cannot_be_started_does_not_end_the_watcher(house: House, supervised: Supervise) -> None:
    program = house.root / "dashboard"
    program.write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")
    program.chmod(0o755)
    run = supervised(LASTS, {"dashboard": (str(program),)})
    program.rename(house.root / "aside")
    os.kill(run.pids()["dashboard"], signal.SIGKILL)
    wait_until(lambda: 126 in [event["code"] for event in run.events("process.ended")], 10)
    (house.root / "aside").rename(program)
    wait_until(lambda: is_running(run.pids()["dashboard"]), 10)
    assert is_running(run.pids()["watcher"])


@pytest.mark.parametrize(("watcher", "code"), [(("sh", "-c", "sleep 0.3; exit 3"), 3), (LASTS, 137)])
def test_when_the_watcher_ends_all_end_with_its_exit_code(
    supervised: Supervise, watcher: tuple[str, ...], code: int
) -> None:
    run = supervised(watcher, {"dashboard": LASTS, "notify": LASTS})
    if code == 137:
        os.kill(run.pids()["watcher"], signal.SIGKILL)
    assert run.process.wait(20) == code
    assert run.left() == []
    (ended,) = [event for event in run.events("process.ended") if event["name"] == "watcher"]
    assert (ended["level"], ended["code"]) == ("error", code)
    (line,) = run.lines()
    if code == 137:
        assert line == "the watcher was killed (137); nothing is lost: start it again"
    else:
        assert line == "the watcher ended with code 3, and so do all: the lines above say why"


def test_a_helper_with_a_wrong_setting_is_not_started_again_at_once(supervised: Supervise) -> None:
    run = supervised(LASTS, {"dashboard": ("sh", "-c", "exit 2")})
    wait_until(lambda: run.events("process.ended") != [])
    assert [(it["level"], it["restart_in_seconds"]) for it in run.events("process.ended")] == [("warning", 30.0)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_in_order(house: House, supervised: Supervise, number: int) -> None:
    run = supervised(WATCH, {"dashboard": LASTS})
    wait_until((house.state / "health.json").exists)
    run.process.send_signal(number)
    assert run.process.wait(20) == 0
    assert run.left() == []
    assert [event["why"] for event in run.events("service.stopped")] == ["SIGTERM"], "the watcher ended in order"
    assert run.lines() == []


def test_a_stop_does_not_wait_for_a_process_that_ignores_it(supervised: Supervise) -> None:
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


def test_a_supervisor_that_is_killed_leaves_no_orphan(house: House, supervised: Supervise) -> None:
    run = supervised(WATCH, {"dashboard": IGNORES})
    wait_until((house.state / "health.json").exists)
    run.process.kill()
    wait_until(lambda: run.left() == [], 20)
    assert [event["why"] for event in run.events("service.stopped")] == ["SIGTERM"], "the watcher ended in order"


@pytest.mark.large
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


@pytest.mark.large
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
