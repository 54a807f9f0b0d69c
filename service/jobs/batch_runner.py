"""Runs the job of one batch at a time: the engine, the work folder, and the publication of what comes out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime

from service.adoption import refuse_older_state
from service.engine import prepare_engine, refuse_lost_configuration, refuse_missing
from service.engine.contract import Engine, Prepared
from service.errors import Interrupted, ServiceError
from service.files import make_folder, remove_tree
from service.folders import OutboxFolders, StateFolders
from service.job_name import JobName
from service.jobs import JOBS, WITH_REGISTER
from service.journal import Journal
from service.model import Batch, Summary
from service.pipeline.fields.cell import register_cell
from service.pipeline.normalise import register_functions
from service.progress import Meter
from service.publication import CommitState, Publication
from service.settings import Settings
from service.state import State

_SMALL_BYTES = 200_000
"""Of the exports of a small batch, and of the register: about two thousand rows."""


class BatchRunner:
    """Turns claimed batches into published or quarantined ones; held by one process at a time."""

    def __init__(self, settings: Settings, state: State, publication: Publication) -> None:
        self.outbox = publication.outbox
        self._settings = settings
        self._state = state
        self._publication = publication
        self._work = StateFolders(state.root).work
        outbox = OutboxFolders(self.outbox.root)
        self._engine_folders = outbox.staging, outbox.batches, StateFolders(state.root).register
        self._engine: Engine | None = None
        self._prepared: Prepared | None = None
        self._is_abandoned = False

    def open(self) -> None:
        """Take the state folder and complete what a process that died left undone.

        Raises: UsageError if another process holds the state; SettingsError if its format is unknown, if the outbox
        has later sets than it knows, or if what the engine needs is not installed or not configured.
        """
        refuse_missing(self._settings.master_of_engine)
        refuse_lost_configuration(self._settings.master_of_engine)
        self._state.take()
        past = self._publication.past
        try:
            refuse_older_state(self._state.root, past.outbox.root, past.ledger, past.register, WITH_REGISTER)
            remove_tree(self._work)
            self._publication.recover()
        except BaseException:
            self._state.release()
            raise

    def close(self) -> None:
        """Release the state folder."""
        self.rest()
        self._state.release()

    def prepare(self) -> None:
        """Open the engine of the next batch, if none is open: there will be one soon. Raises: OSError, ServiceError."""
        if self._prepared is None:
            make_folder(self._work)
            prepared = prepare_engine(
                self._work,
                self._engine_folders,
                memory_limit_mb=self._settings.memory_mb,
                threads=self._settings.threads,
                spark_master=self._settings.master_of_engine,
            )
            try:
                prepared.warm_up()
                register_cell(prepared)
                register_functions(prepared)
            except BaseException:
                prepared.close()
                raise
            self._prepared = prepared

    def rest(self) -> None:
        """Close the engine that no batch has used."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.close()

    def abandon(self) -> None:
        """From another thread: make the running batch, and any later one, raise Interrupted."""
        self._is_abandoned = True
        if (engine := self._engine) is not None:
            engine.interrupt()

    def commit_state_of(self, batch_id: str) -> CommitState:
        """How far the publication of this batch has come."""
        return self._publication.past.commit_state_of(batch_id)

    def is_in_force(self, batch: Batch) -> bool:
        """Whether the batch is published so far that the next one may begin: the ids of its set are known."""
        match self.commit_state_of(batch.id):
            case CommitState.NEW:
                return False
            case CommitState.SUPERSEDED:
                return True
            case CommitState.COMMITTED:
                return self._publication.is_registered(batch)

    def is_overtaken(self, batch_id: str, job: JobName) -> bool:
        """Whether a batch of the job was published after the outcome of this one; False where that is not known."""
        try:
            return self._publication.ledger.is_overtaken(batch_id, job)
        except OSError:
            return False

    def last_published(self) -> dict[JobName, str]:
        """The batch of each job that was published last; the latest of them is the last item."""
        return self._publication.last_published()

    def run(self, batch: Batch, journal: Journal) -> Summary:
        """Do the job of a NEW batch: publish its set, archive its inputs; logs ``batch.published``.

        Raises: InputError for a wrong file, TransientError or OSError for a fault of the environment, Interrupted.
        """
        job = JOBS[batch.job]
        began = journal.now()
        with self._engine_for(batch, journal.meter) as engine:
            linked = self._publication.linked(batch)
            summary = job.build(linked, job.rules(self._settings), engine, self._publication, journal)
            # Before the engine closes: that takes time, and readers wait for what is published.
            self._publication.roll_forward(batch, summary, round((journal.now() - began).total_seconds(), 3))
        return summary

    def roll_forward(self, batch: Batch) -> None:
        """Complete a COMMITTED batch: ledger, register, flat files, archive; logs ``batch.recovered``.

        Raises: TransientError, OSError.
        """
        self._publication.roll_forward(batch)

    def archive(self, batch: Batch) -> None:
        """Archive the inputs of a SUPERSEDED batch: they were out of reach when it was published."""
        self._publication.archive(batch)

    def quarantine(self, batch: Batch, error: ServiceError, now: datetime, log_text: str) -> None:
        """Move the inputs of a batch into quarantine, with the reason and the log. Raises: OSError."""
        self._publication.quarantine(batch, error, now, log_text)

    def end_unused_acceptances(self, waiting: Collection[str]) -> None:
        """Delete the marks of accepted files that do not wait any more; only while none is claimed. Raises: OSError."""
        self._publication.end_unused_acceptances(waiting)

    def prune(self, batch: Batch) -> list[str]:
        """Remove the sets of its job, and their archives, beyond ``keep_batches``; returns the ids of the sets.

        Raises: OSError; the next batch removes the rest.
        """
        return self._publication.prune(batch, self._settings.keep_batches)

    @contextmanager
    def _engine_for(self, batch: Batch, meter: Meter) -> Iterator[Engine]:
        """An engine with an empty work folder, which ``abandon`` can interrupt."""
        make_folder(self._work)  # someone may have removed it since the engine was opened
        is_small = self._is_small(batch)
        self.prepare()
        prepared, self._prepared = self._prepared, None
        assert prepared is not None, "it was prepared just now"
        try:
            with prepared.begin(meter, is_small=is_small) as engine:
                self._engine = engine
                if self._is_abandoned:
                    raise Interrupted("asked to stop", hint="the batch is taken up at the next start")
                yield engine
        finally:
            self._engine = None
            remove_tree(self._work)

    def _is_small(self, batch: Batch) -> bool:
        """Whether its exports, and the register that it is compared with, have few rows."""
        if any(file.file_name.lower().endswith(".gz") for file in batch.inputs):
            return False  # its size is known when it is unpacked
        read_bytes = sum(file.size_bytes for file in batch.inputs)
        return read_bytes <= _SMALL_BYTES and self._publication.register.size_bytes() <= _SMALL_BYTES
