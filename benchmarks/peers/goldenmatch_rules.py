"""goldenmatch: exact rules by name, address and number; the values are prepared by DuckDB.

``python -m benchmarks.peers.goldenmatch_rules CRM ECOM FOLDER``
"""

from __future__ import annotations

import sys
from pathlib import Path

import goldenmatch

from benchmarks.peers.reading import both_exports, prepare


def main(crm: Path, ecom: Path, folder: Path) -> None:
    """Write the golden and the unique records; print the number of both."""
    with both_exports(crm, ecom) as (connection, rows):
        prepare(connection, rows)
        records = connection.sql("from prepared").to_arrow_table()
    result = goldenmatch.dedupe_df(records, exact=["email", "phone", "name"], keep_original_values=False)
    customers = 0
    for name, table in (("golden", result.golden), ("unique", result.unique)):
        if table is not None:
            customers += table.num_rows
            result.to_csv(folder / f"{name}.csv", which=name)
    print(customers)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
