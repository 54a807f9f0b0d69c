"""What wakes the loop: file events by watchdog. They are hints; the scan of the inbox decides.

watchdog goes deaf in silence when the folder is replaced, unmounted or unreadable, so the folder it watches is
compared with the one that is there, at every tick and in between. Its queue overflows with a line in its log only.
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

_INTERESTING: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
]
# The logger by which watchdog tells that the kernel's queue overflowed; it has no event for that.
_WATCHDOG_LOG = "watchdog.observers.inotify_c"
_GLANCE_SECONDS = 0.5
# watchdog holds back what it reads for half a second behind a rename out of the folder, such as our own claims.
EVENT_GRACE_SECONDS = 2.0


class _Overflows(logging.Handler):
    """Hears of an overflow."""

    def __init__(self, hear: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.msg:
            self._hear()


class FileEvents(FileSystemEventHandler):
    """Watches one folder and wakes whoever waits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._woken = threading.Event()
        self._closed: deque[Path] = deque()
        self._heard: set[str] = set()
        self._owed: dict[str, float] = {}
        self._observer: InotifyObserver | None = None
        self._watched: tuple[int, int] | None = None
        self._has_begun = False
        self._missed: str | None = None
        self._overflows = _Overflows(self._overflowed)

    def ensure(self) -> str | None:
        """Watch the folder that is there now; returns why that is not possible, or None."""
        try:
            status = self._folder.stat()
        except OSError as error:
            self.stop()
            return f"no file events: the inbox cannot be reached ({error.strerror})"
        identity = (status.st_dev, status.st_ino)
        self._begin()
        if identity == self._watched:
            if self._is_alive():
                return None
            self._missed = "file events broke off; they are listened to anew"
        self.stop()
        try:
            # Full events tell a rename into the folder from the creation of a file.
            observer = InotifyObserver(generate_full_events=True)
            self._observer = observer
            observer.schedule(self, str(self._folder), recursive=False, event_filter=_INTERESTING)
            observer.start()
            os.scandir(self._folder).close()  # of a folder that is not readable watchdog says nothing, ever
        except OSError as error:
            self.stop()
            return f"no file events: {error.strerror}; the inbox is only scanned"
        self._watched = identity
        logging.getLogger(_WATCHDOG_LOG).addHandler(self._overflows)
        return None

    def missed(self) -> str | None:
        """Why events were lost since the last call, where that is over already; what they told of is scanned for."""
        missed, self._missed = self._missed, None
        return missed

    def wait(self, seconds: float) -> None:
        """Sleep until an event or ``wake``, at most ``seconds``; deaf not longer than a glance takes to see it."""
        while not self._woken.wait(min(seconds, _GLANCE_SECONDS)):
            seconds -= _GLANCE_SECONDS
            if seconds <= 0 or not self._can_hear():
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

    def found(self, name: str, now: float) -> None:
        """The scan found this file; an event has told of it already, or still may (see ``unheard``)."""
        if name in self._heard:
            self._heard.discard(name)
        else:
            self._owed[name] = now + EVENT_GRACE_SECONDS

    def unheard(self, now: float) -> int:
        """How many of the files that were found no event told of in time, since the last call."""
        overdue = [name for name, until in list(self._owed.items()) if until <= now]
        return sum(self._owed.pop(name, None) is not None for name in overdue)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note and wake; nothing here may raise, it would end watchdog's thread."""
        is_arrival = isinstance(event, FileMovedEvent) and bool(event.dest_path)
        name = Path(str(event.dest_path if is_arrival else event.src_path)).name
        if is_arrival or isinstance(event, FileClosedEvent):
            self._closed.append(self._folder / name)
        if is_arrival or isinstance(event, FileClosedEvent | FileCreatedEvent):
            self._heard.add(name)
            self._owed.pop(name, None)
        if isinstance(event, FileDeletedEvent | FileMovedEvent) and event.src_path:
            self._heard.discard(Path(str(event.src_path)).name)
        self._woken.set()

    def stop(self) -> None:
        """End watching. A failed start must be stopped too, or it leaks an inotify instance."""
        logging.getLogger(_WATCHDOG_LOG).removeHandler(self._overflows)
        observer, self._observer, self._watched = self._observer, None, None
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join(timeout=2)

    def _begin(self) -> None:
        """No event can tell of what lay there before us: that is no sign of deafness."""
        if not self._has_begun:
            with suppress(OSError):
                self._heard |= {path.name for path in self._folder.iterdir()}
            self._has_begun = True

    def _overflowed(self) -> None:
        self._missed = "file events were lost: more came than the kernel keeps"
        self._woken.set()

    def _can_hear(self) -> bool:
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
