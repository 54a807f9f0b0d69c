"""Survive: which record of a group is kept, and with which values."""

from __future__ import annotations

from service.engine.contract import Table
from service.model import Rules

# Fewest missing fields first, then order of appearance. unified_id and source_system are never missing.
_RANKED = """
    select
        this.*, groups.group_id,
        (   (full_name is null)::bigint + (email is null)::bigint + (phone is null)::bigint
          + (signup_date is null)::bigint + (status is null)::bigint) * 1000000000000 + ordinal as rank
    from this join groups using (ordinal)
"""
_RECORD = """
    select group_id, ordinal as kept, full_name, email, phone, signup_date, status
    from (select *, min(rank) over (partition by group_id) as best from this)
    where rank = best
"""
_FILLED = """
    select
        group_id,
        arg_min(ordinal, rank) as kept,
        arg_min(full_name, rank) filter (full_name is not null) as full_name,
        arg_min(email, rank) filter (email is not null) as email,
        arg_min(phone, rank) filter (phone is not null) as phone,
        arg_min(signup_date, rank) filter (signup_date is not null) as signup_date,
        -- a status that a source stated wins over a default
        coalesce(
            arg_min(status, rank) filter (status is not null and status_stated),
            arg_min(status, rank) filter (status is not null)
        ) as status
    from this
    group by group_id
"""
_WITH_SOURCES = """
    select survivors.*, sources.source_system
    from survivors join (
        select group_id, concat_ws('+', {flags}) as source_system from this group by group_id
    ) as sources using (group_id)
"""


def survive(records: Table, groups: Table, rules: Rules) -> Table:
    """Keep the record with the fewest missing fields of each group; ``fill`` takes its missing values from the others.

    In:     records    RECORD
            groups     ordinal · group_id
    Out:    GOLDEN, one row per group
    Ties:   source order, then file order (both are the order of ordinals)
    Source: docs/specification.md section 6
    """
    ranked = records.derive(_RANKED, groups=groups)
    survivors = ranked.derive(_FILLED if rules.survivorship == "fill" else _RECORD)
    flags = ", ".join(f"case when bool_or(source = '{s.name}') then '{s.name}' end" for s in rules.sources)
    return ranked.derive(_WITH_SOURCES.format(flags=flags), survivors=survivors)
