"""Kill the service at every system call by which it changes a disk, start it again, and compare every byte.

Whole life cycle: claim, integrate, publish, archive, prune, quarantine. By default every rename, the steps that
others can see, and a sample of the rest; ``make faults`` tries all of them.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import House
from tests.faults.conftest import Tally
from tests.faults.injection import Point, needs_strace
from tests.faults.promises import broken_promises, differences, tree
from tests.faults.starts import STARTS, Start, copy_house
from tests.faults.sweep import all_faults, sample

pytestmark = needs_strace

SAMPLED_POINTS = 10
NEXT_PAIR_EVERY = 4
FIRST_KILLS, FIRST_KILLS_IN_FULL, SECOND_KILLS = 2, 20, 3


@pytest.mark.parametrize("name", STARTS)
def test_a_kill_at_any_change_loses_nothing_and_mixes_nothing(
    name: str, start_named: Callable[[str], Start], tmp_path: Path, tally: Tally
) -> None:
    start = start_named(name)
    points = [point for point in start.points if point.kind == "rename"]
    points += sample([point for point in start.points if point.kind != "rename"], SAMPLED_POINTS, name)

    def try_one(number: int, point: Point) -> list[str]:
        house = start.copied_to(tmp_path / str(number))
        faults = [*killed(start, house, point), *ended_well(start, house, is_next_tried=not number % NEXT_PAIR_EVERY)]
        shutil.rmtree(house.root)
        return [f"killed at {point}: {fault}" for fault in faults]

    tally(f"killed, {name}", (point.kind for point in points))
    found = all_faults(try_one, points)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", STARTS)
def test_a_kill_while_recovering_from_a_kill_loses_nothing_either(
    name: str, start_named: Callable[[str], Start], tmp_path: Path, tally: Tally
) -> None:
    start = start_named(name)
    points = sample(start.points, FIRST_KILLS, f"first {name}", most_in_full=FIRST_KILLS_IN_FULL)
    tried: list[str] = []

    def try_one(number: int, point: Point) -> list[str]:
        once = start.copied_to(tmp_path / str(number))
        faults = killed(start, once, point)
        recovery = start.run(copy_house(once, tmp_path / f"{number}-recovery"))
        _, seconds = recovery.traced()
        for second in sample(seconds, SECOND_KILLS, f"{name} {point}", most_in_full=SECOND_KILLS):
            house = copy_house(once, tmp_path / f"{number}-again")
            again = [*killed(start, house, second), *ended_well(start, house, is_next_tried=True)]
            faults += [f"and at {second}: {fault}" for fault in again]
            tried.append(second.kind)
            shutil.rmtree(house.root)
        return [f"killed at {point} {fault}" for fault in faults]

    found = all_faults(try_one, points)
    assert not found, "\n".join(found)
    tally(f"killed twice, {name}", tried)


def killed(start: Start, house: House, point: Point) -> list[str]:
    """Kill the run at that point; what is wrong then."""
    ended = start.run(house).killed_at(point)
    is_expected = ended.code == -signal.SIGKILL or (point.is_of_the_moment and ended.code in (0, start.code))
    missed = [] if is_expected else [f"it was not killed, but ended with {ended.code}"]
    return [*missed, *broken_promises(house, start.inputs)]


def ended_well(start: Start, house: House, *, is_next_tried: bool) -> list[str]:
    """Start it again; what is not as if nothing had happened. Then one more pair: whether a number was burnt."""
    again = start.run(house).undisturbed()
    faults = [] if again.code in (0, start.code) else [f"the restart ended with {again.code}: {again.err}"]
    faults += broken_promises(house, start.inputs)
    if not start.settings:
        faults += differences(tree(house), start.expected)
    if is_next_tried or start.settings:
        code = start.run_next(house).undisturbed().code
        faults += [] if code == 0 else [f"the next pair ended with {code}"]
        faults += differences(tree(house), start.expected_next)
    return [f"after the restart: {fault}" for fault in faults]
