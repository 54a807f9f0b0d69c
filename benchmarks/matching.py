"""The cost of weighed evidence: whole batches of one messy pair by either matcher, in turn, one process each."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.generate import write_messy_pair
from benchmarks.processes import Ran, run_measured

MATCHERS = ("literal", "safe")


def report(records: int, rounds: int) -> None:
    """Measure and print one table."""
    with tempfile.TemporaryDirectory() as name:
        pair = write_messy_pair(Path(name), records)
        runs: dict[str, list[Ran]] = {matcher: [] for matcher in MATCHERS}
        for number in range(rounds):
            for matcher in MATCHERS:
                runs[matcher].append(_batch(pair, Path(name, f"{matcher}-{number}"), matcher))
    cpu = {matcher: statistics.median(ran.cpu_seconds for ran in runs[matcher]) for matcher in MATCHERS}
    print(f"{records} records, median of {rounds} rounds")
    print(f"{'':10}{'seconds':>10}{'CPU seconds':>14}{'CPU / literal':>14}{'CPU µs a record':>18}{'peak MB':>10}")
    for matcher in MATCHERS:
        seconds = statistics.median(ran.seconds for ran in runs[matcher])
        peak = max(ran.peak_mb for ran in runs[matcher])
        print(
            f"{matcher:10}{seconds:10.2f}{cpu[matcher]:14.2f}{cpu[matcher] / cpu['literal']:14.2f}"
            f"{1e6 * cpu[matcher] / records:18.0f}{peak:10.0f}"
        )


def _batch(pair: tuple[Path, Path], outbox: Path, matcher: str) -> Ran:
    command = [sys.executable, "-m", "service", "integrate", *map(str, pair), "--outbox", str(outbox)]
    return run_measured(command, {"SERVICE_MATCHING": matcher})
