"""A world for tests of the sync: settings that name an API, and a clock that advances only in a sleep."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from service.jobs.sync import Synced, sync
from service.settings import Settings
from tests.worlds import World

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class FakeClock:
    """Time advances only in ``sleep``, which returns at once."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """The wall clock."""
        return TODAY + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Advance the clock; simultaneous sleeps advance it together."""
        self.slept.append(seconds)
        until = self.seconds + seconds
        await asyncio.sleep(0)
        self.seconds = max(self.seconds, until)


class ApiHouse(World):
    """A world with settings to sync from an API, and its own clock."""

    def __init__(self, root: Path, url: str, **changes: Any) -> None:
        super().__init__(root)
        self.clock = FakeClock()
        values: dict[str, Any] = {
            "api_url": url,
            "api_key": "demo",
            "api_per_page": 6,
            "api_requests_per_second": 0,
            "api_request_seconds": 5,
            "inbox": self.inbox,
            "outbox": self.outbox,
            "state": self.state,
        }
        self.settings = Settings(**(values | changes))

    def sync(self) -> Synced:
        """Run one sync, by the clock of this world."""
        return asyncio.run(sync(self.settings, self.clock))

    @property
    def delivered(self) -> Path:
        """Path of the file that a sync writes."""
        return self.inbox / "api_customers.json"

    def document(self) -> dict[str, Any]:
        """The contents of that file."""
        found: dict[str, Any] = json.loads(self.delivered.read_text(encoding="utf-8"))
        return found

    def ids(self) -> list[Any]:
        """The ids of the customers in that file, in order."""
        return [row.get("id") if isinstance(row, dict) else None for row in self.document()["data"]]
