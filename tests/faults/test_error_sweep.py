"""Fail the service's system calls one by one, with the errors of full, broken, read-only and forbidden disks.

A failing call loses nothing: the published set and the inputs stay, a message says why, health fails, or is degraded
where the batch is published already, and a run without the fault ends as if there had been none. By default a sample;
``make faults`` tries every call with every error.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.conftest import Tally
from tests.faults.injection import Point
from tests.faults.promises import broken_promises, litter
from tests.faults.starts import Start, ended_well
from tests.faults.sweep import all_faults, sample
from tests.required import needs_strace
from tests.sizes import ERROR_STARTS
from tests.warm import Ended
from tests.worlds import House

pytestmark = needs_strace

KINDS = ("write", "create", "fsync", "rename", "mkdir", "link")
ERRORS = ("ENOSPC", "EIO", "EROFS", "EACCES", "EMFILE")
WORLD = 3
DEGRADED_AFTER_COMMIT = "is published, but a step after it failed and is tried again"
# One staged set, one generation of the register, and what was about to be renamed.
MOST_LITTER = 16


@dataclass(frozen=True)
class Trial:
    """A call that fails, once or always from then on."""

    point: Point
    error: str
    is_lasting: bool

    def __str__(self) -> str:
        return f"{self.error} {'from' if self.is_lasting else 'at'} {self.point}"


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize(("name", "most_for_each_error"), ERROR_STARTS)
def test_a_failing_call_loses_nothing_and_is_reported(
    name: str, most_for_each_error: int | None, start_named: Callable[[str], Start], tmp_path: Path, tally: Tally
) -> None:
    start = start_named(name)
    points = [point for point in start.points if point.kind in KINDS]
    trials: list[Trial] = []
    for error in ERRORS:
        every = [Trial(point, error, is_lasting=number % 2 == 0) for number, point in enumerate(points)]
        trials += sample(every, most_for_each_error, f"{name} {error}")

    def try_one(number: int, trial: Trial) -> list[str]:
        house = start.copied_to(tmp_path / str(number))
        ended, is_hit = start.run(house).failing_at(trial.point, trial.error, lasting=trial.is_lasting)
        missed = [] if is_hit or trial.point.is_of_the_moment else ["the call was not made"]
        faults = [*missed, *problems(start, house, trial, ended), *ended_well(start, house, is_next_tried=False)]
        usual = "degraded" if start.code else "ok"  # a batch in quarantine
        faults += [] if house.health()["state"] == usual else [f"at last health says {house.health()['state']}"]
        shutil.rmtree(house.root)
        return [f"{trial}: {fault}" for fault in faults]

    tally(f"failed, {name}", (f"{trial.error} {trial.point.kind}" for trial in trials))
    found = all_faults(try_one, trials)
    assert not found, "\n".join(found)


def problems(start: Start, house: House, trial: Trial, ended: Ended) -> Iterator[str]:
    """The problems after a run in which a call failed."""
    if ended.code not in (0, start.code, WORLD):
        yield f"it ended with {ended.code}: {ended.err}"
    if "Traceback" in ended.err:
        yield f"it left a traceback: {ended.err}"
    if ended.code == WORLD and os.strerror(getattr(errno, trial.error)) not in ended.err + ended.out:
        yield f"no message says why: {ended.err}{ended.out}"
    if ended.code == WORLD and not ended.err:
        health = house.health()
        is_stated = DEGRADED_AFTER_COMMIT in "; ".join(health["reasons"])
        expected = ("degraded", True) if is_in_force(start, house) else ("failing", False)
        if (health["state"], is_stated) != expected:
            yield f"health says {health['state']}: {health['reasons']}"
    if len(litter(house)) > MOST_LITTER:
        yield f"litter: {litter(house)}"
    yield from broken_promises(house, start.inputs)


def is_in_force(start: Start, house: House) -> bool:
    """Whether the pair is published and the register has its customers: only flat files and archive may be left."""
    current = house.state / "register" / "current"
    new = set(house.batches()) - set(start.house.batches())
    return current.exists() and current.read_text(encoding="utf-8").strip() in new
