"""The analytics job: a file of the API, with a published master of as many records."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from benchmarks.daemon import folders_below, settings_of
from benchmarks.figures import Analytics, Run, conditions, run_of
from benchmarks.generate import write_messy_pair
from benchmarks.generate_api import write_api_file
from benchmarks.processes import measured


def measure_analytics(customers: int, rounds: int) -> Analytics:
    """Publish a master, then drop the API file and let ``watch --once`` process it, in rounds."""
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = folders_below(folder / "service")
        inbox = folder / "service" / "inbox"
        inbox.mkdir(parents=True)
        write_messy_pair(inbox, customers)
        watch = ["-m", "service", "watch", "--once"]
        measured(watch, settings_of(folders))
        api_file = write_api_file(folder, customers)
        log = folder / "log.jsonl"
        for _ in range(rounds):
            shutil.copyfile(api_file, inbox / api_file.name)
            os.sync()
            runs.append(run_of(measured(watch, settings_of(folders), stdout=log)))
        events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        matched = next(event for event in events if event["event"] == "master.matched")
        published = next(event for event in events if event["event"] == "batch.published")
        floor_seconds, floor_cpu_seconds = _floor(folder, api_file, published["batch_id"])
        return Analytics(
            conditions=conditions(),
            customers=customers,
            input_mb=round(api_file.stat().st_size / 1e6, 1),
            matched=sum(value for value in matched.values() if isinstance(value, int)),
            runs=runs,
            floor_seconds=floor_seconds,
            floor_cpu_seconds=floor_cpu_seconds,
        )


def _floor(folder: Path, api_file: Path, batch_id: str) -> tuple[float, float]:
    """Seconds and CPU seconds of the least of it."""
    outbox, printed = folder / "service" / "outbox", folder / "floor.json"
    (master,) = (outbox / "batches").glob("*/customer_master.parquet")
    measured(
        ["-m", "benchmarks.peers.analytics_floor", *map(str, (api_file, master, outbox)), batch_id], stdout=printed
    )
    seconds, cpu_seconds = json.loads(printed.read_text(encoding="utf-8"))
    return seconds, cpu_seconds
