"""Load: write the published files of a batch into its staging folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.decisions.decision_file import DECISIONS_FILE, csv_of
from service.engine.contract import Table
from service.folders import REVIEW_QUEUE_FILE
from service.model import MISSING, Rules
from service.pipeline.difference import Difference
from service.pipeline.evidence import rules_text, strongest_rule
from service.pipeline.formulas import escaped_sql
from service.pipeline.literal_cost import cost_columns, literal_cost
from service.pipeline.matched import Matched
from service.pipeline.matching import Matcher
from service.pipeline.matching.decided import DECISION
from service.pipeline.matching.grouping import Followed
from service.pipeline.matching.weighed import WEIGHED
from service.pipeline.parquet import MASTER_FILE, RECORDS_FILE, fates_of, write_master, write_records
from service.pipeline.rejects import write_rejects

MASTER = ("unified_id", "full_name", "email", "phone", "signup_date", "source_system", "status")
DUPLICATES = ("kept_id", "removed_ids", "match_reason", "removed_sources")
CROSSWALK = ("unified_id", "source_system", "source_id", "record_key")
MATCH_EVIDENCE = ("unified_id", "removed_source", "removed_id", "via_source", "via_id", "rules")
WEIGHTS = ("weight", "parts")
"""The last columns of ``match_evidence.csv`` where evidence was weighed."""
CUSTOMER_ORDERS = ("unified_id", "orders_count")
REVIEW_QUEUE = ("left_source", "left_id", "right_source", "right_id", "weight", "evidence", "against")
REGISTER_CUSTOMERS = ("number", "state", "merged_into")
REGISTER_ALIASES = ("number", "record_key")
ID_CHANGES = ("unified_id", "change", "from_ids", "to_ids", "reason")

# The group of each record: its kept record and its customer.
_PLACED = """
    select this.ordinal, survivors.kept, customers.customer, customers.unified_id
    from this join survivors using (group_id) join customers using (group_id)
"""
# One row for each removed record; an id that occurs in more than one source of the batch is shown with its source.
_REMOVED = """
    with
    ambiguous as (
        select source_id from records semi join records as others
            on records.source_id = others.source_id and records.source <> others.source
    ),
    reasons as (
        select
            placed.customer, placed.unified_id, this.ordinal, {rules} as rules, {rule} as rule, {is_linked_by},
            this.via <> placed.kept as is_indirect, this.via as via_ordinal,
            removed.source as removed_source, removed.source_id as removed_id,
            via.source as via_source, via.source_id as via_id,
            kept.source as kept_source, kept.source_id as kept_id
        from this
        join placed on placed.ordinal = this.ordinal
        join records as removed on removed.ordinal = this.ordinal
        join records as via on via.ordinal = this.via
        join records as kept on kept.ordinal = placed.kept
    )
    select *, {removed_shown} as removed_shown, {via_shown} as via_shown, {kept_shown} as kept_shown from reasons
"""
_WITH_WEIGHTS = """
    select this.*, weights.weight, weights.parts from this left join weights using (ordinal)
"""
_SHOWN = "case when {0}_id in (from ambiguous) then {0}_source || ':' else '' end || {0}_id"
_DUPLICATES = """
    select
        customer,
        any_value(unified_id) as kept_id,
        array_to_string(list(removed_shown order by ordinal), ',') as removed_ids,
        {match_reason} as match_reason,
        count(*) + 1 as record_count,
        concat_ws('+', {flags}) as removed_sources
    from this
    group by customer
"""
# The master with its types; the files of it are written in its order.
_MASTER = """
    select
        customers.customer, customers.unified_id, this.full_name, this.email, this.phone, this.signup_date,
        this.source_system, this.status, coalesce(duplicates.record_count, 1) as record_count, duplicates.match_reason
    from this
    join customers using (group_id)
    left join duplicates using (customer)
"""
_MERGE_LINES = """
    select customer, ordinal,
        '{prefix}Record ' || removed_shown || ' merged with ' || kept_shown
        || ' (' || case when rule = '{decision}' then 'decided the same' when rule = '{weighed}' then 'weighed evidence'
            else 'duplicate ' || rule end
        || case when is_indirect then ' via ' || via_shown else '' end || ')' as line
    from this
"""
_CROSSWALK = """
    select ordinal, placed.unified_id, this.source as source_system, this.source_id, this.record_key
    from this join placed using (ordinal)
"""
# An id or a decision may have made the two one customer, whatever the evidence weighs.
_ASKED = """
    select this.rank, one_side.source as left_source, one_side.source_id as left_id, other_side.source as right_source,
        other_side.source_id as right_id, this.weight, this.evidence, this.against
    from this
    join records as one_side on one_side.ordinal = this.one
    join records as other_side on other_side.ordinal = this.other
    join placed as one_place on one_place.ordinal = this.one
    join placed as other_place on other_place.ordinal = this.other
    where one_place.customer <> other_place.customer
"""
# A row that a source repeats holds the same orders again.
_ORDERS = """
    select customer, any_value(unified_id) as unified_id, sum(orders_count) as orders_count
    from (
        select placed.customer, placed.unified_id, source, source_id, max(orders_count) as orders_count
        from this join placed using (ordinal)
        where orders_count >= 0
        group by placed.customer, placed.unified_id, source, source_id
    )
    group by customer
