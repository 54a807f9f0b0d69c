"""The sets of the outbox that have a generation of the register, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from msgspec import UnsetType

from service import documents
from service.documents import MalformedDocument, Manifest
from service.folders import OutboxFolders
from service.job_name import JobName
from service.ledger import Ledger


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
