"""The memory of a process that works on a batch, and the share of it that the engine gets.

The limit is that of the process. What the process has before the engine opens (interpreter, libraries) is measured; of
the rest the engine gets a fixed share, because it counts its buffers, and not all that it allocates. Arrays that grow
with the records are not in this share: while they exist, ``Database.lending`` takes their size from the engine.
"""

from __future__ import annotations

import ctypes
import math
import os
from pathlib import Path

_MB = 20
LEAST_MB = 128
"""With less the engine cannot sort or join: it gets this much even if the limit of the process is too small for it."""
_SHARE = 0.77
"""Measured: with ten million records the engine counts 0.71 of what it takes, with fewer more. The rest is what its
allocator keeps, and what joins and writers allocate without counting it. The largest peak was 1.08 of the limit."""
_OPENED_MB = 48
"""What engine and process take once and for all after they were measured: code, tables of the rules, threads."""
_UNKNOWN_MB = 128
"""What the process has, where the system does not say it."""
_MB_OF_A_THREAD = 128
"""Each thread of the engine has buffers of its own: with less memory for each, more threads only spill more."""
_M_MMAP_THRESHOLD, _MAPPED_BYTES = -3, 1 << 20


def engine_mb(limit_mb: int) -> int:
    """What the engine may count, so that the process stays within its limit."""
    return max(LEAST_MB, int((limit_mb - resident_mb() - _OPENED_MB) * _SHARE))


def sufficient_limit_mb(arrays_mb: int) -> int:
    """A limit of the process with which the engine can lend so much to arrays.

    It is higher than the least, because what the engine has taken by now counts as well.
    """
    return math.ceil((arrays_mb + LEAST_MB + 1) / _SHARE) + resident_mb() + _OPENED_MB


def threads_for(engine_mb: int) -> int:
    """One thread for each processor that we may use, as far as the memory suffices for each."""
    return max(1, min(len(os.sched_getaffinity(0)), engine_mb // _MB_OF_A_THREAD))


def resident_mb() -> int:
    """The resident memory of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return _UNKNOWN_MB
    return pages * os.sysconf("SC_PAGE_SIZE") >> _MB


def return_large_blocks() -> None:
    """From now on the C library returns freed arrays to the system at once; its own threshold rises with each of them.

    Other libraries than glibc have no such threshold.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
