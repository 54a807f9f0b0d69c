"""Kill the service at every system call by which it changes a disk, start it again, and compare.

Whole life cycle: claim, integrate, publish, archive. ``FAULTS=all`` sweeps every kind of call (a quarter of an
hour); by default the renames are swept, which are the steps that others can see.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import House
from tests.faults.injection import (
    MOST_POINTS,
    MUTATIONS,
    broken_promises,
    copy_house,
    determined_bytes,
    drop_second,
    killed_at,
    leftovers,
)

KINDS = list(MUTATIONS) if os.environ.get("FAULTS") == "all" else ["rename"]


def prepared(root: Path, *, with_earlier_set: bool) -> tuple[House, int]:
    """A house with a pair in its inbox, and how many inputs it has seen."""
    house = House(root)
    house.drop()
    if not with_earlier_set:
        return house, 2
    assert house.run("watch", "--once").code == 0
    drop_second(house)
    return house, 4


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("with_earlier_set", [False, True], ids=["empty outbox", "over an earlier set"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_change_loses_nothing_and_mixes_nothing(
    tmp_path: Path, kind: str, with_earlier_set: bool, record_property: Callable[[str, object], None]
) -> None:
    start, inputs = prepared(tmp_path / "start", with_earlier_set=with_earlier_set)
    undisturbed = copy_house(start, tmp_path / "undisturbed")
    assert undisturbed.run("watch", "--once", settle_seconds="0.2").code == 0
    expected = determined_bytes(undisturbed)
    for point in range(1, MOST_POINTS):
        house = copy_house(start, tmp_path / f"killed-{point}")
        hit = killed_at(house, MUTATIONS[kind], point)
        assert list(broken_promises(house, inputs)) == [], f"after a kill at {kind} {point}"
        again = house.run("watch", "--once", settle_seconds="0.2")
        assert again.code == 0, f"after a kill at {kind} {point}: {again.err}"
        assert list(broken_promises(house, inputs)) == [], f"after a kill at {kind} {point} and a restart"
        assert list(leftovers(house)) == [], f"after a kill at {kind} {point} and a restart"
        assert determined_bytes(house) == expected, f"after a kill at {kind} {point} and a restart"
        shutil.rmtree(house.root)
        if not hit.is_hit:
            assert hit.code == 0, "the run that was left alone went well"
            record_property("kill points", point - 1)
            break
    else:
        raise AssertionError(f"{kind} has more than {MOST_POINTS} points: is the run ever left alone?")
