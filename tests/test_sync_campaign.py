"""Syncs from APIs with every kind of fault, alone and combined: all customers once, or a report that some are missing.

Waits take no time, the sockets are real. ``FAULTS=all`` draws other seeds each time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.errors import RateLimitedError, TransientError, UpstreamRejectedError
from service.jobs.sync import sync
from service.simulator.customers import World
from service.simulator.scenarios import SCENARIOS, is_customer
from service.simulator.server import Simulator, Terms, listening
from tests.api_house import TODAY, ApiHouse
from tests.sizes import IS_FULL, SYNC_CAMPAIGN_PARTS, SYNC_CAMPAIGN_RUNS

# The error with which every run may end, because the API never shows all customers or never states a right total.
_MAY_END_WITH = {
    "loop": "Incomplete",
    "lying-total-high": "Incomplete",
    "redirect": "UpstreamRejectedError",
    "rate-limit-far": "RateLimitedError",
}
# Probability of scenarios that take real seconds: the time-out of a request is real.
_TAKES_TIME = {"drip": 0.1, "slow": 0.1}
EARLIER = b"the earlier export"


@dataclass(frozen=True)
class Trial:
    """One simulated API, and how it is read."""

    seed: int
    scenarios: tuple[str, ...]
    customers: int
    concurrency: int

    @classmethod
    def drawn(cls, seed: int) -> Trial:
        """The trial of this seed: one to three scenarios at once."""
        chance = random.Random(seed)
        names = [name for name in SCENARIOS if chance.random() < _TAKES_TIME.get(name, 1)]
        mix = tuple(chance.sample(names, chance.choice((1, 1, 2, 2, 3))))
        return cls(seed, mix, chance.choice((0, 1, 5, 6, 7, 12, 12, 30, 61)), chance.choice((1, 4, 8)))


@dataclass(frozen=True)
class Result:
    """How a trial ended: the written rows, or None and the error of the last attempt."""

    trial: Trial
    rows: list[Any] | None
    truth: list[Any]
    departed: list[Any]
    error: str | None


async def perform(trial: Trial, house_of: Callable[[str], ApiHouse]) -> Result:
    """Sync until it is complete, at most four times."""
    world = World(TODAY.date(), trial.customers, trial.seed)
    error: str | None = None
    house: ApiHouse | None = None
    simulator = Simulator(world, trial.scenarios, Terms(), now=lambda: house.clock.now() if house else TODAY)
    async with listening(simulator) as url:
        house = house_of(url)
        earlier = house.settings.outbox / "sample_output.json"
        earlier.parent.mkdir(parents=True)
        earlier.write_bytes(EARLIER)
        for _ in range(4):
            try:
                await sync(house.settings, house.clock)
                return Result(trial, house.document()["data"], simulator.truth(6), simulator.departed(6), None)
            except (TransientError, UpstreamRejectedError) as failed:
                error = f"{failed.code}: {failed.message}"
            except RateLimitedError as limited:
                error = limited.code
                house.clock.seconds += (limited.at - house.clock.now()).total_seconds()
            assert not house.delivered.exists(), f"{trial} wrote an incomplete file"
            assert earlier.read_bytes() == EARLIER, f"{trial} touched the earlier export"
        return Result(trial, None, simulator.truth(6), simulator.departed(6), error)


def problem_of(result: Result) -> str | None:
    """What is wrong with the written rows, or with an error instead of them; None if the trial is right."""
    if result.rows is None:
        permitted = {_MAY_END_WITH.get(name) for name in result.trial.scenarios}
        return None if str(result.error).partition(":")[0] in permitted else f"never complete: {result.error}"
    found = Counter(repr(row) for row in result.rows if is_customer(row))
    truth, departed = Counter(map(repr, result.truth)), Counter(map(repr, result.departed))
    # With a wrong total no client can know of a customer who joined while the list was read.
    joined = [row for row in result.truth if str(row.get("id")).isdigit() and int(row["id"]) > result.trial.customers]
    may_lack: Counter[str] = Counter(map(repr, joined)) if "lying-total" in result.trial.scenarios else Counter()
    if {"lying-total", "rate-limit-far"} <= set(result.trial.scenarios):
        may_lack = truth  # what lies beyond the stated last page is not waited for, if it may be requested in a day
    if lost := truth - found - may_lack:
        return f"lost {lost.total()} of {truth.total()} customers without a report"
    doubled = found - truth - departed
    return f"{doubled.total()} customers too many" if doubled else None


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("part", range(SYNC_CAMPAIGN_PARTS))
def test_every_sync_writes_all_customers_once_or_reports_that_some_are_missing(
    tmp_path: Path, part: int, capfd: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]
) -> None:
    base = random.SystemRandom().randrange(10**9) if IS_FULL else 0
    results: Counter[str] = Counter()
    for number in range(part, SYNC_CAMPAIGN_RUNS, SYNC_CAMPAIGN_PARTS):
        trial = Trial.drawn(base + number)

        def house_of(url: str, trial: Trial = trial) -> ApiHouse:
            return ApiHouse(
                tmp_path / str(trial.seed),
                url,
                api_concurrency=trial.concurrency,
                api_request_seconds=1,
                sync_minutes=600,
            )

        result = asyncio.run(perform(trial, house_of))
        problem = problem_of(result)
        assert problem is None, f"{trial}: {problem}"
        results["complete" if result.rows is not None else "reported as incomplete"] += 1
        capfd.readouterr()  # thousands of log lines
    record_property(f"syncs from APIs with faults, part {part}", dict(results))
