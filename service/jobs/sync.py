"""The sync: every page of the API -> one raw file in the inbox, complete or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from service import logs
from service.api.checkpoint import Checkpoint
from service.api.client import ApiClient, Endpoint, Figures, compact, has_id
from service.api.pacing import Clock, Gate, Jitter
from service.api.sweep import Complete, SweepLimits, read_collection
from service.errors import RateLimitedError, ServiceError, SettingsError, UpstreamRejectedError
from service.inbox.drop import drop
from service.model import API
from service.settings import Settings
from service.state import State


class SystemClock:
    """The clock of the system; ``now`` is passed in."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now

    def monotonic(self) -> float:
        """See ``Clock``."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See ``Clock``."""
        await asyncio.sleep(seconds)


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
    checkpoint = Checkpoint(settings.state / "sync")
    with checkpoint.opened(), _failure_logged(checkpoint, endpoint):
        _refuse_too_early(checkpoint.not_before(endpoint.identity), clock.now())
        began = clock.monotonic()
        age = timedelta(hours=settings.sync_resume_hours)
        run = checkpoint.begin(endpoint.identity, clock.now(), age)
        logs.get().info("sync.started", path=endpoint.path, is_resumed=run.is_resumed)
        gate = Gate(clock, settings.api_requests_per_second, 60 * settings.sync_minutes)

        def report(event: str, **counts: Any) -> None:
            if event == "page.fetched":
                on_page(counts["pages"])
                return
            if event == "requests.paused":  # recorded, so that a run after a crash does not ask too early
                checkpoint.postpone(clock.now() + timedelta(seconds=counts["wait_seconds"]))
            logs.get().warning(event, **counts)

        async with ApiClient(endpoint, gate, clock, Jitter(settings.api_retry_jitter_seconds), report) as client:
            whole = await read_collection(client, checkpoint, run, _limits_of(settings), report)
        document = _document(whole, checkpoint, run.started_at)
        drop(settings.inbox, API, document, checkpoint.delivered(), checkpoint.note_delivered)
        checkpoint.end(clock.now())
        synced = Synced(whole.customers, whole.pages, client.figures, round(clock.monotonic() - began, 3))
        _report_completed(synced, whole, gate)
    return synced


def endpoint_of(settings: Settings) -> Endpoint:
    """The endpoint that the settings name. Raises: SettingsError where they name none."""
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
    )


@dataclass(frozen=True)
class Due:
    """When the next scheduled sync is due, and when the last complete one ended."""

    at: datetime
    ended_at: datetime | None


def next_due(settings: Settings, now: datetime) -> Due:
    """When the next sync is due: the interval after the last complete one, and not before the API allows it.

    Raises: TransientError while another sync is running, OSError.
    """
    checkpoint = Checkpoint(settings.state / "sync")
    with checkpoint.opened():
        ended_at, not_before = checkpoint.ended_at(), checkpoint.not_before(endpoint_of(settings).identity)
    at = now if ended_at is None else ended_at + timedelta(minutes=settings.sync_every_minutes)
    return Due(max(at, not_before or at), ended_at)


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


def _document(whole: Complete, checkpoint: Checkpoint, fetched_at: datetime) -> Iterator[bytes]:
    """The raw file: the rows fetched since ``fetched_at``, in page order; equal rows once."""
    head = {
        "fetched_at": f"{fetched_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "complete": whole.is_all,
        "customers": whole.customers,
        "pages": whole.pages,
    }
    yield json.dumps(head)[:-1].encode() + b', "data": ['
    bodies = checkpoint.bodies(whole.sweeps)
    separator = b"\n"
    for body in bodies if whole.rows == whole.customers else _distinct(bodies, keeps_unnamed=whole.has_unnamed_twins):
        yield separator + body
        separator = b",\n"
    yield b"\n]}\n"


def _distinct(bodies: Iterable[bytes], *, keeps_unnamed: bool) -> Iterator[bytes]:
    seen: set[bytes] = set()
    for body in bodies:
        for row in json.loads(b"[" + body + b"]"):
            text = compact(row)
            digest = hashlib.blake2b(text, digest_size=16).digest()
            if digest not in seen or (keeps_unnamed and not has_id(row)):
                seen.add(digest)
                yield text
