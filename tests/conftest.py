"""The house in a temporary folder, as its users have it: inbox, outbox, state, and the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples every time: a change is judged by itself. ``FAULTS=all`` looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("new", print_blob=True)
settings.load_profile("new" if os.environ.get("FAULTS") == "all" else "same")

# A shell that runs us in the background has interrupts ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_PROBE_SECONDS = 0.1
ROOT = Path(__file__).resolve().parents[1]
CASES = Path(__file__).with_name("cases")
CRM, ECOM, API = "crm_customers.csv", "ecommerce_customers.json", "api_customers.json"


def wait_until(is_so: Callable[[], object], seconds: float = 180.0) -> None:
    """Wait for something that other processes bring about; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {seconds} s")
        time.sleep(0.02)


def slowness() -> float:
    """How many times longer work takes at this moment than by itself: other processes, other guests of the machine."""
    began, spent = time.monotonic(), time.process_time()
    while time.process_time() - spent < _PROBE_SECONDS:
        pass
    return max(1.0, (time.monotonic() - began) / _PROBE_SECONDS)


@dataclass(frozen=True)
class Finished:
    """A verb that ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The structured log."""
        return [json.loads(line) for line in self.out.splitlines()]


class Daemon:
    """A running ``python -m service watch``."""

    def __init__(self, house: House, **settings: str) -> None:
        self._house = house
        self._log = open(house.root / "daemon.log", "ab")  # noqa: SIM115  # closed in stop and kill
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "watch"],
            cwd=house.root,
            env=house.environment(**settings),
            stdout=self._log,
            stderr=self._log,
        )

    def stop(self, number: int = signal.SIGTERM, seconds: float = 60.0) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._log.close()
        return code

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait(60)
        self._log.close()


class House:
    """Inbox, outbox and state under ``root``, and the service's verbs run on them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox, self.outbox, self.state = root / "inbox", root / "outbox", root / "state"
        self.inbox.mkdir(parents=True)
        self._daemons: list[Daemon] = []

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of a verb: no setting but the given ones (``settle_seconds="1"``)."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")}
        return kept | {"PYTHONPATH": str(ROOT)} | {f"SERVICE_{name.upper()}": value for name, value in settings.items()}

    def run(self, *arguments: str | Path, **settings: str) -> Finished:
        """Run ``python -m service …`` to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "service", *map(str, arguments)],
            cwd=self.root,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def watch(self, **settings: str) -> Daemon:
        """Start the daemon and wait until it looks into the inbox."""
        health = self.state / "health.json"
        health.unlink(missing_ok=True)
        daemon = Daemon(self, **settings)
        self._daemons.append(daemon)
        wait_until(lambda: health.exists() or daemon.process.poll() is not None)
        return daemon

    def drop(self, case: str = "the_sample", suffix: str = "") -> None:
        """Copy both exports of a case into the inbox, as ``cp`` does."""
        for name in (CRM, ECOM):
            stem, _, kind = name.partition(".")
            shutil.copyfile(CASES / case / name, self.inbox / f"{stem}{suffix}.{kind}")

    def drop_api(self, customers: int = 3, suffix: str = "") -> None:
        """Put what the API says of so many customers into the inbox, as ``sync`` does."""
        rows = [
            {"id": number, "email": f"user{number}@reqres.in", "first_name": "George", "last_name": f"Bluth {number}"}
            for number in range(1, customers + 1)
        ]
        name = f"api_customers{suffix}.json"
        staged = self.inbox / f".{name}.part"
        staged.write_text(json.dumps({"fetched_at": "2024-01-15T12:00:00Z", "data": rows}), encoding="utf-8")
        staged.rename(self.inbox / name)

    def read(self, name: str) -> str:
        """A file of the outbox."""
        return (self.outbox / name).read_text(encoding="utf-8")

    def manifest(self, name: str = "manifest.json") -> dict[str, Any]:
        """The manifest of the published set; empty while there is none. ``analytics_manifest.json``: the export's."""
        try:
            found: dict[str, Any] = json.loads(self.read(name))
        except FileNotFoundError:
            return {}
        return found

    def batches(self) -> list[str]:
        """Ids of the published sets, oldest first."""
        return sorted(path.name for path in (self.outbox / "batches").glob("*"))

    def health(self) -> dict[str, Any]:
        """What the daemon says of itself."""
        found: dict[str, Any] = json.loads((self.state / "health.json").read_text(encoding="utf-8"))
        return found

    def log(self) -> list[dict[str, Any]]:
        """The daemon's structured log so far."""
        lines = (self.root / "daemon.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def close(self) -> None:
        """End the daemons a test left running."""
        for daemon in self._daemons:
            if daemon.process.poll() is None:
                daemon.kill()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house of its own for every test."""
    built = House(tmp_path / "house")
    yield built
    built.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the tests tried and measured: every property they recorded."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    properties = [noted for report in reports for noted in getattr(report, "user_properties", [])]
    if properties:
        terminalreporter.section("tried and measured")
    for line in sorted({f"{name}: {value}" for name, value in properties}):
        terminalreporter.write_line(line)
