"""From a staged set to the archive of its inputs: every step of a publication, and what a start completes.

1. A set is staged: its files, its manifest, and for a master the next generation of the register.
2. Commit: one rename. Before it nothing has happened; after it everything rolls forward.
3. The ledger takes in the outcome, and the register advances to the new generation.
4. The flat files of the job are replaced one by one, the manifest last.
5. The inputs go into the archive.

Every step may be repeated. ``roll_forward`` is the same code in the ordinary run and after a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from enum import Enum

from service import logs
from service.acceptance import Acceptance
from service.errors import ServiceError, TransientError
from service.folders import Folders
from service.inbox import Inbox
from service.ledger import Ledger
from service.model import Batch, JobName, Summary, inputs_sha256
from service.outbox import Outbox
from service.register import Register


class Progress(Enum):
    """How far the publication of a batch has come."""

    NEW = "new"
    """Not committed: the batch is to be run."""
    COMMITTED = "committed"
    """Its set is in the outbox: the batch is to be rolled forward."""
    SUPERSEDED = "superseded"
    """It was published, and so was a later batch of its job: only its inputs are left to archive."""


class PastBatches:
    """What outbox, ledger and register know of former batches; read only."""

    def __init__(self, folders: Folders) -> None:
        self.outbox = Outbox(folders.outbox)
        self.ledger = Ledger(folders.state, folders.outbox, folders.inbox)
        self.register = Register(folders.state)

    def knows(self, batch_id: str) -> bool:
        """Whether this id was ever used. Ids are never reused, not even after pruning."""
        if self.outbox.is_committed(batch_id):
            return True
        with suppress(OSError):
            return self.ledger.knows(batch_id)
        return False

    def progress_of(self, batch_id: str) -> Progress:
        """How far the publication of this batch has come."""
        with suppress(OSError):
            if self.ledger.is_superseded(batch_id):
                return Progress.SUPERSEDED
        return Progress.COMMITTED if self.outbox.is_committed(batch_id) else Progress.NEW

    def last_published(self) -> dict[JobName, str]:
        """The batch of each job that was published last; the latest of them is the last item."""
        found: dict[JobName, str] = {}
        with suppress(OSError):
            found = self.ledger.last_published()
        # For masters the register decides: ids depend on it, and it outlives a lost ledger.
        if (published := self.register.published()) is not None:
            found["integration"] = published.batch_id
        else:
            found.pop("integration", None)
        return found


class Publication:
    """Publishes the sets of one outbox.

    Without ``inbox`` and ``acceptance`` the inputs are named files, which stay with their owner.
    """

    def __init__(self, past: PastBatches, inbox: Inbox | None = None, acceptance: Acceptance | None = None) -> None:
        self.past = past
        self.outbox, self.register = past.outbox, past.register
        self._ledger = past.ledger
        self.inbox = inbox
        self._acceptance = acceptance

    # --------------------------------------------------------------------------------------- after the commit

    def roll_forward(self, batch: Batch, summary: Summary | None = None, seconds: float | None = None) -> None:
        """Complete the publication of a committed batch; again is fine.

        ``summary`` and ``seconds`` are known only to the process that committed it.

        Raises: TransientError if the set was removed from the outbox at this very moment, or if the register has lost
        the generation of this batch; OSError.
        """
        self._write_ledger_best_effort(lambda: self._ledger.note(batch.id, seconds))
        self._refuse_lost_set(batch)
        self._advance_register(batch.id, batch.job)
        self.outbox.copy_flat(batch.id, batch.job)
        _report(batch, summary, seconds)
        self.archive(batch)

    def recover(self) -> None:
        """Complete what a process that died left undone in outbox, register and ledger.

        Inputs that are still claimed are archived when their batch is rolled forward.
        """
        self.register.open()
        self.outbox.open()
        self.register.recover(self.outbox.is_committed)
        self._write_ledger_best_effort(self._ledger.open)
        for job, batch_id in self.past.last_published().items():
            self._advance_register(batch_id, job)
            self.outbox.copy_flat(batch_id, job)

    def archive(self, batch: Batch) -> None:
        """Move the inputs of a published batch into the archive, and delete the mark that let it skip the guards."""
        if self._acceptance is not None:
            self._acceptance.use_up(inputs_sha256(batch.inputs))
        if self.inbox is not None:
            self.inbox.archive(batch)

    def _advance_register(self, batch_id: str, job: JobName) -> None:
        if job == "integration":
            self.register.advance(batch_id)

    def _refuse_lost_set(self, batch: Batch) -> None:
        if not self.outbox.is_committed(batch.id):
            raise TransientError(
                "the outbox was emptied while the set was published",
                where=f"batch {batch.id}",
                hint="the set is published again",
            )

    # --------------------------------------------------------------------------------------- other outcomes

    def quarantine(self, batch: Batch, error: ServiceError, now: datetime, log_text: str) -> None:
        """Move the inputs of a batch into quarantine, with the reason and the log; a link of the chain of outcomes."""
        assert self.inbox is not None, "named files stay with their owner"
        self.inbox.quarantine(self.linked(batch), error, now, log_text)
        self._write_ledger_best_effort(lambda: self._ledger.note(batch.id))

    def linked(self, batch: Batch) -> Batch:
        """The batch with the hash of the outcome before it."""
        return replace(batch, former_outcome_sha256=self._ledger.head())

    def prune(self, batch: Batch, keep: int) -> list[str]:
        """Remove all but the ``keep`` newest sets of the job of ``batch`` (0 = keep all), and their archives.

        Returns: the ids of the removed sets. Raises: OSError; the rest is removed after the next batch.
        """
        superseded = self.outbox.superseded(keep, batch.id, batch.job)
        # Noted first: of what the ledger calls removed, a part may be left after a crash.
        leaving = self._ledger.retire(superseded, batch.job)
        # The archive first: the published sets say what is superseded.
        if self.inbox is not None:
            self.inbox.prune(leaving)
        self.outbox.remove(superseded)
        return superseded

    def _write_ledger_best_effort(self, write: Callable[[], object]) -> None:
        """Update the ledger; the next start adds what is missing."""
        for tries_left in (1, 0):
            try:
                write()
                break
            except OSError as error:
                if not tries_left:
                    logs.get().warning("ledger.unwritten", reason=error.strerror)


def _report(batch: Batch, summary: Summary | None, seconds: float | None) -> None:
    if summary is None:
        logs.get().info("batch.recovered", batch_id=batch.id, how="rolled forward")
    else:
        logs.get().info("batch.published", batch_id=batch.id, job=batch.job, **summary.counts(), seconds=seconds)
