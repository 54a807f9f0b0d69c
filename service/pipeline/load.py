"""Load: write the published files of a batch into its staging folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.engine.contract import Table
from service.model import MISSING, Rules
from service.pipeline.evidence import rules_text, strongest_rule
from service.pipeline.formulas import escaped_sql
from service.pipeline.literal_cost import LITERAL_COST, literal_cost
from service.pipeline.matched import Matched
from service.pipeline.matching import Matcher
from service.pipeline.parquet import MASTER_FILE, RECORDS_FILE, write_master, write_records
from service.pipeline.rejects import write_rejects

MASTER = ("unified_id", "full_name", "email", "phone", "signup_date", "source_system", "status")
DUPLICATES = ("kept_id", "removed_ids", "match_reason", "removed_sources")
CROSSWALK = ("unified_id", "source_system", "source_id", "record_key")
MATCH_EVIDENCE = ("unified_id", "removed_source", "removed_id", "via_source", "via_id", "rules")
CUSTOMER_ORDERS = ("unified_id", "orders_count")
REGISTER_CUSTOMERS = ("number", "state", "merged_into")
ID_CHANGES = ("unified_id", "change", "from_ids", "to_ids", "reason")

_MASTER = """
    select
        customers.customer, customers.unified_id,
        {full_name} as full_name, {email} as email, {phone} as phone, {signup_date} as signup_date,
        this.source_system, {status} as status
    from this join customers using (group_id)
"""
# One row for each removed record; an id that occurs in more than one source of the batch is shown with its source.
_REMOVED = """
    with
    ambiguous as (
        select source_id from records group by source_id having count(distinct source) > 1
    ),
    reasons as (select *, {rules} as rules, {rule} as rule from this)
    select
        customers.customer, customers.unified_id, reasons.ordinal, reasons.rules, reasons.rule, {is_linked_by},
        reasons.via <> survivors.kept as is_indirect,
        removed.source as removed_source, removed.source_id as removed_id,
        via.source as via_source, via.source_id as via_id,
        {removed_shown} as removed_shown, {via_shown} as via_shown, {kept_shown} as kept_shown
    from reasons
    join groups on groups.ordinal = reasons.ordinal
    join survivors on survivors.group_id = groups.group_id
    join customers on customers.group_id = groups.group_id
    join records as removed on removed.ordinal = reasons.ordinal
    join records as via on via.ordinal = reasons.via
    join records as kept on kept.ordinal = survivors.kept
"""
_SHOWN = "case when {0}.source_id in (from ambiguous) then {0}.source || ':' else '' end || {0}.source_id"
_DUPLICATES = """
    select
        customer,
        any_value(unified_id) as kept_id,
        {removed_ids} as removed_ids,
        {match_reason} as match_reason,
        count(*) + 1 as record_count,
        concat_ws('+', {flags}) as removed_sources
    from this
    group by customer
"""
_MERGE_LINES = """
    select customer, ordinal,
        '{prefix}Record ' || removed_shown || ' merged with ' || kept_shown || ' (duplicate ' || rule
        || case when is_indirect then ' via ' || via_shown else '' end || ')' as line
    from this
"""
_CROSSWALK = """
    select this.ordinal, customers.unified_id, this.source as source_system, this.source_id,
        this.record_key
    from this join groups using (ordinal) join customers using (group_id)
