"""A running ``python -m service watch`` in folders of its own: started, given exports, and observed from outside."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.process_tree import cpu_seconds, resident_mb, tree_of
from benchmarks.processes import usual_environment
from service.folders import MANIFEST, Folders, InboxFolders
from service.health import readiness

_LONGEST_START_SECONDS = 60.0
_LONGEST_BATCH_SECONDS = 600.0
_LOOK_SECONDS = 0.001


@dataclass(frozen=True)
class Daemon:
    """A daemon that is ready."""

    process: subprocess.Popen[bytes]
    folders: Folders
    start_seconds: float
    """From the start of the process until it was ready."""

    def drop(self, *exports: Path) -> float:
        """Copy exports into the inbox, one after the other; returns the seconds from then to the manifest.

        Waits until the batch is archived, so that the next drop meets an idle daemon.
        """
        assert self.folders.inbox is not None
        manifest = self.folders.outbox / MANIFEST
        former = _state_of(manifest)
        for export in exports:
            shutil.copyfile(export, self.folders.inbox / export.name)
        closed = time.perf_counter()
        while (found := _state_of(manifest)) is None or found == former:
            self._wait(closed)
        seconds = time.perf_counter() - closed
        while any(InboxFolders(self.folders.inbox).claimed.iterdir()):
            self._wait(closed)
        return seconds

    def _wait(self, since: float) -> None:
        if self.process.poll() is not None:
            raise SystemExit("the daemon ended")
        if time.perf_counter() - since > _LONGEST_BATCH_SECONDS:
            raise SystemExit("a pair was not published; its inbox says why")
        time.sleep(_LOOK_SECONDS)

    def cpu_seconds(self) -> float:
        """CPU seconds that it has used so far, also by threads that have ended: the engine's end with each batch."""
        return cpu_seconds(self.process.pid)

    def resident_mb(self) -> float:
        """Its memory, with that of its children."""
        return sum(map(resident_mb, tree_of(self.process.pid)))


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def folders_below(root: Path) -> Folders:
    """Inbox, outbox and state in one folder."""
    return Folders(root / "inbox", root / "outbox", root / "state")


def settings_of(folders: Folders) -> dict[str, str]:
    """The environment for these folders."""
    return {
        "SERVICE_INBOX": str(folders.inbox),
        "SERVICE_OUTBOX": str(folders.outbox),
        "SERVICE_STATE": str(folders.state),
    }


@contextmanager
def running(folders: Folders) -> Iterator[Daemon]:
    """A daemon that watches these folders, ready, until the block ends."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "watch"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=usual_environment() | settings_of(folders),
    )
    try:
        while not _is_ready(folders):
            if process.poll() is not None or time.perf_counter() - started > _LONGEST_START_SECONDS:
                raise SystemExit("the daemon does not start")
            time.sleep(_LOOK_SECONDS)
        yield Daemon(process, folders, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _is_ready(folders: Folders) -> bool:
    if not (folders.state / "heartbeat.json").exists():
        return False
    return all(check.is_ok for check in readiness(folders, datetime.now(UTC), stall_minutes=30, min_free_mb=0))
