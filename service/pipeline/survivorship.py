"""Survive: which record of a group is kept, and with which values."""

from __future__ import annotations

from service.engine.contract import Table
from service.model import Rules

_FIELDS = ("full_name", "email", "phone", "signup_date", "status")
_RANKS = 1_000_000_000_000
"""More than the number of records: the rank of a record is this for each missing field, plus its ordinal."""
_BITS = {field: 1 << number for number, field in enumerate((*_FIELDS, "stated_status"))}
_LACKS = " + ".join(f"if({field} is null, {_BITS[field]}, 0)" for field in _FIELDS)
# ``lacks`` has a bit for each missing field, and one for a status that no source stated.
# Fewest missing fields first, then order of appearance. unified_id and source_system are never missing.
_RANKED = f"""
    select
        groups.group_id, source,
        {_LACKS} + if(status_stated and status is not null, 0, {_BITS["stated_status"]}) as lacks,
        ({" + ".join(f"({field} is null)::bigint" for field in _FIELDS)}) * {_RANKS} + ordinal as rank
    from this join groups using (ordinal)
"""
# The best record of each group; ``filled``: the bits of what it lacks and another record has.
_BEST = """
    select group_id, min(rank) as best, arg_min(lacks, rank) - bit_and(lacks) as filled, {has_source}
    from this
    group by group_id
"""
_BEST_WITH = f"""
    select
        group_id, best.filled,
        {", ".join(f"min(rank) filter (lacks & {bit} = 0) as best_with_{field}" for field, bit in _BITS.items())}
    from this join best using (group_id)
    where best.filled > 0
    group by group_id, best.filled
"""
_STATUS = "coalesce(best_with_stated_status, best_with_status)"
"""A status that a source stated wins over a default."""
_DONOR_OF_FIELD = " union all ".join(
    f"select group_id, '{field}' as field, {donor} % {_RANKS} as ordinal from best_with where filled & {bits} > 0"
    for field, donor, bits in (
        *((field, f"best_with_{field}", _BITS[field]) for field in _FIELDS[:-1]),
        ("status", _STATUS, _BITS["status"] + _BITS["stated_status"]),
    )
)
# One row for each value that another record than the kept one gives.
_DONORS = f"with best_with as ({_BEST_WITH}) {_DONOR_OF_FIELD}"
_GIVEN_FIELDS = ", ".join(f"max(case when field = '{field}' then records.{field} end) as {field}" for field in _FIELDS)
_GIVEN = f"""
    select group_id, {_GIVEN_FIELDS}
    from this join records using (ordinal)
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
    has_source = ", ".join(f"bool_or(source = '{name}') as has_{number}" for number, name in enumerate(sources))
    ranked = records.derive(_RANKED, groups=groups)
    best = ranked.derive(_BEST.format(has_source=has_source))
    donors = ranked.derive(_DONORS if rules.survivorship == "fill" else f"from ({_DONORS}) where false", best=best)
    flags = ", ".join(f"case when has_{number} then '{name}' end" for number, name in enumerate(sources))
    given = donors.derive(_GIVEN, records=records)
    golden = best.derive(_GOLDEN.format(flags=flags), records=records, given=given)
    for table in (ranked, best, donors, given):
        table.release()
    return golden
