"""What kind of file system a path is on, from the kernel's own table."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

# Local file systems that grant a lease only while no process has the file open for writing. On FUSE, virtiofs, NFS
# and SMB a lease may be granted while the host or another machine still writes.
LEASE_FILE_SYSTEMS = frozenset({"ext4", "xfs", "btrfs", "tmpfs", "overlay"})
MOUNT_TABLE = Path("/proc/self/mountinfo")


def honours_leases(path: Path, device: int) -> bool:
    """Whether a read lease on this file proves that no process writes it."""
    return file_system_of(path.parent, device) in LEASE_FILE_SYSTEMS


@lru_cache(maxsize=64)
def file_system_of(folder: Path, device: int) -> str:
    """The type of the file system of ``folder``; "" where the mount table does not have it.

    ``device`` is the folder's st_dev. It is a parameter so that a cached result does not outlive a mount.
    """
    return _deepest_above(folder)[1]


def mount_point_of(folder: Path) -> Path:
    """Where the file system of ``folder`` is mounted; the root where the mount table does not have it."""
    return _deepest_above(folder)[0]


def _deepest_above(folder: Path) -> tuple[Path, str]:
    """Mount point and type of the deepest mount above the folder; of several on one point the last hides the others."""
    try:
        table = MOUNT_TABLE.read_text(encoding="utf-8", errors="surrogateescape")
        real = folder.resolve()
    except OSError:
        return Path("/"), ""
    mounts = [_mount(line) for line in table.splitlines()]
    above = [(len(str(point)), order) for order, (point, _) in enumerate(mounts) if real.is_relative_to(point)]
    return mounts[max(above)[1]] if above else (Path("/"), "")


def _mount(line: str) -> tuple[Path, str]:
    fields, _, rest = line.partition(" - ")
    point = fields.split(" ")[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
    return Path(os.fsdecode(point.encode("latin-1", "surrogateescape"))), rest.split(" ")[0]
