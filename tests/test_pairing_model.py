"""Pairing as a state machine: whatever users, writers, clocks and crashes do, the service does what the table says.

The table is the section "Pairing" of docs/guarantees.md; ``Model`` is the same table as a program. Hypothesis plays
users and faults against the real watcher (real files, real leases, a clock that is handed in, a stand-in for the
integration), and after every step all files on the disk must be where the model has them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service import files, logs
from service.errors import InputError, ServiceError, TransientError
from service.inbox import claims, inbox, shown_name
from service.job_name import JobName
from service.jobs.batch_runner import BatchRunner
from service.journal import Journal
from service.model import Batch, Summary
from service.publication import CommitState
from service.settings import Settings
from service.watch import daemon
from service.watch.file_events import FileEvents
from service.watch.watcher import Watcher
from tests.required import needs_leases
from tests.sizes import PAIRING_PLAYS, PAIRING_STEPS

STILL, SETTLE, RETRY, STUCK = 0.3, 5.0, 3.0, 14.0
# Suffix -> order in time: dates first, then suffixes without an order (docs/specification.md section 2).
ORDER: dict[str, int | None] = {"": None, "_2024-01-15": 15, "_2024-01-16": 16, " north": None}
NAMES = [
    f"{stem}{suffix}.{kind}"
    for suffix in ORDER
    for stem, kind in (("crm_customers", "csv"), ("ecommerce_customers", "json"))
]
OTHER_SPELLINGS = ["CRM_Customers.csv", "crm_customers-2024-01-15.csv", "ECOMMERCE_CUSTOMERS.JSON"]
OUTCOMES = ["published", "refused", "fault", "bug", "died", "died after the commit"]


def export_of(name: str) -> tuple[str, str]:
    """Suffix and kind of an export's name. Equal suffixes pair; names that are equal in both are ambiguous."""
    stem, kind = name.lower().rsplit(".", 1)
    for known in ("ecommerce_customers", "crm_customers"):
        stem = stem.removeprefix(known)
    return stem.replace("-2024-01-15", "_2024-01-15").replace("__", "_"), kind


def pair_of(suffix: str) -> list[str]:
    """The names under which both exports of a suffix are dropped."""
    return [name for name in NAMES if export_of(name)[0] == suffix]


class Died(BaseException):
    """The process ends here."""


# --------------------------------------------------------------------------------------------------------- users


class Change(NamedTuple):
    """What a user or a writer does to one file of the inbox; the same for the disk and for the model."""

    what: str
    name: str
    text: str


