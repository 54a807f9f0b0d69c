"""Access to the SQLite files of the service: errors as OSError, and queries that only read."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from service.files import fingerprint_of
from service.fingerprint import Fingerprint

_BUSY_SECONDS = 10.0
"""How long a statement waits for the lock of another process."""
_TRIES = 5

Result = TypeVar("Result")


class DamagedDatabase(OSError):
    """The file is not a database, or not one of a known format."""


@contextmanager
def sqlite_errors_as_oserror(path: Path, name: str) -> Iterator[None]:
    """Translate SQLite errors to OSError, which is retried; ``name`` is what the message calls the file.

    Raises: DamagedDatabase where the file is damaged, OSError where it cannot be used at the moment.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(errno.EIO, f"the {name} cannot be used: {error}", str(path)) from error
    except sqlite3.DatabaseError as error:
        raise DamagedDatabase(errno.EIO, f"the {name} is damaged: {error}", str(path)) from error


def connect(path: Path, options: str = "") -> sqlite3.Connection:
    """A connection to the file at ``path``; ``options`` are those of an SQLite URI, such as ``mode=ro``."""
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?{options}", uri=True, timeout=_BUSY_SECONDS)


def query(path: Path, name: str, read: Callable[[sqlite3.Connection], Result]) -> Result:
    """The result of ``read`` on one consistent state of the file at ``path``; nothing is created beside it.

    While a writer is connected its log (``-wal``) exists, and SQLite's locks keep the state consistent. Without a log
    the file is opened as immutable, because SQLite would create a log otherwise; if a writer changes the file
    meanwhile, ``read`` runs again.

    Raises: FileNotFoundError, DamagedDatabase, OSError.
    """
    for _ in range(_TRIES):
        before = has_log, _ = _state_of(path)
        try:
            with sqlite_errors_as_oserror(path, name), closing(connect(path, _options(has_log))) as db:
                db.execute("begin")
                result = read(db)
        except OSError:
            if _state_of(path) == before:
                raise
        else:
            if has_log or _state_of(path) == before:
                return result
    raise OSError(errno.EBUSY, f"the {name} is written to all the time", str(path))


def _options(has_log: bool) -> str:
    return "mode=ro" if has_log else "mode=ro&immutable=1"


def _state_of(path: Path) -> tuple[bool, Fingerprint]:
    return path.with_name(f"{path.name}-wal").exists(), fingerprint_of(path)
