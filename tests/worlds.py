"""Worlds for tests: temporary inboxes, outboxes and states, and ways to run the service on them.

``World`` is the three folders. ``House`` runs the command line on them, ``Works`` the watcher in this process, and
``tests.api_house.ApiHouse`` the sync.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service import cli
from service.folders import Folders
from service.jobs import JOBS
from service.settings import Settings
from service.verify import VerifyReport, verify
from service.watch import daemon
from service.watch.watcher import RunResult, Watcher
from tests import warm

ROOT = Path(__file__).resolve().parents[1]
CASES = Path(__file__).with_name("cases")
SAMPLE = CASES / "the_sample"
CRM, ECOM, API = "crm_customers.csv", "ecommerce_customers.json", "api_customers.json"
QUICK: dict[str, Any] = {"settle_seconds": 0.2, "rescan_seconds": 0.1, "threads": 1, "retry_seconds": 0.05}
"""Settings with short waits."""
_PROBE_SECONDS = 0.1


Mount = Callable[[Path, str], None]
"""Mounts a tmpfs of a size, such as ``size=1m``, or changes the size of one: the fixture ``mount``."""


def wait_until(is_so: Callable[[], object], seconds: float = 180.0) -> None:
    """Wait until ``is_so`` returns true; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {seconds} s")
        time.sleep(0.02)


def slowness() -> float:
    """The factor by which other load slows this process at the moment, at least 1."""
    began, spent = time.monotonic(), time.process_time()
    while time.process_time() - spent < _PROBE_SECONDS:
        pass
    return max(1.0, (time.monotonic() - began) / _PROBE_SECONDS)