class Disk:
    """Users and writers at work on the real folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writers: list[int] = []

    def do(self, change: Change) -> None:
        path = self.folder / change.name
        match change.what:
            case "write":
                path.write_text(change.text, encoding="utf-8")
            case "rename in":
                staged = path.with_name(f"{path.name}.part")
                staged.write_text(change.text, encoding="utf-8")
                staged.rename(path)
            case "begin":
                self.writers.append(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
                os.write(self.writers[-1], change.text.encode())
            case "delete":
                path.unlink(missing_ok=True)
            case "touch" if path.exists():
                os.utime(path, (0, len(change.text)))

    def append(self, writer: int, text: str) -> None:
        os.write(self.writers[writer], text.encode())

    def close(self, writer: int) -> None:
        os.close(self.writers.pop(writer))


# --------------------------------------------------------------------------------------------------------- model


@dataclass(eq=False)
class File:
    """One file, whatever its name: its contents, how often it changed, how many writers have it open."""

    text: str = ""
    changes: int = 0
    writers: int = 0

    def change(self, text: str | None = None) -> None:
        self.text = self.text if text is None else text
        self.changes += 1


@dataclass
class Claim:
    """A pair in work; ``changes``: how often each of its files had changed when it was scanned."""

    names: tuple[str, ...]
    files: tuple[File, ...]
    changes: tuple[int, ...]
    moved: dict[str, File] = field(default_factory=dict)
    is_whole: bool = False
    is_committed: bool = False
    faults: int = 0


class Model:
    """The table of docs/guarantees.md. ``trap``: a change, or a death, at the n-th move of the next claim."""

    def __init__(self) -> None:
        self.waiting: dict[str, File] = {}
        self.writers: list[File] = []
        self.gone: Counter[tuple[str, str, str]] = Counter()
        """Folder, name and text of the files that left the inbox for good."""
        self.integrated: list[tuple[str, ...]] = []
        self.seen: dict[str, tuple[File, int, float]] = {}
        self.held_up_since: dict[str, float] = {}
        """Suffix of each pair that was ready at the last scan: since when."""
        self.claim: Claim | None = None
        self.pause_until = 0.0
        self.trap: tuple[int, Change | None] | None = None
        self.outcomes: list[str] = []
        self.reported: set[str] = set()
        """The names that health reports since the last scan: every export that waits."""

    # users

    def do(self, change: Change) -> None:
        file = self.waiting.get(change.name)
        match change.what:
            case "write":
                self.waiting.setdefault(change.name, File()).change(change.text)
            case "begin":
                file = self.waiting.setdefault(change.name, File())
                file.writers += 1
                self.writers.append(file)
                if change.text:
                    file.change(file.text + change.text)
            case "rename in":
                self.waiting[change.name] = File(change.text)
            case "delete":
                self.waiting.pop(change.name, None)
            case "touch" if file:
                file.change()

    def append(self, writer: int, text: str) -> None:
        self.writers[writer].change(self.writers[writer].text + text)

    def close(self, writer: int) -> None:
        self.writers.pop(writer).writers -= 1

    # the service

    def start(self) -> None:
        """Forget what was seen; a claim remains."""
        self.seen, self.held_up_since, self.pause_until = {}, {}, 0.0

    def round(self, clock: float, arrival: Callable[[str], int]) -> None:
        """Scan and work until there is nothing more to do at this moment. Raises: Died."""
        arrived = {name: arrival(name) for name in self.waiting}
        while True:
            ready = self._ready(clock, arrived)
            if clock < self.pause_until:
                return
            is_put_back = False
            if self.claim is not None and not self.claim.is_whole:
                self._finish_claim(self.claim)
                is_put_back = self.claim is None
            if self.claim is None and ready:
                self._claim(ready)
            if self.claim is None:
                if is_put_back:
                    continue  # what was put back was not there at the scan
                return
            self._work(self.claim, clock)

    def exports(self) -> dict[str, list[str]]:
        """Suffix -> names, of the exports that are not ambiguous."""
        by_export: dict[tuple[str, str], list[str]] = {}
        for name in sorted(self.waiting):
            by_export.setdefault(export_of(name), []).append(name)
        found: dict[str, list[str]] = {}
        for (suffix, _), names in by_export.items():
            if len(names) == 1:  # else they are ambiguous; but the other export of the suffix waits as any does
                found.setdefault(suffix, []).extend(names)
        return found

    def _ready(self, clock: float, arrived: dict[str, int]) -> tuple[str, ...] | None:
        exports = self.exports()
        self.reported = {name for names in exports.values() for name in names}
        self.seen = {name: seen for name, seen in self.seen.items() if any(name in names for names in exports.values())}
        unsettled = {
            suffix: [name for name in names if not self._is_settled(name, clock)] for suffix, names in exports.items()
        }
        pairs = [suffix for suffix, names in exports.items() if len(names) == 2]
        self.held_up_since = {suffix: since for suffix, since in self.held_up_since.items() if suffix in pairs}

        def sort_key(suffix: str) -> tuple[bool, int, int, str]:
            order = ORDER[suffix]
            return (
                order is None,
                order or 0,
                0 if order else max(arrived[n] for n in exports[suffix]),
                min(exports[suffix]),
            )

        for suffix in sorted(pairs, key=sort_key):
            if unsettled[suffix]:
                self.held_up_since.pop(suffix, None)
                continue
            since, order = self.held_up_since.setdefault(suffix, clock), ORDER[suffix]
            earlier = [name for other, names in unsettled.items() if _is_before(other, order) for name in names]
            if all(clock - max(since, self.seen[name][2]) >= STUCK for name in earlier):
                return tuple(sorted(exports[suffix], key=str.lower))
        return None

    def _is_settled(self, name: str, clock: float) -> bool:
        file = self.waiting[name]
        if name not in self.seen or self.seen[name][:2] != (file, file.changes):
            self.seen[name] = file, file.changes, clock
        still = clock - self.seen[name][2]
        is_cut = not file.text or (name.lower().endswith(".json") and not file.text.rstrip().endswith("}"))
        return still >= (2 * SETTLE if is_cut else STILL) and not file.writers

    def _claim(self, names: tuple[str, ...]) -> None:
        taken = tuple(self.waiting[name] for name in names)
        self.claim = Claim(names, taken, tuple(file.changes for file in taken))
        for number, name in enumerate(names):
            self._spring_trap(number)
            if name not in self.waiting:
                break
            self.claim.moved[name] = self.waiting.pop(name)
        self._settle_claim(self.claim)

    def _spring_trap(self, number: int) -> None:
        if self.trap is not None and self.trap[0] == number:
            change, self.trap = self.trap[1], None
            if change is None:
                raise Died
            self.do(change)

    def _finish_claim(self, claim: Claim) -> None:
        """After a death between the moves: the other file follows if it did not change."""
        for name, file, changes in zip(claim.names, claim.files, claim.changes, strict=True):
            if name not in claim.moved and self.waiting.get(name) is file and file.changes == changes:
                claim.moved[name] = self.waiting.pop(name)
        self._settle_claim(claim)

    def _settle_claim(self, claim: Claim) -> None:
        """The claim is whole, or its files go back; a file that a newer version has replaced goes into quarantine."""
        scanned = zip(claim.names, claim.files, claim.changes, strict=True)
        claim.is_whole = all(
            claim.moved.get(name) is file and file.changes == changes and not file.writers
            for name, file, changes in scanned
        )
        if claim.is_whole:
            return
        self.claim = None
        for name, file in claim.moved.items():
            if name in self.waiting:
                self.gone["quarantine", name, file.text] += 1
            else:
                self.waiting[name] = file
                file.change()

    def _work(self, claim: Claim, clock: float) -> None:
        if claim.is_committed:
            return self._leave(claim, "archive")
        self.integrated.append(tuple(file.text for file in claim.files))
        match self.outcomes.pop(0) if self.outcomes else "published":
            case "published":
                self._leave(claim, "archive")
            case "refused":
                self._leave(claim, "quarantine")
            case "fault" | "bug":
                claim.faults += 1
                self.pause_until = clock + RETRY * 2 ** (claim.faults - 1)
                if claim.faults > 3:
                    self.pause_until = 0.0
                    self._leave(claim, "quarantine")
            case "died":
                raise Died
            case _:
                claim.is_committed = True
                raise Died
        return None

    def _leave(self, claim: Claim, folder: str) -> None:
        self.gone.update((folder, name, file.text) for name, file in zip(claim.names, claim.files, strict=True))
        self.claim = None

    # what must be so

    def files_by_folder(self) -> Counter[tuple[str, str, str]]:
        """Every file, with its folder."""
        claimed = {} if self.claim is None else self.claim.moved
        found = Counter(("inbox", name, file.text) for name, file in self.waiting.items())
        found.update((".claimed", name, file.text) for name, file in claimed.items())
        return found + self.gone


def _is_before(suffix: str, order: int | None) -> bool:
    """Whether a pair of this order waits for the one with this suffix."""
    other = ORDER[suffix]
    return other is not None and order is not None and other < order


# ------------------------------------------------------------------------------------------------------- service


class Steps(FileEvents):
    """File events at which the daemon waits until the test lets it go, one round at a time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.rests = threading.Semaphore(0)
        self._go = threading.Semaphore(0)

    def ensure(self) -> None:
        """No events: the scan decides."""

    def wait(self, seconds: float, on_check: Callable[[], None] = lambda: None) -> None:
        self.rests.release()
        self._go.acquire()

    def wake(self) -> None:
        self._go.release()


