"""When the next scheduled sync is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from service.api.checkpoint import Checkpoint
from service.folders import StateFolders
from service.jobs.sync import endpoint_of
from service.settings import Settings


@dataclass(frozen=True)
class Due:
    """When the next scheduled sync is due, and when the last complete one ended."""

    at: datetime
    ended_at: datetime | None


def next_due(settings: Settings, now: datetime) -> Due:
    """When the next sync is due: the interval after the last complete one, and not before the API allows it.

    Raises: TransientError while another sync is running, OSError.
    """
    checkpoint = Checkpoint(StateFolders(settings.state).sync)
    with checkpoint.opened():
        ended_at, not_before = checkpoint.ended_at(), checkpoint.not_before(endpoint_of(settings).identity)
    at = now if ended_at is None else ended_at + timedelta(minutes=settings.sync_every_minutes)
    return Due(max(at, not_before or at), ended_at)
