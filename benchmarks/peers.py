"""The programs that the service is compared with: the floor (read both files, write one) and a plain Python script.

``python -m benchmarks.peers floor|script CRM ECOM OUT``
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import duckdb
import phonenumbers

from service.readers.json_window import array_window
from service.readers.served_files import Served, ServedFiles


def floor(crm: Path, ecom: Path, out: Path) -> None:
    """Only read both exports and write as many bytes: no program can be faster on this engine."""
    window = array_window(ecom, "customers")
    assert window is not None, "the generator writes the plain form"
    with duckdb.connect() as connection:
        files = ServedFiles()
        connection.register_filesystem(files)
        with files.at_url(Served(ecom, *window, lambda chunk: None, before=b"[", after=b"]")) as url:
            connection.execute(
                f"""copy (
                    select customer_id, full_name, email, phone, signup_date, status
                    from read_csv('{crm}', all_varchar=true)
                    union all
                    select id, name.first, contact.email, contact.phone, registered, 'active'
                    from read_json('{url}', format='array', columns={{
                        id: 'varchar', name: 'struct(first varchar, last varchar)',
                        contact: 'struct(email varchar, phone varchar)', registered: 'varchar'}})
                ) to '{out}' (format csv)"""
            ).fetchall()


def script(crm: Path, ecom: Path, out: Path) -> None:
    """A script of an afternoon, with the literal rule: csv, json, dictionaries, phonenumbers, union-find."""
    with open(crm, encoding="utf-8", newline="") as file:
        records = [
            (row["full_name"].title(), row["email"].lower(), _phone(row["phone"]), row["signup_date"], row["status"])
            for row in csv.DictReader(file)
        ]
    for customer in json.loads(ecom.read_text(encoding="utf-8"))["customers"]:
        name = f"{customer['name']['first']} {customer['name']['last']}".title()
        contact = customer["contact"]
        records.append(
            (name, contact["email"].lower(), _phone(contact["phone"]), customer["registered"][:10], "active")
        )
    parent = list(range(len(records)))
    first: dict[tuple[int, str], int] = {}
    for index, record in enumerate(records):
        for key in ((0, record[0]), (1, record[1]), (2, record[2])):
            if key[1]:
                one, two = _root(parent, index), _root(parent, first.setdefault(key, index))
                parent[max(one, two)] = min(one, two)
    with open(out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(record for index, record in enumerate(records) if _root(parent, index) == index)


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _phone(text: str) -> str:
    try:
        return phonenumbers.format_number(phonenumbers.parse(text, "US"), phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        return ""


if __name__ == "__main__":
    {"floor": floor, "script": script}[sys.argv[1]](*map(Path, sys.argv[2:5]))