"""


@dataclass(frozen=True)
class Results:
    """The tables from which a set is written.

    customers  group_id · customer · unified_id
    changes    see ``register.Identified``
    register_customers  customer · state · merged_into    every customer so far
    register_aliases    alias · record_key                the records that each alias had when it was merged
    rejects    REJECT
    suspicious kind · key, see ``quality.suspicious_values``
    followed   the decisions of people
    questions  QUESTION, if the matcher asks any
    compared   what the matcher ``safe`` would make otherwise, if the user compares
    """

    matched: Matched
    customers: Table
    changes: Table
    register_customers: Table
    register_aliases: Table
    rejects: Table
    suspicious: Table
    followed: Followed
    questions: Table | None = None
    compared: Difference | None = None


def load(results: Results, quality: dict[str, Any], rules: Rules, folder: Path) -> Table:
    """Write the files of a set, except its logs and its manifest.

    In:     results    its evidence is released
    Out:    one row per removed record, for ``write_merge_lines``
    Source: docs/specification.md section 7; rows are ordered by the number of the unified id
    """
    matched, customers = results.matched, results.customers
    placed = matched.groups.derive(_PLACED, survivors=matched.survivors, customers=customers)
    removed = matched.evidence.derive(_removed_sql(matched.matcher), records=matched.records, placed=placed)
    matched.evidence.release()
    duplicates = removed.derive(_duplicates_sql(matched.matcher, rules))
    master = matched.survivors.sorted("customer", _MASTER, customers=customers, duplicates=duplicates)
    _write_for_people(master, duplicates, rules, folder)
    write_master(master, folder / MASTER_FILE)
    master.release()
    duplicates.release()
    _write_for_machines(results, placed, removed, folder)
    fates = fates_of(placed, removed, matched.weights)
    write_records(
        matched.records, fates, rules.default_region, folder / RECORDS_FILE, is_weighed=matched.weights is not None
    )
    for table in (placed, fates):
        table.release()
    (folder / "quality_report.json").write_text(
        json.dumps(quality, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return removed


def write_merge_lines(removed: Table, prefix: str, path: Path) -> None:
    """Write one line per removed record, for the text log."""
    removed.write_lines(
        path, "line", "customer, ordinal", _MERGE_LINES.format(prefix=prefix, decision=DECISION, weighed=WEIGHED)
    )


def _write_for_people(master: Table, duplicates: Table, rules: Rules, folder: Path) -> None:
    def escaped(**cells: str) -> str:
        shown = (f"{escaped_sql(sql) if rules.formula_escape else sql} as {cell}" for cell, sql in cells.items())
        return f"select * replace ({', '.join(shown)}) from this"

    filled = {cell: f"coalesce({cell}, '{MISSING}')" for cell in (*MASTER[1:5], "status")}
    in_order = "customer"
    master.write_csv(folder / "customer_master.csv", MASTER, in_order, escaped(**filled), bom=rules.csv_bom)
    duplicates.write_csv(
        folder / "duplicate_report.csv", DUPLICATES, in_order, escaped(removed_ids="removed_ids"), bom=rules.csv_bom
    )


def _write_for_machines(results: Results, placed: Table, removed: Table, folder: Path) -> None:
    records = results.matched.records
    orders = records.derive(_ORDERS, placed=placed)
    orders.write_csv(folder / "customer_orders.csv", CUSTOMER_ORDERS, "customer")
    orders.release()
    records.write_csv(folder / "crosswalk.csv", CROSSWALK, "ordinal", _CROSSWALK, placed=placed)
    _write_evidence(removed, results.matched.weights, folder / "match_evidence.csv")
    results.changes.write_csv(folder / "id_changes.csv", ID_CHANGES, "number, change")
    registered = "select customer as number, state, merged_into from this"
    results.register_customers.write_csv(folder / "register_customers.csv", REGISTER_CUSTOMERS, "number", registered)
    had = "select alias as number, record_key from this"
    results.register_aliases.write_csv(folder / "register_aliases.csv", REGISTER_ALIASES, "number, record_key", had)
    cost = literal_cost(results.suspicious, results.matched, placed, results.compared)
    cost.write_csv(folder / "literal_cost.csv", cost_columns(results.compared), "kind, rank_in_kind")
    cost.release()
    write_rejects(results.rejects, folder)
    if results.questions:
        results.questions.write_csv(
            folder / REVIEW_QUEUE_FILE, REVIEW_QUEUE, "rank", _ASKED, records=records, placed=placed
        )
    followed = results.followed
    (folder / DECISIONS_FILE).write_text(csv_of(followed.decisions, followed.outcomes), encoding="utf-8")


def _write_evidence(removed: Table, weights: Table | None, path: Path) -> None:
    in_order = "customer, ordinal"
    if weights:
        removed.write_csv(path, (*MATCH_EVIDENCE, *WEIGHTS), in_order, _WITH_WEIGHTS, weights=weights)
    else:
        removed.write_csv(path, MATCH_EVIDENCE, in_order)


def _duplicates_sql(matcher: Matcher, rules: Rules) -> str:
    has_source = (f"case when bool_or(removed_source = '{it.name}') then '{it.name}' end" for it in rules.sources)
    return _DUPLICATES.format(flags=", ".join(has_source), match_reason=rules_text(matcher, "bool_or(by_{})"))


def _removed_sql(matcher: Matcher) -> str:
    return _REMOVED.format(
        rules=rules_text(matcher),
        rule=strongest_rule(matcher),
        is_linked_by=", ".join(f"by_{rule}" for rule in matcher.rules),
        **{f"{alias}_shown": _SHOWN.format(alias) for alias in ("removed", "via", "kept")},
    )
