"""The reports of the daemon in its log and in ``state/health.json``; no other module of the loop reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from service import __version__, health, logs
from service.documents import HealthReport, IgnoredEntry, StageProgress
from service.errors import LastingFault, safe_text
from service.folders import Folders
from service.health import MOST_LISTED
from service.health_reasons import HealthReason
from service.inbox import Inbox, QuarantinedBatch, Scan, shown_name
from service.job_name import JobName
from service.printable import printable
from service.progress import Reading
from service.watch.attempts import (
    Abandoned,
    ArchivedLate,
    CompletionPostponed,
    Postponed,
    Published,
    Quarantined,
    Result,
)
from service.watch.claiming import NextBatch
from service.watch.event_log import EventLog
from service.watch.heartbeat import Pulse
from service.watch.waits import Waits, causes_of

_WRITE_SECONDS = 1.0


@dataclass(frozen=True)
class WarningLimits:
    """The limits beyond which health warns."""

    partner_seconds: float
    """How long an export may wait for its partner."""
    min_free_mb: int


@dataclass(frozen=True)
class Turn:
    """The state of inbox and claims in one turn of the loop, before it works on a batch."""

    scan: Scan | None
    """None if the inbox cannot be used."""
    problems: tuple[HealthReason, ...]
    """What is wrong with the inbox or its file events."""
    missed_events: int
    """The number of files that arrived without a file event, since the last turn."""
    unsettled: frozenset[str]
    """Names of files that wait for their writers."""
    next_batch: NextBatch
    postponed: Postponed | None
    """What waits for another attempt."""
    unreadable: tuple[str, ...]
    """Names of claim files that cannot be read."""
    incomplete: tuple[HealthReason, ...] = ()
    """One for each published batch with a step after the commit that failed."""
    stuck: frozenset[str] = frozenset()
    """Names of files that later batches have passed."""

    @property
    def candidate_count(self) -> int:
        """The number of candidates in the inbox."""
        return len(self.scan.candidates) if self.scan is not None else 0

    @property
    def is_held_up(self) -> bool:
        """Whether no batch can be worked on at the moment."""
        return self.scan is None or self.postponed is not None


class Status:
    """Turns what happened into log lines and health reports."""

    def __init__(
        self,
        inbox: Inbox,
        folders: Folders,
        warnings: WarningLimits,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._folders = folders
        self._now = now
        self._clock = clock
        self._warnings = warnings
        self._report = HealthReport(version=__version__, pid=os.getpid())
        self._file = _HealthFile(folders, now, clock)
        self.pulse = Pulse(folders.state, now, clock)
        self._waits = Waits(self._shown)
        self._quarantined: list[QuarantinedBatch] = []
        self._log = EventLog(inbox.sources)
        self.other_problems: Callable[[], list[HealthReason]] = list
        """Problems that background tasks (the scheduled sync) report."""

    # ---------------------------------------------------------------------------------------- the instance

    def stand_by(self, obstacle: HealthReason, *, is_first: bool) -> None:
        """Report that this instance stands by; ``is_first``: it begins to."""
        if is_first:
            logs.get().info("service.stood_by", inbox=str(self._inbox.root), why=obstacle.text)
        reason = HealthReason(obstacle.code, f"stands by: {obstacle.text}")
        self._file.write_standby(_with_reasons(self._report, [reason]))

    def end_stand_by(self) -> None:
        """Remove the reports of instances that stood by; one that still does writes its report again."""
        health.forget_standbys(self._folders.state)

    def begin(self, published: dict[JobName, str], quarantined: list[QuarantinedBatch], *, beats: bool) -> None:
        """Report that the work begins; ``beats``: with a heartbeat until ``end``.

        ``published`` maps each job to its last published batch, the latest one last; ``quarantined`` are the batches
        that went into quarantine since then.
        """
        self._report = replace(
            self._report,
            last_batch=next(reversed(published.values()), None),
            notes=health.unsynced(self._roots()),
            has_heartbeat=beats and self.pulse.begin(),
        )
        self._quarantined = quarantined
        logs.get().info("service.started", inbox=str(self._inbox.root), outbox=str(self._folders.outbox))

    def _roots(self) -> tuple[Path, Path, Path]:
        return self._inbox.root, self._folders.outbox, self._folders.state

    # -------------------------------------------------------------------------------------------- one turn

    def report(self, turn: Turn) -> None:
        """Log what is new in this turn, and write its health."""
        report = replace(self._report, found_without_event=self._report.found_without_event + turn.missed_events)
        self._log.log_problems(turn.problems)
        self._log.log_next_batch(turn.next_batch, turn.postponed)
        if turn.scan is not None:
            self._note_waits(turn.scan, turn)
            self._log.log_files(turn.scan, self._overdue())
            ignored = turn.scan.ignored[:MOST_LISTED]
            report = replace(
                report,
                last_scan=self._seconds(),
                waiting=self._waits.listed(),
                waiting_count=len(self._waits),
                ignored=tuple(IgnoredEntry(file_name=self._shown(entry.file_name), why=entry.why) for entry in ignored),
            )
        unwritable = health.unwritable(self._folders.needed)
        self._quarantined = [it for it in self._quarantined if self._inbox.is_quarantined(it.batch_id)]
        reasons = self._reasons(turn, unwritable)
        report = replace(
            report,
            state=self._state(turn, reasons, unwritable),
            quarantined=tuple(map(str, self._quarantined)),
        )
        self._report = _with_reasons(report, reasons)
        self._file.write_if_due(self._report)

    def in_work(self, batch_id: str) -> Callable[[Reading], None]:
        """Writes into health how far the batch that begins now has come."""
        busy = replace(self._report, batch_id=batch_id, busy_since=self._seconds())
        return _InWork(busy, self._file, self._now).write

    def record(self, result: Result) -> None:
        """Log the result of an attempt; the health of the next turn contains it."""
        self._log.log_result(result)
        match result:
            case Published(batch=batch) | CompletionPostponed(batch=batch):
                self._report = replace(self._report, last_batch=batch.id)
                self._quarantined = [it for it in self._quarantined if it.job != batch.job]
            case Quarantined(batch=batch, error=error):
                self._quarantined = [*self._quarantined, QuarantinedBatch(batch.id, batch.job, error.code)]
            case ArchivedLate() | Postponed() | Abandoned():
                pass

    # ------------------------------------------------------------------------------------------ conditions

    def _note_waits(self, scan: Scan, turn: Turn) -> None:
        causes = causes_of(scan, turn.unsettled, self._inbox.sources)
        if turn.next_batch.batch is not None and turn.next_batch.is_new:
            for file in turn.next_batch.batch.inputs:
                causes.pop(file.file_name, None)
        self._waits.note(causes, self._now(), self._clock())

    def _state(
        self, turn: Turn, reasons: list[HealthReason], unwritable: list[HealthReason]
    ) -> Literal["ok", "degraded", "failing"]:
        # After a lasting fault, and with an unwritable folder, the next batch would fail as the last one did.
        is_lasting = any(map(_is_by_fault, self._quarantined)) or bool(unwritable)
        return "failing" if turn.is_held_up or is_lasting else "degraded" if reasons else "ok"

    def _reasons(self, turn: Turn, unwritable: list[HealthReason]) -> list[HealthReason]:
        """What is wrong, the most important first."""
        reasons = [*turn.problems, *_postponement(turn.postponed)]
        reasons += [
            HealthReason(
                "claim_unreadable",
                f"the claim {name} cannot be read: move its files from .claimed back into the inbox, then remove it",
            )
            for name in turn.unreadable
        ]
        reasons += turn.incomplete
        reasons += [
            HealthReason(
                "export_stuck",
                f"{name} is not ready, and later pairs do not wait for it: complete it, make it readable, or remove it",
            )
            for name in map(self._shown, sorted(turn.stuck))
        ]
        reasons += self.other_problems()
        reasons += [*unwritable, *health.unwritable(self._folders.needed_later)]
        reasons += health.scarce_space(self._roots(), self._warnings.min_free_mb)
        reasons += [
            HealthReason("batch_quarantined_by_fault" if _is_by_fault(it) else "batch_quarantined", f"quarantined {it}")
            for it in self._quarantined
        ]
        copies = [entry for entry in turn.scan.ignored if entry.is_copy] if turn.scan is not None else []
        reasons += [
            HealthReason("export_copied", f"{self._shown(entry.file_name)} is ignored: {entry.why}") for entry in copies
        ]
        return reasons + self._waits.reasons(self._warnings.partner_seconds, self._clock())

    def _shown(self, name: str) -> str:
        return shown_name(name, self._inbox.sources)

    def _overdue(self) -> list[tuple[str, str]]:
        return self._waits.longer_than(self._warnings.partner_seconds, self._clock())

    def _seconds(self) -> str:
        return self._now().isoformat(timespec="seconds")


def _is_by_fault(batch: QuarantinedBatch) -> bool:
    return batch.code == LastingFault.__name__


def _postponement(postponed: Postponed | None) -> Iterator[HealthReason]:
    """The reason of what waits for another attempt, if anything does."""
    if postponed is None:
        return
    if postponed.batch_id is None:
        yield HealthReason("claim_refused", postponed.reason)
    else:
        text = f"batch {postponed.batch_id} waits for another try: {postponed.reason}"
        yield HealthReason("batch_postponed", text)


def _with_reasons(report: HealthReport, reasons: Sequence[HealthReason]) -> HealthReport:
    """The report with the first ``MOST_LISTED`` of these reasons, and how many more there are."""
    listed = list(reasons[:MOST_LISTED])
    if more := len(reasons) - len(listed):
        listed.append(HealthReason("more", f"and {more} more"))
    return replace(
        report,
        reasons=tuple(printable(reason.text) for reason in listed),
        codes=tuple(reason.code for reason in listed),
    )


class _InWork:
    """The health while a batch is in work."""

    def __init__(self, report: HealthReport, file: _HealthFile, now: Callable[[], datetime]) -> None:
        self._report = report
        self._file = file
        self._now = now

    def write(self, reading: Reading) -> None:
        """Write it with the stage, and how far that has come."""
        now = self._now()
        if reading.stage != self._report.stage:
            self._report = replace(self._report, stage=reading.stage, stage_since=now.isoformat(timespec="seconds"))
        progress = StageProgress(
            stage_number=reading.stage_number,
            stage_count=reading.stage_count,
            rows_done=reading.rows_done,
            rows_in_all=reading.rows_in_all,
            rows_per_second=reading.rows_per_second,
            moved_at=(now - timedelta(seconds=reading.still_seconds)).isoformat(timespec="seconds"),
        )
        self._file.write(replace(self._report, progress=progress))


class _HealthFile:
    """The health file of this instance. A failure to write it is logged once, and the work continues."""

    def __init__(self, folders: Folders, now: Callable[[], datetime], clock: Callable[[], float]) -> None:
        self._state = folders.state
        self._now = now
        self._clock = clock
        self._last: tuple[HealthReport | None, float] = (None, 0.0)
        self._is_unwritable = False

    def write_if_due(self, report: HealthReport) -> None:
        """Write the report if anything but the time of the scan changed, or if the file is a second old."""
        last, at = self._last
        if replace(report, last_scan=None) != last or self._clock() - at > _WRITE_SECONDS:
            self.write(report)

    def write(self, report: HealthReport) -> None:
        """Write the report."""
        try:
            health.write(report, self._state, self._now())
            self._is_unwritable = False
        except OSError as error:
            if not self._is_unwritable:
                logs.get().warning("health.unwritten", reason=safe_text(error))
            self._is_unwritable = True
        self._last = replace(report, last_scan=None), self._clock()

    def write_standby(self, report: HealthReport) -> None:
        """Write the report of an instance that stands by, best effort."""
        # Containers have names of their own, but all the same process id.
        instance = f"{os.uname().nodename}-{os.getpid()}"
        try:
            health.write(report, self._state, self._now(), standby=instance)
        except OSError:
            return
