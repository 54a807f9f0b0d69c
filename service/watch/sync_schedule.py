"""The scheduled sync: a background thread of the daemon."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from service import logs
from service.api.clock import SystemClock
from service.errors import RateLimitedError, ServiceError, TransientError, UpstreamRejectedError, safe_text
from service.health_reasons import HealthReason, ReasonCode
from service.jobs.sync import sync
from service.jobs.sync_due import next_due
from service.settings import Settings

_CHECK_SECONDS = 1.0
_LONGEST_RETRY = timedelta(minutes=15)
_LOOK_AGAIN = timedelta(seconds=10)
"""After a failure, for a sync by hand that succeeded."""


class SyncSchedule:
    """Syncs every so many minutes after the last sync that succeeded, by the daemon or by hand."""

    def __init__(self, settings: Settings, now: Callable[[], datetime], is_working: Callable[[], bool]) -> None:
        """``is_working``: whether this instance works on the inbox; one that stands by does not sync."""
        self._settings = settings
        self._now = now
        self._is_working = is_working
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[object]] | None = None
        self._next_check_at = self._next_look_at = now()
        self._failed_at: datetime | None = None
        self._problem: HealthReason | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop the thread and a sync that runs; the pages that it has fetched are kept."""
        self._stop.set()
        running = self._running
        if running is not None:
            loop, task = running
            with suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(task.cancel)
        if self._thread.is_alive():
            self._thread.join(seconds)

    def problems(self) -> list[HealthReason]:
        """The reason why the last sync failed; empty if it succeeded."""
        return [self._problem] if self._problem else []

    def _run(self) -> None:
        while not self._stop.wait(_CHECK_SECONDS):
            try:
                if self._is_working() and self._is_due():
                    asyncio.run(self._cancellable())
                    self._problem = None
            except asyncio.CancelledError:
                return
            except RateLimitedError as error:
                self._note_failure(error.message, "sync_limited", due=error.at)
            except UpstreamRejectedError as error:
                self._note_failure(error.message, "sync_rejected")
            except ServiceError as error:
                self._note_failure(error.message)
            except OSError as error:
                self._note_failure(safe_text(error))
            except Exception as error:  # noqa: BLE001  # a bug must not end the thread
                logs.get().error("bug.found", error=error)
                self._note_failure(type(error).__name__)

    def _is_due(self) -> bool:
        """Whether the last successful sync, scheduled or by hand, is long enough ago; sets when to check next."""
        now = self._now()
        if now < self._next_check_at and not (self._problem and now >= self._next_look_at):
            return False
        self._next_look_at = now + _LOOK_AGAIN
        try:
            due = next_due(self._settings, now)
        except TransientError:  # a sync by hand runs at this moment
            return False
        if due.ended_at and self._failed_at and due.ended_at > self._failed_at:
            self._problem = None
        elif now < self._next_check_at:
            return False
        self._next_check_at = due.at
        return now >= due.at

    async def _cancellable(self) -> None:
        task = asyncio.ensure_future(sync(self._settings, SystemClock(self._now)))
        self._running = asyncio.get_running_loop(), task
        try:
            if not self._stop.is_set():
                await task
        finally:
            self._running = None

    def _note_failure(self, why: str, code: ReasonCode = "sync_failed", *, due: datetime | None = None) -> None:
        self._failed_at = self._now()
        self._problem = HealthReason(code, f"the last sync failed: {why}")
        every = timedelta(minutes=self._settings.sync_every_minutes)
        self._next_check_at = due or self._now() + min(every, _LONGEST_RETRY)