class PlannedRunner(BatchRunner):
    """In place of the real runner: records its inputs and ends as planned."""

    outcomes: list[str]
    integrated: list[tuple[str, ...]]
    published: set[str]

    def open(self) -> None: ...

    def close(self) -> None: ...

    def roll_forward(self, batch: Batch) -> None:
        self.archive(batch)

    def quarantine(self, batch: Batch, error: ServiceError, now: datetime, log_text: str) -> None:
        assert self._publication.inbox is not None
        self._publication.inbox.quarantine(batch, error, now, log_text)

    def commit_state_of(self, batch_id: str) -> CommitState:
        return CommitState.COMMITTED if batch_id in self.published else CommitState.NEW

    def last_published(self) -> dict[JobName, str]:
        return {"integration": max(self.published)} if self.published else {}

    def prune(self, batch: Batch) -> list[str]:
        return []

    def run(self, batch: Batch, journal: Journal) -> Summary:
        self.integrated.append(tuple(file.path.read_text(encoding="utf-8") for file in batch.inputs))
        match self.outcomes.pop(0) if self.outcomes else "published":
            case "refused":
                raise InputError("wrong files", hint="send others")
            case "fault":
                raise TransientError("no room", hint="make room")
            case "bug":
                raise ValueError("ours")
            case "died":
                raise Died
            case "died after the commit":
                self.published.add(batch.id)
                raise Died
        self.published.add(batch.id)
        self.archive(batch)
        return Summary(records=0, rejects=0, duplicates=0, customers=0, source_rows={})


