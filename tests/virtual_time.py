"""A clock for coroutines in which a sleep takes no time: when all of them wait, it jumps to the next that is due."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
_TURNS_UNTIL_ALL_WAIT = 30
_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class VirtualClock:
    """A ``Clock``; ``run`` advances it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._due: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = 0

    def now(self) -> datetime:
        """The wall clock."""
        return _NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has advanced so far."""
        due: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slept += 1
        heapq.heappush(self._due, (self.seconds + seconds, self._slept, due))
        await due

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, and those that it starts, to its end."""
        return asyncio.run(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        while True:
            for _ in range(_TURNS_UNTIL_ALL_WAIT):
                await asyncio.sleep(0)
            if task.done():
                return task.result()
            assert self._due, "everything waits for something that never happens"
            at, _, due = heapq.heappop(self._due)
            self.seconds = max(self.seconds, at)
            if not due.done():
                due.set_result(None)
