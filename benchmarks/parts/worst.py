"""Hard pairs against the ordinary one of as many bytes, in turn: no kind of data may take far longer.

Values that only Python can read may: of these the time of each counts, and whether all cores read them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.figures import Reading, Worst, WorstResult, conditions, run_of
from benchmarks.generate import write_messy_pair
from benchmarks.parts.stages import staged_run, stages_of
from benchmarks.processes import Failed, Limits, measured, run_measured
from benchmarks.worst_pairs import NO_FAST_PATH, WORST_CASES, write_worst_pair

_MOST_SECONDS = 3600.0
_FEWER = 100_000
_VALUES_OF_A_RECORD = 4
"""Name, address, number and date."""


def measure_worst(records: int, rounds: int) -> Worst:
    """Integrate the ordinary pair of so many records, and each hard one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ordinary_pair = write_messy_pair(_made(folder / "ordinary"), records)
        sizes = [path.stat().st_size for path in ordinary_pair]
        ordinary = _result("ordinary", "the messy pair", ordinary_pair)
        cases = []
        for case in WORST_CASES:
            pair = write_worst_pair(_made(folder / "case"), case, *sizes)
            result = _result(case.name, case.what, pair)
            # The ordinary pair is run beside each case, so that a change of the machine is seen.
            for _ in range(rounds):
                _integrate(ordinary_pair, folder / "outbox", ordinary)
                _integrate(pair, folder / "outbox", result)
            cases.append(result)
            print(f"{case.name}: {result.outcome}", flush=True)
            shutil.rmtree(folder / "case")
        sizes_read = sorted({min(_FEWER, records), records})
        readings = [_reading(_made(folder / f"reading-{size}"), size, rounds) for size in sizes_read]
        return Worst(conditions(), ordinary, cases, readings)


def _reading(folder: Path, records: int, rounds: int) -> Reading:
    """The pair without fast paths, of as many bytes as the ordinary one of so many records."""
    sizes = [path.stat().st_size for path in write_messy_pair(_made(folder / "ordinary"), records)]
    pair = write_worst_pair(_made(folder / "pair"), NO_FAST_PATH, *sizes)
    runs = [staged_run(folder, pair) for _ in range(rounds)]
    published = next(event for event in runs[0][1] if event["event"] == "batch.published")
    return Reading(
        records=published["records"],
        values=published["records"] * _VALUES_OF_A_RECORD,
        runs=[run_of(ran) for ran, _ in runs],
        stages=[next(it for it in stages_of(ran, events) if it.name == "normalise") for ran, events in runs],
        floor_cpu_seconds=_floor(folder, pair),
    )


def _floor(folder: Path, pair: Iterable[Path]) -> float:
    printed = folder / "floor.txt"
    measured(["-m", "benchmarks.peers.value_floor", *map(str, pair)], stdout=printed)
    return float(printed.read_text(encoding="utf-8"))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _result(name: str, what: str, pair: Iterable[Path]) -> WorstResult:
    input_mb = round(sum(path.stat().st_size for path in pair) / 1e6, 1)
    return WorstResult(name=name, what=what, input_mb=input_mb, records=0, runs=[], outcome="")


def _integrate(pair: Iterable[Path], outbox: Path, into: WorstResult) -> None:
    shutil.rmtree(outbox, ignore_errors=True)
    log = outbox.with_name("log.jsonl")
    os.sync()
    command = [sys.executable, "-m", "service", "integrate", *map(str, pair), "--outbox", str(outbox)]
    try:
        ran = run_measured(command, stdout=log, limits=Limits(_MOST_SECONDS))
    except Failed as failed:
        into.outcome = str(failed)
        into.runs.append(run_of(failed.ran))
        return
    into.runs.append(run_of(ran))
    events = (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines())
    published = next(event for event in events if event["event"] == "batch.published")
    into.outcome, into.records = "published", published["records"]
