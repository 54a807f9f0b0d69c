"""The daemon's story: look into the inbox, claim settled exports, work on them, put the files where they belong.

Events only wake the loop; the look decides. Batches are worked on one at a time, oldest first.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from service import health, logs
from service.errors import (
    InputError,
    Interrupted,
    LastingFault,
    PoisonedBatch,
    ServiceError,
    TransientError,
    UsageError,
)
from service.health import MOST_LISTED, Health, Waits
from service.inbox import Candidate, Inbox, Quarantined, Scan, Settling, Unfinished, WaitingFile, partner_name
from service.jobs.batch_runner import BatchRunner
from service.logs import Journal
from service.model import Batch, JobName
from service.publication import Progress
from service.state import State
from service.suffixes import is_before
from service.watch.file_events import FileEvents

MOST_FAULTS = 3
MOST_DEATHS = 20
MOST_DOUBLINGS = 6
_UNSETTLED_TICK_SECONDS = 0.1
_STANDBY_TICK_SECONDS = 0.2
_OPTION_PATIENCE = 3  # so many times the time to settle an optional export may keep a complete batch waiting
_HEALTH_EVERY_SECONDS = 1.0
_TAKE_OVER_TRIES = 10
_LEAST_PATIENCE_SECONDS = 5.0  # with ``once``: a short time to settle must not mean that a slow machine gives up
_CLAIM_RETRY_SECONDS, _MOST_CLAIM_RETRY_SECONDS = 1.0, 30.0  # doubles in between: each try hashes both files


@dataclass(frozen=True)
class Pace:
    """How fast the loop goes and when it says something."""

    rescan_seconds: float
    settle_seconds: float
    partner_warning_seconds: float
    max_partner_gap_seconds: float
    retry_seconds: float
    min_free_mb: int


@dataclass(frozen=True)
class RunResult:
    """What one run of the watcher came to."""

    published: int = 0
    quarantined: int = 0
    unfinished: int = 0


@dataclass(frozen=True)
class _Pause:
    """A claimed batch, or a claim that the inbox refused, waits for another try; until then nothing is begun."""

    batch_id: str | None
    reason: str
    until: float


class Watcher:
    """Turns candidates that arrive in the inbox into published sets, until it is told to stop."""

    def __init__(
        self, inbox: Inbox, batch_runner: BatchRunner, state: State, pace: Pace, now: Callable[[], datetime]
    ) -> None:
        self._inbox = inbox
        self._workbench = batch_runner
        self._state = state
        self._pace = pace
        self._now = now
        self._stop = threading.Event()
        self._alarm = FileEvents(inbox.root)
        self._settling = Settling(pace.settle_seconds)
        self._health = Health(pid=os.getpid())
        self._health_told: tuple[Health | None, float] = (None, 0.0)
        self._pause: _Pause | None = None
        self._waits = Waits()
        self._unsettled: set[str] = set()
        self._told: set[tuple[str, str, str, str]] = set()
        self._trouble: str | None = None
        self._missed: tuple[str | None, float] = (None, 0.0)
        self._is_strange_folder = False
        self._familiar_inode = 0
        self._claims_refused = 0
        self._options_awaited: dict[tuple[JobName, str], float] = {}
        self._quarantined: list[Quarantined] = []
        self._unreadable: tuple[str, ...] = ()
        self._is_mute = False
        self._state_id = ""
        self._result = RunResult()
        self.is_working = False
        """Whether this instance is the one that works on the inbox, at this moment."""
        self.complaints_beside: Callable[[], list[str]] = list
        """What is amiss with what runs beside the loop."""

    def stop(self) -> None:
        """Ask the loop to end after what it is doing; from any thread."""
        self._stop.set()
        self._alarm.wake()

    def abandon(self) -> None:
        """Make it end in the middle of what it is doing; nothing is lost."""
        self.stop()
        self._workbench.abandon()

    def run(self, *, once: bool = False) -> RunResult:
        """Watch until stopped; with ``once`` until all that waits is processed.

        Raises: ServiceError where work cannot begin: settings, folders, a foreign state.
        """
        self._state_id = self._state.open()
        self._inbox.open()
        try:
            if self._take_over(once=once):
                self._begin()
                self.is_working = True
                self._watch(once=once)
        finally:
            self.is_working = False
            self._alarm.stop()
            self._workbench.close()
            self._inbox.unlock()
        return self._result

    def _take_over(self, *, once: bool) -> bool:
        """Become the one that works on this inbox; stand by while another does. False when told to stop."""
        has_stood_by = False
        while not self._holds_both(has_stood_by=has_stood_by) and not self._stop.is_set():
            if once:
                raise TransientError(
                    "another instance works on this inbox",
                    hint="it will process what waits; or stop it and try again",
                )
            if not has_stood_by:
                logs.get().info("service.stood_by", inbox=str(self._inbox.root))
                has_stood_by = True
            self._tell_standby()
            self._stop.wait(_STANDBY_TICK_SECONDS)
        health.forget_standbys(self._state.root)
        return not self._stop.is_set()

    def _holds_both(self, *, has_stood_by: bool) -> bool:
        """Take the inbox and the state, or neither.

        Raises: UsageError where the state is another's but the inbox is not. One that has stood by is not refused:
        an inbox that was replaced is free until the instance that works with the state has taken it anew.
        """
        try:
            if not self._inbox.try_lock(self._state_id):
                return False
        except OSError:
            if has_stood_by:
                return False  # out of reach for the moment
            raise
        for tries_left in reversed(range(_TAKE_OVER_TRIES)):
            try:
                self._workbench.open()
                return True
            except UsageError:
                if has_stood_by:
                    break
                # The kernel frees the locks of one that died one after the other: the state's may be the later.
                if not tries_left or self._stop.wait(_STANDBY_TICK_SECONDS):
                    raise
        self._inbox.unlock()
        return False

    def _tell_standby(self) -> None:
        standing_by = replace(self._health, reasons=["stands by: another instance works on this inbox"])
        # Containers have names of their own, but all the same process id.
        file_name = health.STANDBY_FILES.replace("*", f"{os.uname().nodename}-{os.getpid()}")
        with suppress(OSError):  # it is no reason to go that nobody can be told
            health.write(standing_by, self._state.root, self._now(), file_name)

    def _begin(self) -> None:
        published = self._workbench.last_published()
        self._health.last_batch = next(reversed(published.values()), None)
        self._note_quarantined(self._inbox.quarantined_after(published))
        self._familiar_inode = self._inode()
        logs.get().info("service.started", inbox=str(self._inbox.root), outbox=str(self._workbench.outbox.root))

    def _watch(self, *, once: bool) -> None:
        patience_seconds = max(3 * self._pace.settle_seconds, _LEAST_PATIENCE_SECONDS)
        give_up_at = time.monotonic() + patience_seconds
        while not self._stop.is_set():
            listing = self._look()
            ready = self._settled(listing or Scan())
            self._tell_health(listing)
            if listing is not None and self._has_worked(ready):
                give_up_at = time.monotonic() + patience_seconds
                continue
            self._tell_health(listing)
            is_held_up = listing is None or self._pause is not None
            left = len(listing.candidates) if listing else 0
            if once and (is_held_up or not left or time.monotonic() > give_up_at):
                self._result = replace(self._result, unfinished=left + is_held_up)
                return
            self._alarm.wait(self._pause_seconds(is_unsettled=bool(left) and not is_held_up))

    def _pause_seconds(self, *, is_unsettled: bool) -> float:
        """How long to sleep where no event wakes us."""
        if is_unsettled:
            return _UNSETTLED_TICK_SECONDS
        until = self._pause.until - time.monotonic() if self._pause is not None else self._pace.rescan_seconds
        return min(max(until, _UNSETTLED_TICK_SECONDS), self._pace.rescan_seconds)

    # ------------------------------------------------------------------------------------------- looking

    def _look(self) -> Scan | None:
        """What lies in the inbox; None while it is out of reach or not ours, which is told."""
        deaf = self._alarm.ensure()
        now = time.monotonic()
        self._health.found_without_event += self._alarm.unheard(now)
        for path in self._alarm.closed():
            self._settling.closed(path, now)
        try:
            listing = self._inbox.scan()
            self._hold()
        except OSError as error:
            self._note_trouble(f"the inbox cannot be used: {error.strerror}: {self._inbox.root}")
            return None
        except ServiceError as error:
            self._note_trouble(error.message)
            return None
        strange = "the inbox is another folder than before, was it unmounted?" if self._is_strange_folder else None
        self._note_trouble("; ".join(filter(None, (strange, deaf, self._lately_missed(now)))) or None)
        self._health.last_scan = self._now().isoformat(timespec="seconds")
        return listing

    def _lately_missed(self, now: float) -> str | None:
        """Why events were lost a moment ago: it is over, but is told long enough to be seen."""
        if missed := self._alarm.missed():
            self._missed = missed, now + self._pace.rescan_seconds
        reason, until = self._missed
        return reason if now < until else None

    def _hold(self) -> None:
        """Keep the folder that is there now: one that was replaced or mounted anew is opened and locked again.

        Raises: OSError, ServiceError where that cannot be.
        """
        self._inbox.open()
        if self._inbox.is_locked():
            return
        self._inbox.unlock()
        # By the inode alone: a share that was mounted again is the same folder on another device.
        is_familiar = self._inode() == self._familiar_inode
        if not self._inbox.try_lock(self._state_id):
            raise TransientError("another instance works on this inbox", hint="stop one of the two")
        self._is_strange_folder = self._inbox.is_new or not is_familiar
        self._pause = None  # what was claimed lies in the other folder, and goes on when that is back

    def _inode(self) -> int:
        return self._inbox.root.stat().st_ino

    def _note_trouble(self, trouble: str | None) -> None:
        if trouble and trouble != self._trouble:
            logs.get().warning("inbox.degraded", reason=trouble)
        if self._trouble and not trouble:
            logs.get().info("inbox.recovered")
        self._trouble = trouble

    def _settled(self, listing: Scan) -> tuple[Candidate, list[str]] | None:
        """The candidate to work on next, with its proofs: the oldest whose writers, and all before it, are done.

        A candidate for another job is none before it.
        """
        now = time.monotonic()
        unpaired, paired = listing.unpaired, [file for candidate in listing.candidates for file in candidate.files]
        self._settling.forget_all_but(file.path for file in (*paired, *unpaired))
        for file in paired:
            self._settling.see(file.path, file.state, now)
        self._unsettled = {file.path.name for file in unpaired if not self._proof(file, now)}
        arriving = [(file.source.job, file.suffix) for file in unpaired if file.path.name in self._unsettled]
        for whole in listing.candidates:
            candidate, proofs = self._proven(whole, now)
            if not all(proofs):
                unproven = zip(candidate.files, proofs, strict=True)
                self._unsettled |= {file.path.name for file, proof in unproven if not proof}
                arriving.append((candidate.job, candidate.suffix))
            elif not any(job == candidate.job and is_before(suffix, candidate.suffix) for job, suffix in arriving):
                return candidate, proofs  # those behind it are asked when it is their turn: there may be thousands
        return None

    def _proven(self, candidate: Candidate, now: float) -> tuple[Candidate, list[str]]:
        """The candidate and its proofs, without optional exports whose writers keep it waiting for long."""
        proofs = [self._proof(file, now) or "" for file in candidate.files]
        proven = [(file, proof) for file, proof in zip(candidate.files, proofs, strict=True) if proof]
        needed = sum(file.source.is_required for file in candidate.files)
        if len(proven) == len(proofs) or sum(file.source.is_required for file, _ in proven) < needed:
            self._options_awaited.pop((candidate.job, candidate.suffix), None)
            return candidate, proofs
        since = self._options_awaited.setdefault((candidate.job, candidate.suffix), now)
        if now - since < _OPTION_PATIENCE * self._pace.settle_seconds:
            return candidate, proofs
        late = tuple(file.path.name for file, proof in zip(candidate.files, proofs, strict=True) if not proof)
        kept = replace(candidate, files=tuple(file for file, _ in proven), left_behind=(*candidate.left_behind, *late))
        return kept, [proof for _, proof in proven]

    def _proof(self, file: WaitingFile, now: float) -> str | None:
        return self._settling.proof(file.path, file.state, now) if file.is_readable else None

    # ------------------------------------------------------------------------------------------- claiming

    def _has_worked(self, ready: tuple[Candidate, list[str]] | None) -> bool:
        """Work on what is claimed already, else on the candidate that is ready; False if there was nothing to do."""
        if self._pause is not None and time.monotonic() < self._pause.until:
            return False
        try:
            found = self._unfinished()
            batch = found.batches[0] if found.batches else self._claim(*ready) if ready else None
        except OSError as error:
            self._refuse_claim(error)
            return False
        except Exception as error:  # noqa: BLE001  # a bug of ours must not take the daemon down with it
            logs.get().error("bug.found", error=error)
            self._refuse_claim(error)
            return False
        self._claims_refused = 0
        if batch is not None:
            self._work_on(batch)
        else:
            self._pause = None
        return batch is not None or bool(found.put_back)  # what was put back was not there when we looked

    def _refuse_claim(self, error: Exception) -> None:
        seconds = min(_CLAIM_RETRY_SECONDS * 2.0**self._claims_refused, _MOST_CLAIM_RETRY_SECONDS)
        self._claims_refused += 1
        self._wait(None, f"the inbox takes no claim: {_described(error)}", seconds)

    def _unfinished(self) -> Unfinished:
        """The batches that were claimed before, by us or by a run that died, and have no outcome yet."""
        found = self._inbox.unfinished()
        self._unreadable = found.unreadable
        for id_ in found.put_back:
            logs.get().info("batch.recovered", batch_id=id_, how="put back")
        for batch in found.batches[:1]:
            is_known = self._pause is not None and self._pause.batch_id == batch.id
            if not is_known and self._workbench.progress_of(batch.id) is Progress.NEW:
                logs.get().info("batch.recovered", batch_id=batch.id, how="begun again")
        return found

    def _claim(self, candidate: Candidate, proofs: list[str]) -> Batch | None:
        """Claim a candidate; None if it changed meanwhile."""
        proof_of = {file.path: proof for file, proof in zip(candidate.files, proofs, strict=True)}
        is_late = candidate.gap_seconds > self._pace.max_partner_gap_seconds
        hours = candidate.gap_seconds / 3600
        warnings = [f"The exports arrived {hours:.0f} hours apart"] if is_late else []
        warnings += [f"{name} was not ready and is not in this batch" for name in candidate.left_behind]
        inode = self._inode()
        batch = self._inbox.claim(candidate, proof_of, self._now(), warnings)
        if batch is None:
            return None
        if is_late:
            logs.get().warning("partner.late", batch_id=batch.id, gap_hours=round(hours, 1))
        for file in candidate.files:
            self._alarm.found(file.path.name, time.monotonic())
        self._is_strange_folder, self._familiar_inode = False, inode
        self._waits.forget(file.path.name for file in candidate.files)
        self._health.waiting = self._waits.listed()
        logs.get().info("batch.claimed", batch_id=batch.id, proofs=proofs)
        return batch

    # ------------------------------------------------------------------------------------------- working

    def _work_on(self, batch: Batch) -> None:
        """One batch to its outcome: archive, quarantine, another try, or left as it is when we must stop."""
        self._pause = None
        self._health.busy_since, self._health.batch_id = self._now().isoformat(timespec="seconds"), batch.id
        try:
            self._attempt(batch, Journal(batch.id, self._now, on_stage=self._tell_stage))
        except OSError as error:
            # The inbox took no note of the outcome, neither a count nor a reason.
            self._wait(batch.id, _described(error), self._retry_seconds(MOST_FAULTS))
        finally:
            self._health.busy_since = self._health.stage = self._health.stage_since = self._health.batch_id = None

    def _attempt(self, batch: Batch, journal: Journal) -> None:
        try:
            claim = self._inbox.begin(batch)
            progress = self._workbench.progress_of(batch.id)
            if claim.starts > MOST_DEATHS and progress is Progress.NEW:
                raise _poisoned(batch)
            self._publish(batch, progress, journal)
        except InputError as error:
            self._quarantine(batch, error, journal)
        except Interrupted:
            self._inbox.release(batch)
            logs.get().info("batch.abandoned", batch_id=batch.id)
        except (TransientError, OSError, MemoryError) as error:
            self._postpone(batch, error, journal)
        except Exception as error:  # noqa: BLE001  # a bug of ours must not take the daemon down with it
            logs.get().error("bug.found", batch_id=batch.id, error=error)
            self._postpone(batch, error, journal)

    def _publish(self, batch: Batch, progress: Progress, journal: Journal) -> None:
        if progress is Progress.SUPERSEDED:
            # Its inputs were out of reach when it was published, and are back only now.
            logs.get().info("batch.recovered", batch_id=batch.id, how="archived late")
            self._workbench.archive(batch)
            return
        if progress is Progress.COMMITTED:
            self._workbench.roll_forward(batch)
        else:
            self._workbench.run(batch, journal)
        self._result = replace(self._result, published=self._result.published + 1)
        self._health.last_batch = batch.id
        self._note_quarantined([it for it in self._quarantined if it.job != batch.job])
        with suppress(OSError):  # what cannot be removed now is superseded after the next batch as well
            for id_ in self._workbench.prune(batch):
                logs.get().info("batch.pruned", batch_id=id_)

    def _quarantine(self, batch: Batch, error: InputError, journal: Journal) -> None:
        journal.line("ERROR", error.message)
        journal.line("ERROR", "Pipeline failed")
        self._workbench.quarantine(batch, error, self._now(), journal.text())
        logs.get().error(
            "batch.quarantined", batch_id=batch.id, code=error.code, message=error.message, hint=error.hint
        )
        self._result = replace(self._result, quarantined=self._result.quarantined + 1)
        self._note_quarantined([*self._quarantined, Quarantined(batch.id, batch.job, error.code)])

    def _note_quarantined(self, quarantined: list[Quarantined]) -> None:
        self._quarantined = quarantined
        self._health.quarantined = [str(it) for it in quarantined]

    def _postpone(self, batch: Batch, error: Exception, journal: Journal) -> None:
        """Keep the batch claimed and try it again later; after three faults it goes into quarantine."""
        faults = self._inbox.count_fault(batch)
        what = error.message if isinstance(error, ServiceError) else _described(error)
        if faults > MOST_FAULTS and self._workbench.progress_of(batch.id) is Progress.NEW:
            gone = LastingFault(
                f"tried {faults} times, the last time: {what}",
                where=f"batch {batch.id}",
                hint=f"mend what the message names, then: python -m service retry {batch.id}",
            )
            self._quarantine(batch, gone, journal)
        else:
            self._wait(batch.id, what, self._retry_seconds(faults))

    def _retry_seconds(self, faults: int) -> float:
        return self._pace.retry_seconds * 2.0 ** min(max(faults, 1) - 1, MOST_DOUBLINGS)

    def _wait(self, batch_id: str | None, what: str, seconds: float) -> None:
        former, self._pause = self._pause, _Pause(batch_id, what, time.monotonic() + seconds)
        if former is None or (former.batch_id, former.reason) != (batch_id, what):
            event = {"event": "batch.postponed", "batch_id": batch_id} if batch_id else {"event": "claim.refused"}
            logs.get().error(**event, reason=what, retry_in_seconds=seconds)

    # ------------------------------------------------------------------------------------------- telling

    def _tell_stage(self, stage: str) -> None:
        self._health.stage, self._health.stage_since = stage, self._now().isoformat(timespec="seconds")
        self._write_health()

    def _tell_health(self, listing: Scan | None) -> None:
        if listing is not None:
            self._waits.note(self._what_waits(listing), self._now(), time.monotonic())
            self._tell_once(listing)
            self._health.ignored = [asdict(stranger) for stranger in listing.ignored[:MOST_LISTED]]
            self._health.waiting = self._waits.listed()
            self._health.waiting_count = len(listing.files())
        self._health.reasons = self._complaints()
        is_failing = listing is None or self._pause is not None or self._has_lasting_trouble()
        self._health.state = "failing" if is_failing else "degraded" if self._health.reasons else "ok"
        told, at = self._health_told
        if (
            replace(self._health, written_at="", last_scan=None) != told
            or time.monotonic() - at > _HEALTH_EVERY_SECONDS
        ):
            self._write_health()

    def _write_health(self) -> None:
        try:
            health.write(self._health, self._state.root, self._now())
            self._is_mute = False
        except OSError as error:
            if not self._is_mute:
                logs.get().warning("health.unwritten", reason=_described(error))
            self._is_mute = True
        self._health_told = replace(self._health, written_at="", last_scan=None), time.monotonic()

    def _what_waits(self, listing: Scan) -> dict[str, str]:
        """Every export in the inbox, and what it waits for."""
        waits = {file.path.name: self._partners(file, listing) for file in listing.unpaired}
        for candidate in listing.candidates:
            for file in candidate.files:
                waits[file.path.name] = "its writer" if file.path.name in self._unsettled else "its turn"
        waits |= {file.path.name: "the other versions of it to be removed" for file in listing.ambiguous}
        return waits | {file.path.name: "permission to be read" for file in listing.files() if not file.is_readable}

    def _partners(self, file: WaitingFile, listing: Scan) -> str:
        """The names under which the exports are expected that complete a batch with this one."""
        there = {single.source.name for single in listing.unpaired if single.suffix == file.suffix}
        needed = (it for it in self._inbox.sources if it.is_required and it.job == file.source.job)
        missing = (it for it in needed if it.name not in there)
        return ", ".join(partner_name(source, file.suffix) for source in missing)

    def _tell_once(self, listing: Scan) -> None:
        """Log what someone should know, when it begins to be so."""
        notices = {("inbox.file_ignored", stranger.file_name, "why", stranger.why) for stranger in listing.ignored}
        notices |= {("export.contested", file.path.name, "", "") for file in listing.ambiguous}
        files = {file.path.name for file in listing.unpaired}
        notices |= {("partner.missed", name, "missing", it) for name, it in self._overdue() if name in files}
        for event, name, about, what in sorted(notices - self._told):
            logs.get().warning(event, file_name=name, **({about: what} if about else {}))
        self._told = notices

    def _folders(self) -> tuple[Path, ...]:
        return self._inbox.root, self._workbench.outbox.root, self._state.root

    def _has_lasting_trouble(self) -> bool:
        """Whether the next batch would end as the last one did: it is the house that has to be mended, not a file."""
        lasting = any(it.code == LastingFault.__name__ for it in self._quarantined)
        return lasting or bool(health.unwritable(self._folders()))

    def _overdue(self) -> list[tuple[str, str]]:
        return self._waits.longer_than(self._pace.partner_warning_seconds, time.monotonic())

    def _complaints(self) -> list[str]:
        found = [self._trouble] if self._trouble else []
        if self._pause is not None:
            whose = f"batch {self._pause.batch_id} waits for another try: " if self._pause.batch_id else ""
            found.append(f"{whose}{self._pause.reason}")
        found += [
            f"the claim {name} cannot be read: move its files from .claimed back into the inbox, then remove it"
            for name in self._unreadable
        ]
        found += self.complaints_beside()
        found += health.unwritable(self._folders())
        found += health.scarce_space(self._folders(), self._pace.min_free_mb)
        self._note_quarantined([it for it in self._quarantined if self._inbox.is_quarantined(it.batch_id)])
        found += [f"quarantined {it}" for it in self._quarantined]
        at_once = self._waits.longer_than(0, time.monotonic())
        stuck = [(name, what) for name, what in at_once if what.startswith(("the other versions", "permission"))]
        found += [f"{name} waits for {what}" for name, what in dict.fromkeys(stuck + self._overdue())]
        more = len(found) - MOST_LISTED
        return [*found[:MOST_LISTED], f"and {more} more"] if more > 0 else found


def _poisoned(batch: Batch) -> PoisonedBatch:
    return PoisonedBatch(
        f"the service died {MOST_DEATHS} times while it worked on this batch",
        where=f"batch {batch.id}",
        hint="look into the container's log and memory limit, then: python -m service retry " + batch.id,
    )


def _described(error: Exception) -> str:
    """A foreign error without its text, which may quote a customer; an OSError's own words are the system's."""
    if not isinstance(error, OSError):
        return type(error).__name__
    where = f": {error.filename}" if error.filename else ""
    return f"{type(error).__name__}: {error.strerror}{where}"
