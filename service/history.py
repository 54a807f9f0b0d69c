"""Batches of the past: read-only queries, a page at a time, for a dashboard, an API and metrics.

The ledger is read in place: no lock, no copy, nothing is created beside it, and a service may write meanwhile. A
page costs as much with a million batches as with ten; documents are opened only for the batches on the page. A batch is
in the history once the ledger has its outcome, which is right after the outcome, or at the next start after a crash.
"""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeVar

from service import documents, sqlite
from service.documents import MalformedDocument, Manifest, Reason, is_batch_id
from service.folders import Folders, InboxFolders, OutboxFolders, StateFolders
from service.job_name import JobName
from service.ledger import FORMAT, FORMAT_OF_ONE_JOB, Entry, format_of, outcomes_table, read_entries

MOST_ON_A_PAGE = 1000
"""A larger ``limit`` counts as this."""
_NEAR = 100
"""So many batches after one are looked through."""
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
# ``total`` gives a float, which cannot overflow. All columns are those of an index, so that no row is read.
_TOTALS = """
    select job, outcome, count(*), total(records), total(rejects), total(duplicates), max(seq)
    from {table}
    where outcome != 'unknown'
    group by 1, 2
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


@dataclass(frozen=True)
class OutcomeTotals:
    """All outcomes of one kind and job in the ledger. A batch that was repeated counts each time: totals only rise."""

    batches: int
    records: float
    """0 in quarantine; so the next two."""
    rejects: float
    duplicates: float
    last: Entry
    """The latest of them; it states kind and job."""


class History:
    """The former batches of one service; none without a ledger. Raises: OSError where a file cannot be read."""

    def __init__(self, folders: Folders) -> None:
        self._ledger = StateFolders(folders.state).ledger
        self._outbox = OutboxFolders(folders.outbox)
        self._inbox = None if folders.inbox is None else InboxFolders(folders.inbox)

    def batches(
        self,
        job: JobName | None = None,
        before: int | None = None,
        limit: int = 50,
        *,
        outcome: Literal["published", "quarantined"] | None = None,
    ) -> BatchPage:
        """A page of the batches of a job or of all, with one outcome or any; ``before``: that of the former page."""
        chosen = {"job": job, "outcome": outcome}
        conditions = ["outcome != 'unknown'", *(f"{name} = ?" for name, value in chosen.items() if value)]
        values = tuple(value for value in chosen.values() if value)
        entries, older = self._page(" and ".join(conditions), values, before, limit)
        return BatchPage(entries, older)

    def neighbours(self, entry: Entry) -> tuple[Entry | None, Entry | None]:
        """The batches of the same job right before and right after this one."""
        of_job = "where outcome != 'unknown' and job = ? and seq"
        values = (entry.outcome.job, entry.seq)
        former = self._read(lambda db: read_entries(db, f"{of_job} < ? order by seq desc limit 1", *values))
        following = self._read(lambda db: read_entries(db, f"{of_job} > ? order by seq limit 1", *values))
        return next(iter(former), None), next(iter(following), None)

    def repeated(self, entry: Entry) -> Entry | None:
        """The first batch after this one with the same files: what became of it after a retry. None if there is none.

        The id of a batch ends with the beginning of the hash of its files.
        """
        of_files = entry.outcome.batch_id.split("-")[1]
        rest = "where seq > ? and outcome != 'unknown' and substr(batch_id, 18, 6) = ? order by seq limit 1"
        found = self._read(lambda db: read_entries(db, rest, entry.seq, of_files))
        return found[0] if found else None

    def of_same_names(self, entry: Entry) -> Entry | None:
        """The first batch of the same job after this one whose files have the same names; None if none is near."""
        names = sorted(it.file_name for it in entry.outcome.inputs)
        rest = f"where seq > ? and outcome != 'unknown' and job = ? order by seq limit {_NEAR}"
        found = self._read(lambda db: read_entries(db, rest, entry.seq, entry.outcome.job))
        return next((it for it in found if sorted(file.file_name for file in it.outcome.inputs) == names), None)

    def known(self, batch_ids: Sequence[str]) -> set[str]:
        """Those of ``batch_ids`` that the ledger has an outcome of."""
        wanted = json.dumps(list(batch_ids))
        found = "select distinct batch_id from outcomes where batch_id in (select value from json_each(?))"
        return {batch_id for (batch_id,) in self._read(lambda db: db.execute(found, (wanted,)).fetchall())}

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

    def totals(self) -> tuple[OutcomeTotals, ...]:
        """Totals of each job and kind of outcome that occurred; a lost ledger that was rebuilt may have lower ones.

        The cost grows with the number of batches: a million take about 0.2 s.
        """
        return tuple(self._read(_read_totals))

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


def _read_totals(db: sqlite3.Connection) -> list[OutcomeTotals]:
    rows = db.execute(_TOTALS.format(table=outcomes_table(db))).fetchall()
    return [
        OutcomeTotals(batches, records, rejects, duplicates, read_entries(db, "where seq = ?", seq)[0])
        for _, _, batches, records, rejects, duplicates, seq in rows
    ]


def _has_format(db: sqlite3.Connection) -> bool:
    """Whether the ledger can be read; False for one that is being created. Raises: DamagedDatabase."""
    found = format_of(db)
    if found not in (0, FORMAT_OF_ONE_JOB, FORMAT):
        raise sqlite.DamagedDatabase(errno.EIO, f"the ledger has the unknown format {found}")
    return found > 0


def _bounded(limit: int) -> int:
    return min(max(limit, 1), MOST_ON_A_PAGE)
