"""A supervisor with its children, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.worlds import House, wait_until

PROGRAM = """
import json, sys
from service import logs
from service.supervisor import supervise

logs.configure()
watcher, helpers = map(json.loads, sys.argv[1:])
sys.exit(supervise(watcher, helpers, lambda line: print(line, file=sys.stderr), stop_seconds=8))
"""


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

    def lines(self) -> list[str]:
        """What it printed besides the events."""
        return [line for line in self._log.read_text(encoding="utf-8").splitlines() if not line.startswith("{")]

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


Supervise = Callable[[Sequence[str], Mapping[str, Sequence[str]]], Supervised]
"""Starts a supervisor: the command of the watcher, and of each helper by its name."""
