"""How the service itself drops a file into the inbox: it appears whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from service.errors import TransientError
from service.files import fingerprint_of, make_folder, move
from service.inbox.names import read_name
from service.model import Fingerprint, Source


def deliver(
    inbox: Path,
    source: Source,
    parts: Iterable[bytes],
    former: Fingerprint | None,
    note: Callable[[Fingerprint], None],
) -> None:
    """Write ``parts`` one after the other into an export of ``source``.

    ``former``: what was delivered before; if that waits there still it is replaced, anything else never. ``note`` is
    told what the file is known by before it appears, so that a crash leaves none that is nobody's.
    Raises: TransientError where another export of the source waits, OSError; then nothing was delivered.
    """
    make_folder(inbox)
    staged = inbox / f".{source.file_name}.new"  # no name that is ever taken for an export
    try:
        staged.unlink(missing_ok=True)  # what lies there is of a run that died, or somebody's trap: never written into
        with open(staged, "xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        _refuse_others(inbox, source, former)
        note(_lasting(staged))
        move(staged, inbox / source.file_name)
    finally:
        staged.unlink(missing_ok=True)


def _lasting(path: Path) -> Fingerprint:
    """A file's fingerprint without the one part that a rename changes."""
    return replace(fingerprint_of(path), ctime_ns=0)


def _refuse_others(inbox: Path, source: Source, former: Fingerprint | None) -> None:
    for path in sorted(inbox.iterdir()):
        found = read_name(path.name, (source,))
        if found and not found.suffix and _lasting(path) != former:
            raise TransientError(
                f"{path.name} waits in the inbox already, and no sync delivered it",
                where=str(path),
                hint="let it be processed or move it away, then run sync again: what was fetched is kept",
            )
