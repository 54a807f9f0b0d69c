"""How much memory there is: that of the machine, or what its cgroups give this process. Half of it is for a batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MB = 20
_NO_LIMIT = 1 << 60
"""A cgroup of version 1 without a limit has a larger number than this."""
LEAST_MB = 256
"""A process that works on a batch does not get along with less."""


def limit_for_a_batch_mb(root: Path = Path("/")) -> int:
    """Half of the memory: the rest is for the dashboard, for other programs, and for the cache of files."""
    return max(LEAST_MB, available_mb(root) // 2)


def available_mb(root: Path = Path("/")) -> int:
    """The memory of the machine, or that of the cgroup, whichever is smaller."""
    group = cgroup_limit_bytes(root)
    return machine_mb() if group is None else min(machine_mb(), group >> _MB)


def machine_mb() -> int:
    """The memory of the machine."""
    return (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> _MB


def cgroup_limit_bytes(root: Path = Path("/")) -> int | None:
    """The memory limit of the cgroup of this process, or of the ones above it; None where there is none."""
    limits: list[int] = []
    for path in _limit_files(root):
        with suppress(OSError, ValueError):  # absent, or "max"
            limits.append(int(path.read_text(encoding="ascii")))
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def _limit_files(root: Path) -> Iterator[Path]:
    """The files that may hold a limit. In a container the group may be named as on the host: then its root counts."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    groups = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, name = line.split(":", 2)
        own = Path(name.lstrip("/"))
        for folder in (own, *own.parents):
            if not controllers:
                yield groups / folder / "memory.max"
            elif "memory" in controllers.split(","):
                yield groups / "memory" / folder / "memory.limit_in_bytes"
