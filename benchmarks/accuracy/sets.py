"""The sets of ``gold``, with their values normalised as the service does."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from service.pipeline.fields.cell import part_of_name, value_of_cell
from service.pipeline.fields.date import norm_date
from service.pipeline.fields.email import norm_email
from service.pipeline.fields.name import norm_name
from service.pipeline.fields.phone import compared_phone

REGION = "US"
_READ: Mapping[str, Callable[[str], str | None]] = {
    "name": norm_name,
    "email": norm_email,
    "phone": partial(compared_phone, region=REGION),
    "birth_date": partial(norm_date, column="MDY"),
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
    found: dict[str, Sequence[str | None]] = {field: [_value(field, it) for it in raw[field]] for field in raw}
    if "phone" in raw:
        found["phone_extension"] = [
            _extension(text, key) for text, key in zip(raw["phone"], found["phone"], strict=True)
        ]
    return found


def _value(field: str, text: str) -> str | None:
    if field in ("first_name", "last_name"):
        part = part_of_name(text)
        return norm_name(part) if part else None
    value = value_of_cell(text)
    if value is None or field not in _READ:
        return value
    read = _READ[field](value)
    if read is None and field == "birth_date":
        digits = "".join(filter(str.isdigit, value))
        return digits if len(digits) == 8 else None
    return read


def _extension(text: str, key: str | None) -> str | None:
    """The digits behind those of the number."""
    digits, number = ("".join(filter(str.isdigit, it or "")) for it in (text, key))
    national = number[-7:]
    behind = digits.partition(national)[2] if national else ""
    return behind or None
