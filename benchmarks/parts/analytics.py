"""The analytics job: a file of the API, with a published master of as many records."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from benchmarks.daemon import folders_below, settings_of
from benchmarks.figures import Analytics, conditions, run_of
from benchmarks.generate import write_messy_pair
from benchmarks.generate_api import write_api_file
from benchmarks.parts.stages import Floors, median_run, printed_floors, staged, stages_of, with_floors
from benchmarks.processes import measured


def measure_analytics(customers: int, rounds: int) -> Analytics:
    """Publish a master, then drop the API file and let ``watch --once`` process it, in rounds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = folders_below(folder / "service")
        inbox = folder / "service" / "inbox"
        inbox.mkdir(parents=True)
        write_messy_pair(inbox, customers)
        measured(["-m", "service", "watch", "--once"], settings_of(folders))
        api_file = write_api_file(folder, customers)
        runs = []
        for _ in range(rounds):
            shutil.copyfile(api_file, inbox / api_file.name)
            os.sync()
            runs.append(staged(["watch", "--once"], settings_of(folders), folder / "log.jsonl"))
        ran, events = median_run(runs)
        event_of = {event["event"]: event for event in events}
        floors = _floors(folder, api_file, event_of["batch.published"]["batch_id"])
        return Analytics(
            conditions=conditions(),
            customers=customers,
            input_mb=round(api_file.stat().st_size / 1e6, 1),
            matched=sum(value for value in event_of["master.matched"].values() if isinstance(value, int)),
            runs=[run_of(run) for run, _ in runs],
            stages=with_floors(stages_of(ran, events), floors),
        )


def _floors(folder: Path, api_file: Path, batch_id: str) -> Floors:
    outbox = folder / "service" / "outbox"
    (master,) = (outbox / "batches").glob("*/customer_master.parquet")
    return printed_floors(["benchmarks.peers.analytics_floor", *map(str, (api_file, master, outbox)), batch_id], folder)
