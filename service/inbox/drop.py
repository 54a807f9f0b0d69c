"""Drop an export of the service itself into the inbox: the whole file appears, or nothing does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from service.commands import command
from service.errors import TransientError
from service.files import fingerprint_of, make_folder, move, remove_staged, staged_file
from service.fingerprint import Fingerprint
from service.inbox.names import read_name
from service.model import Source


def drop(
    inbox: Path,
    source: Source,
    parts: Iterable[bytes],
    former: Fingerprint | None,
    record: Callable[[Fingerprint], None],
) -> None:
    """Write ``parts`` in order into an export of ``source``.

    ``former``: the file dropped last time; it is replaced if it still waits, no other file is. ``record`` is called
    with the fingerprint of the new file before it appears, so that the next drop recognises it, also after a crash.
    Raises: TransientError where another export of the source waits, OSError; then nothing was dropped.
    """
    make_folder(inbox)
    target = inbox / source.file_name
    remove_staged(inbox, source.file_name)  # of a run that died; such a name is never taken for an export
    with staged_file(target) as (file, staged):
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
        _refuse_others(inbox, source, former)
        record(_without_ctime(staged))
        move(staged, target)


def _without_ctime(path: Path) -> Fingerprint:
    """A file's fingerprint without the one part that a rename changes."""
    return replace(fingerprint_of(path), ctime_ns=0)


def _refuse_others(inbox: Path, source: Source, former: Fingerprint | None) -> None:
    for path in sorted(inbox.iterdir()):
        found = read_name(path.name, (source,))
        if found and not found.suffix and _without_ctime(path) != former:
            raise TransientError(
                f"{path.name} waits in the inbox already, and it is not the file of an earlier sync",
                where=str(path),
                hint=f"let it be processed or move it away, then: {command('sync')} (the fetched pages are kept)",
            )
