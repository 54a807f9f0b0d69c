"""The recorded figures of the report, ``docs/performance.json``: one entry for each part; the page is drawn from them.

A part that is measured again replaces its entry; the others keep theirs, each with its conditions.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.process_tree import Sample, memory_mb
from benchmarks.processes import Ran

MOST_POINTS = 120
_IN_ONE_LINE = re.compile(r'"memory": \[[^{}"]*|[\[{][^\[\]{}]*[\]}]')
"""In the file: the points of a line, and what has no further parts."""


class Conditions(msgspec.Struct, frozen=True):
    """When, on what, and with what something was measured."""

    date: str
    revision: str
    """The commit; with ``+`` if files differ from it."""
    processor: str
    cores: int
    memory_gb: int
    python: str
    duckdb: str


class Run(msgspec.Struct, frozen=True):
    """One process from its start to its end."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    others_seconds: float
    """CPU seconds of other processes meanwhile."""

    def others_share(self, cores: int) -> float:
        """The share of the machine that other processes used meanwhile."""
        return self.others_seconds / (self.seconds * cores) if self.seconds else 0.0


class Competitor(msgspec.Struct):
    """The runs of one program on one pair; without runs ``note`` says why there are none."""

    name: str
    runs: list[Run] = []
    customers: int | None = None
    note: str = ""
    memory: list[tuple[float, float]] = []
    """Seconds and MB of the last run."""


class Comparison(msgspec.Struct):
    """Programs on the same pair, in turn."""

    conditions: Conditions
    records: int
    input_mb: float
    published_mb: float
    """Bytes of the set that the service published."""
    competitors: list[Competitor]
    memory_limit_mb: int = 0
    """``SERVICE_MEMORY_LIMIT_MB``; 0 is what the service takes by itself."""

    def of(self, name: str) -> Competitor | None:
        """The program of this name, if it has runs."""
        return next((it for it in self.competitors if it.name == name and it.runs), None)


class Stage(msgspec.Struct, frozen=True):
    """One stage of a run; the CPU seconds and the peak are those while it lasted."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_mb: float
    floor_seconds: float | None = None
    """What DuckDB takes for the least of it, see ``peers.stage_floors``."""
    floor_cpu_seconds: float | None = None


class Stages(msgspec.Struct):
    """The stages of a run with the median time."""

    conditions: Conditions
    records: int
    run: Run
    rounds: int
    stages: list[Stage]
    memory: list[tuple[float, float]]
    memory_limit_mb: int = 0
    """``SERVICE_MEMORY_LIMIT_MB``; 0 is what the service takes by itself."""


class Drops(msgspec.Struct, frozen=True):
    """Seconds from the close of the second file to the manifest in the outbox."""

    name: str
    records: int
    count: int
    p50: float
    p99: float
    least: float
    most: float
    others_share: float
    """Of the machine, by processes other than the daemon and the benchmark."""


class Latency(msgspec.Struct):
    """The daemon: how long a pair takes, and what it costs while it waits."""

    conditions: Conditions
    drops: list[Drops]
    start_seconds: list[float]
    """From the start of the process to ready, each start."""
    idle_seconds: float
    idle_cpu_share: float
    """Of one core."""
    idle_mb: float
    mb_after_drops: float
    healthcheck: list[Run]
    stillness_seconds: float | None
    """For so long the files had to be unchanged before they were taken; None unless their proof was a lease."""
    floors: dict[str, float]
    """Of the sample: stage -> seconds that DuckDB takes for the least of it, see ``peers.stage_floors``."""


class Again(msgspec.Struct):
    """Batches one after the other with the same register; run by run in rounds."""

    conditions: Conditions
    records: int
    first: list[Run]
    same: list[Run]
    later: list[Run]
    changed_percent: int


class Analytics(msgspec.Struct):
    """A file of the API, with a master of as many records."""

    conditions: Conditions
    customers: int
    input_mb: float
    matched: int
    runs: list[Run]
    stages: list[Stage]
    """Of the run with the median time; the floors are those of ``peers.analytics_floor``."""


class WorstResult(msgspec.Struct):
    """A kind of pair that is hard in one way."""

    name: str
    what: str
    input_mb: float
    records: int
    runs: list[Run]
    outcome: str
    """``published``, or how it ended."""


class Reading(msgspec.Struct):
    """The stage that reads the values of a pair, all of which only Python can read; run by run."""

    records: int
    values: int
    runs: list[Run]
    stages: list[Stage]
    floor_cpu_seconds: float | None = None
    """What the definitions take alone, see ``peers.value_floor``."""


class Worst(msgspec.Struct):
    """Hard pairs, against the ordinary one of as many bytes."""

    conditions: Conditions
    ordinary: WorstResult
    cases: list[WorstResult]
    readings: list[Reading] = []


class Bound(msgspec.Struct, frozen=True):
    """A run within a memory limit."""

    limit_mb: int
    run: Run
    silent_seconds: float
    """The longest time between two reports of progress."""
    still_seconds: float
    """The longest time in which no more rows were reported as done."""
    outcome: str
    """``published``, or how it ended."""


class Bounded(msgspec.Struct):
    """A large pair within several memory limits."""

    conditions: Conditions
    records: int
    input_mb: tuple[float, float]
    bounds: list[Bound]


class Figures(msgspec.Struct):
    """Everything that was recorded; None or absent if it never was."""

    comparisons: dict[int, Comparison] = {}
    """By number of records."""
    stages: Stages | None = None
    huge_stages: Stages | None = None
    latency: Latency | None = None
    again: Again | None = None
    analytics: Analytics | None = None
    worst: Worst | None = None
    limits: Bounded | None = None


def load(path: Path) -> Figures:
    """The recorded figures; none if the file does not exist."""
    return msgspec.json.decode(path.read_bytes(), type=Figures) if path.exists() else Figures()


def save(figures: Figures, path: Path) -> None:
    """Record the figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(figures), indent=1).decode()
    path.write_text(_IN_ONE_LINE.sub(lambda found: " ".join(found[0].split()), text) + "\n", encoding="utf-8")


def run_of(ran: Ran) -> Run:
    """A measured process as it is recorded."""
    return Run(
        seconds=round(ran.seconds, 3),
        cpu_seconds=round(ran.cpu_seconds, 3),
        peak_mb=round(ran.peak_mb),
        others_seconds=round(ran.others_seconds, 2),
    )


def memory_of(samples: tuple[Sample, ...]) -> list[tuple[float, float]]:
    """Seconds and MB, at most ``MOST_POINTS`` of them; each is the largest of its part of the time."""
    samples = tuple(sample for sample in samples if sample.mb)  # none has memory any more while it is waited for
    size = -(-len(samples) // MOST_POINTS) or 1
    parts = (samples[begin : begin + size] for begin in range(0, len(samples), size))
    return [(round(part[-1].seconds, 2), round(max(sample.mb for sample in part))) for part in parts]


def conditions() -> Conditions:
    """The conditions of now."""
    return Conditions(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        revision=_revision(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(memory_mb() / 1024),
        python=platform.python_version(),
        duckdb=version("duckdb"),
    )


def _revision() -> str:
    def git(*arguments: str) -> str:
        ran = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return ran.stdout.strip() if ran.returncode == 0 else ""

    is_changed = git("status", "--porcelain", "--", "service", "benchmarks")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if is_changed else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
