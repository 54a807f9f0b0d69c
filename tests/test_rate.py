"""The rate that is learned from refusals: against limiters of several kinds, in virtual time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.pacing import RETRY_SECONDS, Gate
from service.api.rate import LearnedRate
from tests.sizes import examples
from tests.virtual_time import VirtualClock

REQUESTS = 61


class Limiter(Protocol):
    """Decides about each request, and knows how long it needs for ``REQUESTS`` at best."""

    def permits(self, at: float) -> bool:
        """Whether a request that arrives at this time is answered."""

    def own_seconds(self) -> float:
        """From the first to the last request, for a client that knows the limit."""


@dataclass
class Bucket:
    """``limit_req`` of nginx: one request per interval, and a burst; a refused request costs nothing."""

    interval: float
    burst: int = 0
    level: float = 0.0
    last: float | None = None

    def permits(self, at: float) -> bool:
        """See ``Limiter``."""
        level = 0.0 if self.last is None else max(self.level - (at - self.last) / self.interval + 1, 0.0)
        if level > self.burst + 1e-9:
            return False
        self.level, self.last = level, at
        return True

    def own_seconds(self) -> float:
        """See ``Limiter``."""
        return (REQUESTS - 1 - self.burst) * self.interval


@dataclass
class Window:
    """So many requests in each window of fixed length; all beyond are refused until the next one begins."""

    requests: int
    seconds: float
    seen: dict[int, int] = field(default_factory=dict)

    def permits(self, at: float) -> bool:
        """See ``Limiter``."""
        number = int(at / self.seconds)
        self.seen[number] = self.seen.get(number, 0) + 1
        return self.seen[number] <= self.requests

    def own_seconds(self) -> float:
        """See ``Limiter``."""
        return (REQUESTS - 1) // self.requests * self.seconds


@dataclass
class Log:
    """So many requests in any stretch of time; a refused request counts, so a client must really be slower."""

    requests: int
    seconds: float
    times: list[float] = field(default_factory=list)

    def permits(self, at: float) -> bool:
        """See ``Limiter``."""
        self.times = [*(time for time in self.times if time > at - self.seconds + 1e-9), at]
        return len(self.times) <= self.requests

    def own_seconds(self) -> float:
        """See ``Limiter``."""
        return (REQUESTS - 1) // self.requests * self.seconds


@dataclass(frozen=True)
class Read:
    """How a collection was read."""

    seconds: float
    refused: int
    most_refusals_in_a_row: int


def read(
    limiter: Limiter, concurrency: int, *, answer_seconds: float = 0.01, per_second: float = 10, is_503: bool = False
) -> Read:
    """Request the first page, then all others, ``concurrency`` at a time, as a sync does.

    ``is_503``: the limiter answers with 503, which may also be a fault of one page.
    """
    clock = VirtualClock()

    async def work() -> Read:
        gate = Gate(clock, per_second, run_seconds=36_000)
        refused = most = 0

        async def fetch(faults: int) -> bool | None:
            """True for a page, False for a rate limit, None for a fault."""
            nonlocal refused, most
            async with gate.admitted() as sent_at:
                await clock.sleep(answer_seconds / 2)
                is_permitted = limiter.permits(clock.seconds)
                await clock.sleep(answer_seconds / 2)
                if is_permitted:
                    gate.arrived(sent_at)
                    return True
                if is_503 and not gate.count_overload(is_first=not faults):
                    return None
                refused += 1
                if (pause := gate.refused(sent_at, is_stated=False)) is not None:
                    gate.pause(pause)
                most = max(most, gate.refusals)
                return False

        async def worker(pages: list[int]) -> None:
            while pages:
                pages.pop()
                faults = 0
                while not (found := await fetch(faults)):
                    if found is None:
                        await gate.rest(RETRY_SECONDS[faults])
                        faults += 1

        await worker([1])
        left = list(range(2, REQUESTS + 1))
        await asyncio.gather(*(worker(left) for _ in range(concurrency)))
        return Read(clock.seconds, refused, most)

    return clock.run(work())


@pytest.mark.parametrize("concurrency", [1, 4, 16, 64])
@pytest.mark.parametrize("interval", [4, 3, 2, 1, 0.5, 0.2])
@pytest.mark.parametrize("is_503", [False, True])
def test_a_limit_without_a_stated_pause_costs_at_most_three_tenths_more_than_its_own_time(
    interval: float, concurrency: int, is_503: bool
) -> None:
    """A real server and a busy machine have the rest of two fifths. The first 503 is retried as a fault of its page."""
    found = read(Bucket(interval), concurrency, is_503=is_503)
    assert found.seconds <= 1.3 * 60 * interval + RETRY_SECONDS[0] * is_503
    assert found.most_refusals_in_a_row <= 3


@settings(max_examples=examples(60))
@given(
    interval=st.floats(0.15, 5),
    burst=st.integers(0, 25),
    concurrency=st.integers(1, 64),
    answer_seconds=st.floats(0.001, 0.1),
)
def test_any_such_limit_costs_little_more_than_its_own_time(
    interval: float, burst: int, concurrency: int, answer_seconds: float
) -> None:
    limiter = Bucket(interval, burst)
    own = max(limiter.own_seconds(), REQUESTS / 10)
    found = read(limiter, concurrency, answer_seconds=answer_seconds)
    assert found.seconds <= 1.4 * own + 5
    assert found.most_refusals_in_a_row <= 10, "the run would have ended"


@pytest.mark.parametrize("concurrency", [1, 4, 64])
@pytest.mark.parametrize("limiter", [(10, 10.0), (60, 60.0), (20, 60.0)])
def test_a_window_is_met_although_pages_come_in_bursts(limiter: tuple[int, float], concurrency: int) -> None:
    window = Window(*limiter)
    found = read(window, concurrency)
    assert found.seconds <= 1.4 * window.own_seconds()
    assert found.most_refusals_in_a_row <= 10


@pytest.mark.parametrize("concurrency", [1, 4, 64])
@pytest.mark.parametrize("limiter", [(1, 1.0), (5, 1.0), (10, 10.0), (20, 60.0)])
def test_a_limit_that_counts_refused_requests_is_met_too(limiter: tuple[int, float], concurrency: int) -> None:
    log = Log(*limiter)
    found = read(log, concurrency)
    assert found.seconds <= 2 * log.own_seconds()
    assert found.most_refusals_in_a_row <= 10


@dataclass
class Dice:
    """Refuses at random, however slow the client is: not a limit of the rate at all."""

    refused: float
    dice: random.Random

    def permits(self, at: float) -> bool:
        """See ``Limiter``."""
        return self.dice.random() >= self.refused

    def own_seconds(self) -> float:
        """See ``Limiter``."""
        return REQUESTS / 10


@pytest.mark.large
@pytest.mark.parametrize("seed", range(20))
def test_refusals_at_random_do_not_slow_a_run_down_more_and_more(seed: int) -> None:
    found = read(Dice(0.2, random.Random(seed)), 4)
    assert found.seconds <= 60
    assert found.most_refusals_in_a_row <= 10


def test_slow_answers_are_requested_side_by_side_again() -> None:
    assert read(Bucket(0.2), 16, answer_seconds=0.3).seconds <= 60 * 0.3


def test_requests_refused_together_are_one_refusal() -> None:
    rate = LearnedRate()
    rate.arrived(0.0, 0.1)
    assert rate.refused(0.2, 0.3, is_stated=False) == 1
    assert rate.is_counted(0.2)
    assert rate.is_counted(0.25)
    assert not rate.is_counted(1.3)
    assert rate.refusals == 1


def test_a_503_is_a_refusal_only_while_pages_arrive_and_not_alone() -> None:
    rate = LearnedRate()
    assert not rate.count_overload(0.1, is_first=True), "no page arrived yet: the API is down"
    for _ in range(3):
        rate.arrived(0.2, 0.3)
    assert [rate.count_overload(0.4, is_first=True) for _ in range(3)] == [False, True, True]
    rate.refused(0.4, 0.4, is_stated=False)
    rate.arrived(1.5, 1.5)
    assert rate.count_overload(1.6, is_first=True), "a limit is known"
    assert not rate.count_overload(60, is_first=True), "no page arrived for long"


def test_a_503_for_every_other_request_is_a_refusal() -> None:
    rate, found = LearnedRate(), []
    for second in range(4):
        rate.arrived(second, second)
        found.append(rate.count_overload(second + 0.1, is_first=True))
    assert found == [False, True, True, True]


def test_503s_with_two_pages_between_them_are_faults_of_their_pages() -> None:
    rate = LearnedRate()
    for second in range(40):
        rate.arrived(second, second)
        if second % 2:
            assert not rate.count_overload(second + 0.1, is_first=True)


def test_the_first_spacing_is_that_of_the_pages_of_the_last_ten_seconds() -> None:
    rate = LearnedRate()
    for second in range(100):
        rate.arrived(second * 0.5, second * 0.5)
    assert rate.refused(50.0, 50.0, is_stated=False) == 0.5
    assert (rate.spacing, rate.width) == (0.5, 1)


def test_pauses_double_up_to_a_minute_while_no_page_arrives() -> None:
    rate = LearnedRate()
    found = [rate.refused(at, at, is_stated=False) for at in range(1, 10)]
    assert found == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_ten_pages_raise_the_rate_by_a_tenth() -> None:
    rate = LearnedRate()
    rate.arrived(0.0, 0.0)
    rate.arrived(1.0, 1.0)
    rate.refused(1.96, 1.96, is_stated=False)  # narrow enough: there is nothing to search
    sent, spacings = 3.0, []
    for _ in range(31):
        rate.arrived(sent, sent)
        spacings.append(rate.spacing)
        sent += rate.spacing
    assert spacings[-1] == pytest.approx(1 / 1.1**3, rel=0.05)
