"""``python -m benchmarks [peers|dirt] [--records N] [--rounds K]``: seconds and ratios.

peers   the whole service, against the floor and a plain script: processes in turn, with their memory
dirt    the normalise stage for exports of mixed quality, against clean ones

The machine may be shared, so that seconds drift; quote the ratios.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import dirt
from benchmarks.generate import write_pair


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("peers", "dirt"), default="peers")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    {"peers": compare_with_peers, "dirt": dirt.report}[asked.what](asked.records, asked.rounds)


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
        runs: dict[str, list[tuple[float, float]]] = {peer: [] for peer in commands}
        for _ in range(rounds):
            for peer, command in commands.items():
                shutil.rmtree(folder / "outbox", ignore_errors=True)
                runs[peer].append(_measured(command))
    print(f"{records} records, median of {rounds} rounds, {os.cpu_count()} cores")
    print(f"{'':10}{'seconds':>10}{'peak MB':>10}{'service / it':>14}")
    service = statistics.median(seconds for seconds, _ in runs["service"])
    for peer, figures in runs.items():
        seconds, peak = (statistics.median(column) for column in zip(*figures, strict=True))
        print(f"{peer:10}{seconds:10.2f}{peak:10.0f}{service / seconds:14.2f}")


def _measured(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in MB of one whole process."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    process.returncode = 0
    return time.perf_counter() - started, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
