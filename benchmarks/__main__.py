"""``python -m benchmarks [WHAT] [--records N] [--rounds K]``: seconds and ratios; WHAT is peers unless it is given.

peers        the whole service, against the floor and a plain script: processes in turn, with their memory
dirt         the normalise stage for exports of mixed quality, against clean ones
dashboard    its pages and searches over a large set, its memory, and a batch beside readers, against one alone
sync         the sync, against a loop of requests: processes in turn, with their memory
sync-peers   the same with dlt beside it, and with faults
sync-faults  which client reads which faulty API completely

On a shared machine seconds drift; quote the ratios.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import dashboard, dirt, sync, sync_faults
from benchmarks.generate import write_pair
from benchmarks.processes import Ran, measured


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=tuple(BENCHMARKS), default="peers")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    BENCHMARKS[options.what](options.records, options.rounds)


def compare_with_peers(records: int, rounds: int) -> None:
    """Measure whole processes in turn, and print one table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crm, ecom = write_pair(folder, records)
        commands = {
            "service": ["-m", "service", "integrate", str(crm), str(ecom), "--outbox", str(folder / "outbox")],
            "floor": ["-m", "benchmarks.peers", "floor", str(crm), str(ecom), str(folder / "floor.csv")],
            "script": ["-m", "benchmarks.peers", "script", str(crm), str(ecom), str(folder / "script.csv")],
        }
        runs: dict[str, list[Ran]] = {peer: [] for peer in commands}
        for _ in range(rounds):
            for peer, command in commands.items():
                shutil.rmtree(folder / "outbox", ignore_errors=True)
                runs[peer].append(measured(command))
    print(f"{records} records, median of {rounds} rounds, {os.cpu_count()} cores")
    print(f"{'':10}{'seconds':>10}{'peak MB':>10}{'service / it':>14}")
    service = statistics.median(run.seconds for run in runs["service"])
    for peer, figures in runs.items():
        seconds = statistics.median(run.seconds for run in figures)
        peak = statistics.median(run.peak_mb for run in figures)
        print(f"{peer:10}{seconds:10.2f}{peak:10.0f}{service / seconds:14.2f}")


BENCHMARKS: dict[str, Callable[[int, int], None]] = {
    "peers": compare_with_peers,
    "dirt": dirt.report,
    "dashboard": dashboard.report,
    "sync": sync.report,
    "sync-peers": sync.report_peers,
    "sync-faults": lambda records, rounds: sync_faults.report(),
}


if __name__ == "__main__":
    main()
