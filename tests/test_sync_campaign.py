"""A thousand syncs from APIs that misbehave in every way we know of: all customers once, or the run says so.

The clock for the waits is the test's own, the sockets are real. ``FAULTS=all`` draws other seeds each time.
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

# What a run may end with where the API never gives what it has, or never stops to change what it says.
_MAY_END_WITH = {
    "loop": "Incomplete",
    "lying-total-high": "Incomplete",
    "redirect": "UpstreamRejectedError",
    "rate-limit-far": "RateLimitedError",
}
# These cost real seconds: the time-out of a request is a real one.
_TAKES_TIME = {"drip": 0.1, "slow": 0.1}
FORMER = b"the export of before"


@dataclass(frozen=True)
class Play:
    """One API to sync from, and how."""

    seed: int
    scenarios: tuple[str, ...]
    customers: int
    concurrency: int

    @classmethod
    def drawn(cls, seed: int) -> Play:
        """The play of this seed: one to three scenarios at once."""
        chance = random.Random(seed)
        names = [name for name in SCENARIOS if chance.random() < _TAKES_TIME.get(name, 1)]
        mix = tuple(chance.sample(names, chance.choice((1, 1, 2, 2, 3))))
        return cls(seed, mix, chance.choice((0, 1, 5, 6, 7, 12, 12, 30, 61)), chance.choice((1, 4, 8)))


@dataclass(frozen=True)
class Ended:
    """How a play ended: its delivered rows, or None and the error of its last try."""

    play: Play
    rows: list[Any] | None
    truth: list[Any]
    departed: list[Any]
    error: str | None


async def perform(play: Play, house_of: Callable[[str], ApiHouse]) -> Ended:
    """Sync until it is complete, at most four times: whoever is told to try again does."""
    world = World(TODAY.date(), play.customers, play.seed)
    error: str | None = None
    house: ApiHouse | None = None
    simulator = Simulator(world, play.scenarios, Terms(), now=lambda: house.clock.now() if house else TODAY)
    async with listening(simulator) as url:
        house = house_of(url)
        former = house.settings.outbox / "sample_output.json"
        former.parent.mkdir(parents=True)
        former.write_bytes(FORMER)
        for _ in range(4):
            try:
                await sync(house.settings, house.clock)
                return Ended(play, house.document()["data"], simulator.truth(6), simulator.departed(6), None)
            except (TransientError, UpstreamRejectedError) as failed:
                error = f"{failed.code}: {failed.message}"
            except RateLimitedError as limited:
                error = limited.code
                house.clock.seconds += (limited.at - house.clock.now()).total_seconds()
            assert not house.delivered.exists(), f"{play} delivered what is not complete"
            assert former.read_bytes() == FORMER, f"{play} touched the former export"
        return Ended(play, None, simulator.truth(6), simulator.departed(6), error)


def amiss(ended: Ended) -> str | None:
    """What is wrong with the rows that were delivered, or with having delivered none; None if nothing is."""
    if ended.rows is None:
        excuses = {_MAY_END_WITH.get(name) for name in ended.play.scenarios}
        return None if str(ended.error).partition(":")[0] in excuses else f"never came to an end: {ended.error}"
    found = Counter(repr(row) for row in ended.rows if is_customer(row))
    truth, departed = Counter(map(repr, ended.truth)), Counter(map(repr, ended.departed))
    # Where the total lies, nobody can tell who joined while the list was read.
    joined = [row for row in ended.truth if str(row.get("id")).isdigit() and int(row["id"]) > ended.play.customers]
    excused: Counter[str] = Counter(map(repr, joined)) if "lying-total" in ended.play.scenarios else Counter()
    if lost := truth - found - excused:
        return f"lost {lost.total()} of {truth.total()} customers in silence"
    doubled = found - truth - departed
    return f"{doubled.total()} customers too many" if doubled else None


@pytest.mark.parametrize("part", range(SYNC_CAMPAIGN_PARTS))
def test_every_sync_delivers_all_customers_once_or_says_that_it_has_not(
    tmp_path: Path, part: int, capfd: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]
) -> None:
    base = random.SystemRandom().randrange(10**9) if IS_FULL else 0
    ends: Counter[str] = Counter()
    for number in range(part, SYNC_CAMPAIGN_RUNS, SYNC_CAMPAIGN_PARTS):
        play = Play.drawn(base + number)

        def house_of(url: str, play: Play = play) -> ApiHouse:
            return ApiHouse(
                tmp_path / str(play.seed),
                url,
                api_concurrency=play.concurrency,
                api_request_seconds=1,
                sync_minutes=600,
            )

        ended = asyncio.run(perform(play, house_of))
        complaint = amiss(ended)
        assert complaint is None, f"{play}: {complaint}"
        ends["complete" if ended.rows is not None else "said to be incomplete"] += 1
        capfd.readouterr()  # thousands of log lines
    record_property(f"syncs from APIs that misbehave, part {part}", dict(ends))
