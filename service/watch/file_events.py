"""File events of the inbox, by watchdog. They only wake the loop; the scan of the inbox decides.

watchdog stops without an error when the folder is replaced, unmounted or unreadable. So the folder that it watches is
compared with the folder that is there, at every tick and in between. If the kernel's queue overflows, watchdog only
writes a line into its log.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify import InotifyObserver
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

from service.health_reasons import HealthReason

_INTERESTING: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
]
# The logger in which watchdog reports that the kernel's queue overflowed; it has no event for that.
_WATCHDOG_LOG = "watchdog.observers.inotify_c"
_CHECK_SECONDS = 0.5
# watchdog holds back what it reads behind a rename out of the folder, such as our own claims: by default for half a
# second. It waits for the second event of a rename inside the folder, which the kernel reports at once.
InotifyMoveEventGrouper.delay = 0.02
EVENT_GRACE_SECONDS = 2.0


def _no_events(why: str) -> HealthReason:
    return HealthReason("file_events_missing", f"no file events: {why}")


class _OverflowHandler(logging.Handler):
    """Calls ``on_overflow`` when watchdog logs an overflow of the kernel's queue."""

    def __init__(self, on_overflow: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._on_overflow = on_overflow

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.msg:
            self._on_overflow()


class FileEvents(FileSystemEventHandler):
    """Watches one folder, wakes the loop, and counts the files that arrived without an event."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._woken = threading.Event()
        self._closed: deque[Path] = deque()
        self._seen: set[str] = set()
        # Seen, and left since the turn began: the event of our own claim may come before the claim has ended.
        self._departed: set[str] = set()
        self._awaited: dict[str, float] = {}
        self._observer: InotifyObserver | None = None
        self._watched: tuple[int, int] | None = None
        self._has_begun = False
        self._loss: HealthReason | None = None
        self._shown_loss: tuple[HealthReason | None, float] = (None, 0.0)
        self._overflow_handler = _OverflowHandler(self._on_overflow)

    def ensure_watching(self) -> HealthReason | None:
        """Watch the folder that is there now; returns why that is not possible, or None."""
        try:
            status = self._folder.stat()
        except OSError as error:
            self.stop()
            return _no_events(f"the inbox cannot be reached ({error.strerror})")
        identity = (status.st_dev, status.st_ino)
        self._begin()
        if identity == self._watched:
            if self._is_alive():
                return None
            self._loss = HealthReason("file_events_lost", "file events broke off; the watch was started again")
        self.stop()
        try:
            # Only full events distinguish a rename into the folder from the creation of a file.
            observer = InotifyObserver(generate_full_events=True)
            self._observer = observer
            observer.schedule(self, str(self._folder), recursive=False, event_filter=_INTERESTING)
            observer.start()
            os.scandir(self._folder).close()  # watchdog never reports that a folder is not readable
        except OSError as error:
            self.stop()
            return _no_events(f"{error.strerror}; the inbox is only scanned")
        self._watched = identity
        logging.getLogger(_WATCHDOG_LOG).addHandler(self._overflow_handler)
        return None

    def loss(self, now: float, shown_seconds: float) -> HealthReason | None:
        """Why events were lost, for ``shown_seconds`` after that was noticed; None after that."""
        if self._loss is not None:
            self._shown_loss, self._loss = (self._loss, now + shown_seconds), None
        reason, until = self._shown_loss
        return reason if now < until else None

    def wait(self, seconds: float, on_check: Callable[[], None] = lambda: None) -> None:
        """Sleep until an event or ``wake``, at most ``seconds``. Returns early when the watch has stopped working.

        ``on_check`` is called every half second.
        """
        while not self._woken.wait(min(seconds, _CHECK_SECONDS)):
            on_check()
            seconds -= _CHECK_SECONDS
            if seconds <= 0 or not self._is_watching():
                return
        self._woken.clear()

    def wake(self) -> None:
        """Wake the loop; from any thread."""
        self._woken.set()

    def closed(self) -> list[Path]:
        """The files that writers closed, or that were renamed into the folder, since the last call."""
        found: list[Path] = []
        while self._closed:
            found.append(self._closed.popleft())
        return found

    def expect_event(self, name: str, now: float) -> None:
        """Start the grace period for the event of a file that the scan found, unless the event was seen already."""
        if name in self._seen or name in self._departed:
            self._seen.discard(name)
        else:
            self._awaited[name] = now + EVENT_GRACE_SECONDS

    def missed_events(self, now: float) -> int:
        """The number of expected events whose grace period ended since the last call. To be called once a turn."""
        self._departed.clear()
        overdue = [name for name, until in list(self._awaited.items()) if until <= now]
        return sum(self._awaited.pop(name, None) is not None for name in overdue)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Record the event and wake the loop. Nothing here may raise: it would end watchdog's thread."""
        is_arrival = isinstance(event, FileMovedEvent) and bool(event.dest_path)
        name = Path(str(event.dest_path if is_arrival else event.src_path)).name
        if is_arrival or isinstance(event, FileClosedEvent):
            self._closed.append(self._folder / name)
        if is_arrival or isinstance(event, FileClosedEvent | FileCreatedEvent):
            self._seen.add(name)
            self._awaited.pop(name, None)
        if isinstance(event, FileDeletedEvent | FileMovedEvent) and event.src_path:
            left = Path(str(event.src_path)).name
            if left in self._seen:
                self._departed.add(left)
                self._seen.discard(left)
        self._woken.set()

    def stop(self) -> None:
        """End watching. A failed start must be stopped too, or it leaks an inotify instance."""
        logging.getLogger(_WATCHDOG_LOG).removeHandler(self._overflow_handler)
        observer, self._observer, self._watched = self._observer, None, None
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join(timeout=2)

    def _begin(self) -> None:
        """Count the files that were there before the watch as seen: no event can come for them."""
        if not self._has_begun:
            with suppress(OSError):
                self._seen |= {path.name for path in self._folder.iterdir()}
            self._has_begun = True

    def _on_overflow(self) -> None:
        self._loss = HealthReason("file_events_lost", "file events were lost: more came than the kernel keeps")
        self._woken.set()

    def _is_watching(self) -> bool:
        """Whether the watched folder is still the one at its path, may be used, and all threads live."""
        try:
            status = self._folder.stat()
        except OSError:
            return False
        is_usable = os.access(self._folder, os.R_OK | os.W_OK | os.X_OK)
        return is_usable and (status.st_dev, status.st_ino) == self._watched and self._is_alive()

    def _is_alive(self) -> bool:
        observer = self._observer
        if observer is None:
            return False
        # The thread that reads from the kernel, and what it watches, have no public names.
        reader = observer._inotify_fd
        return bool(reader._watch_for_wd) and all(it.is_alive() for it in (observer, reader, *observer.emitters))
