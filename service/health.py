"""What the daemon says of itself, in ``state/health.json``, and what a health check makes of it.

The processing loop itself writes it, at every tick and at every stage of a batch: a loop that hangs goes
stale, whatever other threads live on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal

from service import __version__
from service.files import free_bytes, replace_text

FILE_NAME = "health.json"
STANDBY_FILES = "health.standby-*.json"
STALE_SECONDS = 60.0
MOST_LISTED = 100


@dataclass
class Health:
    """The daemon's condition; counts, file names and ids only."""

    state: Literal["ok", "degraded", "failing"] = "ok"
    reasons: list[str] = field(default_factory=list)
    written_at: str = ""
    version: str = __version__
    pid: int = 0
    waiting: list[dict[str, str]] = field(default_factory=list)
    """Files that wait: ``file_name``, ``since`` when, and what it ``waits_for``; the first ``MOST_LISTED``."""
    waiting_count: int = 0
    ignored: list[dict[str, str]] = field(default_factory=list)
    """What lies in the inbox and is no export: ``file_name`` and ``why``; the first ``MOST_LISTED``."""
    quarantined: list[str] = field(default_factory=list)
    """Batches that failed since the last published one of their job, each with its code."""
    busy_since: str | None = None
    stage: str | None = None
    stage_since: str | None = None
    batch_id: str | None = None
    last_batch: str | None = None
    """The one published last, whatever its job."""
    last_scan: str | None = None
    found_without_event: int = 0
    """Exports that only the scan found: more than a few mean that file events do not reach us."""


@dataclass(frozen=True)
class HealthCheck:
    """Whether the daemon is well, in one sentence."""

    is_well: bool
    sentence: str


@dataclass
class _Wait:
    waits_for: str
    since: str
    first_seen: float


class Waits:
    """What waits in the inbox, for what, and since when; the monotonic clock is handed in."""

    def __init__(self) -> None:
        self._waits: dict[str, _Wait] = {}

    def note(self, waits_for: Mapping[str, str], now: datetime, clock: float) -> None:
        """These files, and no others, wait at this moment; ``waits_for`` says of each what for."""
        former = self._waits
        self._waits = {
            name: former[name]
            if name in former and former[name].waits_for == what
            else _Wait(what, now.isoformat(timespec="seconds"), clock)
            for name, what in sorted(waits_for.items())
        }

    def forget(self, names: Iterable[str]) -> None:
        """These do not wait any more."""
        for name in names:
            self._waits.pop(name, None)

    def listed(self) -> list[dict[str, str]]:
        """As they stand in the health file: it is written often, so thousands do not."""
        return [
            {"file_name": name, "since": wait.since, "waits_for": wait.waits_for}
            for name, wait in islice(self._waits.items(), MOST_LISTED)
        ]

    def longer_than(self, seconds: float, clock: float) -> list[tuple[str, str]]:
        """Name, and what it waits for, of those that have waited at least so long."""
        return [(name, wait.waits_for) for name, wait in self._waits.items() if clock - wait.first_seen >= seconds]


def unwritable(folders: Iterable[Path]) -> list[str]:
    """A sentence for each of our folders that takes nothing; one that is not there is told of where it is needed."""
    return [
        f"the folder {folder} cannot be written: see who may write it, and whether its disk is read-only"
        for folder in folders
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK)
    ]


def scarce_space(folders: Iterable[Path], min_free_mb: int) -> list[str]:
    """A sentence for each of our folders whose disk has less than ``min_free_mb`` left."""
    found: list[str] = []
    for folder in folders:
        try:
            free_mb = free_bytes(folder) >> 20
        except OSError:
            continue  # a folder out of reach is told of where it is needed
        if free_mb < min_free_mb:
            found.append(f"the disk runs low: less than {min_free_mb} MB free for {folder}")
    return found


def forget_standbys(state: Path) -> None:
    """Remove what instances said that stood by; one that still does writes it again at once."""
    for path in state.glob(STANDBY_FILES):
        path.unlink(missing_ok=True)


def write(health: Health, state: Path, now: datetime, file_name: str = FILE_NAME) -> None:
    """Replace the health file."""
    health.written_at = now.isoformat(timespec="milliseconds")
    replace_text(state / file_name, json.dumps(asdict(health), indent=2) + "\n", durable=False)


def judge(state: Path, now: datetime, *, stall_minutes: float) -> HealthCheck:
    """Well if the file says ok or degraded and is fresh; a long batch is fresh while its stages move on."""
    path = state / FILE_NAME
    try:
        health = json.loads(path.read_text(encoding="utf-8"))
        written = datetime.fromisoformat(health["stage_since"] or health["written_at"])
        age_seconds = (now - written).total_seconds()
        is_busy, condition, reasons = health["busy_since"] is not None, health["state"], "; ".join(health["reasons"])
    except FileNotFoundError:
        return HealthCheck(False, f"failing: there is no {path}; is the daemon running?")
    except (ValueError, KeyError, TypeError, OSError) as error:
        return HealthCheck(False, f"failing: {path} cannot be read ({type(error).__name__})")
    if age_seconds > (60 * stall_minutes if is_busy else STALE_SECONDS):
        return HealthCheck(False, f"failing: the daemon was silent for {age_seconds:.0f} s")
    return HealthCheck(condition != "failing", f"{condition}: {reasons}" if reasons else condition)
