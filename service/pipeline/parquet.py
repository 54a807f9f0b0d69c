"""Parquet: the master and every input record with their types, for warehouses, the dashboard and ``explain``.

Nothing is escaped, and a missing value is null. Rows are ordered by the number of the unified id.
"""

from __future__ import annotations

from pathlib import Path

from service.engine.contract import Table

MASTER_FILE, RECORDS_FILE = "customer_master.parquet", "records.parquet"

MASTER = (
    *("unified_id", "full_name", "email", "phone", "signup_date", "source_system", "status"),
    *("record_count", "match_reason"),
)
RECORDS = (
    *("ordinal", "source", "source_id", "record_key", "unified_id", "is_kept"),
    *("full_name", "email", "phone", "signup_date", "status", "via_source", "via_id", "rules"),
)

_MASTER = """
    select
        customers.customer, customers.unified_id, this.full_name, this.email, this.phone,
        this.signup_date::date as signup_date, string_split(this.source_system, '+') as source_system, this.status,
        coalesce(duplicates.record_count, 1)::int as record_count, duplicates.match_reason
    from this
    join customers using (group_id)
    left join duplicates using (customer)
"""
_RECORDS = """
    select
        customers.customer, this.ordinal, this.source, this.source_id, this.record_key, customers.unified_id,
        removed.ordinal is null as is_kept,
        this.full_name, this.email, this.phone, this.signup_date::date as signup_date, this.status,
        removed.via_source, removed.via_id, removed.rules
    from this
    join groups using (ordinal)
    join customers using (group_id)
    left join removed using (ordinal)
"""


def write_master(survivors: Table, customers: Table, duplicates: Table, path: Path) -> None:
    """Write ``MASTER``, one row per customer.

    In:     survivors  GOLDEN
            customers  group_id · customer · unified_id
            duplicates customer · record_count · match_reason    customers of more than one record
    """
    survivors.write_parquet(path, "customer", MASTER, _MASTER, customers=customers, duplicates=duplicates)


def write_records(records: Table, groups: Table, customers: Table, removed: Table, path: Path) -> None:
    """Write ``RECORDS``, one row per input record, with the values of its row as they were normalised.

    ``via_source``, ``via_id`` and ``rules`` are those of ``match_evidence.csv``; null in kept records.

    In:     records    RECORD
            groups     ordinal · group_id
            customers  group_id · customer · unified_id
            removed    ordinal · via_source · via_id · rules    one row per removed record
    """
    tables = {"groups": groups, "customers": customers, "removed": removed}
    records.write_parquet(path, "customer, ordinal", RECORDS, _RECORDS, **tables)
