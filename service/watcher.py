"""The daemon's story: look into the inbox, claim a settled pair, integrate it, put the files where they belong.

Events only wake the loop; the look decides. Batches are worked on one at a time, oldest first.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from service import health, logs
from service.errors import DeliveryError, Interrupted, PoisonedBatch, ServiceError, TransientError
from service.health import Health
from service.inbox import Inbox, Listing, Pair, Settling
from service.logs import Journal
from service.model import SOURCES, Batch
from service.state import State
from service.suffixes import place
from service.wake import Alarm
from service.workbench import Workbench

MOST_FAULTS = 3
MOST_DEATHS = 20
_UNSETTLED_TICK_SECONDS = 0.1
_STANDBY_TICK_SECONDS = 0.2
_HEALTH_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Pace:
    """How fast the loop goes and when it says something."""

    rescan_seconds: float
    settle_seconds: float
    partner_warning_seconds: float
    max_partner_gap_seconds: float
    retry_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What one run of the watcher came to."""

    published: int = 0
    quarantined: int = 0
    unfinished: int = 0


class Watcher:
    """Turns pairs that arrive in the inbox into published sets, until it is told to stop."""

    def __init__(
        self, inbox: Inbox, workbench: Workbench, state: State, pace: Pace, now: Callable[[], datetime]
    ) -> None:
        self._inbox = inbox
        self._workbench = workbench
        self._state = state
        self._pace = pace
        self._now = now
        self._stop = threading.Event()
        self._alarm = Alarm(inbox.root)
        self._settling = Settling(pace.settle_seconds)
        self._health = Health(pid=os.getpid())
        self._health_told: tuple[Health | None, float] = (None, 0.0)
        self._postponed: tuple[Batch, float] | None = None
        self._waits_since: dict[str, float] = {}
        self._told: set[str] = set()
        self._trouble: str | None = None
        self._outcome = Outcome()

    def stop(self) -> None:
        """Ask the loop to end after what it is doing; from any thread."""
        self._stop.set()
        self._alarm.wake()

    def abandon(self) -> None:
        """Make it end in the middle of what it is doing; nothing is lost."""
        self.stop()
        self._workbench.abandon()

    def run(self, *, once: bool = False) -> Outcome:
        """Watch until stopped; with ``once`` until all that waits is processed.

        Raises: ServiceError where work cannot begin: settings, folders, a foreign state.
        """
        state_id = self._state.open()
        self._inbox.open()
        if not self._take_over(state_id, once=once):
            return self._outcome
        try:
            self._workbench.open()
            logs.get().info("service.started", inbox=str(self._inbox.root), outbox=str(self._workbench.outbox.root))
            self._watch(once=once)
        finally:
            self._alarm.stop()
            self._workbench.close()
            self._inbox.unlock()
        return self._outcome

    def _take_over(self, state_id: str, *, once: bool) -> bool:
        """Become the one that works on this inbox; stand by while another does."""
        is_told = False
        name = f"health.standby-{os.getpid()}.json"
        while not self._inbox.try_lock(state_id):
            if once:
                raise TransientError(
                    "another instance works on this inbox",
                    hint="it will process what waits; or stop it and try again",
                )
            if not is_told:
                logs.get().info("service.stood_by", inbox=str(self._inbox.root))
                is_told = True
            standing_by = replace(self._health, reasons=["stands by: another instance works on this inbox"])
            health.write(standing_by, self._state.root, self._now(), name)
            if self._stop.wait(_STANDBY_TICK_SECONDS):
                break
        else:
            (self._state.root / name).unlink(missing_ok=True)
            return True
        (self._state.root / name).unlink(missing_ok=True)
        return False

    def _watch(self, *, once: bool) -> None:
        for batch in list(self._inbox.unfinished()):
            logs.get().info("batch.recovered", batch_id=batch.id)
            self._work_on(batch)
        give_up_at = time.monotonic() + 3 * self._pace.settle_seconds
        while not self._stop.is_set():
            listing = self._look()
            pair, unsettled = self._settled(listing)
            if self._is_busy_with_postponed() or (pair is not None and self._take(pair, listing)):
                give_up_at = time.monotonic() + 3 * self._pace.settle_seconds
                continue
            self._tell_health(listing)
            if once and (not unsettled or time.monotonic() > give_up_at) and not pair:
                self._outcome = replace(self._outcome, unfinished=len(unsettled) + (self._postponed is not None))
                return
            self._alarm.wait(_UNSETTLED_TICK_SECONDS if unsettled or pair else self._pace.rescan_seconds)

    # ------------------------------------------------------------------------------------------- looking

    def _look(self) -> Listing:
        """What lies in the inbox; an inbox that cannot be read is told and looks empty."""
        deaf = self._alarm.ensure()
        try:
            listing = self._inbox.look()
        except OSError as error:
            self._note_trouble(f"the inbox cannot be read: {error.strerror}")
            return Listing()
        self._note_trouble(deaf)
        self._health.last_scan = self._now().isoformat(timespec="seconds")
        for name in listing.strangers:
            if name not in self._told:
                logs.get().warning("inbox.file_ignored", file_name=name)
                self._told.add(name)
        return listing

    def _note_trouble(self, trouble: str | None) -> None:
        if trouble and trouble != self._trouble:
            logs.get().warning("inbox.degraded", reason=trouble)
        if self._trouble and not trouble:
            logs.get().info("inbox.recovered")
            self._inbox.open()
        self._trouble = trouble

    def _settled(self, listing: Listing) -> tuple[tuple[Pair, list[str]] | None, list[Pair]]:
        """The pair to work on next, with its proofs, and the pairs whose writers are not done."""
        now = time.monotonic()
        for path in self._alarm.closed():
            self._settling.closed(path, now)
        halves = [half for pair in listing.pairs for half in pair.halves] + list(listing.singles)
        self._settling.forget_all_but(half.path for half in halves)
        proofs = {half.path: self._settling.proof(half.path, half.state, now) for half in halves}
        ready: tuple[Pair, list[str]] | None = None
        unsettled: list[Pair] = []
        for pair in listing.pairs:
            found = [proof for half in pair.halves if (proof := proofs[half.path])]
            if len(found) < len(pair.halves):
                unsettled.append(pair)
            elif ready is None and not any(_must_come_first(earlier, pair) for earlier in unsettled):
                ready = pair, found
        return ready, unsettled

    def _take(self, ready: tuple[Pair, list[str]], listing: Listing) -> bool:
        """Claim a pair and work on it; False if it changed meanwhile."""
        pair, found = ready
        proofs = {half.path: proof for half, proof in zip(pair.halves, found, strict=True)}
        batch = self._inbox.claim(pair, proofs, self._now(), self._state.root)
        if batch is None:
            return False
        gap_seconds = abs(pair.halves[0].state.ctime_ns - pair.halves[1].state.ctime_ns) / 1e9
        if gap_seconds > self._pace.max_partner_gap_seconds:
            logs.get().warning("partner.late", batch_id=batch.id, gap_hours=round(gap_seconds / 3600, 1))
            batch = replace(batch, warnings=(f"The exports arrived {gap_seconds / 3600:.0f} hours apart",))
        logs.get().info("batch.claimed", batch_id=batch.id, proofs=found)
        self._work_on(batch)
        return True

    # ------------------------------------------------------------------------------------------- working

    def _is_busy_with_postponed(self) -> bool:
        """Work on a postponed batch when its pause is over. While it waits no other batch is begun."""
        if self._postponed is None:
            return False
        batch, due = self._postponed
        if time.monotonic() < due:
            return False
        self._postponed = None
        self._work_on(self._inbox.again(batch))
        return True

    def _work_on(self, batch: Batch) -> None:
        """One batch to its outcome: archive, quarantine, another try, or left as it is when we must stop."""
        journal = Journal(batch.id, self._now, on_stage=self._tell_stage)
        started = time.monotonic()
        try:
            claim = self._inbox.begin(batch)
            if claim.starts > MOST_DEATHS:
                raise _poisoned(batch)
            self._publish(batch, journal, started)
        except DeliveryError as error:
            self._quarantine(batch, error, journal)
        except Interrupted:
            self._inbox.release(batch)
            logs.get().info("batch.abandoned", batch_id=batch.id)
        except (TransientError, OSError, MemoryError) as error:
            self._postpone(batch, error, journal)
        except Exception as error:  # noqa: BLE001  # a bug of ours must not take the daemon down with it
            logs.get().error("bug.found", batch_id=batch.id, error=error)
            self._postpone(batch, error, journal)
        finally:
            self._health.busy_since = self._health.stage = self._health.stage_since = self._health.batch_id = None

    def _publish(self, batch: Batch, journal: Journal, started: float) -> None:
        self._health.busy_since, self._health.batch_id = self._now().isoformat(timespec="seconds"), batch.id
        if self._workbench.is_published(batch.id):
            self._workbench.finish(batch.id)
            logs.get().info("batch.recovered", batch_id=batch.id)
        else:
            summary = self._workbench.integrate(batch, journal)
            logs.get().info(
                "batch.published",
                batch_id=batch.id,
                **summary.counts(),
                seconds=round(time.monotonic() - started, 3),
            )
        self._inbox.archive(batch, self._state.root)
        self._outcome = replace(self._outcome, published=self._outcome.published + 1)
        self._health.last_batch = batch.id
        self._health.quarantined = []
        pruned = self._workbench.prune(batch.id)
        self._inbox.prune(pruned)
        for id_ in pruned:
            logs.get().info("batch.pruned", batch_id=id_)

    def _quarantine(self, batch: Batch, error: DeliveryError, journal: Journal) -> None:
        journal.line("ERROR", error.message)
        journal.line("ERROR", "Pipeline failed")
        self._inbox.quarantine(batch, error, self._now(), journal.text())
        logs.get().error(
            "batch.quarantined", batch_id=batch.id, code=error.code, message=error.message, hint=error.hint
        )
        self._outcome = replace(self._outcome, quarantined=self._outcome.quarantined + 1)
        self._health.quarantined.append(f"{batch.id}: {error.code}")

    def _postpone(self, batch: Batch, error: Exception, journal: Journal) -> None:
        """Keep the batch claimed and try it again later; after three faults it goes into quarantine."""
        faults = self._inbox.count_fault(batch)
        what = error.message if isinstance(error, ServiceError) else _described(error)
        if faults > MOST_FAULTS:
            gone = DeliveryError(
                f"tried {faults} times, the last time: {what}",
                where=f"batch {batch.id}",
                hint=f"mend what the message names, then: python -m service retry {batch.id}",
            )
            self._quarantine(batch, gone, journal)
            return
        pause = self._pace.retry_seconds * 2 ** (faults - 1)
        logs.get().error("batch.postponed", batch_id=batch.id, reason=what, faults=faults, retry_in_seconds=pause)
        self._postponed = batch, time.monotonic() + pause
        self._health.reasons = [f"batch {batch.id} waits for another try: {what}"]

    # ------------------------------------------------------------------------------------------- telling

    def _tell_stage(self, stage: str) -> None:
        self._health.stage, self._health.stage_since = stage, self._now().isoformat(timespec="seconds")
        self._write_health()

    def _tell_health(self, listing: Listing) -> None:
        reasons = [reason for reason in (self._trouble, *self._complaints(listing)) if reason]
        is_failing = self._postponed is not None or (self._trouble or "").startswith("the inbox cannot")
        if self._postponed is not None:
            reasons = [*reasons, *(r for r in self._health.reasons if "another try" in r)]
        self._health.reasons = reasons
        self._health.state = "failing" if is_failing else "degraded" if reasons else "ok"
        self._health.ignored = list(listing.strangers)
        self._health.waiting = [
            {"file_name": half.path.name, "waits_for": _partner(half.source.name, half.suffix)}
            for half in listing.singles
        ]
        told, at = self._health_told
        if (
            replace(self._health, written_at="", last_scan=None) != told
            or time.monotonic() - at > _HEALTH_EVERY_SECONDS
        ):
            self._write_health()

    def _write_health(self) -> None:
        health.write(self._health, self._state.root, self._now())
        self._health_told = replace(self._health, written_at="", last_scan=None), time.monotonic()

    def _complaints(self, listing: Listing) -> list[str]:
        now = time.monotonic()
        names = {half.path.name for half in listing.singles}
        self._waits_since = {name: self._waits_since.get(name, now) for name in names}
        found = [f"quarantined {entry}" for entry in self._health.quarantined]
        for half in listing.singles:
            name = half.path.name
            if now - self._waits_since[name] >= self._pace.partner_warning_seconds:
                missing = _partner(half.source.name, half.suffix)
                found.append(f"{name} waits for {missing}")
                if f"partner of {name}" not in self._told:
                    logs.get().warning("partner.missed", file_name=name, missing=missing)
                    self._told.add(f"partner of {name}")
        if listing.rivals:
            rivals = ", ".join(half.path.name for half in listing.rivals)
            found.append(f"several files for one export, remove all but one: {rivals}")
        return found


def _must_come_first(earlier: Pair, later: Pair) -> bool:
    """Whether a pair that is not settled yet must be waited for, lest it be outdated by the later one."""
    one, two = place(earlier.suffix), place(later.suffix)
    return one is not None and two is not None and one[0] == two[0]


def _partner(source_name: str, suffix: str) -> str:
    other = next(source for source in SOURCES if source.name != source_name)
    return f"{other.file_stem}{'_' if suffix else ''}{suffix}.{other.file_format}"


def _poisoned(batch: Batch) -> PoisonedBatch:
    return PoisonedBatch(
        f"the service died {MOST_DEATHS} times while it worked on this batch",
        where=f"batch {batch.id}",
        hint="look into the container's log and memory limit, then: python -m service retry " + batch.id,
    )


def _described(error: Exception) -> str:
    """A foreign error without its text, which may quote a customer; an OSError's own words are the system's."""
    return f"{type(error).__name__}: {error.strerror}" if isinstance(error, OSError) else type(error).__name__
