"""All batches, the latest first, and what came in and out on each of the last days."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.dashboard.routes import PageRoute
from service.dashboard.site import Site
from service.documents import Counts
from service.history import DayCounts
from service.job_name import JobName
from service.ledger import Entry, Removed

DAYS = 30
ROWS = 50
_REMOVED: dict[Removed, str] = {
    "retention": "removed by retention",
    "retried": "moved back into the inbox",
    "emptied": "the outbox was emptied",
    "repeated": "processed again under the same id",
    "before": "from before the ledger was rebuilt",
}


class BatchSummary(Struct, frozen=True, kw_only=True):
    """One batch and its outcome."""

    batch_id: str
    job: JobName
    outcome: Literal["published", "quarantined", "unknown"]
    error: str | None
    """Class of the error of a quarantined batch."""
    claimed_at: str | None
    ended_at: str | None
    seconds: float | None
    """Null where it is not known."""
    counts: Counts | None
    """Of a published batch."""
    removed: str | None
    """Why its files are not there any more; null: they are."""
    position: int
    """Among all outcomes, from 1: ``before`` of the page behind it."""


class DayFigures(Struct, frozen=True, kw_only=True):
    """The batches of one job that were claimed on one day (UTC)."""

    day: str
    published: int = 0
    quarantined: int = 0
    records: int = 0
    """Of all published batches; so the next two."""
    rejects: int = 0
    duplicates: int = 0
    customers: int | None = None
    """Of the last published batch."""


class BatchesParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which batches."""

    job: JobName | None = None
    outcome: Literal["published", "quarantined"] | None = None
    before: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | None = None
    """``next_before`` of the former page."""


class BatchesView(Struct, frozen=True, kw_only=True):
    """A page of batches, the latest first."""

    batches: tuple[BatchSummary, ...]
    next_before: int | None
    """Null on the last page."""
    chosen: BatchesParameters
    days_of: JobName
    days: tuple[DayFigures, ...]
    """The last 30, the oldest first; empty behind the first page."""


def summary_of(entry: Entry) -> BatchSummary:
    """The outcome of a batch as the pages show it."""
    outcome = entry.outcome
    return BatchSummary(
        batch_id=outcome.batch_id,
        job=outcome.job,
        outcome=outcome.kind,
        error=outcome.code,
        claimed_at=outcome.claimed_at,
        ended_at=outcome.ended_at,
        seconds=entry.seconds,
        counts=outcome.counts,
        removed=_REMOVED[entry.removed] if entry.removed else None,
        position=entry.seq,
    )


def _batches(site: Site, chosen: BatchesParameters) -> BatchesView:
    page = site.history.batches(chosen.job, chosen.before, ROWS, outcome=chosen.outcome)
    job = chosen.job or "integration"
    return BatchesView(
        batches=tuple(map(summary_of, page.entries)),
        next_before=page.before,
        chosen=chosen,
        days_of=job,
        days=() if chosen.before else _days(site, job),
    )


def _days(site: Site, job: JobName) -> tuple[DayFigures, ...]:
    """Every day up to today; none where no batch was claimed on any of them."""
    today = site.now().astimezone(UTC).date()
    counted = site.history.counts_by_day(today - timedelta(DAYS - 1), today)
    found = {it.day: it for it in counted if it.job == job}
    every = (today - timedelta(back) for back in reversed(range(DAYS)))
    return tuple(_day(day, found.get(day)) for day in every) if found else ()


def _day(day: date, found: DayCounts | None) -> DayFigures:
    if found is None:
        return DayFigures(day=day.isoformat())
    return DayFigures(
        day=day.isoformat(),
        published=found.published,
        quarantined=found.quarantined,
        records=found.records,
        rejects=found.rejects,
        duplicates=found.duplicates,
        customers=found.customers,
    )


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("batches", "/batches", "all batches, the latest first", BatchesParameters, BatchesView, _batches),
)
