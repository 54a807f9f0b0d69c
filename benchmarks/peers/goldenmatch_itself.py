"""goldenmatch with the configuration that it chooses itself.

``python -m benchmarks.peers.goldenmatch_itself RECORDS GROUPS``: both are CSV; see ``benchmarks.accuracy.peers``.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import goldenmatch
import pyarrow.csv


def main(records: Path, groups: Path) -> None:
    """Write the group of each record."""
    options = pyarrow.csv.ConvertOptions(strings_can_be_null=True)
    table = pyarrow.csv.read_csv(records, convert_options=options)
    names = table.column("unique_id").to_pylist()
    result = goldenmatch.dedupe_df(table.drop_columns(["unique_id"]))
    found = [(names[row], group) for group, cluster in result.clusters.items() for row in cluster["members"]]
    with groups.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("unique_id", "group"), *found])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
