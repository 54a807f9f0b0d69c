"""Pacing: when the next request may be sent, as arithmetic over a clock that is passed in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.api.clock import Clock
from service.api.rate import LearnedRate
from service.errors import TransientError

RETRY_SECONDS = (1.0, 2.0, 4.0)
"""Before the second, third and fourth attempt of a request that failed."""


class RunExpired(TransientError):
    """The run exceeded its time limit; its pages are kept."""


class Gate:
    """Admits the requests of a run: rate (token bucket), pauses for all, the learned rate, time limit of the run."""

    def __init__(self, clock: Clock, per_second: float, run_seconds: float) -> None:
        """``per_second``: requests, 0 = no limit; the bucket holds one second's worth, at least one."""
        self._clock = clock
        self._rate = LearnedRate()
        self._interval = 1 / per_second if per_second else 0.0
        self._slack = max(per_second - 1, 0) * self._interval
        self._next_free = self._not_before = self._waits_until = clock.monotonic()
        self._last_sent = clock.monotonic() - run_seconds
        self._ends_at = clock.monotonic() + run_seconds
        self._queue = asyncio.Lock()
        self._in_progress: set[asyncio.Future[None]] = set()
        self.waited_seconds = 0.0
        """Seconds waited; simultaneous waits count once."""

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[float]:
        """Wait until a request may be sent; yields the time at which it is. Raises: RunExpired."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with self._queue:
            await self._enter()
            self._in_progress.add(done)
            sent_at = self._last_sent = self._clock.monotonic()
        try:
            yield sent_at
        finally:
            self._in_progress.discard(done)
            done.set_result(None)

    @property
    def refusals(self) -> int:
        """Rate limits since the last page that arrived."""
        return self._rate.refusals

    def arrived(self, sent_at: float) -> None:
        """Count a page that was requested at this time, as ``admitted`` yielded it."""
        self._rate.arrived(sent_at, self._clock.monotonic())

    def refused(self, sent_at: float, *, is_stated: bool) -> float | None:
        """Count a rate limit; returns the seconds to pause, None if the same limit is counted already.

        ``is_stated``: the API states the pause itself.
        """
        if self._rate.is_counted(sent_at):
            return None
        return self._rate.refused(sent_at, self._clock.monotonic(), is_stated=is_stated)

    def count_overload(self, *, is_first: bool) -> bool:
        """Count a 503 without a pause; returns whether it is a rate limit. ``is_first``: no retry of that page."""
        return self._rate.count_overload(self._clock.monotonic(), is_first=is_first)

    def pause(self, seconds: float) -> None:
        """Admit no request for so long; a longer pause in force stays."""
        self._not_before = max(self._not_before, self._clock.monotonic() + seconds)

    async def rest(self, seconds: float) -> None:
        """Wait this many seconds. Raises: RunExpired, at once, where the run would have ended by then."""
        if self._clock.monotonic() + seconds >= self._ends_at:
            raise RunExpired(
                "the run exceeded its time limit",
                hint="run it again: it resumes from here; or raise SERVICE_SYNC_MINUTES",
            )
        if seconds > 0:
            until = self._clock.monotonic() + seconds
            self.waited_seconds += max(until - max(self._clock.monotonic(), self._waits_until), 0.0)
            self._waits_until = max(self._waits_until, until)
            await self._clock.sleep(seconds)

    async def _enter(self) -> None:
        # The token is taken after the pause; else all waiting requests would be sent at once.
        while True:
            while self._is_full():
                await asyncio.wait(self._in_progress, return_when=asyncio.FIRST_COMPLETED)
            while (left := self._seconds_left()) > 0:
                await self.rest(left)  # the pause may grow meanwhile
            await self.rest(self._turn())
            if self._seconds_left() <= 0 and not self._is_full():
                return

    def _is_full(self) -> bool:
        return self._rate.width is not None and len(self._in_progress) >= self._rate.width

    def _seconds_left(self) -> float:
        return max(self._not_before, self._last_sent + self._rate.spacing) - self._clock.monotonic()

    def _turn(self) -> float:
        """Take a token; returns the seconds until it is available."""
        now = self._clock.monotonic()
        turn = max(self._next_free, now)
        self._next_free = turn + self._interval
        return max(turn - self._slack - now, 0.0)


class Jitter:
    """Random seconds on top of each wait, so that several clients do not send together; 0 = none."""

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds

    def seconds(self) -> float:
        """The next random value."""
        return random.uniform(0, self._most_seconds)
