"""The two records of a question side by side: their values, which of them are the same, and their customers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from msgspec import Struct

from service.decisions import DecidedRecord
from service.engine.contract import PARQUET
from service.explanation.likeness import likeness
from service.explanation.records import (
    COLUMNS,
    FIELDS,
    RULE_OF_FIELD,
    GroupRecord,
    RecordName,
    compared_values,
    record_of,
)
from service.masters.customer_row import customer_row
from service.masters.customer_sets import CustomerSet, CustomerSets

_RECORDS = f"""
    select {COLUMNS}, record_key, phone_key, unified_id from {PARQUET}
    where file_row_number in (select unnest(?::bigint[]))
"""
_KEYS = f"""
    select file_row_number, record_key, source, source_id from {PARQUET}
    where file_row_number in (select unnest(?::bigint[]))
"""
_ALIKE = frozenset(RULE_OF_FIELD)

Relation = Literal["same", "different", "missing"]


class ReviewedRecord(Struct, frozen=True, kw_only=True):
    """A record that is asked about, and the customer that it belongs to."""

    name: RecordName
    unified_id: str
    records: int
    """Of its customer."""
    values: dict[str, str | None]
    """Field -> value, as normalised."""


class ComparedField(Struct, frozen=True, kw_only=True):
    """The values of both records in one field."""

    field: str
    left: str | None
    right: str | None
    relation: Relation
    likeness: str = ""
    """In words, how far two different values are alike."""


class ReviewedPair(Struct, frozen=True, kw_only=True):
    """Both records of a question."""

    left: ReviewedRecord
    right: ReviewedRecord
    fields: tuple[ComparedField, ...]


def pair_at(sets: CustomerSets, of: CustomerSet, positions: Sequence[int]) -> ReviewedPair:
    """The two records at these positions of ``records.parquet``. Raises: ChangedSet, OSError."""
    rows = _rows_at(sets, of, positions)
    (left, left_of), (right, right_of) = (rows[it] for it in positions)
    return ReviewedPair(
        left=_reviewed(sets, of, left, left_of),
        right=_reviewed(sets, of, right, right_of),
        fields=tuple(_compared(field, left, right) for field in FIELDS),
    )


def values_at(sets: CustomerSets, of: CustomerSet, positions: Iterable[int]) -> dict[int, dict[str, str | None]]:
    """Position -> the values of the record there."""
    return {position: dict(record.values) for position, (record, _) in _rows_at(sets, of, positions).items()}


def decided_records(sets: CustomerSets, of: CustomerSet, positions: Iterable[int]) -> dict[int, DecidedRecord]:
    """Position -> the record there, as decisions know it."""
    rows: list[Any] = sets.rows(_KEYS, sets.records(of), sorted(set(positions)))
    return {position: DecidedRecord(*names) for position, *names in rows}


def _rows_at(sets: CustomerSets, of: CustomerSet, positions: Iterable[int]) -> dict[int, tuple[GroupRecord, str]]:
    """Position -> the record there, and the unified id of its customer."""
    rows: list[Any] = sets.rows(_RECORDS, sets.records(of), sorted(set(positions)))
    found = ((record_of(row[:-1]), str(row[-1])) for row in rows)
    return {record.position: (record, unified_id) for record, unified_id in found}


def _reviewed(sets: CustomerSets, of: CustomerSet, record: GroupRecord, unified_id: str) -> ReviewedRecord:
    customer = customer_row(sets, of, unified_id)
    return ReviewedRecord(
        name=record.name,
        unified_id=unified_id,
        records=customer.records if customer else 1,
        values=dict(record.values),
    )


def _compared(field: str, left: GroupRecord, right: GroupRecord) -> ComparedField:
    one, other = left.values[field], right.values[field]
    rule = RULE_OF_FIELD.get(field, "")
    keys = {compared_values(it).get(rule, "") for it in (left, right)}
    if one is None or other is None:
        return ComparedField(field=field, left=one, right=other, relation="missing")
    if one.casefold() == other.casefold() or (len(keys) == 1 and keys != {""}):
        return ComparedField(field=field, left=one, right=other, relation="same")
    alike = likeness(field, one, other) if field in _ALIKE else ""
    return ComparedField(field=field, left=one, right=other, relation="different", likeness=alike)