class Service:
    """The real watcher on a real folder; it waits between two rounds."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.inbox = root, root / "inbox"
        self.clock, self.wall = 1000.0, datetime(2024, 1, 15, 12, tzinfo=UTC)
        self.outcomes: list[str] = []
        self.integrated: list[tuple[str, ...]] = []
        self.published: set[str] = set()
        self.trap: tuple[int, Change | None] | None = None
        self.disk = Disk(self.inbox)
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._has_ended = False
        self._moves: int | None = None
        patch.setattr("service.watch.watcher.FileEvents", self._file_events)
        patch.setattr("service.watch.daemon.BatchRunner", self._runner)
        patch.setattr("service.publication.PastBatches.knows", lambda _, batch_id: batch_id in self.published)
        patch.setattr(claims, "move", self._move)
        patch.setattr(inbox.Inbox, "claim", self._counting(inbox.Inbox.claim))
        patch.setattr("os.fsync", lambda descriptor: None)  # power cuts are tested elsewhere

    @property
    def is_up(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start it; it makes its first round."""
        self._watcher, self._has_ended = self._build(), False
        self._thread = threading.Thread(target=self._run, args=(self._watcher,))
        self._thread.start()
        self._rest()

    def round(self) -> None:
        """Let it scan once more, and work until there is nothing more to do."""
        self._steps.wake()
        self._rest()

    def stop(self) -> None:
        """Let it end in order."""
        if self._thread is not None and self._thread.is_alive():
            self._watcher.stop()
            self._thread.join(20)

    def files_by_folder(self) -> Counter[tuple[str, str, str]]:
        """Every export on the disk, with its folder."""
        found: Counter[tuple[str, str, str]] = Counter()
        for path in (path for path in self.inbox.rglob("*") if "customers" in path.name.lower()):
            where = path.relative_to(self.inbox).parts
            found[where[0] if len(where) > 1 else "inbox", path.name, path.read_text(encoding="utf-8")] += 1
        return found

    def health(self) -> set[str]:
        """The names that the health file reports as waiting."""
        report = json.loads((self.root / "state" / "health.json").read_text(encoding="utf-8"))
        return {entry["file_name"] for entry in report["waiting"]}

    def _build(self) -> Watcher:
        here: dict[str, Any] = {name: self.root / name for name in ("inbox", "outbox", "state")}
        chosen = Settings(
            **here, settle_seconds=SETTLE, retry_seconds=RETRY, stuck_pair_minutes=STUCK / 60, min_free_mb=0
        )
        return daemon.build(chosen, lambda: self.wall, lambda: self.clock)

    def _file_events(self, folder: Path) -> Steps:
        self._steps = Steps(folder)
        return self._steps

    def _runner(self, *arguments: Any) -> PlannedRunner:
        runner = PlannedRunner(*arguments)
        runner.outcomes, runner.integrated, runner.published = self.outcomes, self.integrated, self.published
        return runner

    def _run(self, watcher: Watcher) -> None:
        try:
            watcher.run()
        except Died:
            pass
        except BaseException as error:  # noqa: BLE001  # raised in the thread of the test
            self._failure = error
        finally:
            self._has_ended = True
            self._steps.rests.release()

    def _rest(self) -> None:
        assert self._steps.rests.acquire(timeout=120), "the round does not end"
        if self._has_ended:
            assert self._thread is not None
            self._thread.join()
            if self._failure is not None:
                raise self._failure

    def _counting(self, claim: Callable[..., Batch | None]) -> Callable[..., Batch | None]:
        """The claim, with its moves counted."""

        def counting(*arguments: Any) -> Batch | None:
            self._moves = 0
            try:
                return claim(*arguments)
            finally:
                self._moves = None

        return counting

    def _move(self, source: Path, target: Path, **_: object) -> None:
        if self._moves is not None and self.trap is not None and self.trap[0] == self._moves:
            change, self.trap = self.trap[1], None
            if change is None:
                raise Died
            self.disk.do(change)
        if self._moves is not None:
            self._moves += 1
        files.move(source, target)


