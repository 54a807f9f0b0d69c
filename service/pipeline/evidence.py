"""Evidence: why each removed record belongs to its group."""

from __future__ import annotations

import numpy as np

from service.engine.contract import Engine, IntArray, Table, sql_text
from service.pipeline.matching import Matcher

_WITH_KEPT = """
    select this.ordinal, survivors.kept as via
    from this join survivors using (group_id)
    where this.ordinal <> survivors.kept
"""
# All members of the groups in which some record agrees with the kept one on nothing.
_MEMBERS = """
    select groups.ordinal, groups.group_id
    from groups
    where group_id in (
        select groups.group_id from this join groups using (ordinal) where ordinal not in (select ordinal from direct)
    )
"""
_INDIRECT = "from this where ordinal not in (select ordinal from direct)"
_VALUES_OF_MEMBERS = """
    select ordinal, dense_rank() over (order by rule, value) - 1 as value_id
    from (select shared.*, count(*) over (partition by rule, value) as sharers
          from shared join this using (ordinal))
    where sharers > 1
"""


def explain(records: Table, groups: Table, survivors: Table, matcher: Matcher, engine: Engine) -> Table:
    """The rules that link each removed record to its group.

    In:     records    RECORD
            groups     ordinal · group_id
            survivors  GOLDEN
    Out:    EVIDENCE, at least one row per removed record. A record that agrees with the kept one on nothing is
            linked through others: breadth first from the kept one; ties: the earliest record.
    Source: docs/specification.md section 5 (reason)
    """
    with_kept = groups.derive(_WITH_KEPT, survivors=survivors)
    direct = matcher.agreement(with_kept, records)
    members = with_kept.derive(_MEMBERS, direct=direct, groups=groups)
    if not members.count():
        return direct
    ordinal, via = _breadth_first(matcher.shared_values(records), members, survivors)
    steps = engine.table({"ordinal": ordinal, "via": via}).derive(_INDIRECT, direct=direct)
    return matcher.agreement(steps, records).derive("from direct union all from this", direct=direct)


def rank_of_rule(matcher: Matcher) -> str:
    """SQL: the rank of ``rule`` in the matcher's order, from 0."""
    return f"case rule {' '.join(f'when {sql_text(rule)} then {rank}' for rank, rule in enumerate(matcher.rules))} end"


def _breadth_first(shared: Table, members: Table, survivors: Table) -> tuple[IntArray, IntArray]:
    """For each member of the given groups the record before it on the way from the kept one."""
    edges = members.derive(_VALUES_OF_MEMBERS, shared=shared)
    ordinal, value = edges.integers("ordinal", "value_id")
    kept = members.derive("select distinct kept from this join survivors using (group_id)", survivors=survivors)
    via = breadth_first_from(kept.integers("kept")[0], ordinal, value)
    reached = np.fromiter(via.keys(), dtype=np.int64, count=len(via))
    return reached, np.fromiter(via.values(), dtype=np.int64, count=len(via))


def breadth_first_from(starts: IntArray, ordinal: IntArray, value: IntArray) -> dict[int, int]:
    """The record before each reached one; records that share a value are neighbours.

    Levels are walked in the order of ordinals, so that of several paths the one through the earliest record is taken.
    Linear: a value is opened once, by the first record that reaches it.

    >>> breadth_first_from(np.array([0]), np.array([0, 1, 1, 2]), np.array([7, 7, 8, 8]))
    {1: 0, 2: 1}
    """
    values_of, records_of = _adjacent(ordinal, value), _adjacent(value, ordinal)
    via: dict[int, int] = {}
    seen = set(starts.tolist())
    opened: set[int] = set()
    level = sorted(seen)
    while level:
        following: list[int] = []
        for record in level:
            for shared in values_of.get(record, ()):
                if shared in opened:
                    continue
                opened.add(shared)
                for neighbour in records_of[shared]:
                    if neighbour not in seen:
                        seen.add(neighbour)
                        via[neighbour] = record
                        following.append(neighbour)
        level = sorted(following)
    return via


def _adjacent(key: IntArray, item: IntArray) -> dict[int, list[int]]:
    order = np.lexsort((item, key))
    keys, starts = np.unique(key[order], return_index=True)
    return dict(zip(keys.tolist(), (part.tolist() for part in np.split(item[order], starts[1:])), strict=True))
