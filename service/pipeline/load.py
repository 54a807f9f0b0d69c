"""Load: write the published files of a batch into its staging folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.engine.contract import Table, sql_text
from service.model import MISSING, Rules
from service.pipeline.formulas import FORMULA

MASTER = ("unified_id", "full_name", "email", "phone", "signup_date", "source_system", "status")
DUPLICATES = ("kept_id", "removed_ids", "match_reason", "removed_sources")
CROSSWALK = ("unified_id", "source_system", "source_id")
MATCH_EVIDENCE = ("unified_id", "removed_source", "removed_id", "via_source", "via_id", "rules")
REJECTS = ("source_system", "row_number", "code", '"column"', "explanation")
CUSTOMER_ORDERS = ("unified_id", "orders_count")
ID_CHANGES = ("unified_id", "change", "from_ids", "to_ids", "reason")

# A quote of ours before a formula is escaped, too, so that reading removes exactly one.
_ESCAPED = rf"""
    case when regexp_matches($cell, {sql_text(f"^'*{FORMULA}")}) then '''' || $cell else $cell end
"""
_MASTER = """
    select
        customers.customer, customers.unified_id,
        {full_name} as full_name, {email} as email, {phone} as phone, {signup_date} as signup_date,
        this.source_system, {status} as status
    from this join customers using (group_id)
"""
# An id that stands in more than one source of the batch is written with its source.
_REMOVED = """
    with
    ambiguous as (
        select source_id from records group by source_id having count(distinct source) > 1
    )
    select
        customers.customer, customers.unified_id, this.*,
        removed.source as removed_source, removed.source_id as removed_id,
        via.source as via_source, via.source_id as via_id,
        {removed_shown} as removed_shown, {via_shown} as via_shown, {kept_shown} as kept_shown,
        concat_ws('+', case when by_id then 'id' end, case when by_email then 'email' end,
                       case when by_phone then 'phone' end, case when by_name then 'name' end) as rules
    from this
    join customers using (group_id)
    join records as removed on removed.ordinal = this.ordinal
    join records as via on via.ordinal = this.via
    join records as kept on kept.ordinal = this.kept
"""
_SHOWN = "case when {0}.source_id in (from ambiguous) then {0}.source || ':' else '' end || {0}.source_id"
_DUPLICATES = """
    select
        customer,
        any_value(unified_id) as kept_id,
        {removed_ids} as removed_ids,
        concat_ws('+', case when bool_or(by_id) then 'id' end, case when bool_or(by_email) then 'email' end,
                       case when bool_or(by_phone) then 'phone' end, case when bool_or(by_name) then 'name' end)
            as match_reason,
        concat_ws('+', {flags}) as removed_sources
    from this group by customer
"""
_MERGE_LINES = """
    select customer, ordinal,
        '{prefix}Record ' || removed_shown || ' merged with ' || kept_shown || ' (duplicate '
        || case when by_id then 'id' when by_email then 'email' when by_phone then 'phone' else 'name' end
        || case when via <> kept then ' via ' || via_shown else '' end || ')' as line
    from this
"""
_CROSSWALK = """
    select this.ordinal, customers.unified_id, this.source as source_system, this.source_id
    from this join groups using (ordinal) join customers using (group_id)
"""
# A row that a source repeats tells of the same orders again.
_ORDERS = """
    select customer, any_value(unified_id) as unified_id, sum(orders_count) as orders_count
    from (
        select customers.customer, customers.unified_id, source, source_id, max(orders_count) as orders_count
        from this join groups using (ordinal) join customers using (group_id)
        where orders_count >= 0
        group by customers.customer, customers.unified_id, source, source_id
    )
    group by customer
"""


@dataclass(frozen=True)
class Results:
    """The tables a batch ends with.

    records RECORD · groups ordinal, group_id · survivors GOLDEN · evidence EVIDENCE ·
    customers group_id, customer, unified_id · changes, rejects as extract and register made them
    """

    records: Table
    groups: Table
    survivors: Table
    evidence: Table
    customers: Table
    changes: Table
    rejects: Table


def load(results: Results, quality: dict[str, Any], rules: Rules, folder: Path) -> Table:
    """Write the files of a set but for its logs and manifest.

    Out:    the removed records with what is shown of them, for ``write_merge_lines``
    Source: CONTRACT section 7; rows are ordered by the number of the unified id
    """
    removed = results.evidence.derive(_removed_sql(), records=results.records, customers=results.customers)
    _write_for_people(results, removed, rules, folder)
    _write_for_machines(results, removed, folder)
    (folder / "quality_report.json").write_text(
        json.dumps(quality, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return removed


def write_merge_lines(removed: Table, prefix: str, path: Path) -> None:
    """One line per removed record, for the text log."""
    removed.derive(_MERGE_LINES.format(prefix=prefix)).write_lines(path, "line", "customer, ordinal")


def _write_for_people(results: Results, removed: Table, rules: Rules, folder: Path) -> None:
    def escaped(cell: str) -> str:
        return _ESCAPED.replace("$cell", cell) if rules.formula_escape else cell

    cells = {field: escaped(f"coalesce(this.{field}, '{MISSING}')") for field in MASTER[1:5] + MASTER[6:]}
    master = results.survivors.derive(_MASTER.format(**cells), customers=results.customers)
    master.write_csv(folder / "customer_master.csv", MASTER, "customer", bom=rules.csv_bom)
    duplicates = removed.derive(
        _DUPLICATES.format(
            removed_ids=escaped("string_agg(removed_shown, ',' order by ordinal)"),
            flags=", ".join(
                f"case when bool_or(removed_source = '{s.name}') then '{s.name}' end" for s in rules.sources
            ),
        )
    )
    duplicates.write_csv(folder / "duplicate_report.csv", DUPLICATES, "customer", bom=rules.csv_bom)


def _write_for_machines(results: Results, removed: Table, folder: Path) -> None:
    crosswalk = results.records.derive(_CROSSWALK, groups=results.groups, customers=results.customers)
    orders = results.records.derive(_ORDERS, groups=results.groups, customers=results.customers)
    for table, name, columns, order in (
        (orders, "customer_orders.csv", CUSTOMER_ORDERS, "customer"),
        (crosswalk, "crosswalk.csv", CROSSWALK, "ordinal"),
        (removed, "match_evidence.csv", MATCH_EVIDENCE, "customer, ordinal"),
        (results.rejects, "rejects.csv", REJECTS, "source_system, row_number::bigint"),
        (results.changes, "id_changes.csv", ID_CHANGES, "number, change"),
    ):
        table.write_csv(folder / name, columns, order)


def _removed_sql() -> str:
    shown: Sequence[str] = [_SHOWN.format(alias) for alias in ("removed", "via", "kept")]
    return _REMOVED.format(removed_shown=shown[0], via_shown=shown[1], kept_shown=shown[2])
