"""Survive: which record of a group is kept, and with which values."""

from __future__ import annotations

from service.engine.contract import Table
from service.model import Rules

_FIELDS = ("full_name", "email", "phone", "signup_date", "status")
_RANKS = 1_000_000_000_000
"""More than the number of records: the rank of a record is this for each missing field, plus its ordinal."""
# Fewest missing fields first, then order of appearance. unified_id and source_system are never missing.
_RANKED = f"""
    select
        groups.group_id, source, {", ".join(f"{field} is not null as has_{field}" for field in _FIELDS)}, status_stated,
        (   {" + ".join(f"({field} is null)::bigint" for field in _FIELDS)}) * {_RANKS} + ordinal as rank
    from this join groups using (ordinal)
"""
# The best record of each group, and the best of those that have a field.
_BEST = f"""
    select
        group_id, min(rank) as best, {{best_with_field}},
        min(rank) filter (has_status and status_stated) as best_with_stated_status,
        {{has_source}}
    from ({_RANKED})
    group by group_id
"""
# A status that a source stated wins over a default. One row for each value that another record than the kept one gives.
_DONORS = " union all ".join(
    f"select group_id, '{field}' as field, {donor} % {_RANKS} as ordinal from this where {donor} <> best"
    for field, donor in (
        *((field, f"best_with_{field}") for field in _FIELDS[:-1]),
        ("status", "coalesce(best_with_stated_status, best_with_status)"),
    )
)
_GIVEN_FIELDS = ", ".join(f"max(case when field = '{field}' then records.{field} end) as {field}" for field in _FIELDS)
_GIVEN = f"""
    select group_id, {_GIVEN_FIELDS}
    from ({{donors}}) join records using (ordinal)
    group by group_id
"""
_GOLDEN = f"""
    select
        this.group_id, kept, {", ".join(f"coalesce(given.{field}, records.{field}) as {field}" for field in _FIELDS)},
        concat_ws('+', {{flags}}) as source_system
    from (select *, best % {_RANKS} as kept from this) as this
    join records on records.ordinal = this.kept
    left join given on given.group_id = this.group_id
"""


def survive(records: Table, groups: Table, rules: Rules) -> Table:
    """Keep the record with the fewest missing fields of each group; ``fill`` takes its missing values from the others.

    In:     records    RECORD
            groups     ordinal · group_id
    Out:    GOLDEN, one row per group
    Ties:   source order, then file order (both are the order of ordinals)
    Source: docs/specification.md section 6
    """
    sources = [source.name for source in rules.sources]
    best = records.derive(
        _BEST.format(
            best_with_field=", ".join(f"min(rank) filter (has_{field}) as best_with_{field}" for field in _FIELDS),
            has_source=", ".join(f"bool_or(source = '{name}') as has_{number}" for number, name in enumerate(sources)),
        ),
        groups=groups,
    )
    donors = _DONORS if rules.survivorship == "fill" else f"from ({_DONORS}) where false"
    given = best.derive(_GIVEN.format(donors=donors), records=records)
    flags = ", ".join(f"case when has_{number} then '{name}' end" for number, name in enumerate(sources))
    return best.derive(_GOLDEN.format(flags=flags), records=records, given=given)