"""
# A row that a source repeats holds the same orders again.
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
    """The tables from which a set is written.

    customers  group_id · customer · unified_id
    changes    see ``register.Identified``
    register_customers  customer · state · merged_into    every customer so far
    rejects    REJECT
    suspicious kind · key, see ``quality.suspicious_values``
    """

    matched: Matched
    customers: Table
    changes: Table
    register_customers: Table
    rejects: Table
    suspicious: Table


def load(results: Results, quality: dict[str, Any], rules: Rules, folder: Path) -> Table:
    """Write the files of a set, except its logs and its manifest.

    Out:    one row per removed record, for ``write_merge_lines``
    Source: docs/specification.md section 7; rows are ordered by the number of the unified id
    """
    matched = results.matched
    removed = matched.evidence.derive(
        _removed_sql(matched.matcher),
        records=matched.records,
        groups=matched.groups,
        survivors=matched.survivors,
        customers=results.customers,
    )
    duplicates = _write_for_people(results, removed, rules, folder)
    _write_for_machines(results, removed, folder)
    _write_typed(results, removed, duplicates, folder)
    duplicates.release()
    (folder / "quality_report.json").write_text(
        json.dumps(quality, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return removed


def write_merge_lines(removed: Table, prefix: str, path: Path) -> None:
    """Write one line per removed record, for the text log."""
    lines = removed.derive(_MERGE_LINES.format(prefix=prefix))
    lines.write_lines(path, "line", "customer, ordinal")
    lines.release()


def _write_for_people(results: Results, removed: Table, rules: Rules, folder: Path) -> Table:
    """Returns: customer · record_count · match_reason, … of the customers with more than one record."""

    def escaped(cell: str) -> str:
        return escaped_sql(cell) if rules.formula_escape else cell

    cells = {field: escaped(f"coalesce(this.{field}, '{MISSING}')") for field in MASTER[1:5] + MASTER[6:]}
    master = results.matched.survivors.derive(_MASTER.format(**cells), customers=results.customers)
    master.write_csv(folder / "customer_master.csv", MASTER, "customer", bom=rules.csv_bom)
    master.release()
    duplicates = removed.derive(
        _DUPLICATES.format(
            removed_ids=escaped("string_agg(removed_shown, ',' order by ordinal)"),
            flags=", ".join(
                f"case when bool_or(removed_source = '{s.name}') then '{s.name}' end" for s in rules.sources
            ),
            match_reason=rules_text(results.matched.matcher, "bool_or(by_{})"),
        )
    )
    duplicates.write_csv(folder / "duplicate_report.csv", DUPLICATES, "customer", bom=rules.csv_bom)
    return duplicates


def _write_for_machines(results: Results, removed: Table, folder: Path) -> None:
    records, groups = results.matched.records, results.matched.groups
    crosswalk = records.derive(_CROSSWALK, groups=groups, customers=results.customers)
    orders = records.derive(_ORDERS, groups=groups, customers=results.customers)
    registered = results.register_customers.derive("select customer as number, state, merged_into from this")
    for table, name, columns, order in (
        (orders, "customer_orders.csv", CUSTOMER_ORDERS, "customer"),
        (crosswalk, "crosswalk.csv", CROSSWALK, "ordinal"),
        (removed, "match_evidence.csv", MATCH_EVIDENCE, "customer, ordinal"),
        (results.changes, "id_changes.csv", ID_CHANGES, "number, change"),
        (registered, "register_customers.csv", REGISTER_CUSTOMERS, "number"),
        (
            literal_cost(results.suspicious, results.matched, results.customers),
            "literal_cost.csv",
            LITERAL_COST,
            "kind, rank_in_kind",
        ),
    ):
        table.write_csv(folder / name, columns, order)
    write_rejects(results.rejects, folder)


def _write_typed(results: Results, removed: Table, duplicates: Table, folder: Path) -> None:
    matched = results.matched
    write_master(matched.survivors, results.customers, duplicates, folder / MASTER_FILE)
    write_records(matched.records, matched.groups, results.customers, removed, folder / RECORDS_FILE)


def _removed_sql(matcher: Matcher) -> str:
    return _REMOVED.format(
        rules=rules_text(matcher),
        rule=strongest_rule(matcher),
        is_linked_by=", ".join(f"by_{rule}" for rule in matcher.rules),
        **{f"{alias}_shown": _SHOWN.format(alias) for alias in ("removed", "via", "kept")},
    )
