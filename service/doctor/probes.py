"""Probe files: small hidden files in the folders of the service, under names that no other user can expect.

One that a killed ``doctor`` left behind is removed by the next.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from service.files import move, remove_tree, staged_file

_PROBE = ".doctor.{random}"
"""Not the name of a temp file of the service: a watcher removes those, and works at the same time."""
_PROBE_BYTES = 64 << 10
_LEFT_SECONDS = 60


def new_name() -> str:
    """A name for a probe."""
    return _PROBE.format(random=secrets.token_hex(8))


@contextmanager
def probe_file(folder: Path) -> Iterator[Path]:
    """A new file in ``folder``, written and forced to the disk; removed when the block ends. Raises: OSError."""
    with staged_file(folder / "doctor") as (file, staged):
        file.write(bytes(_PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())
        file.close()
        path = folder / new_name()
        move(staged, path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def rename_across(folders: Sequence[Path]) -> None:
    """Move a probe file from the first folder through the others, durably. Raises: OSError."""
    with probe_file(folders[0]) as path:
        try:
            for folder in folders[1:]:
                target = folder / path.name
                move(path, target)
                path = target
        finally:
            path.unlink(missing_ok=True)


def remove_probes(folder: Path) -> None:
    """Remove what a killed ``doctor`` left in ``folder``; one that works now keeps its own."""
    for path in folder.glob(_PROBE.format(random="*")):
        with suppress(OSError):
            if path.lstat().st_mtime < time.time() - _LEFT_SECONDS:
                remove_tree(path)
