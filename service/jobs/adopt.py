"""``adopt``: a state that is lost, or older than its outbox, or has no log, is rebuilt from the sets of the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from service import adoption, logs
from service.decisions.decision_file import DECISIONS_FILE, read_lines
from service.engine import open_engine
from service.errors import UsageError
from service.files import make_folder, remove_tree, sha256_of
from service.folders import Folders, StateFolders
from service.inbox import Inbox
from service.jobs import WITH_REGISTER, all_sources
from service.phrases import counted
from service.publication import PastBatches
from service.settings import Settings
from service.state import State


@dataclass(frozen=True)
class Adopted:
    """What the state knows now."""

    batch_id: str
    customers: int | None
    """None where it knew this set already."""
    decisions: int = 0
    """Those that the set followed, where the state had none."""

    @property
    def sentence(self) -> str:
        """One line for the user."""
        if self.customers is None:
            return f"nothing to do: the state knows {self.batch_id}, the newest set of the outbox"
        decisions = f", and {counted(self.decisions, 'decision')}" if self.decisions else ""
        return f"adopted {counted(self.customers, 'customer')} of batch {self.batch_id}{decisions}"


def adopt_outbox(settings: Settings, folders: Folders) -> Adopted:
    """Rebuild the register and its log from the sets of the outbox, and give the inbox to this state.

    Raises: UsageError where there is no set, where the set does not hold what is needed, or where a service works with
    one of the folders; OSError.
    """
    state = State(folders.state)
    state.take()
    try:
        past = PastBatches(folders)
        sets = adoption.sets_in_order(folders.outbox, past.ledger, WITH_REGISTER)
        if not sets:
            raise UsageError(
                "the outbox holds no published customer master", where=str(folders.outbox), hint="see SERVICE_OUTBOX"
            )
        if folders.inbox is not None and folders.inbox.is_dir():
            Inbox(folders.inbox).adopt(state.open())
        past.register.open()
        if past.register.has_generation(sets[-1].batch_id) and past.register.is_logged():
            return Adopted(sets[-1].batch_id, None)
        customers = _rebuild(settings, folders, past, _unknown(sets, past))
        decisions = _restored_decisions(past, sets[-1])
        logs.get().info("state.adopted", batch_id=sets[-1].batch_id, customers=customers, decisions=decisions)
        return Adopted(sets[-1].batch_id, customers, decisions)
    finally:
        state.release()


def _restored_decisions(past: PastBatches, newest: adoption.PublishedSet) -> int:
    """Store the decisions that the newest set followed, with their numbers, if the state has none; returns how many."""
    path = newest.folder / DECISIONS_FILE
    stated = newest.manifest.files.get(DECISIONS_FILE)
    if stated is None:
        return 0  # of a version without decisions
    if sha256_of(path) != stated.sha256:
        raise UsageError(
            f"{DECISIONS_FILE} is not as its manifest states",
            where=str(path),
            hint="restore the set from a backup, then adopt it",
        )
    return past.decisions.restore(line.as_decision() for line in read_lines(path))


def _unknown(sets: Sequence[adoption.PublishedSet], past: PastBatches) -> adoption.Unknown:
    """The sets after the generation in force; all, where there is none that these sets follow, or it has no log."""
    current = past.register.published()
    known = adoption.position_of(current.batch_id, sets, past.ledger) if current is not None else 0
    if past.register.is_logged() and 0 < known < sets[-1].position:
        later = [published for published in sets if published.position > known]
        return adoption.Unknown(later, follow_state=True, are_the_first=False)
    are_the_first = adoption.is_first_of_all(sets[0], past.ledger, WITH_REGISTER)
    return adoption.Unknown(sets, follow_state=False, are_the_first=are_the_first)


def _rebuild(settings: Settings, folders: Folders, past: PastBatches, unknown: adoption.Unknown) -> int:
    work = StateFolders(folders.state).work / "adopt"
    remove_tree(work)
    make_folder(work)
    try:
        register = StateFolders(folders.state).register
        with open_engine(work, (register,), memory_limit_mb=settings.memory_mb, threads=settings.threads) as engine:
            customers = adoption.rebuild(unknown, all_sources(settings), past.register, engine, work)
    finally:
        remove_tree(work)
    with suppress(OSError):  # the next start adds what is missing
        past.ledger.open()
    return customers
