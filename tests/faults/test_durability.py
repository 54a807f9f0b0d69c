"""What the log calls published survives a power cut: proven by the order of the system calls of one batch.

For every published name: last change of its content, then fsync of the file, then the rename, then fsync of the
folder, and only then ``batch.published``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.jobs import JOBS
from tests.faults.injection import MUTATIONS, Call, Run
from tests.faults.starts import LATER, NOON, Start
from tests.required import needs_strace
from tests.warm import staged_path
from tests.worlds import CRM, ECOM, House

pytestmark = needs_strace

FLAT_NAMES = JOBS["integration"].flat_files.names
CHANGES = [call for kind in ("write", "clone", "truncate", "chmod") for call in MUTATIONS[kind]]
FSYNCS = ["fsync", "fdatasync"]
CALLS = [*CHANGES, *FSYNCS, *MUTATIONS["rename"]]
_ENTERED = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")


@dataclass
class Step:
    """A system call, between the two lines of the trace where it began and ended."""

    call: Call
    begin: int
    end: int


class Steps:
    """The system calls of one run, in order."""

    def __init__(self, lines: list[str]) -> None:
        self.all: list[Step] = []
        waiting: dict[tuple[str, str], Step] = {}
        for number, line in enumerate(lines):
            if entered := _ENTERED.match(line):
                step = Step(Call(*entered.groups()), number, number)
                waiting[step.call.thread, step.call.name] = step
                self.all.append(step)
            elif resumed := _RESUMED.match(line):
                waiting[resumed[1], resumed[2]].end = number

    def last_change(self, path: Path) -> int:
        """The line of the last change of the file's content or mode."""
        return max(step.end for step in self.of(CHANGES, path))

    def rename_to(self, path: Path) -> Step:
        """The rename that created this path."""
        return next(step for step in self.all if step.call.paths()[1:] == [str(path)])

    def logged(self, event: str) -> int:
        """The line at which this event was logged."""
        return next(step.begin for step in self.all if f'"{event}"' in step.call.arguments.replace("\\", ""))

    def is_synced_between(self, path: Path, after: int, before: int) -> bool:
        """Whether the file or folder was forced to the disk after the one line and before the other."""
        return any(after < step.begin and step.end < before for step in self.of(FSYNCS, path))

    def of(self, names: list[str], path: Path) -> list[Step]:
        """The calls of these names on the file or folder."""
        return [step for step in self.all if step.call.name in names and step.call.paths()[0] == str(path)]


@pytest.fixture
def house(start_named: Callable[[str], Start], tmp_path: Path) -> House:
    """Folders where a pair waits, and an earlier set is published."""
    return start_named("over an earlier set").copied_to(tmp_path / "house")


def traced(house: House) -> Steps:
    # Long strings: the events are searched for in what is written to the log.
    ended, lines = Run(house, NOON + LATER, {}).under_strace("-y", "-s", "400", "-e", f"trace={','.join(CALLS)}")
    assert ended.code == 0
    return Steps(lines)


def test_a_published_set_is_on_the_disk_before_it_is_logged(house: House) -> None:
    steps = traced(house)
    published = steps.logged("batch.published")
    sets = house.outbox / "batches"
    batch = house.batches()[-1]
    commit = steps.rename_to(sets / batch)
    staged = Path(commit.call.paths()[0])
    for path in sorted((sets / batch).iterdir()):
        changed = steps.last_change(staged / path.name)
        assert steps.is_synced_between(staged / path.name, changed, commit.begin), f"{path.name} before the commit"
        assert steps.is_synced_between(staged, changed, commit.begin), f"the entry of {path.name} before the commit"
    assert steps.is_synced_between(sets, commit.end, published)
    assert steps.is_synced_between(staged.parent, commit.end, published)
    for name in (*FLAT_NAMES, "manifest.json"):
        assert_replaced(steps, house.outbox / name, commit.end, published)
    renames = [steps.rename_to(house.outbox / name) for name in (*FLAT_NAMES, "manifest.json")]
    assert [step.begin for step in renames] == sorted(step.begin for step in renames), "the manifest comes last"
    copies = [step.end for step in steps.all if Path(step.call.paths()[0]) in {flat_copy(house, n) for n in FLAT_NAMES}]
    assert min(copies) < renames[0].begin, "copies are made before the first file is replaced"


def flat_copy(house: House, name: str) -> Path:
    """Where the next content of a flat file is staged."""
    return staged_path(house.outbox / name)


@pytest.mark.large
def test_the_register_is_on_the_disk_before_the_commit_and_in_force_before_the_log(house: House) -> None:
    steps = traced(house)
    register, batch = house.state / "register", house.batches()[-1]
    commit = steps.rename_to(house.outbox / "batches" / batch)
    for name in ("records.parquet", "customers.parquet"):
        changed = steps.last_change(register / batch / name)
        assert steps.is_synced_between(register / batch / name, changed, commit.begin), name
        assert steps.is_synced_between(register / batch, changed, commit.begin), name
    for name in ("figures.json", "published.json"):
        assert_replaced(steps, register / batch / name, 0, commit.begin)
    assert steps.is_synced_between(register, 0, commit.begin), "the entry of the generation"
    assert_replaced(steps, register / "current", commit.end, steps.logged("batch.published"))


@pytest.mark.large
def test_a_claim_is_on_the_disk_before_its_files_move_and_they_before_work_begins(house: House) -> None:
    steps = traced(house)
    claimed, batch = house.inbox / ".claimed", house.batches()[-1]
    moves = [steps.rename_to(claimed / batch / name) for name in (CRM, ECOM)]
    assert_replaced(steps, claimed / f"{batch}.json", 0, moves[0].begin)
    for move in moves:
        assert steps.is_synced_between(claimed / batch, move.end, steps.logged("batch.claimed"))
        assert steps.is_synced_between(house.inbox, move.end, steps.logged("batch.claimed"))


def assert_replaced(steps: Steps, path: Path, after: int, before: int) -> None:
    """The file was replaced durably: changed, synced, renamed, its folder synced."""
    rename = steps.rename_to(path)
    temporary = Path(rename.call.paths()[0])
    changed = max(step.end for step in steps.of(CHANGES, temporary) if step.end < rename.begin)
    assert after <= rename.begin < before, f"{path.name} is replaced when it is time"
    assert steps.is_synced_between(temporary, changed, rename.begin), f"{path.name} before its rename"
    assert steps.is_synced_between(path.parent, rename.end, before), f"the entry of {path.name}"