def heeds_sigterm(pid: int) -> bool:
    """Whether the process has a handler for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1]
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


def move_aside(path: Path) -> Path:
    """Give what is at the path, if anything is, a new name beside it; returns that."""
    aside = path.with_name(f"{path.name}.{time.monotonic_ns()}.moved")
    if os.path.lexists(path):
        path.rename(aside)
    return aside


def put_in_place(path: Path, put: Callable[[], object]) -> Path:
    """Move aside what is at the path, and put something else there at once; returns where the former lies."""
    moved: list[Path] = []

    def is_put() -> bool:
        moved.append(move_aside(path))
        try:
            put()
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            return False  # a watcher has made its folder again in between
        return True

    wait_until(is_put)
    return moved[0]


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


class World:
    """A temporary inbox, outbox and state under ``root``, and what tests read there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox, self.outbox, self.state = root / "inbox", root / "outbox", root / "state"

    def drop_api(self, customers: int = 3, suffix: str = "") -> None:
        """Drop an API export of this many customers into the inbox, as ``sync`` does."""
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

    def batches_of(self, job: str) -> list[str]:
        """Ids of the published sets of a job, oldest first."""
        manifests = sorted(self.outbox.glob("batches/*/manifest.json"), key=lambda path: path.stat().st_mtime_ns)
        return [path.parent.name for path in manifests if json.loads(path.read_bytes())["job"] == job]

    def verified(self, batch_id: str | None = None) -> VerifyReport:
        """The report of ``verify``."""
        return verify(Folders(self.inbox, self.outbox, self.state), JOBS, batch_id)

    def health(self) -> dict[str, Any]:
        """The health report of the daemon."""
        found: dict[str, Any] = json.loads((self.state / "health.json").read_text(encoding="utf-8"))
        return found

    def rows(self, name: str, batch: str = "") -> list[dict[str, str]]:
        folder = self.outbox / "batches" / batch if batch else self.outbox
        with open(folder / name, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def quarantine(self) -> list[Path]:
        return sorted((self.inbox / "quarantine").iterdir())

    def archived(self) -> list[str]:
        return sorted(path.name for path in (self.inbox / "archive").iterdir())

    def reason(self) -> dict[str, Any]:
        """The reason of the one quarantined batch."""
        (folder,) = self.quarantine()
        found: dict[str, Any] = json.loads((folder / "reason.json").read_text(encoding="utf-8"))
        return found

    def lose_inbox(self) -> Path:
        """Move the inbox aside, and wait until the watcher misses it; returns where it lies."""
        aside = move_aside(self.inbox)
        wait_until(lambda: "inbox_unusable" in self.health()["codes"])
        assert not self.inbox.exists(), "the watcher has made another one"
        return aside

    def claim_files(self) -> list[Path]:
        return sorted((self.inbox / ".claimed").glob("*.json"))


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
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait(60)
        self._log.close()


class House(World):
    """A world in which the service's verbs run as processes."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.inbox.mkdir(parents=True)
        self._daemons: list[Daemon] = []

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of a verb: no setting but the given ones (``settle_seconds="1"``)."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")}
        return kept | {"PYTHONPATH": str(ROOT)} | {f"SERVICE_{name.upper()}": value for name, value in settings.items()}

    def run(self, *arguments: str | Path, **settings: str) -> Finished:
        """Run a verb to its end in a process of its own that has its imports already."""
        with tempfile.TemporaryDirectory() as output:
            setting = warm.Setting(self.root, Path(output), self.environment(**settings))
            ended = warm.Verb([*map(str, arguments)], setting).wait(300)
        return Finished(ended.code, ended.out, ended.err)

    def run_cold(self, *arguments: str | Path, **settings: str) -> Finished:
        """Run ``python -m service …`` to its end, for tests of what the interpreter reads when it starts."""
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

    def log(self) -> list[dict[str, Any]]:
        """The daemon's structured log so far."""
        lines = (self.root / "daemon.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def close(self) -> None:
        """End the daemons a test left running."""
        for started in self._daemons:
            if started.process.poll() is None:
                started.kill()


def local_now() -> datetime:
    """The time of day in the local zone."""
    return datetime.now(UTC).astimezone()


class Works(World):
    """A world whose watcher runs in this process."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.inbox.mkdir(parents=True, exist_ok=True)

    def watcher(self, **settings: Any) -> Watcher:
        here = {"inbox": self.inbox, "outbox": self.outbox, "state": self.state}
        return daemon.build(Settings(**(QUICK | here | settings)), local_now)

    def once(self, **settings: Any) -> RunResult:
        """``watch --once``."""
        return self.watcher(**settings).run(once=True)

    @contextmanager
    def watching(self, **settings: Any) -> Iterator[Watcher]:
        """``watch``, until the block ends."""
        watcher = self.watcher(**settings)
        failed: list[BaseException] = []

        def run() -> None:
            try:
                watcher.run()
            except BaseException as error:  # noqa: BLE001  # shown to the test below
                failed.append(error)

        (self.state / "health.json").unlink(missing_ok=True)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(lambda: failed or (self.state / "health.json").exists())
            yield watcher
        finally:
            watcher.stop()
            thread.join(20)
        assert failed == []

    def drop(self, suffix: str = "", *, crm: str | None = None, ecom: str | None = None) -> None:
        """The sample, or other texts."""
        crm = crm if crm is not None else (SAMPLE / CRM).read_text(encoding="utf-8")
        ecom = ecom if ecom is not None else (SAMPLE / ECOM).read_text(encoding="utf-8")
        (self.inbox / f"crm_customers{suffix}.csv").write_text(crm, encoding="utf-8")
        (self.inbox / f"ecommerce_customers{suffix}.json").write_text(ecom, encoding="utf-8")

    def retry(self, *arguments: str) -> int:
        """The exit code of the verb."""
        with pytest.MonkeyPatch.context() as patch:
            for name, folder in (("INBOX", self.inbox), ("STATE", self.state)):
                patch.setenv(f"SERVICE_{name}", str(folder))
            return cli.main(["retry", *arguments])

    def waits_to_be(self, is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The health report, once ``is_so`` is true of it."""
        wait_until(lambda: is_so(self.health()))
        return self.health()


def failing(error: Exception) -> Callable[..., Any]:
    """A function that raises the error whatever it is called with."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def output_as_another_user(statements: str, folder: Path, imports: str) -> str:
    """What the statements print in a process that started as root and became another user."""
    program = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
{imports}
from pathlib import Path
from service.inbox.mounts import file_system_of
file_system_of(Path("/"), 0)  # what Python still loads for it must be loaded as root
folder = Path({str(folder)!r})
os.setgroups([]); os.setgid(65534); os.setuid(65534)
{statements}
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
