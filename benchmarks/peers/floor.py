"""Floor: only read both exports and write one file of their values; no program can be faster on this engine.

``python -m benchmarks.peers.floor CRM ECOM FOLDER``
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.reading import both_exports


def main(crm: Path, ecom: Path, folder: Path) -> None:
    """Write ``floor.csv``."""
    with both_exports(crm, ecom) as (connection, rows):
        connection.execute("set preserve_insertion_order = false")
        connection.execute(f"copy ({rows}) to '{folder / 'floor.csv'}' (format csv)")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