# ----------------------------------------------------------------------------------------------------- the machine

CHANGES = st.sampled_from(["write", "rename in", "begin", "open", "delete", "touch"])
ENDINGS = st.sampled_from(["}\n", "}\n", "\n", ""])
SECONDS = st.sampled_from([0.25, 0.5, 0.5, 6.0, 11.0])
PLANS = st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=3)


class Pairing(RuleBasedStateMachine):
    """Users, writers, clocks and crashes, in any order."""

    def __init__(self) -> None:
        super().__init__()
        logs.configure()
        self.patch = pytest.MonkeyPatch()
        self.root = Path(tempfile.mkdtemp())
        (self.root / "inbox").mkdir()
        self.model = Model()
        self.service = Service(self.root, self.patch)
        self.versions = 0

    def teardown(self) -> None:
        self.service.stop()
        for writer in self.service.disk.writers:
            os.close(writer)
        self.patch.undo()
        structlog.reset_defaults()
        shutil.rmtree(self.root)

    def text(self, ending: str) -> str:
        """A version with contents and a length that no other has."""
        self.versions += 1
        return f"{self.versions}{'.' * 5 * self.versions}{ending}"

    def change_of(self, name: str, what: str, ending: str = "}\n") -> Change:
        return Change("begin", name, "") if what == "open" else Change(what, name, self.text(ending))

    def do(self, change: Change) -> None:
        self.model.do(change)
        self.service.disk.do(change)

    def play(self, plan: Iterable[str], in_the_service: Callable[[], None]) -> None:
        """One round, of the model and of the service; the integrations of it end as planned."""
        self.model.outcomes[:] = self.service.outcomes[:] = list(plan)
        try:
            self.model.round(self.service.clock, lambda name: (self.service.inbox / name).lstat().st_ctime_ns)
            is_up = True
        except Died:
            is_up = False
        in_the_service()
        self.model.outcomes.clear()
        self.service.outcomes.clear()
        assert self.service.is_up == is_up

    # users and writers

    @rule(what=CHANGES, name=st.sampled_from([*NAMES, *OTHER_SPELLINGS]), ending=ENDINGS)
    def a_user_changes_a_file(self, what: str, name: str, ending: str) -> None:
        self.do(self.change_of(name, what, ending))

    @rule(suffix=st.sampled_from(sorted(ORDER)), ending=ENDINGS)
    def both_exports_are_dropped(self, suffix: str, ending: str) -> None:
        for name in pair_of(suffix):
            self.do(Change("write", name, self.text(ending)))

    @rule(name=st.sampled_from(NAMES))
    def an_empty_file_is_dropped(self, name: str) -> None:
        self.do(Change("rename in", name, ""))

    @precondition(lambda self: self.model.writers)
    @rule(data=st.data(), ending=ENDINGS)
    def a_writer_continues(self, data: st.DataObject, ending: str) -> None:
        writer = data.draw(st.integers(0, len(self.model.writers) - 1))
        text = self.text(ending)
        self.model.append(writer, text)
        self.service.disk.append(writer, text)

    @precondition(lambda self: self.model.writers)
    @rule(data=st.data())
    def a_writer_ends(self, data: st.DataObject) -> None:
        writer = data.draw(st.integers(0, len(self.model.writers) - 1))
        self.model.close(writer)
        self.service.disk.close(writer)

    # faults

    @rule(number=st.integers(0, 1), what=CHANGES, name=st.sampled_from([*NAMES, *OTHER_SPELLINGS]), ending=ENDINGS)
    def a_user_will_act_during_a_claim(self, number: int, what: str, name: str, ending: str) -> None:
        self.model.trap = self.service.trap = number, self.change_of(name, what, ending)

    @rule(number=st.integers(0, 1))
    def it_will_die_during_a_claim(self, number: int) -> None:
        self.model.trap = self.service.trap = number, None

    @rule(days=st.sampled_from([-400, -1, 1, 400]))
    def the_wall_clock_jumps(self, days: int) -> None:
        self.service.wall += timedelta(days=days)

    # the service

    @initialize()
    def it_starts(self) -> None:
        self.it_is_restarted([])

    @rule(plan=PLANS)
    def it_is_restarted(self, plan: list[str]) -> None:
        self.service.stop()
        self.model.start()
        self.play(plan, self.service.start)

    @precondition(lambda self: self.service.is_up)
    @rule(seconds=SECONDS, plan=PLANS)
    def time_passes(self, seconds: float, plan: list[str]) -> None:
        self.service.clock += seconds
        self.play(plan, self.service.round)

    @precondition(lambda self: self.service.is_up)
    @rule(suffix=st.sampled_from(sorted(ORDER)), plan=PLANS)
    def a_pair_is_dropped_and_worked_on(self, suffix: str, plan: list[str]) -> None:
        self.both_exports_are_dropped(suffix, "}\n")
        self.time_passes(0.25, [])
        if self.service.is_up:
            self.time_passes(0.25, plan)

    @precondition(lambda self: self.service.is_up)
    @rule(suffix=st.sampled_from(sorted(ORDER)), number=st.integers(0, 1), which=st.integers(0, 1), what=CHANGES)
    def a_claim_is_disturbed(self, suffix: str, number: int, which: int, what: str) -> None:
        change = self.change_of(pair_of(suffix)[which], what)
        self.both_exports_are_dropped(suffix, "}\n")
        self.time_passes(0.25, [])
        self.model.trap = self.service.trap = number, change
        if self.service.is_up:
            self.time_passes(0.25, [])

    @precondition(lambda self: self.service.is_up)
    @rule(suffix=st.sampled_from(sorted(ORDER)), number=st.integers(0, 1), which=st.integers(0, 1), what=CHANGES)
    def it_dies_during_a_claim_and_a_user_acts_before_the_restart(
        self, suffix: str, number: int, which: int, what: str
    ) -> None:
        self.both_exports_are_dropped(suffix, "}\n")
        self.time_passes(0.25, [])
        self.model.trap = self.service.trap = number, None
        if self.service.is_up:
            self.time_passes(0.25, [])
        self.do(self.change_of(pair_of(suffix)[which], what))
        self.it_is_restarted([])

    # what must be so

    @invariant()
    def every_file_is_where_the_table_says(self) -> None:
        assert self.service.files_by_folder() == self.model.files_by_folder()

    @invariant()
    def every_batch_consists_of_the_two_versions_that_the_table_says(self) -> None:
        assert self.service.integrated == self.model.integrated

    @invariant()
    def a_file_that_is_being_written_is_not_claimed(self) -> None:
        taken = [file for file in self.model.writers if self.model.claim and file in self.model.claim.moved.values()]
        assert taken == []

    @invariant()
    def what_waits_is_reported(self) -> None:
        if self.service.is_up:
            assert set(map(shown_name, self.model.reported)) <= self.service.health()


@pytest.mark.large
@pytest.mark.slow
@needs_leases
def test_every_file_is_where_the_table_says_whatever_happens() -> None:
    run_state_machine_as_test(
        Pairing,
        settings=settings(
            max_examples=PAIRING_PLAYS,
            stateful_step_count=PAIRING_STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )
