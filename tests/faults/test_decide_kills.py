"""Kill ``decide`` and ``decisions`` at every system call by which they change a disk: it is done or not done."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.decisions import DecisionStore
from tests.faults.injection import Point, Run
from tests.faults.starts import LATER, NOON, copy_house
from tests.faults.sweep import all_faults, sample
from tests.required import needs_strace
from tests.sizes import KILLS_HIDDEN
from tests.worlds import House

pytestmark = needs_strace

FILE = """\
left_source,left_id,right_source,right_id,decision
CRM,CRM003,CRM,CRM004,same
CRM,CRM001,CRM,CRM005,different
"""
VERBS = {
    "decide": ("decide", "different", "CRM:CRM001", "CRM:CRM005", "--by", "Kim"),
    "undo": ("decisions", "undo", "1", "2", "--by", "Kim"),
    "import": ("decisions", "import", "mine.csv", "--by", "Kim"),
}
NEXT_BATCH_EVERY = 4


def kinds_in_force(house: House) -> list[str]:
    return [it.kind for it in DecisionStore(house.state).in_force()]


def publish(house: House) -> list[str]:
    """Publish the sample once more; returns the unified ids."""
    house.drop()
    ended = Run(house, NOON + 2 * LATER, {}).undisturbed()
    assert ended.code == 0, ended.err
    return [row["unified_id"] for row in house.rows("customer_master.csv")]


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_kill_at_any_change_leaves_all_of_a_decision_or_nothing(tmp_path: Path, verb: str) -> None:
    start = House(tmp_path / "start")
    start.drop()
    assert Run(start, NOON, {}).undisturbed().code == 0
    (start.root / "mine.csv").write_text(FILE, encoding="utf-8")
    if verb == "undo":
        assert Run(start, NOON, {}, VERBS["import"]).undisturbed().code == 0
    before = kinds_in_force(start)
    done = copy_house(start, tmp_path / "done")
    ended, points = Run(done, NOON + LATER, {}, VERBS[verb]).traced()
    assert ended.code == 0, ended.err
    after = kinds_in_force(done)
    assert after != before
    expected = publish(done)

    def try_one(number: int, point: Point) -> list[str]:
        house = copy_house(start, tmp_path / str(number))
        run = Run(house, NOON + LATER, {}, VERBS[verb])
        faults = problems(run, point, (before, after))
        if not number % NEXT_BATCH_EVERY and publish(house) != expected:
            faults.append("the next batch does not follow it")
        shutil.rmtree(house.root)
        return [f"killed at {point}: {fault}" for fault in faults]

    assert len(points) > 5
    found = all_faults(try_one, sample(points, None if KILLS_HIDDEN is None else 2 * KILLS_HIDDEN, verb))
    assert not found, "\n".join(found)


def problems(run: Run, point: Point, outcomes: Sequence[list[str]]) -> list[str]:
    """Kill the verb at that point, then call it again; returns what is wrong then."""
    killed = run.killed_at(point)
    found = [] if killed.code == -signal.SIGKILL else [f"it was not killed, but ended with {killed.code}"]
    before, after = outcomes
    left = kinds_in_force(run.house)
    if left not in outcomes:
        found.append(f"{left} are in force, neither {before} nor {after}")
    if left != after and (again := run.undisturbed()).code:
        found.append(f"it cannot be repeated: {again.err}")
    if kinds_in_force(run.house) != after:
        found.append(f"after it was repeated {kinds_in_force(run.house)} are in force")
    return found
