"""Is the writer of a file done? A file is claimed only with a proof, which is recorded.

1. ``lease``        the kernel grants a read lease, which it does only while no process has the file open for
                    writing. Only on local file systems that honour it, and where our user may take one.
2. ``close_event``  a writer closed this very file, or it was renamed into the inbox, and it has not changed since.
3. ``stillness``    size and times have not changed for a while.

Clocks are monotonic and passed in. Source: docs/specification.md section 2.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service.files import fingerprint, open_file, open_regular
from service.fingerprint import Fingerprint
from service.inbox.mounts import honours_leases
from service.model import JSON_KINDS

# A writer that appends in pieces closes the file in between: with the lease alone the first piece would be claimed.
LEASE_STILL_SECONDS = 0.3
CLOSE_EVENT_STILL_SECONDS = 1.0
_JSON_SUFFIXES = tuple(f".{kind}" for kind in JSON_KINDS)


@dataclass
class _Watched:
    state: Fingerprint
    still_since: float


class Settling:
    """Observes files until there is a proof that their writers are done. ``settle_seconds``: for ``stillness``."""

    def __init__(self, settle_seconds: float) -> None:
        self._settle_seconds = settle_seconds
        self._watched: dict[Path, _Watched] = {}
        self._closed: dict[Path, tuple[Fingerprint, float]] = {}

    def closed(self, path: Path, now: float) -> None:
        """Record the event that a writer closed this file, or that it was renamed into the inbox."""
        with contextlib.suppress(OSError):
            self._closed[path] = fingerprint(path.lstat()), now

    def forget_all_but(self, paths: Iterable[Path]) -> None:
        """Forget all files but these."""
        kept = set(paths)
        self._watched = {path: watched for path, watched in self._watched.items() if path in kept}
        self._closed = {path: closed for path, closed in self._closed.items() if path in kept}

    def see(self, path: Path, state: Fingerprint, now: float) -> float:
        """Record that ``path`` is in ``state``; returns for how many seconds it has not changed."""
        watched = self._watched.get(path)
        if watched is None or watched.state != state:
            self._watched[path] = watched = _Watched(state, now)
        return now - watched.still_since

    def seconds_to_proof(self, now: float) -> float:
        """The seconds until the first file that was seen to change may have a proof by ``lease``; infinite for none."""
        least = min(LEASE_STILL_SECONDS, self._settle_seconds)
        left = (watched.still_since + least - now for watched in self._watched.values())
        return min((seconds for seconds in left if seconds > 0), default=math.inf)

    def proof(self, path: Path, state: Fingerprint, now: float) -> str | None:
        """The proof that the writer of ``path``, now in ``state``, is done; None while there is none."""
        still_seconds = self.see(path, state, now)
        if still_seconds < min(LEASE_STILL_SECONDS, self._settle_seconds):
            return None
        leased = _lease(path) if honours_leases(path, state.device) else None
        if leased is False:
            return None  # a process has it open for writing, however long it has not changed
        if state.size_bytes == 0:
            return "stillness" if still_seconds >= 2 * self._settle_seconds else None
        if leased and not _json_looks_truncated(path):
            return "lease"
        if (
            still_seconds >= CLOSE_EVENT_STILL_SECONDS
            and self._was_closed(path, state, now)
            and not _json_looks_truncated(path)
        ):
            return "close_event"
        needed = self._settle_seconds * (2 if _looks_truncated(path) else 1)
        return "stillness" if still_seconds >= needed else None

    def _was_closed(self, path: Path, state: Fingerprint, now: float) -> bool:
        """Whether it was closed in this state; a writer that came back after that is not done."""
        at_close, at = self._closed.get(path, (None, now))
        return at_close == state and now - at >= CLOSE_EVENT_STILL_SECONDS


def is_being_written(path: Path, device: int) -> bool:
    """Whether a process has ``path`` open for writing; False also where leases prove nothing."""
    return honours_leases(path, device) and _lease(path) is False


def _lease(path: Path) -> bool | None:
    """Whether a read lease is granted; None where we may not ask for one (another user's file).

    A writer that opens the file at this very moment makes the kernel send SIGIO, which the daemon ignores.
    """
    try:
        descriptor = open_regular(path)
    except OSError:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return False
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return True


def _json_looks_truncated(path: Path) -> bool:
    # A document without its closing bracket is certainly incomplete, so no finished file is kept waiting.
    return path.suffix.lower() in _JSON_SUFFIXES and _looks_truncated(path)


def _looks_truncated(path: Path) -> bool:
    """Whether the file does not end as a complete one does: with a line break, or a closing bracket."""
    try:
        with open_file(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64))
            tail = file.read()
    except OSError:
        return True
    if path.suffix.lower() in _JSON_SUFFIXES:
        return not tail.rstrip().endswith((b"}", b"]", b"}\0", b"]\0"))
    return not tail.endswith((b"\n", b"\r", b"\n\0"))
