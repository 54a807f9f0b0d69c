"""Kill the service, and kill it again while it recovers from that."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Tally
from tests.faults.injection import Point
from tests.faults.starts import STARTS, Start, ended_well, killed
from tests.faults.sweep import all_faults, sample
from tests.required import needs_strace
from tests.sizes import DOUBLE_KILL_FIRST, DOUBLE_KILL_SECOND, DOUBLE_KILL_STARTS

pytestmark = needs_strace


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("name", DOUBLE_KILL_STARTS or STARTS)
def test_a_kill_while_recovering_from_a_kill_loses_nothing_either(
    name: str, start_named: Callable[[str], Start], tmp_path: Path, tally: Tally
) -> None:
    start = start_named(name)
    points = sample(start.points, DOUBLE_KILL_FIRST, f"first {name}")
    tried: list[str] = []

    def try_one(number: int, point: Point) -> list[str]:
        recovery = start.copied_to(
            tmp_path / str(number)
        )  # not a copy of a killed run: its files would have other inodes
        faults = killed(start, recovery, point)
        _, seconds = start.run(recovery).traced()
        for second in sample(seconds, DOUBLE_KILL_SECOND, f"{name} {point}"):
            house = start.copied_to(tmp_path / f"{number}-{second.call}-{second.nth}-{len(tried)}")
            killed(start, house, point)
            again = killed(start, house, second, is_of_the_moment=point.is_of_the_moment)
            again += ended_well(start, house, is_next_tried=True)
            faults += [f"and at {second}: {fault}" for fault in again]
            tried.append(second.kind)
            shutil.rmtree(house.root)
        return [f"killed at {point} {fault}" for fault in faults]

    found = all_faults(try_one, points)
    assert not found, "\n".join(found)
    tally(f"killed twice, {name}", tried)
