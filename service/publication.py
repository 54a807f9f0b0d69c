"""From the files of a set to the archive of its inputs: every step of a publication, and what a start completes.

A set is staged: its files, its manifest and, for a job with a register, the next generation. Then:

1. commit: one rename. Before it nothing has happened; after it everything rolls forward.
2. ledger: takes in the outcome.
3. register: the staged generation is in force.
4. flat files: those of the job are replaced one by one, the manifest last.
5. archive: the inputs leave ``.claimed/``.

Each step may be repeated. ``stage`` ends with step 1; ``roll_forward`` has the others, and is the same code in the
ordinary run and after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Protocol

from msgspec import UNSET

from service import __version__, documents, logs
from service.acceptance import Acceptance
from service.decisions import DecisionStore
from service.documents import Counts, MalformedDocument, Manifest, ManifestFile, ManifestInput
from service.errors import ServiceError, TransientError, safe_text
from service.files import fingerprint_of, sha256_of_each
from service.folders import MANIFEST, Folders
from service.inbox import Inbox
from service.job_name import JobName
from service.ledger import Ledger
from service.model import Batch, InputFile, Summary, inputs_sha256
from service.outbox import FlatFiles, Outbox
from service.register import Register


class CommitState(Enum):
    """How far the publication of a batch has come."""

    NEW = "new"
    """Not committed: the batch is to be run."""
    COMMITTED = "committed"
    """Its set is in the outbox: the batch is to be rolled forward."""
    SUPERSEDED = "superseded"
    """It was published, and so was a later batch of its job: only its inputs are left to archive."""


class PublishedJob(Protocol):
    """The part of a job that the publication uses."""

    @property
    def flat_files(self) -> FlatFiles:
        """Its files in the outbox itself."""

    @property
    def has_register(self) -> bool:
        """Whether each set has a generation of the register. There is one register, so of one job only."""


class PastBatches:
    """Outbox, ledger and register, from which former batches are read, and the decisions of people."""

    def __init__(self, folders: Folders) -> None:
        self.outbox = Outbox(folders.outbox)
        self.ledger = Ledger(folders.state, folders.outbox, folders.inbox)
        self.register = Register(folders.state)
        self.decisions = DecisionStore(folders.state)

    def knows(self, batch_id: str) -> bool:
        """Whether this id was ever used. Ids are never reused, not even after pruning."""
        if self.outbox.is_committed(batch_id):
            return True
        with suppress(OSError):
            return self.ledger.knows(batch_id)
        return False

    def commit_state_of(self, batch_id: str) -> CommitState:
        """How far the publication of this batch has come."""
        with suppress(OSError):
            if self.ledger.is_superseded(batch_id):
                return CommitState.SUPERSEDED
        return CommitState.COMMITTED if self.outbox.is_committed(batch_id) else CommitState.NEW


class Publication:
    """Publishes the sets of ``jobs`` in one outbox.

    Without ``inbox`` and ``acceptance`` the inputs are named files, which stay with their owner.
    """

    def __init__(
        self,
        past: PastBatches,
        jobs: Mapping[JobName, PublishedJob],
        inbox: Inbox | None = None,
        acceptance: Acceptance | None = None,
    ) -> None:
        self.past = past
        self.outbox, self.ledger, self.register = past.outbox, past.ledger, past.register
        self.inbox = inbox
        self._jobs = jobs
        self._acceptance = acceptance

    # ----------------------------------------------------------------------------------------- the five steps

    @contextmanager
    def stage(self, batch: Batch, summary: Summary) -> Iterator[Path]:
        """A folder for the files of the set; the set is committed when the block ends without an error.

        If the block raises, the outbox has not changed.

        Raises: TransientError if an input has changed since it was claimed; OSError.
        """
        with self.outbox.stage(batch.id) as folder:
            yield folder
            paths = sorted(folder.iterdir())
            _refuse_changed_inputs(batch, lambda file: fingerprint_of(file.path) == file.fingerprint)
            # All at once: the inputs are hashed side by side with what was made of them.
            of_inputs, of_files = _hashes([file.path for file in batch.inputs], paths)
            # A file that is written through a memory map may keep its times for a while.
            hash_of = dict(zip(batch.inputs, of_inputs, strict=True))
            _refuse_changed_inputs(batch, lambda file: hash_of[file] == file.sha256)
            manifest = self._manifest(batch, summary, dict(zip(paths, of_files, strict=True)))
            documents.write(folder / MANIFEST, manifest, durable=False)  # the commit makes it durable
            self.outbox.commit(batch.id)

    def roll_forward(self, batch: Batch, summary: Summary | None = None, seconds: float | None = None) -> None:
        """Complete the publication of a committed batch; may be repeated.

        ``summary`` and ``seconds`` are given by the run that committed it, and None after a crash.

        Raises: TransientError if the set was removed from the outbox meanwhile, or the register has lost the
        generation of this batch; OSError.
        """
        job = self._jobs[batch.job]
        self._write_ledger_best_effort(lambda: self.ledger.note(batch.id, seconds))
        self._refuse_lost_set(batch)
        self._advance_register(batch.id, job)
        self.outbox.copy_flat(batch.id, job.flat_files)
        _report(batch, summary, seconds)
        self.archive(batch)

    def archive(self, batch: Batch) -> None:
        """Move the inputs of a published batch into the archive, and delete the mark that let them skip the guards."""
        self._end_acceptance(batch)
        if self.inbox is not None:
            self.inbox.archive(batch)

    def _end_acceptance(self, batch: Batch) -> None:
        if self._acceptance is not None:
            self._acceptance.end(inputs_sha256(batch.inputs), [file.file_name for file in batch.inputs])

    def end_unused_acceptances(self, waiting: Collection[str]) -> None:
        """Delete the marks of accepted files that do not wait any more; only while none is claimed. Raises: OSError."""
        if self._acceptance is not None and self.inbox is not None:
            self._acceptance.end_unused(waiting, self.inbox.is_quarantined)

    def recover(self) -> None:
        """Complete what a process that died left undone in outbox, register, ledger and flat files.

        Inputs that are still claimed are archived later, when their batch is rolled forward.
        """
        self.register.open()
        self.outbox.open()
        self.register.recover(self.outbox.is_committed)
        self._write_ledger_best_effort(self.ledger.open)
        for name, batch_id in self.last_published().items():
            self._advance_register(batch_id, self._jobs[name])
            try:
                self.outbox.copy_flat(batch_id, self._jobs[name].flat_files)
            except OSError as error:  # the set is there; a batch that is still claimed tries again, or the next one
                logs.get().warning("outbox.unwritten", reason=safe_text(error))

    def is_registered(self, batch: Batch) -> bool:
        """Whether the register has advanced to the set of this batch, if its job has one."""
        if not self._jobs[batch.job].has_register:
            return True
        with suppress(OSError, MalformedDocument):
            published = self.register.published()
            return published is not None and published.batch_id == batch.id
        return False

    def last_published(self) -> dict[JobName, str]:
        """The batch of each job that was published last; the latest of them is the last item."""
        found: dict[JobName, str] = {}
        with suppress(OSError):
            found = self.ledger.last_published()
        # The register decides for its own job: ids depend on it, and it outlives a lost ledger.
        published = self.register.published()
        for name, job in self._jobs.items():
            if job.has_register and published is None:
                found.pop(name, None)
            elif job.has_register and published is not None:
                found[name] = published.batch_id
        return found

    def _manifest(self, batch: Batch, summary: Summary, hashes: Mapping[Path, str]) -> Manifest:
        """The manifest: the files of the set, whose ``hashes`` are given, its inputs, and the set before it."""
        return Manifest(
            batch_id=batch.id,
            job=batch.job,
            program_version=__version__,
            former_manifest_sha256=self.outbox.flat_manifest_sha256(self._jobs[batch.job].flat_files),
            former_outcome_sha256=batch.former_outcome_sha256,
            sequence=batch.sequence,
            next_number=UNSET if summary.next_number is None else summary.next_number,
            rules_sha256=UNSET if summary.rules_sha256 is None else summary.rules_sha256,
            inputs=tuple(
                ManifestInput(
                    source=file.source.name,
                    file_name=file.file_name,
                    size_bytes=file.size_bytes,
                    sha256=file.sha256,
                    rows=summary.source_rows[file.source.name],
                    settle_proof=file.settle_proof,
                )
                for file in batch.inputs
            ),
            rows=Counts(**summary.counts()),
            files={
                path.name: ManifestFile(size_bytes=path.stat().st_size, sha256=sha256)
                for path, sha256 in hashes.items()
            },
        )

    def _advance_register(self, batch_id: str, job: PublishedJob) -> None:
        if job.has_register:
            self.register.advance(batch_id)

    def _refuse_lost_set(self, batch: Batch) -> None:
        if not self.outbox.is_committed(batch.id):
            raise TransientError(
                "the outbox was emptied while the set was published",
                where=f"batch {batch.id}",
                hint="the set is published again",
            )

    # ----------------------------------------------------------------------------- quarantine and retention

    def linked(self, batch: Batch) -> Batch:
        """The batch with its position, and the hash of the outcome before it, which its manifest or reason states."""
        former, sequence = self.ledger.next()
        return replace(batch, former_outcome_sha256=former, sequence=sequence)

    def quarantine(self, batch: Batch, error: ServiceError, now: datetime, log_text: str) -> None:
        """Move the inputs of a batch into quarantine, with the reason and the log. Raises: OSError."""
        assert self.inbox is not None, "named files stay with their owner"
        self._end_acceptance(batch)
        self.inbox.quarantine(self.linked(batch), error, now, log_text)
        self._write_ledger_best_effort(lambda: self.ledger.note(batch.id))

    def prune(self, batch: Batch, keep: int) -> list[str]:
        """Remove all but the ``keep`` newest sets of the job of ``batch`` (0 = keep all), and their archives.

        Returns: the ids of the removed sets. Raises: OSError; the next batch removes the rest.
        """
        superseded = self.ledger.superseded(self.outbox.set_ids(), batch.job, keep=keep, current=batch.id)
        # The ledger first: a set that it calls removed may be left in part after a crash. Then the archive: which
        # batches are superseded is known from the published sets that are there.
        removable = self.ledger.retire(superseded, batch.job)
        if self.inbox is not None:
            self.inbox.prune(removable)
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


def _hashes(inputs: Sequence[Path], files: Sequence[Path]) -> tuple[list[str], list[str]]:
    """The SHA-256 of each input, and of each file."""
    found = sha256_of_each([*inputs, *files])
    return found[: len(inputs)], found[len(inputs) :]


def _refuse_changed_inputs(batch: Batch, is_unchanged: Callable[[InputFile], bool]) -> None:
    """Raises: TransientError, which names the first input that is not as it was."""
    for file in batch.inputs:
        if not is_unchanged(file):
            raise TransientError(
                f"{file.file_name} was written to while it was read",
                where=f"batch {batch.id}",
                hint="nothing was published from it; it is read again when its writer is done",
            )
