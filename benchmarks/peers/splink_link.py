"""Splink 5: a deterministic link by name, address and number, and clusters; the values are prepared by DuckDB.

``python -m benchmarks.peers.splink_link CRM ECOM FOLDER``
"""

from __future__ import annotations

import sys
from pathlib import Path

from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from benchmarks.peers.reading import both_exports, prepare


def main(crm: Path, ecom: Path, folder: Path) -> None:
    """Write ``clusters.csv``; print the number of clusters."""
    with both_exports(crm, ecom) as (connection, rows):
        prepare(connection, rows)
        engine = DuckDBAPI(connection)
        settings = SettingsCreator(
            link_type="dedupe_only",
            blocking_rules_to_generate_predictions=[block_on("email"), block_on("phone"), block_on("name")],
        )
        records = engine.register("prepared", dataset_display_name="records")
        linker = Linker(records, settings)
        links = linker.inference.deterministic_link()
        clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(links)
        table = clusters.physical_name
        connection.execute(f"copy (select cluster_id, unique_id from {table}) to '{folder / 'clusters.csv'}'")
        print(connection.execute(f"select count(distinct cluster_id) from {table}").fetchall()[0][0])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
