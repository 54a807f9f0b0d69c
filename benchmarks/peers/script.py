"""A script of an afternoon, with the same literal rule: csv, json, dictionaries, phonenumbers, union-find.

``python -m benchmarks.peers.script CRM ECOM FOLDER``
"""

from __future__ import annotations

import csv
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import phonenumbers

MISSING = frozenset({"", "n/a", "-", "null", "unknown", "none"})
DATES = ("%Y-%m-%d", "%m/%d/%Y", "%Y/%m/%d", "%d %b %Y", "%B %d, %Y")
HEADER = ("id", "full_name", "email", "phone", "signup_date", "status")

Record = list[str]
"""The values of ``HEADER``; empty if missing."""


def main(crm: Path, ecom: Path, folder: Path) -> None:
    """Write ``master.csv`` and ``duplicates.csv``; print the number of customers."""
    records = read(crm, ecom)
    groups: dict[int, list[Record]] = {}
    for index, root in enumerate(roots_of(records)):
        groups.setdefault(root, []).append(records[index])
    with (
        open(folder / "master.csv", "w", encoding="utf-8", newline="") as master,
        open(folder / "duplicates.csv", "w", encoding="utf-8", newline="") as duplicates,
    ):
        customers, removed = csv.writer(master), csv.writer(duplicates)
        customers.writerow(HEADER)
        for group in groups.values():
            kept = max(group, key=lambda record: sum(map(bool, record)))
            customers.writerow([next((it[field] for it in [kept, *group] if it[field]), "N/A") for field in range(6)])
            if len(group) > 1:
                removed.writerow([kept[0], ",".join(record[0] for record in group if record is not kept)])
    print(len(groups))


def read(crm: Path, ecom: Path) -> list[Record]:
    """Every row of both exports, normalised."""
    with open(crm, encoding="utf-8", newline="") as file:
        records = [
            record(row["customer_id"], row["full_name"], row["email"], row["phone"], row["signup_date"], row["status"])
            for row in csv.DictReader(file)
        ]
    for row in json.loads(ecom.read_text(encoding="utf-8"))["customers"]:
        name, contact = row["name"], row["contact"]
        whole = f"{name['first']} {name['last']}"
        records.append(record(row["id"], whole, contact["email"], contact["phone"], row["registered"], "active"))
    return records


def record(id_: str, name: str, email: str | None, phone: str | None, day: str | None, status: str) -> Record:
    """One row, normalised."""
    return [id_, name_of(name), email_of(email), phone_of(phone), day_of(day), status.lower()]


def name_of(text: str) -> str:
    """ "SMITH, john" as "John Smith"."""
    last, comma, first = text.partition(",")
    return " ".join(f"{first} {last}".split() if comma else text.split()).title()


def email_of(text: str | None) -> str:
    """In small letters, without blanks and the scheme of a link."""
    email = (text or "").strip().lower().removeprefix("mailto:")
    return "" if email in MISSING else email


def phone_of(text: str | None) -> str:
    """With calling code, without extension."""
    number = re.sub(r" ?x.*$", "", text or "")
    try:
        return phonenumbers.format_number(phonenumbers.parse(number, "US"), phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        return ""


def day_of(text: str | None) -> str:
    """As YYYY-MM-DD."""
    for shape in DATES:
        try:
            return datetime.strptime(text or "", shape).replace(tzinfo=UTC).date().isoformat()
        except ValueError:
            continue
    return ""


def roots_of(records: list[Record]) -> list[int]:
    """For each record the smallest index among those that are the same customer."""
    parent = list(range(len(records)))
    first: dict[tuple[int, str], int] = {}

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for index, values in enumerate(records):
        for field in (1, 2, 3):
            key = values[field].casefold()
            if key:
                one, two = root(index), root(first.setdefault((field, key), index))
                parent[max(one, two)] = min(one, two)
    return [root(index) for index in range(len(records))]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
