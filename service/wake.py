"""What wakes the loop: file events by watchdog. They are hints; the scan of the inbox decides.

watchdog goes deaf in silence when the folder is replaced, unmounted or unreadable, so ``ensure`` compares the
folder it watches with the one that is there, at every tick.
"""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyObserver

_INTERESTING: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
]


class Alarm(FileSystemEventHandler):
    """Watches one folder and wakes whoever waits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._woken = threading.Event()
        self._closed: deque[Path] = deque()
        self._heard: set[str] = set()
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None

    def ensure(self) -> str | None:
        """Watch the folder that is there now; returns why that is not possible, or None."""
        try:
            status = self._folder.stat()
        except OSError as error:
            self.stop()
            return f"no file events: the inbox cannot be reached ({error.strerror})"
        identity = (status.st_dev, status.st_ino)
        if identity == self._watched and self._is_alive():
            return None
        self.stop()
        try:
            # Full events tell a rename into the folder from the creation of a file.
            observer = InotifyObserver(generate_full_events=True)
            self._observer = observer
            observer.schedule(self, str(self._folder), recursive=False, event_filter=_INTERESTING)
            observer.start()
            # No event will tell of what lies there already.
            self._heard = {path.name for path in self._folder.iterdir()}
        except OSError as error:
            self.stop()
            return f"no file events: {error.strerror}; the inbox is only scanned"
        self._watched = identity
        return None

    def wait(self, seconds: float) -> None:
        """Sleep until an event or ``wake``, at most ``seconds``."""
        self._woken.wait(seconds)
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

    def has_heard_of(self, name: str) -> bool:
        """Whether an event told of this file since it was last asked for; otherwise only the scan found it."""
        is_heard = name in self._heard
        self._heard.discard(name)
        return is_heard

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note and wake; nothing here may raise, it would end watchdog's thread."""
        is_arrival = isinstance(event, FileMovedEvent) and bool(event.dest_path)
        name = Path(str(event.dest_path if is_arrival else event.src_path)).name
        if is_arrival or isinstance(event, FileClosedEvent):
            self._closed.append(self._folder / name)
        if is_arrival or isinstance(event, FileClosedEvent | FileCreatedEvent):
            self._heard.add(name)
        elif isinstance(event, FileDeletedEvent):
            self._heard.discard(name)
        self._woken.set()

    def stop(self) -> None:
        """End watching. A failed start must be stopped too, or it leaks an inotify instance."""
        observer, self._observer, self._watched = self._observer, None, None
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join(timeout=2)

    def _is_alive(self) -> bool:
        return (
            self._observer is not None
            and self._observer.is_alive()
            and all(emitter.is_alive() for emitter in self._observer.emitters)
        )
