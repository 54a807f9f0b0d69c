"""Explanations of customers in a large set, in a process that is warm: milliseconds of wall clock and of processors.

The functions that ``explain`` and the page call, and the page itself through HTTP.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.dashboard import Asked, running
from benchmarks.generate import write_messy_pair
from benchmarks.processes import measured
from service.engine.contract import PARQUET
from service.explanation.questions import explain_one, explain_two
from service.folders import Folders
from service.history import History
from service.masters.customer_sets import CustomerSets

ASKED = 100
_SAMPLE = f"""
    select source || ':' || source_id, unified_id from {PARQUET} where not is_kept
    order by hash(ordinal) limit {ASKED}
"""


def report(records: int, rounds: int) -> None:
    """Print a table: how long an answer takes, by what is asked for."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outbox = folder / "outbox"
        exports = map(str, write_messy_pair(folder, records))
        measured(["-m", "service", "integrate", *exports, "--outbox", str(outbox)])
        folders = Folders(None, outbox, outbox / ".state")
        sets = CustomerSets(folders, History(folders))
        newest = sets.find()
        assert newest is not None, "a set was published"
        sample = sets.rows(_SAMPLE, sets.records(newest))
        random.Random(1).shuffle(sample)
        print(f"{records:,} records; milliseconds{'median':>16}{'95 %':>10}{'computed':>10}")
        for _ in range(rounds):
            _print_times("explain CUST…", lambda it: explain_one(it[1], folders, sets), sample)
            _print_times("explain SOURCE:ID", lambda it: explain_one(it[0], folders, sets), sample)
            pairs = [(one[0], other[0]) for one, other in pairwise(sample)]
            _print_times("explain A B, of two customers", lambda it: explain_two(it, folders, sets), pairs)
            pairs = [(unified_id, name) for name, unified_id in sample]
            _print_times("explain A B, of one customer", lambda it: explain_two(it, folders, sets), pairs)
        with running(folder) as dashboard:
            _print_times("the page", lambda it: dashboard.ask(Asked(f"/customers/{it[1]}")), sample, dashboard.cpu_ms)


def _print_times(
    title: str,
    ask: Callable[[tuple[str, str]], object],
    asked: Sequence[tuple[str, str]],
    computed_ms: Callable[[], float] = lambda: 1000 * time.process_time(),
) -> None:
    ask(asked[0])
    seconds: list[float] = []
    computed = computed_ms()
    for it in asked:
        started = time.perf_counter()
        ask(it)
        seconds.append(time.perf_counter() - started)
    computed = (computed_ms() - computed) / len(asked)
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    print(f"{title:34}{1000 * statistics.median(seconds):10.1f}{1000 * p95:10.1f}{computed:10.1f}")
