"""The cost of the literal rule, in clear: the values and groups by which it may have merged too much.

The worst of each kind, for a person to look at; ``quality_report.json`` has the counts.
"""

from __future__ import annotations

from service.engine.contract import Table
from service.model import MISSING
from service.pipeline.difference import JOINED, PARTED, Difference
from service.pipeline.fields.phone import RAW
from service.pipeline.matched import Matched

LITERAL_COST = ("kind", "value", "records", "distinct_names", "unified_ids")
SAFE_CUSTOMERS = "safe_customers"
"""The last column where matchers are compared: how many customers ``safe`` makes of these records."""
MOST_OF_A_KIND = 1000
"""So many values of each kind are listed."""

_KEYS = {
    "email": ("email", "records.email"),
    "phone": ("phone", "records.phone"),
    "unreadable_phone": ("phone", f"substr(records.phone_key, {len(RAW) + 1})"),
    "name_alone": ("name", "records.full_name"),
    "id_alone": ("id", "records.source_id"),
}
"""Kind -> the column of KEYS, and the value as it is shown."""
_RECORDS_WITH = """
    select this.kind, this.key, {shown} as shown, records.ordinal, records.name_key, placed.unified_id
    from this
    join keys on keys.{column} = this.key
    join records on records.ordinal = keys.ordinal
    join placed on placed.ordinal = records.ordinal
    where this.kind = '{kind}'
"""
_RECORDS_OF_GROUPS = """
    select this.kind, this.key, survivors.full_name as shown, records.ordinal, records.name_key, placed.unified_id
    from this
    join {table} as grouped on grouped.{group} = this.key
    join records on records.ordinal = grouped.ordinal
    join placed on placed.ordinal = records.ordinal
    join survivors on survivors.group_id = grouped.group_id
    where this.kind = '{kind}'
"""
_NONE = "select '' as kind, 0 as key, '' as shown, 0 as ordinal, '' as name_key, '' as unified_id where false"
_WITH_SAFE = "select found.*, compared.safe_id from ({}) as found join compared on compared.ordinal = found.ordinal"
_RANKED = f"""
    select kind, value, records, distinct_names, unified_ids, {{more}}rank_in_kind
    from (
        select *, row_number() over (
            partition by kind order by records desc, value, unified_ids, first_ordinal
        ) as rank_in_kind
        from (
            select kind, coalesce(arg_min(shown, ordinal), '{MISSING}') as value, count(*) as records,
                count(distinct name_key) as distinct_names, string_agg(distinct unified_id, ',' order by unified_id)
                    as unified_ids, {{counted}}min(ordinal) as first_ordinal
            from ({{of_each_kind}}) group by kind, key
        )
    )
    where rank_in_kind <= {MOST_OF_A_KIND}
"""


def literal_cost(suspicious: Table, matched: Matched, placed: Table, compared: Difference | None) -> Table:
    """The columns of ``cost_columns``, and ``rank_in_kind``: from 1, the largest value or group of a kind first.

    In:     suspicious kind · key, see ``quality.suspicious_values``
            placed     ordinal · customer · unified_id
    Source: docs/specification.md section 7
    """
    if compared:
        suspicious = suspicious.derive(
            "select kind, key from this union all select kind, key from differing", differing=compared.differing
        )
    kinds = [kind for (kind,) in suspicious.rows("select distinct kind from this order by kind")]
    of_each_kind = " union all ".join(map(_records_of, kinds)) or _NONE
    ranked = _RANKED.format(more="", counted="", of_each_kind=of_each_kind)
    if compared:
        ranked = _RANKED.format(
            more=f"{SAFE_CUSTOMERS}, ",
            counted=f"count(distinct safe_id) as {SAFE_CUSTOMERS}, ",
            of_each_kind=_WITH_SAFE.format(of_each_kind),
        )
    return suspicious.derive(
        ranked,
        records=matched.records,
        keys=matched.keys,
        groups=matched.groups,
        survivors=matched.survivors,
        placed=placed,
        **({"compared": compared.groups} if compared else {}),
    )


def cost_columns(compared: Difference | None) -> tuple[str, ...]:
    """The columns of ``literal_cost.csv``."""
    return (*LITERAL_COST, SAFE_CUSTOMERS) if compared else LITERAL_COST


def _records_of(kind: str) -> str:
    """SQL: the records with the values of a kind, or of its groups."""
    if kind == JOINED:
        return _RECORDS_OF_GROUPS.format(kind=kind, table="compared", group="safe_id")
    if kind in ("large_group", PARTED):
        return _RECORDS_OF_GROUPS.format(kind=kind, table="groups", group="group_id")
    column, shown = _KEYS[kind]
    return _RECORDS_WITH.format(kind=kind, column=column, shown=shown)
