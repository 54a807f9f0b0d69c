"""Value floor: what the definitions of the values take alone, called in one process, once for each distinct value.

Name, address, number and date of a pair, and the keys by which names and addresses are compared. What the stage takes
beyond it finds these values, sends them to the worker processes, and joins what they return.

``python -m benchmarks.peers.value_floor CRM ECOM``  ->  CPU seconds
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from service.pipeline.fields.date import column_of, norm_date
from service.pipeline.fields.email import email_key, norm_email
from service.pipeline.fields.name import name_key, norm_name
from service.pipeline.fields.phone import compared_phone

_REGION, _ORDER = "US", "MDY"


def main(crm: Path, ecom: Path) -> None:
    """Print the CPU seconds of the calls."""
    names, addresses, numbers, days = (dict.fromkeys(texts) for texts in zip(*_cells(crm, ecom), strict=True))
    column = column_of({}, len(days), _ORDER)[0].code
    began = time.process_time()
    for text in names:
        if (name := norm_name(text)) is not None:
            name_key(name)
    for text in addresses:
        if (address := norm_email(text)) is not None:
            email_key(address)
    for text in numbers:
        compared_phone(text, _REGION)
    for text in days:
        norm_date(text, column)
    print(round(time.process_time() - began, 3))


def _cells(crm: Path, ecom: Path) -> Iterator[tuple[str, str, str, str]]:
    with open(crm, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["full_name"], row["email"], row["phone"], row["signup_date"]
    for customer in json.loads(ecom.read_bytes())["customers"]:
        contact = customer["contact"]
        yield customer["name"], contact["email"], contact["phone"], customer["registered"]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
