"""Probe files: small hidden files in the folders of the service, under names that no other user can expect.

One that a killed ``doctor`` left behind is removed by the next.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from service.files import move, remove_staged, staged_file

PROBE = "doctor"
"""In the names of all probe files: ``.doctor.<random>.new``."""
_PROBE_BYTES = 64 << 10


@contextmanager
def probe_file(folder: Path) -> Iterator[Path]:
    """A new file in ``folder``, written and forced to the disk; removed when the block ends. Raises: OSError."""
    remove_staged(folder, PROBE)
    with staged_file(folder / PROBE) as (file, path):
        file.write(bytes(_PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())
        file.close()
        yield path
        path.unlink(missing_ok=True)


def rename_across(folders: Sequence[Path]) -> None:
    """Move a probe file from the first folder through the others, durably. Raises: OSError."""
    for folder in folders[1:]:
        remove_staged(folder, PROBE)
    with probe_file(folders[0]) as path:
        try:
            for folder in folders[1:]:
                target = folder / path.name
                move(path, target)
                path = target
        finally:
            with suppress(OSError):
                path.unlink()
