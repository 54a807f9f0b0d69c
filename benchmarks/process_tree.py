"""A process and its descendants, read from /proc: memory and CPU while they run; and what others compute meanwhile."""

from __future__ import annotations

import os
import resource
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_SECONDS = 0.05
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """A process tree at one moment."""

    seconds: float
    """Since it was started."""
    mb: float
    """Resident memory, summed over its processes."""
    cpu_seconds: float
    """User and system time of its processes, and of their children that have ended."""


def tree_of(pid: int) -> list[int]:
    """The process and its descendants that live."""
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append(one)
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                left += map(int, (task / "children").read_text().split())
    return found


def resident_mb(pid: int) -> float:
    """Resident memory of one process; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MB
    except OSError:
        return 0.0


def high_water_mb(pid: int) -> float:
    """The most that one process had so far, also between two samples; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0


def cpu_seconds(pid: int) -> float:
    """User and system time of one process and its children that have ended; 0 if it has ended."""
    try:
        behind_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, behind_name[11:15])) / _TICKS


def memory_mb() -> float:
    """The memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * _PAGE_MB


def busy_seconds() -> float:
    """Seconds that the cores of this machine have computed so far, or were taken by its host."""
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def others_seconds() -> float:
    """Seconds that the machine has computed so far for others than this process and its children that have ended."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return busy_seconds() - own.ru_utime - own.ru_stime - time.process_time()


@dataclass
class Watch:
    """Samples a process tree in a thread until ``end``, and kills it beyond a limit."""

    pid: int
    started: float
    """As ``time.perf_counter``."""
    most_seconds: float = float("inf")
    most_mb: float = float("inf")
    samples: list[Sample] = field(default_factory=list)
    peak_mb: float = 0.0
    """The largest sample of the tree, or what the process alone had between two of them."""
    stopped_for: str = ""
    """Why the tree was killed; empty if it was not."""

    def __post_init__(self) -> None:
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="samples", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take no more samples."""
        self._has_ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._has_ended.wait(SAMPLE_SECONDS):
            pids = tree_of(self.pid)
            seconds, mb = time.perf_counter() - self.started, sum(map(resident_mb, pids))
            self.samples.append(Sample(seconds, mb, sum(map(cpu_seconds, pids))))
            self.peak_mb = max(self.peak_mb, mb, high_water_mb(self.pid))
            if seconds > self.most_seconds:
                self._kill(pids, f"stopped after {self.most_seconds:.0f} s")
            elif mb > self.most_mb:
                self._kill(pids, f"stopped at {mb / 1024:.0f} GB of memory")

    def _kill(self, pids: list[int], why: str) -> None:
        self.stopped_for = self.stopped_for or why
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
