"""The daemon: from the close of the second file to the manifest, and what it costs while it waits."""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.daemon import Daemon, folders_below, running, settings_of
from benchmarks.figures import Drops, Latency, conditions, run_of
from benchmarks.generate import write_messy_pair
from benchmarks.parts.stages import floors_of, staged_run
from benchmarks.process_tree import others_seconds
from benchmarks.processes import measured
from service import documents
from service.documents import Manifest
from service.folders import MANIFEST, Folders
from service.inbox.settling import LEASE_STILL_SECONDS

SAMPLE = Path(__file__).resolve().parents[2] / "tests" / "cases" / "the_sample"
SAMPLE_PAIR = (SAMPLE / "crm_customers.csv", SAMPLE / "ecommerce_customers.json")
_RECORDS = 10_000
_STARTS = 5
_HEALTHCHECKS = 10
_FLOORS = 5
IDLE_SECONDS = 30.0
_FIRST_DROPS = 2
"""Not counted: the first batch of a process loads the engine."""


def measure_latency(drops: int, idle_seconds: float = IDLE_SECONDS) -> Latency:
    """Start the daemon several times; leave the last one idle, then drop the sample and 10,000 records so often."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts = [_start_seconds(folder / f"start-{number}") for number in range(_STARTS)]
        pair = write_messy_pair(folder, _RECORDS)
        folders = folders_below(folder / "service")
        with running(folders) as daemon:
            cpu = daemon.cpu_seconds()
            time.sleep(idle_seconds)
            cpu_share = (daemon.cpu_seconds() - cpu) / idle_seconds
            idle_mb = daemon.resident_mb()
            command = ["-m", "service", "healthcheck"]
            checks = [run_of(measured(command, settings_of(folders))) for _ in range(_HEALTHCHECKS)]
            dropped = [_drops(daemon, "the sample", 8, SAMPLE_PAIR, drops)]
            dropped.append(_drops(daemon, f"{_RECORDS:,} records", _RECORDS, pair, drops))
            return Latency(
                conditions=conditions(),
                drops=dropped,
                start_seconds=[round(seconds, 3) for seconds in starts],
                idle_seconds=idle_seconds,
                idle_cpu_share=round(cpu_share, 5),
                idle_mb=round(idle_mb),
                mb_after_drops=round(daemon.resident_mb()),
                healthcheck=checks,
                stillness_seconds=_stillness_seconds(folders),
                floors=_floors(folder),
            )


def _stillness_seconds(folders: Folders) -> float | None:
    """For so long the files of the last batch had to be unchanged; None unless their proof was a lease."""
    manifest = documents.read(folders.outbox / MANIFEST, Manifest)
    return LEASE_STILL_SECONDS if {file.settle_proof for file in manifest.inputs} == {"lease"} else None


def _floors(folder: Path) -> dict[str, float]:
    """Stage -> seconds of the least of it for the sample, the medians of several processes."""
    staged_run(folder, SAMPLE_PAIR)
    found = [floors_of(folder, SAMPLE_PAIR) for _ in range(_FLOORS)]
    return {stage: statistics.median(floors[stage][0] for floors in found) for stage in found[0]}


def _start_seconds(root: Path) -> float:
    with running(folders_below(root)) as daemon:
        return daemon.start_seconds


def _drops(daemon: Daemon, name: str, records: int, pair: Sequence[Path], count: int) -> Drops:
    """Drop a pair so often, at moments that the turns of the daemon do not know."""
    random_ = random.Random(name)
    for _ in range(_FIRST_DROPS):
        daemon.drop(*pair)
    own = daemon.cpu_seconds()
    others, began = others_seconds(), time.perf_counter()
    seconds = []
    for _ in range(count):
        time.sleep(random_.random() / 2)
        seconds.append(daemon.drop(*pair))
    others_share = (others_seconds() - others - daemon.cpu_seconds() + own) / (time.perf_counter() - began)
    print(f"{name}: {count} drops are done", flush=True)
    return Drops(
        name=name,
        records=records,
        count=count,
        p50=round(statistics.median(seconds), 4),
        p99=round(statistics.quantiles(seconds, n=100, method="inclusive")[-1] if count > 1 else seconds[0], 4),
        least=round(min(seconds), 4),
        most=round(max(seconds), 4),
        others_share=round(max(0.0, others_share / len(os.sched_getaffinity(0))), 4),
    )
