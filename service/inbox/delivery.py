"""How the service itself drops a file into the inbox: it appears whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from service.files import make_folder, move


def deliver(inbox: Path, name: str, parts: Iterable[bytes]) -> None:
    """Write ``parts`` one after the other into ``name``; an older version that waits there is replaced.

    Raises: OSError; then nothing was delivered.
    """
    make_folder(inbox)
    staged = inbox / f".{name}.new"  # no name that is ever taken for an export
    try:
        with open(staged, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        move(staged, inbox / name)
    finally:
        staged.unlink(missing_ok=True)
