"""The contents of inbox and outbox at one moment, and the entries of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol

from service.documents import Counts
from service.files import sha256_of
from service.folders import REASON, TEXT_LOG, Folders, InboxFolders, OutboxFolders
from service.inbox.names import is_housekeeping
from service.job_name import JobName
from service.ledger import Ledger
from service.locks import is_locked
from service.outbox import FlatFiles
from service.outcomes import Input

CheckSet = Callable[[Path, str, Counts], Iterator[str]]
"""Findings about the contents of a set: its folder, the folder's name in messages, the counts in its manifest."""


class VerifiedJob(Protocol):
    """The part of a job that ``verify`` uses."""

    @property
    def name(self) -> JobName:
        """Its name in documents."""

    @property
    def flat_files(self) -> FlatFiles:
        """The files of its latest set that are copied into the outbox itself."""

    @property
    def check_set(self) -> CheckSet:
        """Compares the contents of a set with the counts in its manifest."""

    @property
    def has_register(self) -> bool:
        """Whether it merges records to customers, so that its sets can be proved."""


class Snapshot:
    """The contents of the folders, read once; files are read by the checks."""

    def __init__(self, folders: Folders, jobs: Mapping[JobName, VerifiedJob]) -> None:
        self.jobs = jobs
        self.outbox = OutboxFolders(folders.outbox)
        self.inbox = None if folders.inbox is None else InboxFolders(folders.inbox)
        self.entries, self.ledger_trouble = Ledger(folders.state, folders.outbox, folders.inbox).entries()
        """The lines of the ledger with what it has not added yet; None, or missing, damaged, out of reach."""
        self.sets = names_in(self.outbox.batches)
        self.archived = names_in(self.inbox.archive if self.inbox else None)
        self.quarantined = names_in(self.inbox.quarantine if self.inbox else None)
        claims = names_in(self.inbox.claimed if self.inbox else None)
        self.claimed = {name.removesuffix(".json") for name in claims if not name.startswith(".")}
        self.latest = {entry.outcome.batch_id: entry for entry in self.entries if entry.outcome.kind != "unknown"}
        """The last entry of each batch."""

    def batch_ids(self) -> list[str]:
        """Every batch that has an entry or a folder, in order."""
        return sorted(set(self.latest) | self.sets | self.archived | self.quarantined | self.claimed)

    def is_published(self, batch_id: str) -> bool:
        """Whether the ledger's last outcome of this batch is a published set."""
        return batch_id in self.latest and self.latest[batch_id].outcome.kind == "published"

    def is_outbox_emptied(self) -> bool:
        """Whether no set is there but that of the latest published batch, as if users emptied the outbox meanwhile."""
        published = [entry.outcome.batch_id for entry in self.entries if entry.outcome.kind == "published"]
        return self.sets <= set(published[-1:])

    def archived_inputs(self, batch_id: str) -> set[str]:
        """The names of the archived files of a batch."""
        return names_in(self.inbox.archive / batch_id if self.inbox else None)

    def quarantined_inputs(self, batch_id: str) -> set[str]:
        """The names of the input files in the quarantine folder of a batch."""
        return names_in(self.inbox.quarantine / batch_id if self.inbox else None) - {REASON, TEXT_LOG}

    def is_inbox_in_use(self) -> bool:
        """Whether a service works on the inbox."""
        return self.inbox is not None and is_locked(self.inbox.lock)

    def accepted_after(self, batch_id: str) -> set[tuple[str, str]]:
        """Name and hash of every input of the outcomes after that of this batch."""
        seq = self.latest[batch_id].seq if batch_id in self.latest else 0
        inputs: list[Input] = []
        for entry in self.entries:
            if entry.seq > seq:
                inputs.extend(entry.outcome.inputs)
        return {(it.file_name, it.sha256) for it in inputs}

    @cached_property
    def waiting(self) -> set[tuple[str, str]]:
        """Name and hash of every file that waits in the inbox or is claimed."""
        if self.inbox is None:
            return set()
        waiting = [path for path in self.inbox.root.iterdir() if path.is_file() and not path.name.startswith(".")]
        claimed = [path for path in self.inbox.claimed.glob("*/*") if path.is_file()]
        return {(path.name, sha256_or_empty(path)) for path in (*waiting, *claimed)}


def sha256_or_empty(path: Path) -> str:
    """The hash of a file; empty where it cannot be read."""
    try:
        return sha256_of(path)
    except OSError:
        return ""


def names_in(folder: Path | None) -> set[str]:
    """The names in a folder, without what file managers write there; none where there is no folder."""
    try:
        return set() if folder is None else {it.name for it in folder.iterdir() if not is_housekeeping(it.name)}
    except (FileNotFoundError, NotADirectoryError):
        return set()
