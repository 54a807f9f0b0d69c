"""Pacing: when the next request may be sent, as arithmetic over a clock that is passed in."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from service.api.clock import Clock
from service.errors import TransientError

RETRY_SECONDS = (1.0, 2.0, 4.0)
"""Before the second, third and fourth attempt of a request that failed."""
_LONGEST_GUESS_SECONDS = 60.0
_LONGEST_STATED_SECONDS = 366.0 * 86_400  # a longer pause is a mistake, and cannot be written as a date


class RunExpired(TransientError):
    """The run exceeded its time limit; its pages are kept."""


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Seconds that ``Retry-After`` requests, from a number or a date; None where it is neither.

    ``now`` is the time of the sender: the ``Date`` of its answer, where there is one.

    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> retry_after_seconds("7", noon), retry_after_seconds("Sun, 01 Mar 2026 12:01:30 GMT", noon)
    (7.0, 90.0)
    >>> retry_after_seconds("Sun, 01 Mar 2026 11:00:00 GMT", noon), retry_after_seconds("1m0s", noon)
    (0.0, None)
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_STATED_SECONDS)
    at = http_date(text)
    return None if at is None else min(max((at - now).total_seconds(), 0.0), _LONGEST_STATED_SECONDS)


def http_date(text: str | None) -> datetime | None:
    """A parsed HTTP date; None where the text is none."""
    try:
        at = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def guessed_pause_seconds(number: int) -> float:
    """Seconds of the ``number``-th pause (from 1) for a rate limit without ``Retry-After``."""
    return min(2.0 ** (number - 1), _LONGEST_GUESS_SECONDS)


class Gate:
    """Admits the requests of a run: rate (token bucket), pauses for all, time limit of the run."""

    def __init__(self, clock: Clock, per_second: float, run_seconds: float) -> None:
        """``per_second``: requests, 0 = no limit; the bucket holds one second's worth, at least one."""
        self._clock = clock
        self._interval = 1 / per_second if per_second else 0.0
        self._slack = max(per_second - 1, 0) * self._interval
        self._next_free = clock.monotonic()
        self._not_before = clock.monotonic()
        self._ends_at = clock.monotonic() + run_seconds
        self._waits_until = clock.monotonic()
        self.waited_seconds = 0.0
        """Seconds waited; simultaneous waits count once."""

    async def enter(self) -> None:
        """Return when a request may be sent. Raises: RunExpired."""
        while True:
            while (left := self._not_before - self._clock.monotonic()) > 0:
                await self.rest(left)  # the pause may grow meanwhile
            # The token is taken after the pause; else all waiting requests would be sent at once.
            await self.rest(self._turn())
            if self._clock.monotonic() >= self._not_before:
                return

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
