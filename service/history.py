"""Batches of the past: read-only queries, a page at a time, for a dashboard, an API and metrics.

The ledger is read in place: no lock, no copy, nothing is created beside it, and a service may write meanwhile. A
page costs as much with a million batches as with ten; documents are opened only for the batches on the page. A batch is
in the history once the ledger has its outcome, which is right after the outcome, or at the next start after a crash.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from service import documents, sqlite
from service.documents import MalformedDocument, Manifest, Reason, is_batch_id
from service.folders import Folders, InboxFolders, OutboxFolders, StateFolders
from service.ledger import FORMAT, FORMAT_OF_ONE_JOB, Entry, format_of, outcomes_table, read_entries
from service.model import JobName

MOST_ON_A_PAGE = 1000
"""A larger ``limit`` counts as this."""
_LAST_SEQ = (1 << 63) - 1
_DAYS = """
    select substr(batch_id, 1, 8), job,
           sum(outcome = 'published'), sum(outcome = 'quarantined'),
           coalesce(sum(records), 0), coalesce(sum(rejects), 0), coalesce(sum(duplicates), 0),
           customers, max(case when outcome = 'published' then seq end)
    from {table}
    where batch_id >= ? and batch_id < ? and coalesce(removed, '') != 'repeated'
    group by 1, 2
    order by 1, 2
"""

Row = TypeVar("Row")


@dataclass(frozen=True)
class BatchPage:
    """Batches, the latest first."""

    entries: tuple[Entry, ...] = ()
    before: int | None = None
    """``before`` of the next page, which has older ones; None on the last page."""


@dataclass(frozen=True)
class BatchDetails:
    """One batch and its document."""

    entry: Entry
    document: Manifest | Reason | None
    """None where it was removed or cannot be read."""


@dataclass(frozen=True)
class QuarantinePage:
    """Batches in quarantine, the latest first."""

    batches: tuple[BatchDetails, ...] = ()
    before: int | None = None
    """As ``BatchPage.before``."""


@dataclass(frozen=True)
class DayCounts:
    """The batches of one job that were claimed on one day."""

    day: date
    """In UTC."""
    job: JobName
    published: int
    quarantined: int
    records: int
    """Of all published batches; so the next two."""
    rejects: int
    duplicates: int
    customers: int | None
    """Of the last published batch; None where there is none."""


class History:
    """The former batches of one service; none without a ledger. Raises: OSError where a file cannot be read."""

    def __init__(self, folders: Folders) -> None:
        self._ledger = StateFolders(folders.state).ledger
        self._outbox = OutboxFolders(folders.outbox)
        self._inbox = None if folders.inbox is None else InboxFolders(folders.inbox)

    def batches(self, job: JobName | None = None, before: int | None = None, limit: int = 50) -> BatchPage:
        """A page of the batches of a job, or of all jobs; ``before``: that of the former page."""
        of_job, values = ("", ()) if job is None else (" and job = ?", (job,))
        entries, older = self._page(f"outcome != 'unknown'{of_job}", values, before, limit)
        return BatchPage(entries, older)

    def quarantined(self, before: int | None = None, limit: int = 50) -> QuarantinePage:
        """A page of the batches in quarantine; ``before``: that of the former page."""
        entries, older = self._page("outcome = 'quarantined' and removed is null", (), before, limit)
        return QuarantinePage(tuple(BatchDetails(entry, self._document_of(entry)) for entry in entries), older)

    def batch(self, batch_id: str) -> BatchDetails | None:
        """The last outcome of a batch; None where the ledger has none."""
        if not is_batch_id(batch_id):
            return None
        found = self._read(lambda db: read_entries(db, "where batch_id = ? order by seq desc limit 1", batch_id))
        return BatchDetails(found[0], self._document_of(found[0])) if found else None

    def counts_by_day(self, first: date, last: date) -> tuple[DayCounts, ...]:
        """Counts of each day from ``first`` to ``last`` and each job; days without a batch are left out.

        The cost grows with the number of batches on these days, not with that of all batches.
        """
        begin, end = (day.isoformat().replace("-", "") for day in (first, last))  # ids begin with the day of the claim
        rows = self._read(lambda db: db.execute(_DAYS.format(table=outcomes_table(db)), (begin, f"{end}~")).fetchall())
        return tuple(DayCounts(date.fromisoformat(day), job, *counts) for day, job, *counts, _ in rows)

    def _page(
        self, condition: str, values: tuple[object, ...], before: int | None, limit: int
    ) -> tuple[tuple[Entry, ...], int | None]:
        """The latest entries before ``before`` for which an SQL condition is true, and ``before`` of the next page."""
        limit = _bounded(limit)
        rest = f"where {condition} and seq < ? order by seq desc limit ?"
        last = _LAST_SEQ if before is None else min(max(before, 0), _LAST_SEQ)
        found = self._read(lambda db: read_entries(db, rest, *values, last, limit + 1))
        return tuple(found[:limit]), found[limit - 1].seq if len(found) > limit else None

    def _document_of(self, entry: Entry) -> Manifest | Reason | None:
        batch_id = entry.outcome.batch_id
        try:
            if entry.outcome.kind == "published":
                return documents.read(self._outbox.manifest_of(batch_id), Manifest)
            if self._inbox is not None:
                return documents.read(self._inbox.reason_of(batch_id), Reason)
        except (OSError, MalformedDocument):
            pass  # ``verify`` reports it
        return None

    def _read(self, read: Callable[[sqlite3.Connection], list[Row]]) -> list[Row]:
        """The rows that ``read`` gets from the ledger; none where there is no ledger yet."""
        try:
            return sqlite.query(self._ledger, "ledger", lambda db: read(db) if _has_format(db) else [])
        except FileNotFoundError:
            return []


def _has_format(db: sqlite3.Connection) -> bool:
    """Whether the ledger can be read; False for one that is being created. Raises: DamagedDatabase."""
    found = format_of(db)
    if found not in (0, FORMAT_OF_ONE_JOB, FORMAT):
        raise sqlite.DamagedDatabase(errno.EIO, f"the ledger has the unknown format {found}")
    return found > 0


def _bounded(limit: int) -> int:
    return min(max(limit, 1), MOST_ON_A_PAGE)
