"""Parquet: the master and every input record with their types, for warehouses, the dashboard and ``explain``.

Nothing is escaped, and a missing value is null. Rows are ordered by the number of the unified id.
"""

from __future__ import annotations

from pathlib import Path

from service.engine.contract import Table
from service.pipeline.fields.phone import other_phone_key_sql

MASTER_FILE, RECORDS_FILE = "customer_master.parquet", "records.parquet"

MASTER = (
    *("unified_id", "full_name", "email", "phone", "signup_date", "source_system", "status"),
    *("record_count", "match_reason"),
)
RECORDS = (
    *("ordinal", "source", "source_id", "record_key", "unified_id", "is_kept"),
    *("full_name", "email", "phone", "signup_date", "status", "via_source", "via_id", "rules"),
    *("via_ordinal", "phone_key", "status_stated"),
)
WEIGHED = ("weighed", "weight", "parts")
"""The last columns of the records where evidence was weighed."""

_MASTER = """
    select * replace (
        signup_date::date as signup_date, string_split(source_system, '+') as source_system,
        record_count::int as record_count
    )
    from this
"""
# Apart from the records: joins of one statement have their hash tables in memory at the same time.
_PLACED_AND_REMOVED = """
    select this.*, removed.ordinal as removed_ordinal, removed.via_source, removed.via_id, removed.rules,
        removed.via_ordinal
    from this left join removed using (ordinal)
"""
_WITH_WEIGHTS = """
    select this.*, weights.weighed, weights.weight::double as weight, weights.parts
    from this join weights using (ordinal)
"""
_RECORDS = """
    select
        fates.customer, this.ordinal, this.source, this.source_id, this.record_key, fates.unified_id,
        fates.removed_ordinal is null as is_kept,
        this.full_name, this.email, this.phone, this.signup_date::date as signup_date, this.status,
        fates.via_source, fates.via_id, fates.rules, fates.via_ordinal,
        {phone_key} as phone_key, this.status_stated{weighed}
    from this join fates using (ordinal)
"""


def write_master(master: Table, path: Path) -> None:
    """Write ``MASTER``, one row per customer; ``master`` has the columns, and ``customer``."""
    master.write_parquet(path, "customer", MASTER, _MASTER)


def fates_of(placed: Table, removed: Table, weights: Table | None) -> Table:
    """What became of each record.

    In:     placed     ordinal · customer · unified_id
            removed    ordinal · via_source · via_id · rules · via_ordinal    one row per removed record
            weights    LINK_WEIGHT, if evidence was weighed
    """
    fates = placed.derive(_PLACED_AND_REMOVED, removed=removed)
    if weights is None:
        return fates
    found = fates.derive(_WITH_WEIGHTS, weights=weights)
    fates.release()
    return found


def write_records(records: Table, fates: Table, region: str, path: Path, *, is_weighed: bool) -> None:
    """Write ``RECORDS``, one row per input record, with the values of its row as they were normalised.

    ``via_source``, ``via_id`` and ``rules`` are those of ``match_evidence.csv``; null in kept records, as is
    ``via_ordinal``. ``phone_key`` is null where the phone is compared as it is printed; ``region`` is the one whose
    calling code is left out there. Where evidence was weighed ``WEIGHED`` follows.

    In:     records    RECORD
            fates      see ``fates_of``
    """
    more = WEIGHED if is_weighed else ()
    sql = _RECORDS.format(
        phone_key=other_phone_key_sql(region), weighed="".join(f", fates.{column}" for column in more)
    )
    records.write_parquet(path, "customer, ordinal", (*RECORDS, *more), sql, fates=fates)
