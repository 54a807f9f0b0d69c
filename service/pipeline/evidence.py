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
    select ordinal, value * {rules} + rule as value_id
    from (select shared.*, count(*) over (partition by rule, value) as sharers
          from shared join this using (ordinal))
    where sharers > 1
"""


def explain(keys: Table, groups: Table, survivors: Table, matcher: Matcher, engine: Engine) -> Table:
    """The rules that link each removed record to its group.

    In:     keys       KEYS
            groups     ordinal · group_id
            survivors  GOLDEN
    Out:    EVIDENCE, one row per removed record. A record that agrees with the kept one on nothing is
            linked through others: breadth first from the kept one; ties: the earliest record.
    Source: docs/specification.md section 5 (reason)
    """
    with_kept = groups.derive(_WITH_KEPT, survivors=survivors)
    direct = matcher.agreement(with_kept, keys)
    members = with_kept.derive(_MEMBERS, direct=direct, groups=groups)
    if not members.count():
        return direct
    shared = members.derive(_VALUES_OF_MEMBERS.format(rules=len(matcher.rules)), shared=matcher.shared_values(keys))
    ordinal, via = _breadth_first(shared, members, survivors)
    steps = engine.table({"ordinal": ordinal, "via": via}).derive(_INDIRECT, direct=direct)
    return matcher.agreement(steps, keys).derive("from direct union all from this", direct=direct)


def rules_text(matcher: Matcher, is_linked_by: str = "by_{}") -> str:
    """SQL: the rules that link a record, strongest first, joined by +; ``is_linked_by`` is the SQL term for a rule."""
    return f"concat_ws('+', {', '.join(_texts(matcher, is_linked_by))})"


def strongest_rule(matcher: Matcher) -> str:
    """SQL: the strongest of the rules that link a record."""
    return f"coalesce({', '.join(_texts(matcher, 'by_{}'))})"


def only_rule(matcher: Matcher, rule: str) -> str:
    """SQL: whether no other rule than this links a record."""
    others = (f"by_{other}" for other in matcher.rules if other != rule)
    return f"by_{rule} and not ({' or '.join(others)})"


def _texts(matcher: Matcher, is_linked_by: str) -> list[str]:
    return [f"case when {is_linked_by.format(rule)} then {sql_text(rule)} end" for rule in matcher.rules]


def _breadth_first(shared: Table, members: Table, survivors: Table) -> tuple[IntArray, IntArray]:
    """For each member of the given groups the record before it on the way from the kept one."""
    ordinal, value = shared.integers("ordinal", "value_id")
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
