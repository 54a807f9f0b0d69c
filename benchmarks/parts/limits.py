"""A pair of 300 MB each within memory limits: the peak of all its processes, and how often it reports its progress."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.figures import Bound, Bounded, conditions, run_of
from benchmarks.generate import write_messy_pair
from benchmarks.processes import Failed, Ran, run_measured

RECORDS = 5_060_000
"""Of these the smaller export, the CRM's, has 300 MB."""
_LIMITS_MB = (512, 1024)


def measure_limits(records: int) -> Bounded:
    """Integrate the messy pair of so many records within each limit."""
    with tempfile.TemporaryDirectory() as name:
        pair = write_messy_pair(Path(name), records)
        crm_mb, shop_mb = (round(path.stat().st_size / 1e6, 1) for path in pair)
        bounds = []
        for limit_mb in _LIMITS_MB:
            bounds.append(_bound(Path(name), pair, limit_mb))
            print(f"{limit_mb} MB: {bounds[-1].outcome}", flush=True)
        return Bounded(conditions(), records, (crm_mb, shop_mb), bounds)


def _bound(folder: Path, pair: Sequence[Path], limit_mb: int) -> Bound:
    outbox, log = folder / "outbox", folder / "log.jsonl"
    shutil.rmtree(outbox, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.staged", "integrate", *map(str, pair), "--outbox", str(outbox)]
    try:
        ran, outcome = run_measured(command, {"SERVICE_MEMORY_LIMIT_MB": str(limit_mb)}, stdout=log), "published"
    except Failed as failed:
        ran, outcome = failed.ran, str(failed)
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    silent, still = longest_pauses(ran, events)
    return Bound(
        limit_mb=limit_mb,
        run=run_of(ran),
        silent_seconds=round(silent, 2),
        still_seconds=round(still, 2),
        outcome=outcome,
    )


def longest_pauses(ran: Ran, events: Iterable[dict[str, Any]]) -> tuple[float, float]:
    """The longest times, in seconds, without a report, and without a report of more rows, from start to end."""
    reported, risen, most = [0.0], [0.0], (0, -1)
    for event in events:
        if event["event"] == "batch.progressed":
            reported.append(datetime.fromisoformat(event["timestamp"]).timestamp() - ran.started_at)
            done = event["stage_number"], event["rows_done"]
            if done > most:
                risen.append(reported[-1])
                most = done
    return _longest([*reported, ran.seconds]), _longest([*risen, ran.seconds])


def _longest(moments: Sequence[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(moments))
