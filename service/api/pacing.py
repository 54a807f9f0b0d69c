"""Pacing: when the next request may go out, as arithmetic over a clock that is handed in."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from service.errors import TransientError

RETRY_SECONDS = (1.0, 2.0, 4.0)
"""PreviousExport the second, third and fourth try of a request that failed."""
_LONGEST_GUESS_SECONDS = 60.0
_LONGEST_ASKED_SECONDS = 366.0 * 86_400  # what is longer can hardly be meant, nor be written as a date


class Clock(Protocol):
    """The time, and how to let it pass."""

    def now(self) -> datetime:
        """The time of day, with its zone."""

    def monotonic(self) -> float:
        """Seconds that only ever grow."""

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds have passed."""


class RunExpired(TransientError):
    """The run has taken as long as it may; what it got is kept."""


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """How long ``Retry-After`` asks us to wait: a number of seconds or a date; None where it says neither.

    ``now`` is what the sender takes for now: the ``Date`` of its answer, where there is one.

    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> retry_after_seconds("7", noon), retry_after_seconds("Sun, 01 Mar 2026 12:01:30 GMT", noon)
    (7.0, 90.0)
    >>> retry_after_seconds("Sun, 01 Mar 2026 11:00:00 GMT", noon), retry_after_seconds("1m0s", noon)
    (0.0, None)
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_ASKED_SECONDS)
    at = http_date(text)
    return None if at is None else min(max((at - now).total_seconds(), 0.0), _LONGEST_ASKED_SECONDS)


def http_date(text: str | None) -> datetime | None:
    """A date as HTTP writes them; None where it is none."""
    try:
        at = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def guessed_pause_seconds(number: int) -> float:
    """How long to pause for the ``number``-th time (from 1) for one that limits us and does not say for how long."""
    return min(2.0 ** (number - 1), _LONGEST_GUESS_SECONDS)


class Gate:
    """What every request of a run goes through: a rate (token bucket), a pause for all, and the end of the run."""

    def __init__(self, clock: Clock, per_second: float, run_seconds: float) -> None:
        """``per_second``: requests, 0 = as fast as they come; the bucket holds one second's worth, at least one."""
        self._clock = clock
        self._interval = 1 / per_second if per_second else 0.0
        self._slack = max(per_second - 1, 0) * self._interval
        self._next_free = clock.monotonic()
        self._not_before = clock.monotonic()
        self._ends_at = clock.monotonic() + run_seconds
        self._waits_until = clock.monotonic()
        self.waited_seconds = 0.0
        """How long somebody waited; several at the same time count once."""

    async def enter(self) -> None:
        """Return when a request may go out. Raises: RunExpired."""
        while True:
            while (left := self._not_before - self._clock.monotonic()) > 0:
                await self.rest(left)  # the pause may grow meanwhile
            # The token is taken behind the pause: all that were held up would else come out of it at once.
            await self.rest(self._turn())
            if self._clock.monotonic() >= self._not_before:
                return

    def pause(self, seconds: float) -> None:
        """Let nobody pass for so long; a longer pause that is on stays."""
        self._not_before = max(self._not_before, self._clock.monotonic() + seconds)

    async def rest(self, seconds: float) -> None:
        """Let so many seconds pass. Raises: RunExpired, at once, where the run would be over by then."""
        if self._clock.monotonic() + seconds >= self._ends_at:
            raise RunExpired(
                "the run took as long as it may",
                hint="run it again, it goes on from here; or raise SERVICE_SYNC_MINUTES",
            )
        if seconds > 0:
            until = self._clock.monotonic() + seconds
            self.waited_seconds += max(until - max(self._clock.monotonic(), self._waits_until), 0.0)
            self._waits_until = max(self._waits_until, until)
            await self._clock.sleep(seconds)

    def _turn(self) -> float:
        """Take a token; how long it takes until there is one."""
        now = self._clock.monotonic()
        turn = max(self._next_free, now)
        self._next_free = turn + self._interval
        return max(turn - self._slack - now, 0.0)


class Jitter:
    """Random seconds on top of each wait, so that several clients do not come back together; 0 = none."""

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds

    def seconds(self) -> float:
        """The next one."""
        return random.uniform(0, self._most_seconds)
