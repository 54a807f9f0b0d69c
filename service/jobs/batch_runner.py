"""The batch_runner: what a batch needs to be worked on, for one state folder and one outbox."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from service import logs
from service.analytics_rules import AnalyticsRules
from service.engine.contract import Engine
from service.engine.embedded import open_engine
from service.errors import Interrupted, TransientError
from service.files import make_folder, remove_tree
from service.jobs.analytics import PreviousExport, analyse
from service.jobs.integration import integrate, recover, roll_forward
from service.ledger import Ledger
from service.logs import Journal
from service.model import Batch, JobName, Rules, Summary
from service.outbox import Outbox
from service.register import Register
from service.state import State


@dataclass(frozen=True)
class Limits:
    """What the engine may use, and how many published sets are kept."""

    memory_limit_mb: int
    threads: int
    keep_batches: int


@dataclass(frozen=True)
class JobRules:
    """What a user can decide about each job."""

    integration: Rules
    analytics: AnalyticsRules = field(default_factory=AnalyticsRules)


class BatchRunner:
    """Works on batches one at a time; used by one process at a time, which its lock sees to."""

    def __init__(self, state: Path, outbox: Path, rules: JobRules, limits: Limits, inbox: Path | None = None) -> None:
        self.outbox = Outbox(outbox)
        self.ledger = Ledger(state, outbox, inbox)
        self.register = Register(state)
        self._state = State(state)
        self._work = state / "work"
        self._rules = rules
        self._limits = limits
        self._engine: Engine | None = None
        self._is_abandoned = False

    def open(self) -> None:
        """Take the state folder and bring it and the outbox to order after a run that died.

        Raises: UsageError where another process works with this state; SettingsError for an unknown format.
        """
        self._state.take()
        remove_tree(self._work)
        recover(self.register, self.outbox)
        self._keep(self.ledger.open)
        for job, batch_id in self.last_published().items():
            self._roll_forward(batch_id, job)

    def close(self) -> None:
        """Give the state folder back."""
        self._state.release()

    def work(self, batch: Batch, journal: Journal) -> Summary:
        """The story of its job, with an engine of its own; afterwards flat files and register are the batch's."""
        began = journal.now()
        work_folder = self._work / batch.id
        make_folder(work_folder)
        try:
            with open_engine(
                work_folder, memory_limit_mb=self._limits.memory_limit_mb, threads=self._limits.threads
            ) as engine:
                self._engine = engine
                if self._is_abandoned:
                    raise Interrupted("asked to stop", hint="the batch is taken up at the next start")
                summary = self._story(self.linked(batch), engine, journal)
        finally:
            self._engine = None
            remove_tree(work_folder)
        self.finish(batch, round((journal.now() - began).total_seconds(), 3))
        return summary

    def _story(self, batch: Batch, engine: Engine, journal: Journal) -> Summary:
        match batch.job:
            case "integration":
                return integrate(batch, self._rules.integration, engine, self.register, self.outbox, journal)
            case "analytics":
                return analyse(batch, self._rules.analytics, engine, self._before(), self.outbox, journal)

    def _before(self) -> PreviousExport:
        published = self.register.published()
        master = None if published is None else self.outbox.set_of(published.batch_id)
        return PreviousExport(master, self.ledger.last_records("analytics"))

    def is_published(self, batch_id: str) -> bool:
        """Whether this batch was committed, by us or by a run that died."""
        return self.outbox.is_committed(batch_id)

    def knows(self, batch_id: str) -> bool:
        """Whether a batch had this id before: no other one may get it, even after retention took all that was of it."""
        if self.is_published(batch_id):
            return True
        with suppress(OSError):
            return self.ledger.knows(batch_id)
        return False

    def is_superseded(self, batch_id: str) -> bool:
        """Whether it was published, and another one of its job after it: nothing is left to do but to archive it."""
        with suppress(OSError):
            return self.ledger.is_superseded(batch_id)
        return False

    def finish(self, batch: Batch, seconds: float | None = None) -> None:
        """What follows the commit; may be repeated. ``seconds``: how long the batch took, where that is known.

        Raises: TransientError where a user empties the outbox at this very moment, so that nothing tells of the set.
        """
        self.note(batch.id, seconds)
        if not self.is_published(batch.id):
            raise TransientError(
                "the outbox was emptied while the set was published",
                where=f"batch {batch.id}",
                hint="the set is published again",
            )
        self._roll_forward(batch.id, batch.job)

    def _roll_forward(self, batch_id: str, job: JobName) -> None:
        match job:
            case "integration":
                roll_forward(batch_id, self.register, self.outbox)
            case "analytics":
                self.outbox.copy_flat(batch_id, job)

    def last_published(self) -> dict[JobName, str]:
        """The batch of each job that was published last; the latest of them stands last."""
        found: dict[JobName, str] = {}
        with suppress(OSError):
            found = self.ledger.last_published()
        # Which master was the last one the register knows better: ids go by it, and it outlives a lost ledger.
        if (published := self.register.published()) is not None:
            found["integration"] = published.batch_id
        else:
            found.pop("integration", None)
        return found

    def linked(self, batch: Batch) -> Batch:
        """The batch with its place in the chain of outcomes."""
        return replace(batch, former_outcome_sha256=self.ledger.head())

    def note(self, batch_id: str, seconds: float | None = None) -> None:
        """Take the outcome of a batch into the ledger."""
        self._keep(lambda: self.ledger.note(batch_id, seconds))

    def retire(self, batch: Batch) -> list[str]:
        """Note that retention takes the oldest sets of its job; returns their ids: their archives may go now."""
        return self.ledger.retire(self.outbox.superseded(self._limits.keep_batches, batch.id, batch.job), batch.job)

    def prune(self, batch: Batch) -> list[str]:
        """Remove published sets of its job beyond what is kept; returns their ids."""
        self.retire(batch)
        return self.outbox.prune(self._limits.keep_batches, batch.id, batch.job)

    def abandon(self) -> None:
        """From another thread: make the running batch, and any later one, raise Interrupted."""
        self._is_abandoned = True
        if self._engine is not None:
            self._engine.interrupt()

    def _keep(self, entry: Callable[[], object]) -> None:
        """Write into the ledger; it is a view, and nothing waits for it: what it lacks is made up for later."""
        for tries_left in (1, 0):
            try:
                entry()
                break
            except OSError as error:
                if not tries_left:
                    logs.get().warning("ledger.unwritten", reason=error.strerror)
