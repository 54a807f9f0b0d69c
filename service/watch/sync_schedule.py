"""Syncs that the daemon makes by itself, in a thread of their own beside its loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from service import logs
from service.errors import RateLimitedError, ServiceError, TransientError
from service.jobs.sync import SystemClock, next_due, sync
from service.settings import Settings

_GLANCE_SECONDS = 1.0
_LONGEST_RETRY = timedelta(minutes=15)


class SyncSchedule:
    """Syncs every so many minutes, counted from the last one that ended well, also over a restart."""

    def __init__(self, settings: Settings, now: Callable[[], datetime], is_working: Callable[[], bool]) -> None:
        """``is_working``: whether this instance is the one that works on the inbox; the others do not sync."""
        self._settings = settings
        self._now = now
        self._is_working = is_working
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[object]] | None = None
        self._look_again_at = now()
        self._failed_at: datetime | None = None
        self._complaint: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End, a sync that is under way included; what it got is kept."""
        self._stop.set()
        running = self._running
        if running is not None:
            loop, task = running
            with suppress(RuntimeError):  # it ended at this very moment
                loop.call_soon_threadsafe(task.cancel)
        if self._thread.is_alive():
            self._thread.join(seconds)

    def complaints(self) -> list[str]:
        """Why the last sync did not end well, if so."""
        return [self._complaint] if self._complaint else []

    def _run(self) -> None:
        while not self._stop.wait(_GLANCE_SECONDS):
            try:
                if self._is_working() and self._now() >= self._look_again_at and self._is_due():
                    asyncio.run(self._cancellable())
                    self._complaint = None
            except asyncio.CancelledError:
                return
            except RateLimitedError as error:
                self._note_failure(error.message, error.at)
            except ServiceError as error:
                self._note_failure(error.message)
            except OSError as error:
                self._note_failure(f"{type(error).__name__}: {error.strerror}")
            except Exception as error:  # noqa: BLE001  # a bug of ours must not end the syncs for good
                logs.get().error("bug.found", error=error)
                self._note_failure(type(error).__name__)

    def _is_due(self) -> bool:
        """Whether the last one that ended well, by whomever, is long enough ago; looks again when it will be."""
        now = self._now()
        try:
            due = next_due(self._settings, now)
        except TransientError:  # somebody syncs by hand at this moment
            return False
        if due.ended_at and self._failed_at and due.ended_at > self._failed_at:
            self._complaint = None
        self._look_again_at = due.at
        return now >= due.at

    async def _cancellable(self) -> None:
        task = asyncio.ensure_future(sync(self._settings, SystemClock(self._now)))
        self._running = asyncio.get_running_loop(), task
        try:
            if not self._stop.is_set():
                await task
        finally:
            self._running = None

    def _note_failure(self, what: str, due: datetime | None = None) -> None:
        self._failed_at = self._now()
        self._complaint = f"the last sync did not end well: {what}"
        every = timedelta(minutes=self._settings.sync_every_minutes)
        self._look_again_at = due or self._now() + min(every, _LONGEST_RETRY)
