"""Published customer masters: which one is shown, and its Parquet files through the engine.

A file is compared with its manifest, and that with the ledger, before it is read for the first time: other users may
write into the outbox, and the engine must not be given a file that it did not write. Sets are immutable, so that
figures of a set are computed once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from service.commands import command
from service.documents import MalformedDocument, Manifest
from service.engine import open_reader
from service.engine.contract import Reader, Row
from service.errors import ServiceError
from service.files import fingerprint_of, sha256_of
from service.folders import MANIFEST, REVIEW_QUEUE_FILE, Folders, OutboxFolders, StateFolders
from service.history import History
from service.ledger import Entry
from service.masters.kept_values import KeptValues
from service.masters.missing import MissingThing
from service.masters.set_files import read_manifest
from service.pipeline.parquet import MASTER_FILE, RECORDS_FILE

_MOST_FIGURES = 64
_MOST_CHECKED = 64
_BATCHES_AT_ONCE = 50
_MISSING_FILES = "it has no Parquet files, because an older program made it"
_NEXT_SET = "drop both exports into the inbox again: the set that is made of them has these files"

Result = TypeVar("Result")


class ChangedSet(ServiceError):
    """A published set is not as it was written."""


class ShownSet(Struct, frozen=True, kw_only=True):
    """The published set that a page is about."""

    batch_id: str
    published_at: str | None
    is_latest: bool
    records: int
    customers: int
    obstacle: str = ""
    """Why its customers cannot be shown; empty where they can."""
    advice: str = ""
    """What to do about the obstacle."""
    is_weighed: bool = False
    """Whether weighed evidence made its customers."""


@dataclass(frozen=True)
class CustomerSet:
    """A published customer master."""

    shown: ShownSet
    folder: Path
    manifest: Manifest | None
    """None where there is an obstacle."""

    @property
    def batch_id(self) -> str:
        """The batch that made it."""
        return self.shown.batch_id


class CustomerSets:
    """The customer masters in the outbox that the ledger knows."""

    def __init__(self, folders: Folders, history: History) -> None:
        self._outbox = OutboxFolders(folders.outbox)
        self._state = StateFolders(folders.state)
        self._history = history
        self._checked = KeptValues(_MOST_CHECKED)
        self._figures = KeptValues(_MOST_FIGURES)
        self._lock = threading.Lock()

    def find(self, batch_id: str | None = None) -> CustomerSet | None:
        """The set of a batch, or the latest. None: nothing was published yet. Raises: MissingThing, ChangedSet."""
        latest = self._latest()
        if batch_id is None or (latest is not None and latest.outcome.batch_id == batch_id):
            return None if latest is None else self._set_of(latest, is_latest=True)
        found = self._history.batch(batch_id)
        if found is None or found.entry.outcome.kind != "published" or found.entry.outcome.job != "integration":
            raise MissingThing(f"no customers were published by a batch {batch_id}", "choose one of the batches")
        return self._set_of(found.entry, is_latest=False)

    def kept(self) -> Iterator[Entry]:
        """The published masters that are still there, the latest first; retention removes the oldest."""
        left = takewhile(lambda entry: entry.removed != "retention", self._entries())
        return filter(_is_master, left)

    def master(self, of: CustomerSet) -> str:
        """The path of ``customer_master.parquet``. Raises: ChangedSet."""
        return self._checked_path(of, MASTER_FILE)

    def records(self, of: CustomerSet) -> str:
        """The path of ``records.parquet``. Raises: ChangedSet."""
        return self._checked_path(of, RECORDS_FILE)

    def review_queue(self, of: CustomerSet) -> Path:
        """The path of ``review_queue.csv``, which sets of weighed evidence have. Raises: ChangedSet."""
        return Path(self._checked_path(of, REVIEW_QUEUE_FILE))

    def rows(self, sql: str, *parameters: Any) -> list[Row]:
        """The rows of one ``select`` of sets, the register or its log; see ``Reader.rows``.

        Raises: MissingThing where the set is gone by now.
        """
        with self._lock:
            _, reader = self._opened
        try:
            return reader.rows(sql, *parameters)
        except FileNotFoundError:
            raise _removed() from None

    def figure(self, of: CustomerSet, name: Hashable, make: Callable[[], Result]) -> Result:
        """A value about a set, from ``make`` the first time; the last few are kept. One is made at a time."""
        return self._figures.get((of.folder, name), make)

    @cached_property
    def _opened(self) -> tuple[AbstractContextManager[Reader], Reader]:
        opening = open_reader([self._outbox.batches, self._state.register, self._state.register_events])
        return opening, opening.__enter__()

    def _latest(self) -> Entry | None:
        return next(filter(_is_master, self._entries()), None)

    def _entries(self) -> Iterator[Entry]:
        """The published batches of the job, the latest first; a page of them is read when it is asked for."""
        before: int | None = None
        while True:
            page = self._history.batches("integration", before, _BATCHES_AT_ONCE, outcome="published")
            yield from page.entries
            before = page.before
            if before is None:
                return

    def _set_of(self, entry: Entry, *, is_latest: bool) -> CustomerSet:
        outcome = entry.outcome
        try:
            manifest = read_manifest(self._outbox, entry)
        except FileNotFoundError:
            raise _removed(outcome.batch_id) from None
        except MalformedDocument:
            raise _changed(outcome.batch_id, MANIFEST) from None
        has_files = {MASTER_FILE, RECORDS_FILE} <= manifest.files.keys()
        shown = ShownSet(
            batch_id=outcome.batch_id,
            published_at=outcome.ended_at,
            is_latest=is_latest,
            records=manifest.rows.records,
            customers=manifest.rows.customers,
            obstacle="" if has_files else _MISSING_FILES,
            advice="" if has_files else _NEXT_SET,
            is_weighed=REVIEW_QUEUE_FILE in manifest.files,
        )
        return CustomerSet(shown, self._outbox.set_of(outcome.batch_id), manifest if has_files else None)

    def _checked_path(self, of: CustomerSet, name: str) -> str:
        assert of.manifest is not None, "a set with an obstacle is not read"
        path, stated = of.folder / name, of.manifest.files[name]
        try:
            found = fingerprint_of(path)
            # A planted file without end must not be read at all.
            is_intact = found.size_bytes == stated.size_bytes and self._checked.get(
                (path, found, stated.sha256), lambda: sha256_of(path) == stated.sha256
            )
        except FileNotFoundError:
            is_there = (of.folder / MANIFEST).exists()
            raise (_changed(of.batch_id, name) if is_there else _removed(of.batch_id)) from None
        if not is_intact:
            raise _changed(of.batch_id, name)
        return str(path)


def _is_master(entry: Entry) -> bool:
    return entry.removed is None


def _removed(batch_id: str = "") -> MissingThing:
    which = f"the set of batch {batch_id}" if batch_id else "this set"
    return MissingThing(f"{which} is not in the outbox any more", "look at the latest set: /customers")


def _changed(batch_id: str, name: str) -> ChangedSet:
    hint = f"`{command('verify', batch_id)}` says what was changed; the next published set is not concerned"
    return ChangedSet(f"{name} of batch {batch_id} is not as it was published", hint=hint)
