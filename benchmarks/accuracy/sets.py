"""The sets of ``gold``, with their values normalised as the service does."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from service.pipeline.fields.cell import value_of_cell
from service.pipeline.fields.email import norm_email
from service.pipeline.fields.name import norm_name
from service.pipeline.fields.phone import compared_phone
from service.pipeline.matching.evidence_fields import extension, read_evidence

REGION = "US"
_READ: Mapping[str, Callable[[str], str | None]] = {
    "name": norm_name,
    "email": norm_email,
    "phone": partial(compared_phone, region=REGION),
}


@dataclass(frozen=True)
class GoldSet:
    """Records with known customers.

    customers  the customer of each record
    fields     field -> its value in each record, normalised
    """

    name: str
    customers: Sequence[str]
    fields: Mapping[str, Sequence[str | None]]


def gold_sets(folder: Path) -> Iterator[GoldSet]:
    """Every set in the folder, in the order of their names."""
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        raw = {field: [row[field] for row in rows] for field in rows[0] if field not in ("record", "customer")}
        yield GoldSet(path.stem, [row["customer"] for row in rows], normalised(raw))


def normalised(raw: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str | None]]:
    """The columns as the service normalises them; the extension of a phone is a column of its own."""
    found = read_evidence({field: raw[field] for field in raw if field not in _READ}, "MDY")
    for field in raw.keys() & _READ.keys():
        values = map(value_of_cell, raw[field])
        found[field] = [_READ[field](value) if value else None for value in values]
    if "phone" in raw:
        found["phone_extension"] = list(map(extension, raw["phone"], found["phone"]))
    return found
