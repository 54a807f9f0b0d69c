"""The records of one customer, as they lie in ``records.parquet``, and what the rules compare of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from msgspec import Struct

from service.engine.contract import PARQUET
from service.masters.customer_sets import CustomerSet, CustomerSets
from service.pipeline.fields.email import email_key
from service.pipeline.fields.name import name_key

FIELDS = ("full_name", "email", "phone", "signup_date", "status")
RULE_OF_FIELD: Mapping[str, str] = {"full_name": "name", "email": "email", "phone": "phone"}
"""Field -> the rule that compares it."""
FIELD_OF_RULE: Mapping[str, str] = {rule: field for field, rule in RULE_OF_FIELD.items()}
COLUMNS = f"file_row_number, ordinal, source, source_id, is_kept, {', '.join(FIELDS)}, via_source, via_id, rules"
"""Of ``records.parquet``; what ``record_of`` reads."""
_KEYS = "record_key, phone_key"
_EVIDENCE = "weighed, via_ordinal, weight, parts"
"""Of sets of weighed evidence only."""
_NAMES = ", ".join((COLUMNS, _KEYS, _EVIDENCE)).split(", ")
"""Of all columns, in this order."""
_OF_CUSTOMER = f"select {COLUMNS}, {_KEYS} from {PARQUET} where unified_id = ? order by ordinal limit ?"
_OF_WEIGHED = f"select {COLUMNS}, {_KEYS}, {_EVIDENCE} from {PARQUET} where unified_id = ? order by ordinal limit ?"
_HAS_COLUMN = "select count(*) from parquet_schema(?) where name = ?"


class RecordName(Struct, frozen=True, kw_only=True):
    """A record as its source knows it."""

    source: str
    source_id: str

    @property
    def shown(self) -> str:
        """As users write it: ``CRM:1001``."""
        return f"{self.source}:{self.source_id}"


@dataclass(frozen=True)
class RecordEvidence:
    """What a set of weighed evidence says of a record."""

    weighed: int
    """Records that weighed evidence makes one customer have the same number."""
    via_ordinal: int | None
    """Of the record it is linked through; None for the kept one."""
    weight: float | None
    """Of that link, in bits; None where weighed evidence does not make the two one customer."""
    parts: str | None


@dataclass(frozen=True)
class GroupRecord:
    """A row of ``records.parquet``."""

    position: int
    """In the file, from 0."""
    ordinal: int
    """Order of appearance in the batch."""
    name: RecordName
    is_kept: bool
    values: Mapping[str, str | None]
    """Field -> value, as normalised."""
    via: RecordName | None
    """The record it is linked through, as published; None for the kept one."""
    rules: tuple[str, ...]
    """Those that link it with that record, as published."""
    key: str = ""
    """By which the register and decisions know it."""
    phone_key: str | None = None
    """The phone as it is compared, where that is not the one shown."""
    evidence: RecordEvidence | None = None
    """None in a set of the literal rule."""

    @property
    def rank(self) -> tuple[int, int]:
        """The record with the smallest is kept: fewest missing fields, then order of appearance."""
        return sum(value is None for value in self.values.values()), self.ordinal


def compared_values(record: GroupRecord) -> dict[str, str]:
    """Rule -> the text by which it compares the record, the strongest rule first; what is missing is left out.

    Source: docs/specification.md section 5; the rules are those of ``pipeline.matching.literal``
    """
    name, email = record.values["full_name"], record.values["email"]
    found = {
        "id": record.key if record.key.startswith(f"{record.name.source} id:") else None,
        "email": email and email_key(email),
        "phone": record.phone_key or record.values["phone"],
        "name": name and name_key(name),
    }
    return {rule: text for rule, text in found.items() if text}


def records_of_customer(sets: CustomerSets, of: CustomerSet, unified_id: str, most: int) -> list[GroupRecord]:
    """The first ``most`` records of a customer, in order of appearance."""
    sql = _OF_WEIGHED if is_weighed(of) else _OF_CUSTOMER
    return [record_of(row) for row in sets.rows(sql, sets.records(of), unified_id, most)]


def is_weighed(of: CustomerSet) -> bool:
    """Whether weighed evidence made the customers of the set."""
    return of.shown.is_weighed


def is_explained(sets: CustomerSets, of: CustomerSet) -> bool:
    """Whether the set says how phones are compared and what evidence weighs; those of older programs do not."""
    path, needed = sets.records(of), "parts" if is_weighed(of) else "phone_key"
    return sets.figure(of, "is explained", lambda: bool(sets.rows(_HAS_COLUMN, path, needed)[0][0]))


def record_of(row: Sequence[Any]) -> GroupRecord:
    """The record in a row of ``COLUMNS``; the keys may follow, then the columns of weighed evidence."""
    cells = dict(zip(_NAMES, row, strict=False))
    via_source, rules = cells["via_source"], cells["rules"]
    return GroupRecord(
        position=cells["file_row_number"],
        ordinal=cells["ordinal"],
        name=RecordName(source=cells["source"], source_id=cells["source_id"]),
        is_kept=cells["is_kept"],
        values={field: _as_text(cells[field]) for field in FIELDS},
        via=None if via_source is None else RecordName(source=via_source, source_id=cells["via_id"]),
        rules=tuple(rules.split("+")) if rules else (),
        key=cells.get("record_key", ""),
        phone_key=cells.get("phone_key"),
        evidence=_evidence_of(cells) if "weighed" in cells else None,
    )


def _evidence_of(cells: Mapping[str, Any]) -> RecordEvidence:
    return RecordEvidence(
        weighed=cells["weighed"], via_ordinal=cells["via_ordinal"], weight=cells["weight"], parts=cells["parts"]
    )


def _as_text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
