"""The health of the daemon: writing ``state/health.json``, and judging it for a health check.

The processing loop itself writes it, at every tick and at every stage of a batch: if the loop hangs, the file gets
old, even if other threads are alive. Within a stage a thread writes how far it has come; the file is then as old as
the row that was done last.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from service import documents
from service.documents import HealthReport
from service.files import free_bytes
from service.folders import STANDBY_FILES, StateFolders

STALE_SECONDS = 60.0
MOST_LISTED = 100
"""The file is written often, so it lists at most so many entries of a kind."""


@dataclass(frozen=True)
class HealthCheck:
    """Whether the daemon is healthy, and why."""

    is_healthy: bool
    sentence: str


def unwritable(folders: Iterable[Path]) -> list[str]:
    """One message per folder that exists but is not writable. Missing folders are reported elsewhere."""
    return [
        f"the folder {folder} cannot be written: check its owner and mode, and whether its disk is read-only"
        for folder in folders
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK)
    ]


def scarce_space(folders: Iterable[Path], min_free_mb: int) -> list[str]:
    """One message per folder whose disk has less than ``min_free_mb`` MB left."""
    found: list[str] = []
    for folder in folders:
        try:
            free_mb = free_bytes(folder) >> 20
        except OSError:
            continue  # a folder that cannot be reached is reported elsewhere
        if free_mb < min_free_mb:
            found.append(f"the disk runs low: less than {min_free_mb} MB free for {folder}")
    return found


def forget_standbys(state: Path) -> None:
    """Remove the reports of instances that stood by; one that still does writes its report again."""
    for path in state.glob(STANDBY_FILES):
        path.unlink(missing_ok=True)


def write(report: HealthReport, state: Path, now: datetime, *, standby: str = "") -> None:
    """Replace the health file, or the file of the instance ``standby``. Raises: OSError."""
    folders = StateFolders(state)
    path = folders.standby_health(standby) if standby else folders.health
    documents.write(path, replace(report, written_at=now.isoformat(timespec="milliseconds")), durable=False)


def _last_sign(report: HealthReport) -> datetime:
    """When the loop last showed that it moves."""
    began = datetime.fromisoformat(report.stage_since or report.written_at)
    return began if report.progress is None else max(began, datetime.fromisoformat(report.progress.moved_at))


def judge(state: Path, now: datetime, *, stall_minutes: float) -> HealthCheck:
    """Judge the health file: healthy if its state is ok or degraded, and it is recent.

    While a batch is in work it is recent for ``stall_minutes`` after its stage began or last moved, else for a minute.
    """
    path = StateFolders(state).health
    try:
        report = documents.read(path, HealthReport)
        age_seconds = (now - _last_sign(report)).total_seconds()
    except FileNotFoundError:
        return HealthCheck(False, f"failing: there is no {path}; is the daemon running?")
    except (ValueError, TypeError, OSError) as error:
        return HealthCheck(False, f"failing: {path} cannot be read ({type(error).__name__})")
    most_seconds = 60 * stall_minutes if report.busy_since is not None else STALE_SECONDS
    if age_seconds > most_seconds:
        return HealthCheck(False, f"failing: the daemon was silent for {age_seconds:.0f} s")
    sentence = f"{report.state}: {'; '.join(report.reasons)}" if report.reasons else report.state
    return HealthCheck(report.state != "failing", sentence)
