"""A customer of a published master, as a row of ``customer_master.parquet``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from service.engine.contract import PARQUET
from service.masters.customer_sets import CustomerSet, CustomerSets

COLUMNS = (
    "unified_id, full_name, email, phone, signup_date, source_system, status, record_count, match_reason, "
    "file_row_number"
)


class CustomerRow(Struct, frozen=True, kw_only=True):
    """A customer of the master, as published; null where a value is missing."""

    unified_id: str
    full_name: str | None
    email: str | None
    phone: str | None
    signup_date: str | None
    sources: tuple[str, ...]
    status: str | None
    records: int
    match_reason: str | None


def customer_row(sets: CustomerSets, of: CustomerSet, unified_id: str) -> CustomerRow | None:
    """One customer; None where the master does not have the id."""
    found = sets.rows(f"select {COLUMNS} from {PARQUET} where unified_id = ?", sets.master(of), unified_id)
    return row_of(found[0]) if found else None


def row_of(row: Sequence[Any]) -> CustomerRow:
    """The customer in a row of ``COLUMNS``."""
    unified_id, full_name, email, phone, signup_date, sources, status, records, match_reason = row[:9]
    return CustomerRow(
        unified_id=unified_id,
        full_name=full_name,
        email=email,
        phone=phone,
        signup_date=signup_date and signup_date.isoformat(),
        sources=tuple(sources),
        status=status,
        records=records,
        match_reason=match_reason,
    )
