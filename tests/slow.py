"""What a test takes of its own: one that takes too long must be marked ``@pytest.mark.slow``.

Wall time alone would fail tests whenever the machine is busy. Counted is the larger of two figures that other
processes hardly change: CPU seconds of the test and its children, and the wall time in which no process of the
machine waited for a core (from ``/proc/pressure/cpu``, where the kernel has it).
"""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PRESSURE = Path("/proc/pressure/cpu")


@dataclass
class Cost:
    """What a test took of its own."""

    seconds: float = 0.0


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure what is done in the block; the cost is known when it ends."""
    cost = Cost()
    began, cpu_seconds, waited = time.monotonic(), _cpu_seconds(), _seconds_of_waiting()
    try:
        yield cost
    finally:
        undisturbed = 0.0
        if waited is not None:
            undisturbed = time.monotonic() - began - ((_seconds_of_waiting() or waited) - waited)
        cost.seconds = max(_cpu_seconds() - cpu_seconds, undisturbed)


def _cpu_seconds() -> float:
    """CPU seconds of this process and of its children that ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _seconds_of_waiting() -> float | None:
    """Seconds since boot in which some process waited for a core; None where the kernel does not say."""
    try:
        found = re.search(r"^some .*total=(\d+)$", _PRESSURE.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) / 1e6 if found else None
