"""The programs that the service is compared with, each a module of its own: ``python -m benchmarks.peers.NAME``.

All get the same two exports and a folder to write to, and end by printing the number of customers they found. They keep
no ids from run to run, write no evidence, and publish nothing as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A program to compare with: its name in the report, its module, and what it does."""

    name: str
    module: str
    what: str
    requirements: tuple[str, ...] = ()
    """Packages beyond those of the service, which ``make bench`` installs beside it."""
    is_floor: bool = False
    """It only reads and writes."""


FLOOR = Peer("floor", "floor", "DuckDB reads both files and writes their values into one", is_floor=True)
FULL_FLOOR = Peer(
    "full floor",
    "full_floor",
    "DuckDB reads both files and writes as many bytes as we publish, in files of the same kinds; hashes and syncs them",
    is_floor=True,
)
PEERS: tuple[Peer, ...] = (
    FLOOR,
    FULL_FLOOR,
    Peer("plain Python", "script", "csv, json, phonenumbers, dictionaries; master and duplicates as CSV"),
    Peer("pandas", "pandas_script", "the same in pandas; phonenumbers for each distinct number", ("pandas",)),
    Peer(
        "Polars", "polars_script", "the same in Polars; phonenumbers for what its expressions do not read", ("polars",)
    ),
    Peer(
        "Splink 5",
        "splink_link",
        "deterministic link and clusters only, of values that a few expressions in DuckDB brought to one form",
        ("splink",),
    ),
    Peer(
        "goldenmatch",
        "goldenmatch_rules",
        "exact rules, clusters and golden records, of the same values",
        ("goldenmatch",),
    ),
)
