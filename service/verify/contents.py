"""The contents of a published set, compared with the counts in its manifest.

The files are read in pieces, so that a set of any size takes bounded memory, but for the ids of its customers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import numpy as np

from service.decisions.decision_file import DECISIONS_FILE
from service.decisions.rows import csv_rows
from service.documents import Counts
from service.verify.parquet_footer import row_count

_PIECE_BYTES = 1 << 20
_CUSTOMER = re.compile(rb'"customer_id"\s*:')
_TOTAL = re.compile(rb'"total_customers"\s*:\s*(\d+)')


def check_master_set(folder: Path, shown: str, counts: Counts) -> Iterator[str]:
    """Check a set of the integration: each accepted record is in the crosswalk once, each customer in the master once.

    ``shown`` is what messages call the folder. Raises: OSError.
    """
    numbers = {name: _customer_numbers(folder / name) for name in ("crosswalk.csv", "customer_master.csv")}
    customers = np.unique(numbers["crosswalk.csv"])
    counted = {
        "crosswalk.csv": (len(numbers["crosswalk.csv"]), counts.records, "records"),
        "customer_master.csv": (len(numbers["customer_master.csv"]), counts.customers, "customers"),
        "match_evidence.csv": (_rows_in(folder / "match_evidence.csv"), counts.duplicates, "rows"),
        "rejects.csv": (_rows_in(folder / "rejects.csv"), counts.rejects, "rows"),
    }
    yield from _compare_counts(shown, counted)
    yield from _check_typed(
        folder, shown, {"customer_master.parquet": counts.customers, "records.parquet": counts.records}
    )
    yield from _check_decisions(folder, shown)
    yield from _check_aliases(folder, shown)
    if not np.array_equal(customers, np.unique(numbers["customer_master.csv"])):
        yield f"{shown}/crosswalk.csv and customer_master.csv do not contain the same customers"


def _check_decisions(folder: Path, shown: str) -> Iterator[str]:
    """Findings about the decisions that a set states to follow. Sets of older programs have none."""
    path = folder / DECISIONS_FILE
    if not path.exists():
        return
    with csv_rows(path) as rows:
        decisions = list(rows)
    customer_of = _customers_of({it[f"{side}_key"] for it in decisions for side in ("left", "right")}, folder)
    for it in decisions:
        customers = [customer_of[key] for key in (it["left_key"], it["right_key"]) if key in customer_of]
        is_there, is_one = len(customers) == 2, len(set(customers)) == 1
        if is_there != (it["outcome"] == "applied"):
            yield f"{shown}/{DECISIONS_FILE} states that decision {it['number']} is {it['outcome']}, which it is not"
        elif is_there and is_one != (it["decision"] == "same"):
            yield f"{shown}/crosswalk.csv does not follow decision {it['number']}"


def _check_aliases(folder: Path, shown: str) -> Iterator[str]:
    """Findings about the records of aliases: only a merged customer has any. Sets of older programs have none."""
    path = folder / "register_aliases.csv"
    if not path.exists():
        return
    aliases = set(_first_cells(path))
    merged = set(_first_cells(folder / "register_customers.csv", b",merged,")) if aliases else set[bytes]()
    if strangers := aliases - merged:
        yield f"{shown}/register_aliases.csv has records of customers that are not merged: {len(strangers)}"


def _customers_of(keys: Set[str], folder: Path) -> dict[str, str]:
    """The customers of those records of a set that have one of these keys."""
    if not keys:
        return {}
    with csv_rows(folder / "crosswalk.csv") as rows:
        return {row["record_key"]: row["unified_id"] for row in rows if row["record_key"] in keys}


def check_export_set(folder: Path, shown: str, counts: Counts) -> Iterator[str]:
    """Check a set of the analytics job: each customer is in the export once, and the export states their number.

    ``shown`` is what messages call the folder. Raises: OSError.
    """
    customers, total = _customers_in(folder / "sample_output.json")
    counted = {
        "sample_output.json": (customers, counts.customers, "customers"),
        "rejects.csv": (_rows_in(folder / "rejects.csv"), counts.rejects, "rows"),
    }
    yield from _compare_counts(shown, counted)
    if total != counts.customers:
        yield f"{shown}/sample_output.json states {total} customers, its manifest {counts.customers}"


def _compare_counts(shown: str, counted: Mapping[str, tuple[int, int, str]]) -> Iterator[str]:
    """Findings where the counts differ. ``counted``: file -> (number found in it, number in the manifest, unit)."""
    for name, (found, stated, unit) in counted.items():
        if found != stated:
            yield f"{shown}/{name} has {found} {unit}, its manifest states {stated}"


def _check_typed(folder: Path, shown: str, stated: Mapping[str, int]) -> Iterator[str]:
    """Findings about Parquet files: file -> number of rows in the manifest. Sets of older programs have none."""
    for name in stated:
        if (folder / name).exists():
            rows = row_count(folder / name)
            if rows is None:
                yield f"{shown}/{name} is not a Parquet file"
            elif rows != stated[name]:
                yield f"{shown}/{name} has {rows} rows, its manifest states {stated[name]}"


def _customers_in(path: Path) -> tuple[int, int | None]:
    """The number of customers in an analytics export, and the number that it states itself.

    Customers are counted by their key, without parsing: in a JSON text the bytes `"customer_id":` can only be a key,
    because a quote inside a value follows a backslash.
    """
    customers, total = 0, None
    for piece in _pieces(path):
        customers += len(_CUSTOMER.findall(piece))
        if found := _TOTAL.search(piece):
            total = int(found[1])
    return customers, total


def _pieces(path: Path) -> Iterator[bytes]:
    """A JSON text in pieces of about a megabyte that end after a closing brace, so never inside a key."""
    rest = b""
    with open(path, "rb") as file:
        while chunk := file.read(_PIECE_BYTES):
            before, brace, after = chunk.rpartition(b"}")
            if brace:
                yield rest + before + brace
                rest = after
            else:
                rest += chunk
    yield rest


def _customer_numbers(path: Path) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The numbers of the unified ids in the first column."""
    return np.fromiter((int(cell.removeprefix(b"CUST")) for cell in _first_cells(path)), dtype=np.int64)


def _rows_in(path: Path) -> int:
    """The number of rows below the header."""
    return sum(1 for _ in _first_cells(path))


def _first_cells(path: Path, mark: bytes = b"") -> Iterator[bytes]:
    """The first cell of every row below the header whose line contains the mark; quoted cells may have line breaks."""
    is_quoted = False
    with open(path, "rb") as lines:
        for number, line in enumerate(lines):
            if not is_quoted and number and mark in line:
                yield line.partition(b",")[0]
            is_quoted ^= line.count(b'"') % 2 == 1
