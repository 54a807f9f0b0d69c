"""Other programs on the same sets, each a process in the environment of the peers.

A peer reads ``unique_id`` and the normalised fields of each record, and writes ``unique_id,group``. A record that it
does not write is a group of its own.
"""

from __future__ import annotations

import csv
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.accuracy.measures import Labels
from benchmarks.accuracy.sets import GoldSet

PEERS: Mapping[str, str] = {
    "Splink 5": "benchmarks.peers.splink_weights",
    "goldenmatch 3.22": "benchmarks.peers.goldenmatch_itself",
}
"""Name -> module."""
_LIMIT_SECONDS = 600.0


def groups_of(gold: GoldSet, python: Path, module: str) -> tuple[Labels, float]:
    """The groups that a peer makes, and its CPU seconds.

    Raises: subprocess.CalledProcessError, subprocess.TimeoutExpired where it fails.
    """
    with tempfile.TemporaryDirectory() as name:
        records, groups = Path(name, "records.csv"), Path(name, "groups.csv")
        with records.open("w", encoding="utf-8", newline="") as file:
            columns = [it.replace(".", "_") for it in gold.fields]
            rows = zip(*gold.fields.values(), strict=True)
            csv.writer(file).writerows([("unique_id", *columns), *((index, *row) for index, row in enumerate(rows))])
        before = os.times()
        subprocess.run([python, "-m", module, records, groups], check=True, capture_output=True, timeout=_LIMIT_SECONDS)
        after = os.times()
        with groups.open(encoding="utf-8", newline="") as file:
            found = {int(row["unique_id"]): row["group"] for row in csv.DictReader(file)}
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return [found.get(index, f"alone {index}") for index in range(len(gold.customers))], seconds
