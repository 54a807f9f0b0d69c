"""Locks between processes: one works with an inbox, one with a state, one syncs."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from service.errors import SettingsError
from service.files import open_regular, read_regular

_LOCK_TABLE = Path("/proc/locks")
_MOST_NOTE_BYTES = 4096
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
"""What flock answers where the file system has no locks."""
STATE_NEEDS_LOCKS = "give SERVICE_STATE a folder on a local disk; inbox and outbox may be network shares"


class Lock:
    """An exclusive ``flock`` on a file that is never unlinked; the kernel frees it when the holder dies."""

    def __init__(self, path: Path, *, locks: str, hint: str) -> None:
        """``locks``: what is locked by it, for the error where its file system has no locks, and the way out."""
        self._path = path
        self._locks = locks
        self._hint = hint
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free; False while another process holds it.

        Raises: SettingsError where its file system has no locks; OSError where the file cannot be opened or locked, or
        is a link or a special file.
        """
        descriptor = open_regular(self._path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            found = f"cannot be locked ({error.strerror})"
            if error.errno in _NO_LOCKS:
                raise SettingsError(f"{self._locks} {found}", where=str(self._path), hint=self._hint) from None
            raise OSError(error.errno, found, str(self._path)) from None
        self._descriptor = descriptor
        return True

    def is_held(self) -> bool:
        """Whether we hold the lock, and its file is still the one at its path."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.lstat())
        except FileNotFoundError:
            return False

    def note(self) -> str:
        """The text in the lock file. Raises: as ``read_regular``."""
        return read_regular(self._path, _MOST_NOTE_BYTES).decode("utf-8", "replace").strip()

    def write_note(self, text: str) -> None:
        """Write ``text`` into the lock file; only while it is held."""
        assert self._descriptor is not None, "only the holder writes the note"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{text}\n".encode(), 0)
        os.fsync(self._descriptor)

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_locked(path: Path) -> bool:
    """Whether a process holds the ``Lock`` at ``path``; changes nothing."""
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    finally:
        os.close(descriptor)
    return False


def lock_holders(path: Path) -> list[str]:
    """The processes that hold a ``flock`` on the file, as ``process 12 (name)``, as far as the kernel names them."""
    try:
        inode = path.lstat().st_ino
        lines = [line.split() for line in _LOCK_TABLE.read_text(encoding="ascii", errors="replace").splitlines()]
    except OSError:
        return []
    locks = [line for line in lines if line[1:2] == ["FLOCK"] and line[5].rpartition(":")[2] == str(inode)]
    return [f"process {line[4]}{_name_of(line[4])}" for line in locks]


def _name_of(process_id: str) -> str:
    try:
        return f" ({Path('/proc', process_id, 'comm').read_text(encoding='utf-8', errors='replace').strip()})"
    except OSError:
        return ""
