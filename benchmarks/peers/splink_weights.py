"""Splink 5, without labels: u by random pairs, m by EM, one customer where the weights say at least even odds.

``python -m benchmarks.peers.splink_weights RECORDS GROUPS``: both are CSV; see ``benchmarks.accuracy.peers``.
"""

from __future__ import annotations

import csv
import sys
from contextlib import suppress
from pathlib import Path

import duckdb
import splink.comparison_library as comparisons
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

_COMPARED = {
    "name": comparisons.NameComparison("name"),
    "first_name": comparisons.NameComparison("first_name"),
    "last_name": comparisons.NameComparison("last_name"),
    "email": comparisons.EmailComparison("email"),
    "phone": comparisons.ExactMatch("phone"),
    "birth_date": comparisons.LevenshteinAtThresholds("birth_date", [1, 2]),
    "address": comparisons.JaroWinklerAtThresholds("address", [0.92, 0.8]),
    "city": comparisons.LevenshteinAtThresholds("city", [1]),
    "postcode": comparisons.LevenshteinAtThresholds("postcode", [1]),
    "state": comparisons.ExactMatch("state"),
}
_TRAINED_WITHIN = ("email", "phone", "last_name", "birth_date", "postcode", "name")
"""Pairs that share one of these are candidates; EM runs once within those of each."""
_RECALL = 0.7
"""Of the rule that finds sure duplicates, by which the share of duplicates is estimated: a guess."""


def main(records: Path, groups: Path) -> None:
    """Write the group of each record."""
    with duckdb.connect() as connection:
        connection.execute(f"create table records as from read_csv('{records}', header=true, all_varchar=true)")
        columns = [row[0] for row in connection.execute("describe records").fetchall()]
        shared = [block_on(it) for it in _TRAINED_WITHIN if it in columns]
        compared = [it for name, it in _COMPARED.items() if name in columns]
        compared += [comparisons.LevenshteinAtThresholds(it, [1]) for it in columns if it.startswith("identifier")]
        settings = SettingsCreator(
            link_type="dedupe_only", comparisons=compared, blocking_rules_to_generate_predictions=shared
        )
        linker = Linker(DuckDBAPI(connection).register("records", dataset_display_name="people"), settings)
        linker.training.estimate_probability_two_random_records_match(shared[:2], recall=_RECALL)
        linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
        for rule in shared:
            with suppress(ValueError):  # EM takes a probability to 0 where all pairs agree: other rules train it
                linker.training.estimate_parameters_using_expectation_maximisation(rule)
        links = linker.inference.predict(threshold_match_probability=0.5)
        clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(links, threshold_match_probability=0.5)
        found = connection.execute(f"select unique_id, cluster_id from {clusters.physical_name}").fetchall()
    with groups.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("unique_id", "group"), *found])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
