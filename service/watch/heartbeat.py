"""The heartbeat of the loop, ``state/heartbeat.json``: written by a thread as long as the loop moves.

A stage of a batch may take long, so while a batch is in work it is enough that the thread of the loop lives; how long
a stage may stand still is judged by ``health.json``. Otherwise the loop turns at least every half second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from service import documents
from service.documents import Heartbeat
from service.folders import StateFolders

BEAT_SECONDS = 2.0


class Pulse:
    """Writes the heartbeat of the thread that calls ``begin``; that thread also calls all other methods."""

    def __init__(self, state: Path, now: Callable[[], datetime], clock: Callable[[], float]) -> None:
        """``now`` is the wall clock, ``clock`` the monotonic one, in seconds."""
        self._path = StateFolders(state).heartbeat
        self._now = now
        self._clock = clock
        self._loop = threading.current_thread()
        self._turned_at = clock()
        self._is_working = False
        self._written: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def begin(self) -> bool:
        """Write the first beat, and begin with the others; False where the system gives no thread for it."""
        self._loop = threading.current_thread()
        self.turned()
        self._beat()
        with suppress(RuntimeError):
            self._thread.start()
        return self._thread.ident is not None

    def turned(self) -> None:
        """The loop moves."""
        self._turned_at = self._clock()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Until the block ends, a batch is claimed or attempted: the loop need not turn."""
        self._is_working = True
        try:
            yield
        finally:
            self.turned()
            self._is_working = False

    def end(self) -> None:
        """The loop ends, and the heartbeat with it."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            self._beat()

    def _beat(self) -> None:
        """Write when the loop last showed that it moves; nothing where it has not moved since the last beat."""
        clock = self._clock()
        moved = clock if self._is_working else self._turned_at
        if moved == self._written or not self._loop.is_alive():
            return
        alive_at = self._now() - timedelta(seconds=clock - moved)
        with suppress(OSError):  # the loop reports that the state cannot be written
            documents.write(self._path, Heartbeat(alive_at=alive_at.isoformat(timespec="milliseconds")), durable=False)
            self._written = moved
