"""State and outbox belong together: compared at the start.

A state that is older than its outbox (a backup was restored, or the state was lost) does not know the numbers that were
published since, and would give them to other customers. Source: docs/specification.md section 2.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from msgspec import UnsetType

from service import documents
from service.commands import command
from service.container import where_state_is
from service.documents import MalformedDocument, Manifest
from service.errors import StateBehindOutbox
from service.folders import OutboxFolders
from service.ledger import Ledger
from service.model import JobName
from service.register import Register

NEW_IDS = "to begin with new ids, empty the outbox and the file .lock of the inbox"
"""The way out without any set."""


@dataclass(frozen=True)
class PublishedSet:
    """A set of the outbox that has a generation of the register."""

    folder: Path
    manifest: Manifest
    position: int
    """Among all outcomes; greater is later."""

    @property
    def batch_id(self) -> str:
        """The batch that it was made of."""
        return self.manifest.batch_id


def refuse_older_state(state: Path, outbox: Path, ledger: Ledger, register: Register, job: JobName) -> None:
    """Compare the state with the sets of ``job`` in the outbox; nothing is written.

    An outbox that is empty, pruned or older than the state is no error, nor is a set whose generation is staged.

    Raises: StateBehindOutbox where the outbox has a later set than the state; OSError.
    """
    sets = sets_in_order(outbox, ledger, job)
    if not sets or register.has_generation(sets[-1].batch_id):
        return
    newest, current = sets[-1], register.published()
    if current is not None and newest.position < position_of(current.batch_id, sets, ledger):
        return
    known = f"the last batch that the state knows is {current.batch_id}" if current else "the state has no customers"
    raise StateBehindOutbox(
        f"the state folder {state} is older than the outbox {outbox}: "
        f"batch {newest.batch_id} is published there, and {known}",
        where=f"{state}, {newest.folder}",
        hint=f"restore the state from a newer backup; or run: {_adopt_command(state, outbox)}, which rebuilds the"
        f" register from the newest set of the outbox; or, {NEW_IDS}{where_state_is()}",
    )


def _adopt_command(state: Path, outbox: Path) -> str:
    """The command that adopts this outbox; a state within it is that of ``integrate``."""
    return command("adopt", *(("--outbox", shlex.quote(str(outbox))) if state.parent == outbox else ()))


def sets_in_order(outbox: Path, ledger: Ledger, job: JobName) -> list[PublishedSet]:
    """The sets of a job that lie in the outbox, the newest last.

    The order is that of the chain of outcomes, never of names or times.
    """
    folders = OutboxFolders(outbox)
    found: dict[str, PublishedSet] = {}
    for entry in ledger.entries()[0]:
        batch_id = entry.outcome.batch_id
        if entry.outcome.kind != "published" or entry.outcome.job != job:
            continue
        with suppress(OSError, MalformedDocument):  # removed, or damaged: ``verify`` reports it
            manifest = documents.read(folders.manifest_of(batch_id), Manifest)
            stated = manifest.sequence
            position = entry.seq if isinstance(stated, UnsetType) else stated
            found[batch_id] = PublishedSet(folders.set_of(batch_id), manifest, position)
    return sorted(found.values(), key=lambda it: it.position)


def position_of(batch_id: str, sets: Sequence[PublishedSet], ledger: Ledger) -> int:
    """The position of a batch among all outcomes; 0 where it is not known."""
    entries = (entry.seq for entry in reversed(ledger.entries()[0]) if entry.outcome.batch_id == batch_id)
    return next((it.position for it in sets if it.batch_id == batch_id), next(entries, 0))


def is_first_of_all(published: PublishedSet, ledger: Ledger, job: JobName) -> bool:
    """Whether it is known that no set of ``job`` was published before this one."""
    entries = ledger.entries()[0]
    before = takewhile(lambda outcome: outcome.batch_id != published.batch_id, (entry.outcome for entry in entries))
    return all(outcome.kind != "unknown" and (outcome.kind, outcome.job) != ("published", job) for outcome in before)
