"""The loop of the daemon: scan the inbox, find the next batch, report, attempt the batch.

File events only wake the loop; the scan decides. Batches are worked on one at a time, oldest first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from service.errors import ServiceError, TransientError, UsageError
from service.folders import Folders
from service.health_reasons import HealthReason
from service.inbox import Inbox, Scan
from service.jobs.batch_runner import BatchRunner
from service.state import State
from service.watch.attempts import Attempts, CompletionPostponed, Postponed, Published, Quarantined
from service.watch.claiming import Claiming, NextBatch
from service.watch.file_events import FileEvents
from service.watch.leftovers import Leftovers
from service.watch.ownership import RETRY_SECONDS, Ownership
from service.watch.readiness import Readiness, Ready
from service.watch.status import Status, Turn, WarningLimits

_UNSETTLED_TICK_SECONDS = 0.1
_LEAST_PATIENCE_SECONDS = 5.0  # with ``once``: time for a slow machine, however short the time to settle


@dataclass(frozen=True)
class WatchOptions:
    """The intervals of the loop, and the limits beyond which it warns."""

    rescan_seconds: float
    settle_seconds: float
    partner_warning_seconds: float
    max_partner_gap_seconds: float
    stuck_pair_seconds: float
    retry_seconds: float
    min_free_mb: int


@dataclass(frozen=True)
class RunResult:
    """The number of batches that a run published and quarantined, and that it left."""

    published: int = 0
    quarantined: int = 0
    unfinished: int = 0


class Watcher:
    """Publishes or quarantines every batch that arrives in the inbox, until it is stopped."""

    def __init__(
        self,
        inbox: Inbox,
        batch_runner: BatchRunner,
        state: State,
        options: WatchOptions,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        """``now`` is the wall clock, ``clock`` the monotonic one, in seconds."""
        folders = Folders(inbox.root, batch_runner.outbox.root, state.root)
        self._inbox = inbox
        self._options = options
        self._clock = clock
        self._stop = threading.Event()
        self._events = FileEvents(inbox.root)
        self._ownership = Ownership(inbox, batch_runner, state, self._stop)
        self._readiness = Readiness(options.settle_seconds, options.stuck_pair_seconds)
        self._claiming = Claiming(
            inbox,
            batch_runner,
            self._ownership,
            Leftovers(options.retry_seconds),
            now,
            max_partner_gap_seconds=options.max_partner_gap_seconds,
        )
        self._attempts = Attempts(inbox, batch_runner, now, clock, retry_seconds=options.retry_seconds)
        warnings = WarningLimits(options.partner_warning_seconds, options.min_free_mb)
        self.status = Status(inbox, folders, warnings, now, clock)
        self._postponed: Postponed | None = None
        self._result = RunResult()

    @property
    def is_working(self) -> bool:
        """Whether this instance is the one that works on the inbox, at this moment."""
        return self._ownership.is_working

    def stop(self) -> None:
        """Ask the loop to end after the batch in work; from any thread."""
        self._stop.set()
        self._events.wake()

    def abandon(self) -> None:
        """End the loop in the middle of a batch; nothing is lost. From any thread."""
        self.stop()
        self._attempts.abandon()

    def run(self, *, once: bool = False) -> RunResult:
        """Watch until stopped; with ``once`` until all that waits is processed.

        Raises: ServiceError if the work cannot begin: settings, folders, a state that belongs to another inbox.
        """
        self._ownership.open()
        try:
            if self._take_over(once=once):
                self.status.begin(self._ownership.begin(), self._ownership.unresolved(), beats=not once)
                self._watch(once=once)
        finally:
            self._events.stop()
            self.status.pulse.end()
            self._ownership.release()
        return self._result

    def _take_over(self, *, once: bool) -> bool:
        """Become the instance that works on this inbox, and stand by until then. False if asked to stop."""
        has_stood_by = False
        while not self._ownership.take(has_stood_by=has_stood_by) and not self._stop.is_set():
            obstacle = self._ownership.obstacle()
            if once:
                raise TransientError(
                    obstacle.text,
                    hint="it will process what waits; or stop it and try again",
                )
            self.status.stand_by(obstacle, is_first=not has_stood_by)
            has_stood_by = True
            self._stop.wait(RETRY_SECONDS)
        self.status.end_stand_by()
        return not self._stop.is_set()

    def _watch(self, *, once: bool) -> None:
        patience_seconds = max(3 * self._options.settle_seconds, _LEAST_PATIENCE_SECONDS)
        give_up_at = self._clock() + patience_seconds
        while not self._stop.is_set():
            self.status.pulse.turned()
            turn = self._observe()
            self.status.report(turn)
            if self._attempt(turn.next_batch):
                give_up_at = self._clock() + patience_seconds
                continue
            if once and (turn.is_held_up or not turn.candidate_count or self._clock() > give_up_at):
                unfinished = turn.candidate_count + turn.is_held_up + len(turn.incomplete)
                self._result = replace(self._result, unfinished=unfinished)
                return
            is_unsettled = bool(turn.candidate_count) and not turn.is_held_up
            with self.status.pulse.working():  # to start an application of Spark takes longer than a beat
                self._attempts.expect(is_soon=is_unsettled)
            self._events.wait(self._sleep_seconds(is_unsettled=is_unsettled), self.status.pulse.turned)

    def _observe(self) -> Turn:
        """Scan the inbox and find the next batch."""
        now = self._clock()
        no_events = self._events.ensure_watching()
        missed_events = self._events.missed_events(now)
        self._readiness.note_closed(self._events.closed(), now)
        try:
            scan: Scan | None = self._inbox.scan()
            if self._ownership.relock_if_replaced():
                self._postponed = None  # its files are in the folder that was replaced; it continues when that is back
            problems = self._problems(no_events, now)
        except (OSError, ServiceError) as error:
            scan, problems = None, (self._unusable(error),)
        ready = self._readiness.next(scan or Scan(), now)
        if scan is not None:
            self._claiming.end_unused_acceptances(scan)
        next_batch = self._next_batch(ready) if scan is not None else NextBatch()
        return Turn(
            scan=scan,
            problems=problems,
            missed_events=missed_events,
            unsettled=self._readiness.unsettled,
            next_batch=next_batch,
            postponed=self._postponed,
            unreadable=self._claiming.unreadable,
            incomplete=self._claiming.leftovers.reasons(),
            stuck=self._readiness.stuck,
        )

    def _problems(self, no_events: HealthReason | None, now: float) -> tuple[HealthReason, ...]:
        replaced = HealthReason("inbox_replaced", "the inbox is another folder than before, was it unmounted?")
        found = (
            replaced if self._ownership.was_replaced else None,
            no_events,
            self._events.loss(now, self._options.rescan_seconds),
        )
        return tuple(filter(None, found))

    def _unusable(self, error: OSError | ServiceError) -> HealthReason:
        match error:
            case TransientError():
                return HealthReason("inbox_taken", error.message)
            case UsageError():
                return HealthReason("inbox_of_another_state", error.message)
            case ServiceError():
                return HealthReason("inbox_unusable", error.message)
        text = f"the inbox cannot be used: {error.strerror}: {error.filename or self._inbox.root}"
        return HealthReason("inbox_unusable", text)

    def _next_batch(self, ready: Ready | None) -> NextBatch:
        """The batch to work on now; none while one waits for another attempt."""
        if self._postponed is not None and self._clock() < self._postponed.until:
            return NextBatch()
        postponed_id = self._postponed.batch_id if self._postponed is not None else None
        with self.status.pulse.working():  # a claim reads the whole files
            found = self._claiming.next_batch(ready, postponed_id, self._clock())
        if found.batch is None:
            self._postponed = found.refusal
        elif found.is_new:
            for file in found.batch.inputs:
                self._events.expect_event(file.file_name, self._clock())
        return found

    def _attempt(self, found: NextBatch) -> bool:
        """Attempt the batch; returns whether anything was done, so that the inbox is scanned again at once."""
        if found.batch is None:
            return bool(found.put_back) and found.refusal is None
        with self.status.pulse.working():
            result = self._attempts.run(found.batch, found.state, self.status.in_work(found.batch.id))
        self.status.record(result)
        self._postponed = result if isinstance(result, Postponed) else None
        if isinstance(result, CompletionPostponed):
            self._claiming.leftovers.note(result, self._clock())
        else:
            self._claiming.leftovers.forget(found.batch.id)
        if isinstance(result, Published):
            self._result = replace(self._result, published=self._result.published + 1)
        elif isinstance(result, Quarantined):
            self._result = replace(self._result, quarantined=self._result.quarantined + 1)
        return True

    def _sleep_seconds(self, *, is_unsettled: bool) -> float:
        """The longest time to sleep until an event."""
        if is_unsettled:
            return min(_UNSETTLED_TICK_SECONDS, self._readiness.seconds_to_proof(self._clock()))
        until = self._postponed.until - self._clock() if self._postponed is not None else self._options.rescan_seconds
        return min(max(until, _UNSETTLED_TICK_SECONDS), self._options.rescan_seconds)
