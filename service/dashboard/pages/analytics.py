"""Analytics: the values of the latest export, the exports before it, and the runs of the sync."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct

from service.dashboard.routes import NoParameters, PageRoute
from service.dashboard.site import Site
from service.documents import SyncRun
from service.jobs.sync_runs import MOST_RUNS, read_runs
from service.ledger import Entry
from service.masters.set_files import read_set_file

_REPORT = "analytics_report.json"
_MOST_EXPORTS = 30
_SHOWN_RUNS = 5
_FIELDS = (
    ("data_quality", "Data quality"),
    ("engagement_level", "Engagement"),
    ("activity_status", "Activity"),
    ("customer_tier", "Tier"),
    ("acquisition_channel", "Channel"),
    ("market_segment", "Market segment"),
    ("matched_in_master", "Found in the master by"),
)
_QUALITY = "data_quality"


class ValueCount(Struct, frozen=True, kw_only=True):
    """One value of a field, and the number of customers that have it."""

    value: str
    customers: int


class FieldValues(Struct, frozen=True, kw_only=True):
    """The values of one field of the export."""

    field: str
    title: str
    values: tuple[ValueCount, ...]
    evidence: dict[str, int] = {}
    """Number of customers by where the value comes from: ``record``, ``master``, ``none``; empty where not counted."""


class AnalyticsExport(Struct, frozen=True, kw_only=True):
    """One published export."""

    batch_id: str
    ended_at: str | None
    customers: int
    fetched_at: str | None
    """When the sync that fetched its file began."""
    master: str | None
    """Batch of the customer master that it was matched with."""
    rejects: int
    repeated_ids_removed: int
    fields: tuple[FieldValues, ...]

    def customers_with(self, field: str, value: str) -> int:
        """The number of customers with a value of a field."""
        return sum(
            it.customers for each in self.fields if each.field == field for it in each.values if it.value == value
        )


class AnalyticsView(Struct, frozen=True, kw_only=True):
    """The latest export and those before it, the latest first."""

    exports: tuple[AnalyticsExport, ...]
    runs: tuple[SyncRun, ...]
    """The last runs of the sync."""
    is_sync_set: bool
    """Whether an API is set."""


class SyncRunsParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which runs."""

    limit: Annotated[int, Meta(ge=1, le=MOST_RUNS)] = 50


class SyncRunsView(Struct, frozen=True, kw_only=True):
    """The last runs of the sync, the latest first."""

    runs: tuple[SyncRun, ...]
    is_sync_set: bool


class _ValueCounts(Struct, frozen=True, kw_only=True):
    """Value -> number of customers, for each field that ``analytics_report.json`` counts."""

    matched_in_master: dict[str, int]
    engagement_level: dict[str, int]
    activity_status: dict[str, int]
    acquisition_channel: dict[str, int]
    market_segment: dict[str, int]
    customer_tier: dict[str, int]
    data_quality: dict[str, int]


class _Report(_ValueCounts, frozen=True, kw_only=True):
    """``analytics_report.json``."""

    customers: int
    fetched_at: str | None
    master: str | None
    rejects: int
    repeated_ids_removed: int
    evidence: dict[str, dict[str, int]]


def _analytics(site: Site, _: NoParameters) -> AnalyticsView:
    entries = site.history.batches("analytics", limit=_MOST_EXPORTS).entries
    exports = (export_of(site, entry) for entry in entries if entry.outcome.kind == "published")
    runs = read_runs(site.settings.state)[:_SHOWN_RUNS]
    found = tuple(export for export in exports if export is not None)
    return AnalyticsView(exports=found, runs=runs, is_sync_set=site.settings.api_url is not None)


def export_of(site: Site, entry: Entry) -> AnalyticsExport | None:
    """The export of a batch; None where retention has removed the set, or its report is damaged."""
    batch_id = entry.outcome.batch_id
    report = read_set_file(site.outbox.set_of(batch_id) / _REPORT, _Report)
    if report is None:
        return None
    return AnalyticsExport(
        batch_id=batch_id,
        ended_at=entry.outcome.ended_at,
        customers=report.customers,
        fetched_at=report.fetched_at,
        master=report.master,
        rejects=report.rejects,
        repeated_ids_removed=report.repeated_ids_removed,
        fields=tuple(_fields(report)),
    )


def _fields(report: _Report) -> Iterator[FieldValues]:
    for field, title in _FIELDS:
        counts: dict[str, int] = getattr(report, field)
        values = tuple(ValueCount(value=value, customers=count) for value, count in counts.items())
        yield FieldValues(field=field, title=title, values=values, evidence=report.evidence.get(field, {}))


def _sync_runs(site: Site, parameters: SyncRunsParameters) -> SyncRunsView:
    runs = read_runs(site.settings.state)[: parameters.limit]
    return SyncRunsView(runs=runs, is_sync_set=site.settings.api_url is not None)


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("analytics", "/analytics", "the analytics exports", NoParameters, AnalyticsView, _analytics),
    PageRoute("sync_runs", "/syncs", "the runs of the sync", SyncRunsParameters, SyncRunsView, _sync_runs),
)
