"""One attempt at one batch, and its result as a value; ``status`` reports it.

An environment fault postpones the batch, longer each time; the fourth fault, and the twentieth death of the process,
quarantine it. A batch that is committed is never quarantined, and once the register has advanced to it no step that is
left stops the next batch.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from service.commands import command
from service.errors import InputError, Interrupted, LastingFault, PoisonedBatch, TransientError, safe_text
from service.inbox import Inbox, shown_text
from service.jobs import JOBS
from service.jobs.batch_runner import BatchRunner
from service.jobs.reporting import report_failure
from service.journal import Journal
from service.model import Batch, Source
from service.progress import Meter, Reading, Reporter
from service.publication import CommitState

MOST_FAULTS = 3
MOST_DEATHS = 20
_MOST_DOUBLINGS = 6


@dataclass(frozen=True)
class Published:
    """The batch was published, by this attempt or by an earlier one that this attempt completed."""

    batch: Batch
    pruned: tuple[str, ...] = ()
    """Ids of the sets that retention removed."""
    bug: Exception | None = None
    """An unexpected error of the retention."""


@dataclass(frozen=True)
class ArchivedLate:
    """The batch was published earlier, and so was a later one of its job: its inputs went into the archive now."""

    batch: Batch


@dataclass(frozen=True)
class Quarantined:
    """The batch cannot be integrated: its inputs went into quarantine."""

    batch: Batch
    error: InputError


@dataclass(frozen=True)
class Postponed:
    """The batch stays claimed and is tried again; without a batch: the next claim waits."""

    batch_id: str | None
    reason: str
    seconds: float
    until: float
    """On the monotonic clock."""
    bug: Exception | None = None
    """The error, if it was an unexpected one."""


@dataclass(frozen=True)
class CompletionPostponed:
    """The batch is published, but a step after the commit failed: it is tried again, and the next batch may begin."""

    batch: Batch
    reason: str
    bug: Exception | None = None
    """The error, if it was an unexpected one."""


@dataclass(frozen=True)
class Abandoned:
    """The service was asked to stop: the batch stays claimed, and the next start begins it again."""

    batch: Batch


Result = Published | ArchivedLate | Quarantined | Postponed | CompletionPostponed | Abandoned


class Attempts:
    """Attempts batches, one at a time."""

    def __init__(
        self,
        inbox: Inbox,
        batch_runner: BatchRunner,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        *,
        retry_seconds: float,
    ) -> None:
        self._inbox = inbox
        self._batch_runner = batch_runner
        self._now = now
        self._clock = clock
        self._retry_seconds = retry_seconds

    def abandon(self) -> None:
        """Make the running attempt end as soon as possible, and every later one; from any thread."""
        self._batch_runner.abandon()

    def expect(self, *, is_soon: bool) -> None:
        """Prepare for a batch while its files settle; not any more when they are gone. Best effort."""
        with suppress(Exception):  # the attempt opens its own engine, and reports its errors
            if is_soon:
                self._batch_runner.prepare()
            else:
                self._batch_runner.rest()

    def run(self, batch: Batch, state: CommitState, show: Callable[[Reading], None]) -> Result:
        """Bring a claimed batch to its outcome, or as far as possible.

        ``show`` gets how far it has come, often, and not any more once this method has returned.
        """
        meter = Meter(JOBS[batch.job].stages)
        journal = Journal(batch.id, self._now, meter)
        try:
            claim = self._inbox.begin(batch)
            if claim.starts > MOST_DEATHS and state is CommitState.NEW:
                raise _poisoned(batch)
            with Reporter(meter, batch.id, show):
                return self._publish(batch, state, journal)
        except Exception as error:  # noqa: BLE001  # a bug must not end the daemon
            return self._failed(batch, error, journal)

    def _publish(self, batch: Batch, state: CommitState, journal: Journal) -> Published | ArchivedLate:
        match state:
            case CommitState.NEW:
                self._batch_runner.run(batch, journal)
            case CommitState.COMMITTED:
                self._batch_runner.roll_forward(batch)
            case CommitState.SUPERSEDED:
                # Its inputs could not be reached when it was published.
                self._batch_runner.archive(batch)
                return ArchivedLate(batch)
        try:
            return Published(batch, tuple(self._batch_runner.prune(batch)))
        except OSError:  # what cannot be removed now is superseded after the next batch as well
            return Published(batch)
        except Exception as bug:  # noqa: BLE001  # a bug; the batch is published all the same
            return Published(batch, bug=bug)

    def _failed(self, batch: Batch, error: Exception, journal: Journal) -> Result:
        """Quarantine wrong inputs; keep the batch for another attempt after any other error."""
        is_expected = isinstance(error, InputError | Interrupted | TransientError | OSError | MemoryError)
        bug = None if is_expected else error
        try:
            if isinstance(error, InputError):
                return self._quarantine(batch, error, journal)
            if isinstance(error, Interrupted):
                self._inbox.release(batch)
                return Abandoned(batch)
            if self._batch_runner.is_in_force(batch):
                return CompletionPostponed(batch, _shown_reason(batch, error), bug)
            faults = self._inbox.count_fault(batch)
            # Read again: this attempt may have committed the batch before it failed.
            if faults > MOST_FAULTS and self._batch_runner.commit_state_of(batch.id) is CommitState.NEW:
                return self._quarantine(batch, _lasting(batch, faults, error), journal)
            return self._postpone(batch, error, faults, bug)
        except OSError as unwritten:
            # The inbox could not store the outcome, neither a count nor a reason.
            return self._postpone(batch, unwritten, MOST_FAULTS, bug)

    def _quarantine(self, batch: Batch, error: InputError, journal: Journal) -> Quarantined:
        report_failure(error.message, journal)
        self._batch_runner.quarantine(batch, error, self._now(), journal.text())
        return Quarantined(batch, error)

    def _postpone(self, batch: Batch, error: Exception, faults: int, bug: Exception | None) -> Postponed:
        seconds = pause_seconds(self._retry_seconds, faults)
        return Postponed(batch.id, _shown_reason(batch, error), seconds, self._clock() + seconds, bug)


def pause_seconds(first_seconds: float, failures: int) -> float:
    """Seconds before the next try, which double with each failure up to a limit; ``failures``: how many there were."""
    return first_seconds * 2.0 ** min(max(failures, 1) - 1, _MOST_DOUBLINGS)


def names_of(batch: Batch) -> list[tuple[str, Source]]:
    """File name and source of each input."""
    return [(file.file_name, file.source) for file in batch.inputs]


def _shown_reason(batch: Batch, error: Exception) -> str:
    return shown_text(safe_text(error), names_of(batch))


def _lasting(batch: Batch, faults: int, error: Exception) -> LastingFault:
    return LastingFault(
        f"tried {faults} times, the last time: {safe_text(error)}",
        where=f"batch {batch.id}",
        hint=f"remove the cause that the message names, then: {command('retry', batch.id)}",
    )


def _poisoned(batch: Batch) -> PoisonedBatch:
    return PoisonedBatch(
        f"the service died {MOST_DEATHS} times while it worked on this batch",
        where=f"batch {batch.id}",
        hint=f"see the container's log and memory limit, then: {command('retry', batch.id)}",
    )
