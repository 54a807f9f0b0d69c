"""The literal rule on columns: the same e-mail address, phone or name, and all that is connected."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.accuracy.sets import GoldSet
from service.decisions.partition import Partition
from service.pipeline.fields.email import email_key
from service.pipeline.fields.name import name_key


def literal_groups(gold: GoldSet) -> list[int]:
    """The group of each record, by the number of one of its records."""
    records = range(len(gold.customers))
    groups = Partition(len(records))
    firsts: dict[tuple[str, str], int] = {}
    for record in records:
        for key in _keys(gold, record):
            groups.join(firsts.setdefault(key, record), record)
    return [groups.find(record) for record in records]


def _keys(gold: GoldSet, record: int) -> Iterator[tuple[str, str]]:
    values = {field: column[record] or "" for field, column in gold.fields.items()}
    name = values.get("name") or " ".join(filter(None, (values.get("first_name"), values.get("last_name"))))
    for rule, key in (
        ("email", email_key(values["email"]) if values.get("email") else None),
        ("phone", values.get("phone")),
        ("name", name_key(name)),
    ):
        if key:
            yield rule, key
