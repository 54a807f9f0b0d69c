"""A later batch against the first: the register and the former set are there, and every record is looked up in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from benchmarks.figures import Again, Run, conditions, run_of
from benchmarks.generate import write_messy_pair
from benchmarks.processes import measured

_CHANGED_PERCENT = 2


def measure_again(records: int, rounds: int) -> Again:
    """Integrate the messy pair, the same pair again, and a later export, in turn."""
    first: list[Run] = []
    same: list[Run] = []
    later: list[Run] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "1").mkdir()
        (folder / "2").mkdir()
        pair = write_messy_pair(folder / "1", records)
        shift = records * _CHANGED_PERCENT // 100
        next_pair = write_messy_pair(folder / "2", records, first=shift, changed_percent=_CHANGED_PERCENT)
        for _ in range(rounds):
            shutil.rmtree(folder / "outbox", ignore_errors=True)
            for exports, runs in ((pair, first), (pair, same), (next_pair, later)):
                os.sync()
                command = ["-m", "service", "integrate", *map(str, exports), "--outbox", str(folder / "outbox")]
                runs.append(run_of(measured(command)))
    return Again(conditions(), records, first, same, later, _CHANGED_PERCENT)
