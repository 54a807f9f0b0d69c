"""The sync: fetch all customers of the API and drop them into the inbox as one raw file, complete or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from service import logs
from service.api.checkpoint import Checkpoint
from service.api.client import ApiClient, Figures
from service.api.clock import Clock
from service.api.completeness import Complete
from service.api.endpoint import Endpoint
from service.api.pacing import Gate, Jitter
from service.api.sweep import SweepLimits, read_collection
from service.errors import RateLimitedError, ServiceError, SettingsError, UpstreamRejectedError
from service.folders import StateFolders
from service.inbox.drop import drop
from service.jobs.sync_document import document
from service.jobs.sync_runs import RunRecorder, recorded
from service.model import API
from service.settings import Settings
from service.state import State

_PAUSE_WORTH_RECORDING_SECONDS = 1.0


@dataclass(frozen=True)
class Synced:
    """The result of a complete sync."""

    customers: int
    pages: int
    figures: Figures
    seconds: float


async def sync(settings: Settings, clock: Clock, on_page: Callable[[int], None] = lambda pages: None) -> Synced:
    """Fetch every customer of the API and write them to the inbox as ``api_customers.json``, completely or not at all.

    An interrupted run is resumed. ``on_page`` is called with the number of pages after each page received.
    Raises: SettingsError, UpstreamRejectedError, RateLimitedError, TransientError (Incomplete among them), OSError.
    """
    endpoint = endpoint_of(settings)
    State(settings.state).open()
    checkpoint = Checkpoint(StateFolders(settings.state).sync)
    recorder = RunRecorder(settings.state, clock)
    with checkpoint.opened(), recorded(recorder), _failure_logged(checkpoint, endpoint):
        _refuse_too_early(checkpoint.not_before(endpoint.identity), clock.now())
        began = clock.monotonic()
        age = timedelta(hours=settings.sync_resume_hours)
        run = checkpoint.begin(endpoint.identity, clock.now(), age)
        recorder.is_resumed = run.is_resumed
        logs.get().info("sync.started", path=endpoint.path, is_resumed=run.is_resumed)
        gate = Gate(clock, settings.api_requests_per_second, 60 * settings.sync_minutes)

        def report(event: str, **counts: Any) -> None:
            if event == "page.fetched":
                on_page(counts["pages"])
                return
            if event == "requests.paused" and counts["wait_seconds"] >= _PAUSE_WORTH_RECORDING_SECONDS:
                # So that a run after a crash does not send too early.
                checkpoint.postpone(clock.now() + timedelta(seconds=counts["wait_seconds"]))
            logs.get().warning(event, **counts)

        async with ApiClient(endpoint, gate, clock, Jitter(settings.api_retry_jitter_seconds), report) as client:
            recorder.follow(client.figures, gate)
            whole = await read_collection(client, checkpoint, run, _limits_of(settings), report)
        parts = document(whole, checkpoint, run.started_at)
        drop(settings.inbox, API, parts, checkpoint.delivered(), checkpoint.note_delivered)
        checkpoint.end(clock.now())
        recorder.complete(whole)
        synced = Synced(whole.customers, whole.pages, client.figures, round(clock.monotonic() - began, 3))
        _report_completed(synced, whole, gate)
    return synced


def endpoint_of(settings: Settings) -> Endpoint:
    """The endpoint in the settings. Raises: SettingsError without ``api_url``."""
    if settings.api_url is None:
        raise SettingsError("no API is set", hint="set SERVICE_API_URL to its collection of customers")
    return Endpoint(
        url=settings.api_url,
        key=settings.api_key.get_secret_value() if settings.api_key else None,
        per_page=settings.api_per_page,
        request_seconds=settings.api_request_seconds,
        longest_wait_seconds=settings.api_longest_wait_seconds,
        max_response_bytes=settings.api_max_response_mb << 20,
        proxy=settings.api_proxy.get_secret_value() if settings.api_proxy else None,
        ca_file=settings.api_ca_file,
    )


def _limits_of(settings: Settings) -> SweepLimits:
    return SweepLimits(settings.api_concurrency, settings.api_max_pages, settings.api_total_is_exact)


def _refuse_too_early(not_before: datetime | None, now: datetime) -> None:
    if not_before is not None and now < not_before:
        raise RateLimitedError(not_before)


@contextmanager
def _failure_logged(checkpoint: Checkpoint, endpoint: Endpoint) -> Iterator[None]:
    """Log exactly one final event that says why the run failed."""
    try:
        yield
    except RateLimitedError as error:
        checkpoint.postpone(error.at)
        logs.get().warning("sync.postponed", until=f"{error.at:%Y-%m-%dT%H:%M:%SZ}")
        raise
    except UpstreamRejectedError as error:
        logs.get().error("sync.rejected", path=endpoint.path, message=error.message, hint=error.hint)
        raise
    except ServiceError as error:
        error.where = error.where or endpoint.address
        logs.get().error("sync.suspended", path=endpoint.path, code=error.code, message=error.message)
        raise
    except (asyncio.CancelledError, KeyboardInterrupt):
        logs.get().warning("sync.suspended", path=endpoint.path, code="Interrupted")
        raise


def _report_completed(synced: Synced, whole: Complete, gate: Gate) -> None:
    if whole.warning:
        logs.get().warning("api.suspected", warning=whole.warning)
    logs.get().info(
        "sync.completed",
        customers=synced.customers,
        **asdict(synced.figures) | {"pages": synced.pages},
        waited_seconds=round(gate.waited_seconds, 3),
        seconds=synced.seconds,
    )
