"""Kill the service at every system call by which it changes a disk, start it again, and compare every byte.

All steps of a batch: claim, integrate, publish, archive, prune, quarantine.
``tests/sizes.py`` says how many steps of which starts; ``FAULTS=all``: every step of all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Tally
from tests.faults.injection import Point
from tests.faults.starts import STARTS, Start, ended_well, killed
from tests.faults.sweep import ONE_POINT, all_faults, sample
from tests.required import needs_strace
from tests.sizes import KILL_STARTS, KILLS_HIDDEN, KILLS_HIDDEN_IN_THE_FIRST_START, KILLS_SEEN_BY_OTHERS
from tests.warm import staged_path
from tests.worlds import CRM, ECOM

pytestmark = needs_strace

NEXT_PAIR_EVERY = 4


@pytest.mark.slow
@pytest.mark.parametrize("name", KILL_STARTS or STARTS)
def test_a_kill_at_any_change_loses_nothing_and_mixes_nothing(
    name: str, start_named: Callable[[str], Start], tmp_path: Path, tally: Tally
) -> None:
    start = start_named(name)
    # With retention a run has the same points as without, until it removes superseded sets.
    known = start_named("over an earlier set").points if start.settings else ()
    new = [point for point in start.points if point not in known]
    seen = [point for point in new if is_seen_by_others(point)]
    hidden = [point for point in new if not is_seen_by_others(point)]
    most_hidden = KILLS_HIDDEN_IN_THE_FIRST_START if name == "empty outbox" else KILLS_HIDDEN
    points = [*sample(seen, KILLS_SEEN_BY_OTHERS, name), *sample(hidden, most_hidden, name)]
    if ONE_POINT:
        points = [point for point in start.points if str(point) == ONE_POINT]
        assert points, f"{name} has no point {ONE_POINT!r}"

    def try_one(number: int, point: Point) -> list[str]:
        house = start.copied_to(tmp_path / str(number))
        faults = [*killed(start, house, point), *ended_well(start, house, is_next_tried=not number % NEXT_PAIR_EVERY)]
        shutil.rmtree(house.root)
        return [f"killed at {point}: {fault} (again: POINT={str(point)!r})" for fault in faults]

    tally(f"killed, {name}", (point.kind for point in points))
    found = all_faults(try_one, points)
    assert not found, "\n".join(found)


def is_seen_by_others(point: Point) -> bool:
    """Whether a name appears or disappears; not of health, which changes all the time, nor of SQLite's own files."""
    return point.kind in ("rename", "link", "unlink") and "health" not in point.path and "ledger" not in point.path


@pytest.mark.large
@pytest.mark.slow
def test_a_start_completes_an_export_that_was_killed_after_its_commit(
    start_named: Callable[[str], Start], tmp_path: Path
) -> None:
    start = start_named("export of the API")
    house = start.copied_to(tmp_path / "house")
    start.run(house).killed_at(Point("rename", str(staged_path(Path("outbox/sample_output.json"))), 1))
    assert len(house.batches()) == 2, "it was committed"
    assert not (house.outbox / "sample_output.json").exists()
    assert start.run(house).undisturbed().code == 0
    assert house.manifest("analytics_manifest.json")["batch_id"] == house.batches()[-1]
    assert house.run("verify").code == 0


@pytest.mark.large
def test_a_partly_claimed_pair_is_integrated_with_the_newer_file(
    start_named: Callable[[str], Start], tmp_path: Path
) -> None:
    start = start_named("over an earlier set")
    house = start.copied_to(tmp_path / "house")
    start.run(house).killed_at(Point("rename", str((house.inbox / ECOM).relative_to(house.root)), 1))
    assert not (house.inbox / CRM).exists(), "it was claimed in part"
    newer = (house.inbox / ECOM).read_text(encoding="utf-8").replace("Ann Lee", "Ann Li")
    (house.inbox / ECOM).unlink()
    (house.inbox / ECOM).write_text(newer, encoding="utf-8")
    again = start.run(house).undisturbed()
    assert (again.code, len(house.batches())) == (0, 2), "what was put back is not left lying"
    assert "Ann Li" in house.read("customer_master.csv")
