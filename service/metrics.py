"""Metrics: the figures of the service for Prometheus, read from ledger, health and folders whenever they are asked for.

Nothing is counted in memory: counters are totals of the ledger, and only a ledger that is lost and rebuilt makes them
fall. Labels have few, fixed values. No metric has the name of a file, or a value of a customer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service import __version__, documents, health
from service.api.checkpoint import read_last_run
from service.documents import HealthReport, Heartbeat, is_batch_id
from service.files import free_bytes
from service.folders import LOCK, Folders, InboxFolders, StateFolders
from service.health_reasons import ReasonCode
from service.history import History, OutcomeTotals
from service.job_name import JobName
from service.ledger import Entry
from service.locks import is_locked
from service.outcomes import Kind
from service.raw_settings import DEFAULT_STALL_MINUTES

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""Of what ``render`` returns."""
PREFIX = "customer_integration_"
_STATES = ("ok", "degraded", "failing")
_KINDS: tuple[Kind, ...] = ("published", "quarantined")
_JOBS: tuple[JobName, ...] = get_args(JobName)
_CODES: tuple[ReasonCode, ...] = get_args(ReasonCode)

Samples = Iterable[tuple[Sequence[str], float]]
"""The values of the labels, and the value, of each sample of a metric."""


def render(folders: Folders, now: datetime, *, stall_minutes: float = DEFAULT_STALL_MINUTES) -> bytes:
    """The text of all metrics at this moment, as ``GET /metrics`` returns it.

    A part that cannot be read is left out, and ``scrape_errors`` names it; it never raises. ``stall_minutes``: as in
    ``health.judge``. With a million batches it takes about 0.2 s.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(folders, now, stall_minutes))
    return generate_latest(registry)


@dataclass(frozen=True)
class _Figures(Collector):
    """Collects the metrics of one service, part by part."""

    folders: Folders
    now: datetime
    stall_minutes: float

    def collect(self) -> Iterator[Metric]:
        """Every metric of the parts that can be read, then which parts those are."""
        state = StateFolders(self.folders.state)
        parts: dict[str, Callable[[], Iterable[Metric]]] = {
            "ledger": partial(_ledger_metrics, self.folders),
            "watcher": partial(_watcher_metrics, state, self.now, self.stall_minutes),
            "health": partial(_health_metrics, state),
            "quarantine": partial(_quarantine_metrics, self.folders.inbox),
            "disk": partial(_disk_metrics, self.folders),
            "sync": partial(_sync_metrics, state.sync),
        }
        yield _gauge("build_info", "Version of the program that answers.", [((__version__,), 1)], "version")
        errors: list[tuple[tuple[str], float]] = []
        for name, read in parts.items():
            found: list[Metric] = []
            try:
                found = list(read())
            except (OSError, ValueError, TypeError, OverflowError):  # also what a damaged file makes of a value
                errors.append(((name,), 1))
            else:
                errors.append(((name,), 0))
            yield from found
        yield _gauge("scrape_errors", "1 if this part could not be read and its metrics are left out.", errors, "part")


# ------------------------------------------------------------------------------------------------------ the parts


def _ledger_metrics(folders: Folders) -> Iterator[Metric]:
    if not StateFolders(folders.state).ledger.exists():
        raise FileNotFoundError("there is no ledger yet")  # no counters, rather than counters that fall to 0
    found = {(it.last.outcome.job, it.last.outcome.kind): it for it in History(folders).totals()}
    batches = {(job, kind): found[job, kind].batches if (job, kind) in found else 0 for job in _JOBS for kind in _KINDS}
    yield _counter("batches_total", "Batches that ended, by outcome.", batches.items(), "job", "outcome")
    published = {job: found.get((job, "published")) for job in _JOBS}
    for name, text, figure in _TOTALS:
        yield _counter(name, text, [((job,), figure(it) if it else 0) for job, it in published.items()], "job")
    lasts = [(job, it.last) for job, it in published.items() if it is not None]
    for name, text, measure in _OF_THE_LAST:
        measured = [((job,), value) for job, last in lasts if (value := measure(last)) is not None]
        yield _gauge(name, text, measured, "job")


_TOTALS: tuple[tuple[str, str, Callable[[OutcomeTotals], float]], ...] = (
    ("records_total", "Records of published batches.", lambda it: it.records),
    ("rejects_total", "Rejected rows of published batches.", lambda it: it.rejects),
    ("duplicates_total", "Removed records of published batches.", lambda it: it.duplicates),
)
_OF_THE_LAST: tuple[tuple[str, str, Callable[[Entry], float | None]], ...] = (
    (
        "customers",
        "Customers in the set published last.",
        lambda it: it.outcome.counts.customers if it.outcome.counts else None,
    ),
    (
        "last_published_timestamp_seconds",
        "When the last set was published.",
        lambda it: _timestamp(it.outcome.ended_at) if it.outcome.ended_at else None,
    ),
    ("last_published_duration_seconds", "How long the batch published last took.", lambda it: it.seconds),
)


def _watcher_metrics(state: StateFolders, now: datetime, stall_minutes: float) -> Iterator[Metric]:
    is_running = is_locked(state.lock)
    is_healthy = is_running and health.judge(state.root, now, stall_minutes=stall_minutes).is_healthy
    yield _value("watcher_running", "1 if a process works with the state.", is_running)
    yield _value("healthy", "1 if the health check succeeds: the watcher runs, moves and does not fail.", is_healthy)


def _health_metrics(state: StateFolders) -> Iterator[Metric]:
    report = documents.read(state.health, HealthReport)
    # A watcher that writes no heartbeat writes its health just as often.
    alive_at = documents.read(state.heartbeat, Heartbeat).alive_at if report.has_heartbeat else report.written_at
    yield _value("heartbeat_timestamp_seconds", "When the watcher last showed that it moves.", _timestamp(alive_at))
    states = [((name,), report.state == name) for name in _STATES]
    yield _gauge("health_state", "1 for the state that health has, 0 for the others.", states, "state")
    yield _value("health_reasons", "Number of reasons why health is not ok.", len(report.reasons))
    by_code = [((code,), report.codes.count(code)) for code in _CODES]
    yield _gauge("health_reason", "Number of reasons with this code; the runbook says what to do.", by_code, "code")
    yield _value("waiting_exports", "Exports that wait in the inbox.", report.waiting_count)
    if report.waiting:
        since = min(_timestamp(waiting.since) for waiting in report.waiting)
        yield _value("oldest_waiting_export_timestamp_seconds", "Since when an export waits.", since)
    yield _value(
        "unresolved_batches",
        "Batches quarantined since the last published one of their job, and still in quarantine.",
        len(report.quarantined),
    )
    yield _value("busy", "1 while a batch is in work.", report.busy_since is not None)
    progress = report.progress
    if progress is not None:
        yield _value("stage_rows_done", "Rows done in the stage of the batch in work.", progress.rows_done)
        yield _value("stage_rows", "Rows of the stage of the batch in work.", progress.rows_in_all)
        yield _value("stage_rows_per_second", "Rows per second in this stage, on average.", progress.rows_per_second)


def _quarantine_metrics(inbox: Path | None) -> Iterator[Metric]:
    count = 0
    if inbox is not None and (quarantine := InboxFolders(inbox).quarantine).exists():
        with os.scandir(quarantine) as entries:
            count = sum(is_batch_id(entry.name) for entry in entries)
    yield _value("quarantined_batches", "Batches in the quarantine folder.", count)


def _disk_metrics(folders: Folders) -> Iterator[Metric]:
    named = {"inbox": folders.inbox, "outbox": folders.outbox, "state": folders.state}
    free = [((name,), free_bytes(folder)) for name, folder in named.items() if folder is not None]
    yield _gauge("free_bytes", "Bytes that the service may still write below a folder.", free, "folder")


def _sync_metrics(folder: Path) -> Iterator[Metric]:
    run = read_last_run(folder)
    if run is None:
        return  # no sync was ever begun
    yield _value("sync_running", "1 while a sync is running.", is_locked(folder / LOCK))
    yield _value("sync_incomplete", "1 if the last sync did not end, or has not ended yet.", run.is_incomplete)
    if run.ended_at is not None:
        name = "sync_last_completed_timestamp_seconds"
        yield _value(name, "When the last complete sync ended.", run.ended_at.timestamp())
    if run.not_before is not None:
        name = "sync_postponed_until_timestamp_seconds"
        yield _value(name, "Until when the API refuses requests; may be over.", run.not_before.timestamp())


# ------------------------------------------------------------------------------------------------------- families


def _timestamp(text: str) -> float:
    """Seconds since 1970. Raises: ValueError."""
    return datetime.fromisoformat(text).timestamp()


def _value(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}{name}", text, value=value)


def _gauge(name: str, text: str, samples: Samples, *labels: str) -> Metric:
    return _with(GaugeMetricFamily(f"{PREFIX}{name}", text, labels=labels), samples)


def _counter(name: str, text: str, samples: Samples, *labels: str) -> Metric:
    return _with(CounterMetricFamily(f"{PREFIX}{name}", text, labels=labels), samples)


def _with(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for label_values, value in samples:
        family.add_metric(label_values, value)
    return family
