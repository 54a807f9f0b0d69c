"""The cost of the literal rule, in clear: the values and groups by which it may have merged too much.

The worst of each kind, for a person to look at; ``quality_report.json`` has the counts.
"""

from __future__ import annotations

from service.engine.contract import Table
from service.model import MISSING
from service.pipeline.fields.phone import RAW
from service.pipeline.matched import Matched

LITERAL_COST = ("kind", "value", "records", "distinct_names", "unified_ids")
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
    select this.kind, this.key, {shown} as shown, records.ordinal, records.name_key, placed.customer,
        placed.unified_id
    from this
    join keys on keys.{column} = this.key
    join records on records.ordinal = keys.ordinal
    join placed on placed.ordinal = records.ordinal
    where this.kind = '{kind}'
"""
_RECORDS_OF_GROUPS = """
    select this.kind, this.key, survivors.full_name as shown, records.ordinal, records.name_key, placed.customer,
        placed.unified_id
    from this
    join groups on groups.group_id = this.key
    join records on records.ordinal = groups.ordinal
    join placed on placed.ordinal = records.ordinal
    join survivors on survivors.group_id = groups.group_id
    where this.kind = 'large_group'
"""
_RANKED = f"""
    select kind, value, records, distinct_names, unified_ids, rank_in_kind
    from (
        select *, row_number() over (partition by kind order by records desc, value, unified_ids) as rank_in_kind
        from (
            select kind, coalesce(arg_min(shown, ordinal), '{MISSING}') as value, count(*) as records,
                count(distinct name_key) as distinct_names, string_agg(distinct unified_id, ',' order by unified_id)
                    as unified_ids
            from ({{of_each_kind}}) group by kind, key
        )
    )
    where rank_in_kind <= {MOST_OF_A_KIND}
"""


def literal_cost(suspicious: Table, matched: Matched, placed: Table) -> Table:
    """The columns of ``LITERAL_COST``, and ``rank_in_kind``: from 1, the largest value or group of a kind first.

    In:     suspicious kind · key, see ``quality.suspicious_values``
            placed     ordinal · customer · unified_id
    Source: docs/specification.md section 7
    """
    kinds = [kind for (kind,) in suspicious.rows("select distinct kind from this order by kind")]
    parts = [
        _RECORDS_OF_GROUPS
        if kind == "large_group"
        else _RECORDS_WITH.format(kind=kind, column=_KEYS[kind][0], shown=_KEYS[kind][1])
        for kind in kinds
    ]
    nothing = "select '' as kind, 0 as key, '' as shown, 0 as ordinal, '' as name_key, '' as unified_id where false"
    return suspicious.derive(
        _RANKED.format(of_each_kind=" union all ".join(parts) or nothing),
        records=matched.records,
        keys=matched.keys,
        groups=matched.groups,
        survivors=matched.survivors,
        placed=placed,
    )
