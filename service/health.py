"""What the daemon says of itself, in ``state/health.json``, and what a health check makes of it.

The processing loop itself writes it, at every tick and at every stage of a batch: a loop that hangs goes
stale, whatever other threads live on.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from service import __version__
from service.files import replace_text

FILE_NAME = "health.json"
STALE_SECONDS = 60.0


@dataclass
class Health:
    """The daemon's condition; counts, file names and ids only."""

    state: Literal["ok", "degraded", "failing"] = "ok"
    reasons: list[str] = field(default_factory=list)
    written_at: str = ""
    version: str = __version__
    pid: int = 0
    waiting: list[dict[str, str]] = field(default_factory=list)
    """Files that wait: name, since when, and what for."""
    ignored: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    busy_since: str | None = None
    stage: str | None = None
    stage_since: str | None = None
    batch_id: str | None = None
    last_batch: str | None = None
    last_scan: str | None = None
    found_without_event: int = 0


@dataclass(frozen=True)
class Verdict:
    """Whether the daemon is well, in one sentence."""

    is_well: bool
    sentence: str


def write(health: Health, state: Path, now: datetime, file_name: str = FILE_NAME) -> None:
    """Replace the health file."""
    health.written_at = now.isoformat(timespec="milliseconds")
    replace_text(state / file_name, json.dumps(asdict(health), indent=2) + "\n", durable=False)


def judge(state: Path, now: datetime, *, stall_minutes: float) -> Verdict:
    """Well if the file says ok or degraded and is fresh; a long batch is fresh while its stages move on."""
    path = state / FILE_NAME
    try:
        health = json.loads(path.read_text(encoding="utf-8"))
        written = datetime.fromisoformat(health["stage_since"] or health["written_at"])
    except FileNotFoundError:
        return Verdict(False, f"failing: there is no {path}; is the daemon running?")
    except (ValueError, KeyError, OSError) as error:
        return Verdict(False, f"failing: {path} cannot be read ({type(error).__name__})")
    age_seconds = (now - written).total_seconds()
    allowed_seconds = 60 * stall_minutes if health["busy_since"] else STALE_SECONDS
    if age_seconds > allowed_seconds:
        return Verdict(False, f"failing: the daemon was silent for {age_seconds:.0f} s")
    reasons = f": {'; '.join(health['reasons'])}" if health["reasons"] else ""
    return Verdict(health["state"] != "failing", f"{health['state']}{reasons}")
