"""What the sections of the page share: medians, the mark of disturbed runs, and conditions in words."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.figures import Conditions, Run

IMAGES = "images/performance"
DISTURBED = 0.05
"""Runs beside which others used a larger share of the machine are marked."""
MARK = "†"


def medians(runs: Sequence[Run]) -> tuple[float, float, float]:
    """Seconds, CPU seconds, and peak MB."""
    return (
        statistics.median(run.seconds for run in runs),
        statistics.median(run.cpu_seconds for run in runs),
        statistics.median(run.peak_mb for run in runs),
    )


def mark(runs: Sequence[Run], cores: int) -> str:
    """The mark, if others used much of the machine beside a run."""
    return MARK if any(run.others_share(cores) > DISTURBED for run in runs) else ""


def rounds_of(rounds: int) -> str:
    """In words."""
    return "one round" if rounds == 1 else f"{rounds} rounds"


def under(it: Conditions) -> str:
    """When, on what, and with what something was measured."""
    return (
        f"({it.date}, commit {it.revision}, {it.cores} cores of {it.processor}, {it.memory_gb} GB, "
        f"Python {it.python}, DuckDB {it.duckdb})"
    )
