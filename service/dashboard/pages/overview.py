"""The overview: whether the service works, what waits, what runs, and what came out last."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from service.dashboard.pages.batches import BatchSummary, summary_of
from service.dashboard.pages.live import LiveView, live_view
from service.dashboard.routes import NoParameters, PageRoute
from service.dashboard.sample import made_at
from service.dashboard.site import Site
from service.documents import Counts, Manifest
from service.inbox import partner_name
from service.job_name import JobName
from service.jobs import JOBS
from service.ledger import Entry

_LISTED_BATCHES = 10
_TREND_BATCHES = 30
_LATEST_SETS = 2
"""The latest, and the one before it."""


class OfferedFile(Struct, frozen=True, kw_only=True):
    """A published file."""

    name: str
    size_bytes: int


class LatestSet(Struct, frozen=True, kw_only=True):
    """The latest published set of a job."""

    job: JobName
    batch_id: str
    ended_at: str | None
    counts: Counts
    former: Counts | None
    """Of the set before it."""
    files: tuple[OfferedFile, ...]
    """Those that lie in the outbox itself; none where retention or a user removed the set."""


class UploadSlot(Struct, frozen=True, kw_only=True):
    """A source to upload an export of."""

    source: str
    file_name: str
    """The name under which it is dropped."""
    job: JobName
    is_required: bool
    is_here: bool
    """Whether one waits in the inbox."""


class Overview(Struct, frozen=True, kw_only=True):
    """The condition of the service, its latest results, and where to drop the next exports."""

    live: LiveView
    latest: tuple[LatestSet, ...]
    """Of each job that has one."""
    batches: tuple[BatchSummary, ...]
    """The last ones, of all jobs, the latest first."""
    trend: tuple[int, ...]
    """Customers of the last published masters, the oldest first."""
    slots: tuple[UploadSlot, ...]
    inbox: str
    """The folder into which exports are dropped."""
    upload_limit_mb: int
    sample_made_at: str | None
    """None where there is no sample."""


def _overview(site: Site, _: NoParameters) -> Overview:
    made = made_at(site)
    live = live_view(site)
    waiting = tuple(line.file_name.lower() for line in live.waiting)
    masters = site.history.batches("integration", limit=_TREND_BATCHES, outcome="published").entries
    exports = site.history.batches("analytics", limit=_LATEST_SETS, outcome="published").entries
    latest = (_latest(site, entries) for entries in (masters, exports))
    trend = [entry.outcome.counts.customers for entry in masters if entry.outcome.counts is not None]
    return Overview(
        live=live,
        latest=tuple(found for found in latest if found is not None),
        batches=tuple(map(summary_of, site.history.batches(limit=_LISTED_BATCHES).entries)),
        trend=tuple(reversed(trend)),
        slots=tuple(
            UploadSlot(
                source=source.name,
                file_name=partner_name(source, ""),
                job=source.job,
                is_required=source in site.required_sources,
                is_here=any(name.startswith(partner_name(source, "").rpartition(".")[0].lower()) for name in waiting),
            )
            for source in site.sources
        ),
        inbox=str(site.settings.inbox.absolute()),
        upload_limit_mb=site.settings.upload_limit_mb,
        sample_made_at=made.isoformat(timespec="seconds") if made is not None else None,
    )


def _latest(site: Site, entries: tuple[Entry, ...]) -> LatestSet | None:
    """The latest set of a job, of the job's last published batches."""
    published = [(entry, counts) for entry in entries if (counts := entry.outcome.counts) is not None]
    if not published:
        return None
    (entry, counts), former = published[0], published[1][1] if len(published) > 1 else None
    outcome = entry.outcome
    details = site.history.batch(outcome.batch_id)
    manifest = details.document if details is not None else None
    files = manifest.files if isinstance(manifest, Manifest) else {}
    names = [name for name in JOBS[outcome.job].flat_files.names if name in files]
    return LatestSet(
        job=outcome.job,
        batch_id=outcome.batch_id,
        ended_at=outcome.ended_at,
        counts=counts,
        former=former,
        files=tuple(OfferedFile(name=name, size_bytes=files[name].size_bytes) for name in names),
    )


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("overview", "/", "the condition of the service", NoParameters, Overview, _overview),
)
