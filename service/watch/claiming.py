"""Which batch is worked on next: one that was claimed before, else a candidate that is ready and is claimed now."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from service.inbox import Inbox, Scan, shown_error
from service.jobs.batch_runner import BatchRunner
from service.model import Batch
from service.publication import CommitState
from service.watch.attempts import Postponed, pause_seconds
from service.watch.leftovers import Leftovers
from service.watch.ownership import Ownership
from service.watch.readiness import Ready

_RETRY_SECONDS, _MOST_RETRY_SECONDS = 1.0, 30.0  # doubles in between: each try hashes all files of the candidate


@dataclass(frozen=True)
class NextBatch:
    """The batch to work on, if there is one, and what happened during the search."""

    batch: Batch | None = None
    state: CommitState = CommitState.NEW
    is_new: bool = False
    """Whether it was claimed just now."""
    is_begun_again: bool = False
    """Whether an earlier run had begun it, and had not published it."""
    late_hours: float | None = None
    """How far apart its files arrived, if that is too far."""
    passed: tuple[str, ...] = ()
    """Names of earlier files that it did not wait for any more."""
    put_back: tuple[str, ...] = ()
    """Ids of claims that could not be completed; their files wait in the inbox again."""
    refusal: Postponed | None = None
    """Why the claims could not be read, or files not be claimed."""


class Claiming:
    """Chooses and claims batches, one at a time."""

    def __init__(
        self,
        inbox: Inbox,
        batch_runner: BatchRunner,
        ownership: Ownership,
        leftovers: Leftovers,
        now: Callable[[], datetime],
        *,
        max_partner_gap_seconds: float,
    ) -> None:
        self._inbox = inbox
        self._batch_runner = batch_runner
        self._ownership = ownership
        self.leftovers = leftovers
        self._now = now
        self._max_partner_gap_seconds = max_partner_gap_seconds
        self._refusals = 0
        self.unreadable: tuple[str, ...] = ()
        """Names of claim files that cannot be read; they are left alone."""

    def end_unused_acceptances(self, scan: Scan) -> None:
        """Delete the marks of accepted files that do not wait any more, best effort: the next turn tries again."""
        with suppress(OSError):
            if not self._inbox.has_claims():
                self._batch_runner.end_unused_acceptances([file.path.name for file in scan.files()])

    def next_batch(self, ready: Ready | None, postponed_id: str | None, clock: float) -> NextBatch:
        """The oldest claimed batch, else ``ready`` as a batch, else a value without a batch.

        ``postponed_id`` is the batch that waits for another attempt: ``is_begun_again`` is false for it.
        """
        put_back: tuple[str, ...] = ()
        try:
            unfinished = self._inbox.unfinished(except_for=self.leftovers.waiting(clock))
            self.unreadable, put_back = unfinished.unreadable, unfinished.put_back
            if unfinished.batches:
                found = self._resumed(unfinished.batches[0], postponed_id)
            else:
                found = self._claimed(ready) if ready else NextBatch()
        except Exception as error:  # noqa: BLE001  # neither a full disk nor a bug may end the daemon
            return NextBatch(put_back=put_back, refusal=self._refused(error, clock))
        self._refusals = 0
        return replace(found, put_back=put_back)

    def _resumed(self, batch: Batch, postponed_id: str | None) -> NextBatch:
        state = self._batch_runner.commit_state_of(batch.id)
        is_begun_again = state is CommitState.NEW and batch.id != postponed_id
        return NextBatch(batch, state, is_begun_again=is_begun_again)

    def _claimed(self, ready: Ready) -> NextBatch:
        """The candidate as a batch; no batch if one of its files changed meanwhile."""
        candidate = ready.candidate
        hours = candidate.gap_seconds / 3600
        is_late = candidate.gap_seconds > self._max_partner_gap_seconds
        warnings = [f"The exports arrived {hours:.0f} hours apart"] if is_late else []
        warnings += [f"{name} was not ready and is not in this batch" for name in candidate.left_behind]
        warnings += [f"{name} was not ready for long, and this batch did not wait for it" for name in ready.passed]
        proof_of = {file.path: proof for file, proof in zip(candidate.files, ready.proofs, strict=True)}
        inode = self._ownership.inode()
        batch = self._inbox.claim(candidate, proof_of, self._now(), warnings)
        if batch is None:
            return NextBatch()
        self._ownership.confirm(inode)
        late_hours = round(hours, 1) if is_late else None
        return NextBatch(batch, is_new=True, late_hours=late_hours, passed=ready.passed)

    def _refused(self, error: Exception, clock: float) -> Postponed:
        self._refusals += 1
        seconds = min(pause_seconds(_RETRY_SECONDS, self._refusals), _MOST_RETRY_SECONDS)
        bug = None if isinstance(error, OSError) else error
        return Postponed(
            None, f"cannot claim files: {shown_error(error, self._inbox.sources)}", seconds, clock + seconds, bug
        )
