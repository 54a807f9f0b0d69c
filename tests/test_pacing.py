"""When the next request may be sent: retries and rate limits, as arithmetic over a fake clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.headers import retry_after_seconds
from service.api.pacing import Gate, Jitter, RunExpired
from tests.api_house import FakeClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()

    asyncio.run(main())


YEAR = 366 * 86_400


@given(st.integers(min_value=0, max_value=YEAR))
def test_retry_after_in_seconds_is_used_unchanged(seconds: int) -> None:
    assert retry_after_seconds(str(seconds), NOON) == seconds


@given(st.integers(min_value=-YEAR, max_value=YEAR))
def test_retry_after_as_a_date_is_the_time_until_then_and_never_negative(seconds: int) -> None:
    header = format_datetime(NOON + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_seconds(header, NOON) == max(seconds, 0)


@pytest.mark.parametrize("junk", ["1m0s", "²", "-5", "1.5s", "1,5", ".", "soon", "Sun, 99 Foo 2026", "", "٣", None])
def test_retry_after_of_another_form_is_none(junk: str | None) -> None:
    assert retry_after_seconds(junk, NOON) is None


@pytest.mark.parametrize("header", ["9" * 400, "999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_is_at_most_a_year(header: str) -> None:
    assert retry_after_seconds(header, NOON) == YEAR


@given(st.text(max_size=40))
def test_every_text_is_accepted_as_retry_after(header: str) -> None:
    found = retry_after_seconds(header, NOON)
    assert found is None or found >= 0


def test_a_rate_admits_the_requests_of_one_second_at_once_and_then_keeps_to_the_rate() -> None:
    clock = FakeClock()
    times: list[float] = []

    async def work() -> None:
        gate = Gate(clock, per_second=5, run_seconds=1000)
        for _ in range(15):
            async with gate.admitted():
                pass
            times.append(clock.monotonic())

    run(work)
    assert times[:5] == [0.0] * 5
    assert times[5:] == pytest.approx([0.2 * number for number in range(1, 11)])


def test_a_rate_below_one_in_a_second_admits_single_requests() -> None:
    clock = FakeClock()

    async def work() -> None:
        gate = Gate(clock, per_second=1 / 3, run_seconds=1000)
        for _ in range(4):
            async with gate.admitted():
                pass

    run(work)
    assert clock.monotonic() == pytest.approx(9)


def test_a_pause_holds_for_all_requests_and_a_shorter_one_does_not_end_it() -> None:
    clock = FakeClock()
    times: list[float] = []

    async def work() -> None:
        gate = Gate(clock, per_second=0, run_seconds=1000)
        gate.pause(30)
        gate.pause(5)

        async def worker() -> None:
            async with gate.admitted():
                pass
            times.append(clock.monotonic())

        await asyncio.gather(*(worker() for _ in range(4)))

    run(work)
    assert times == [30.0] * 4


def test_after_a_pause_requests_keep_to_the_rate() -> None:
    clock = FakeClock()
    times: list[float] = []

    async def work() -> None:
        gate = Gate(clock, per_second=10, run_seconds=1000)

        async def worker() -> None:
            async with gate.admitted():
                pass
            times.append(clock.monotonic())

        workers = [asyncio.create_task(worker()) for _ in range(64)]
        await asyncio.sleep(0)
        gate.pause(30)
        await asyncio.gather(*workers)

    run(work)
    late = sorted(time for time in times if time >= 30)
    assert len(late) > 40
    assert all(late[number + 20] - late[number] >= 1 for number in range(len(late) - 20))


def test_a_wait_that_ends_after_the_run_is_refused_at_once() -> None:
    clock = FakeClock()

    async def work() -> None:
        gate = Gate(clock, per_second=0, run_seconds=60)
        await gate.rest(59)
        with pytest.raises(RunExpired):
            await gate.rest(2)

    run(work)
    assert clock.monotonic() == 59


def test_jitter_is_never_negative() -> None:
    assert all(0 <= Jitter(0.5).seconds() <= 0.5 for _ in range(100))
    assert Jitter(0).seconds() == 0
