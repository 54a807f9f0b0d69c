"""The health of the watcher: writing ``state/health.json``, judging it for a health check, and whether it is ready.

The processing loop itself writes it, at every tick and at every stage of a batch: if the loop hangs, the file gets
old, even if other threads are alive. Within a stage a thread writes how far it has come; the file is then as old as
the row that was done last. ``heartbeat.json`` says within seconds that the loop is stopped, hangs or is dead.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from service import documents
from service.documents import HealthReport, Heartbeat
from service.files import free_bytes, is_synced
from service.folders import STANDBY_FILES, Folders, StateFolders
from service.health_reasons import HealthReason
from service.locks import is_locked

STALE_SECONDS = 60.0
FRESH_SECONDS = 8.0
"""A heartbeat comes every two seconds; one that is older says that the loop does not move."""
MOST_LISTED = 100
"""The file is written often, so it lists at most so many entries of a kind."""


@dataclass(frozen=True)
class HealthCheck:
    """Whether the watcher is healthy, and why."""

    is_healthy: bool
    sentence: str


def unwritable(folders: Iterable[Path]) -> list[HealthReason]:
    """One reason per folder that exists but is not writable. What is missing or out of reach is reported elsewhere."""
    return [
        HealthReason(
            "folder_unwritable",
            f"the folder {folder} cannot be written: check its owner and mode, and whether its disk is read-only",
        )
        for folder in folders
        if _is_unwritable(folder)
    ]


def _is_unwritable(folder: Path) -> bool:
    try:
        return folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK)
    except OSError:  # a folder above it is closed, or its server does not answer
        return False


def scarce_space(folders: Iterable[Path], min_free_mb: int) -> list[HealthReason]:
    """One reason per folder whose disk has less than ``min_free_mb`` MB left."""
    found: list[HealthReason] = []
    for folder in folders:
        try:
            free_mb = free_bytes(folder) >> 20
        except OSError:
            continue  # a folder that cannot be reached is reported elsewhere
        if free_mb < min_free_mb:
            text = f"the disk runs low: less than {min_free_mb} MB free for {folder}"
            found.append(HealthReason("disk_low", text))
    return found


def unsynced(folders: Iterable[Path]) -> tuple[str, ...]:
    """One message per folder that its file system cannot sync."""
    found: list[str] = []
    for folder in folders:
        with suppress(OSError):  # reported elsewhere
            if not is_synced(folder):
                found.append(f"the file system of {folder} cannot sync folders: after a power cut it may lose a rename")
    return tuple(found)


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
    """Judge health file and heartbeat: healthy if the state is ok or degraded, and both are recent.

    The heartbeat is recent for ``FRESH_SECONDS``, and may be as far ahead, of a clock that was set back. The health
    file is recent for a minute; while a batch is in work for ``stall_minutes`` after its stage began or last moved.
    """
    path = StateFolders(state).health
    try:
        report = documents.read(path, HealthReport)
        age_seconds = (now - _last_sign(report)).total_seconds()
    except FileNotFoundError:
        return HealthCheck(False, f"failing: there is no {path}; is the watcher running?")
    except (ValueError, TypeError, OSError) as error:
        return HealthCheck(False, f"failing: {path} cannot be read ({type(error).__name__})")
    heartbeat = _judge_heartbeat(report, state, now)
    if not heartbeat.is_healthy:
        return HealthCheck(False, f"failing: {heartbeat.sentence}")
    most_seconds = 60 * stall_minutes if report.busy_since is not None else STALE_SECONDS
    if age_seconds > most_seconds:
        return HealthCheck(False, f"failing: the watcher was silent for {age_seconds:.0f} s")
    sentence = f"{report.state}: {'; '.join(report.reasons)}" if report.reasons else report.state
    return HealthCheck(report.state != "failing", sentence)


def _judge_heartbeat(report: HealthReport, state: Path, now: datetime) -> HealthCheck:
    """Whether the loop moves, as far as this watcher writes that."""
    path = StateFolders(state).heartbeat
    if not report.has_heartbeat:
        return HealthCheck(True, "this watcher writes no heartbeat")
    try:
        alive_at = datetime.fromisoformat(documents.read(path, Heartbeat).alive_at)
        age_seconds = (now - alive_at).total_seconds()
    except FileNotFoundError:
        return HealthCheck(False, f"there is no {path}")
    except (ValueError, TypeError, OSError) as error:
        return HealthCheck(False, f"{path} cannot be read ({type(error).__name__})")
    if age_seconds < -FRESH_SECONDS:
        sentence = f"the heartbeat is {-age_seconds:.0f} s ahead: the clock was set back, and none came since"
        return HealthCheck(False, sentence)
    if age_seconds > FRESH_SECONDS:
        return HealthCheck(False, f"no heartbeat for {age_seconds:.0f} s: the watcher is stopped, hangs or died")
    return HealthCheck(True, "the loop of the watcher moves")


# ---------------------------------------------------------------------------------------------------- readiness

ReadinessName = Literal["lock", "heartbeat", "folders", "space", "health"]


@dataclass(frozen=True)
class ReadinessCheck:
    """One condition of an export that is dropped now being integrated soon."""

    name: ReadinessName
    is_ok: bool
    sentence: str
    """What was found, for a person."""


def readiness(folders: Folders, now: datetime, *, stall_minutes: float, min_free_mb: int) -> tuple[ReadinessCheck, ...]:
    """Whether a watcher is ready to work on these folders: it is if every check is ok.

    Stricter than ``judge``, which says whether a restart would help: a disk that runs low is not ok. Reads only;
    ``folders`` and ``space`` are what this process finds.
    """
    return (
        _lock_check(folders.state),
        _heartbeat_check(folders.state, now),
        _check_of("folders", unwritable(folders.needed), "every folder can be written"),
        _check_of("space", scarce_space(_roots(folders), min_free_mb), f"at least {min_free_mb} MB are free"),
        _health_check(folders.state, now, stall_minutes),
    )


def _roots(folders: Folders) -> tuple[Path, ...]:
    return tuple(root for root in (folders.inbox, folders.outbox, folders.state) if root is not None)


def _lock_check(state: Path) -> ReadinessCheck:
    try:
        is_taken = is_locked(StateFolders(state).lock)
    except OSError as error:
        return ReadinessCheck("lock", False, f"the lock of the state cannot be read ({type(error).__name__})")
    sentence = "a watcher works with the state" if is_taken else f"no watcher works with the state folder {state}"
    return ReadinessCheck("lock", is_taken, sentence)


def _heartbeat_check(state: Path, now: datetime) -> ReadinessCheck:
    try:
        report = documents.read(StateFolders(state).health, HealthReport)
    except (ValueError, OSError) as error:
        return ReadinessCheck("heartbeat", False, f"health.json cannot be read ({type(error).__name__})")
    heartbeat = _judge_heartbeat(report, state, now)
    return ReadinessCheck("heartbeat", heartbeat.is_healthy, heartbeat.sentence)


def _check_of(name: ReadinessName, faults: list[HealthReason], otherwise: str) -> ReadinessCheck:
    return ReadinessCheck(name, not faults, "; ".join(fault.text for fault in faults) or otherwise)


def _health_check(state: Path, now: datetime, stall_minutes: float) -> ReadinessCheck:
    health = judge(state, now, stall_minutes=stall_minutes)
    return ReadinessCheck("health", health.is_healthy, health.sentence)
