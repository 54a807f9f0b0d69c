"""Evidence: why each removed record belongs to its group."""

from __future__ import annotations

import numpy as np

from service.engine.contract import AnyIntArray, Engine, GroupFunction, IntArray, Table, sql_text
from service.pipeline.matching import Matcher

_BYTES_OF_A_VALUE = 48
"""Of the arrays, while the values of records are walked."""
_ROW_BITS = np.uint64(32)

_WITH_KEPT = """
    select this.ordinal, survivors.kept as via
    from this join survivors using (group_id)
    where this.ordinal <> survivors.kept
"""
# All members of the groups in which some record agrees with the kept one on nothing.
_MEMBERS = """
    select groups.ordinal, survivors.kept
    from groups join survivors using (group_id)
    where group_id in (
        select groups.group_id from this join groups using (ordinal) where ordinal not in (select ordinal from direct)
    )
"""
_INDIRECT = "from this where ordinal not in (select ordinal from direct)"
_VALUES_OF_MEMBERS = """
    select kept, ordinal, value * {rules} + rule as value_id
    from (select shared.*, kept, count(*) over (partition by rule, value) as sharers
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
    members = with_kept.derive(_MEMBERS, direct=direct, groups=groups, survivors=survivors)
    with_kept.release()
    if not members.count():
        return direct
    values = matcher.shared_values(keys)
    shared = members.derive(_VALUES_OF_MEMBERS.format(rules=len(matcher.rules)), shared=values)
    values.release()
    walked = engine.by_group(shared, WALK)
    shared.release()
    steps = walked.derive(_INDIRECT, direct=direct)
    indirect = matcher.agreement(steps, keys)
    columns = ", ".join(("ordinal", "via", *(f"by_{rule}" for rule in matcher.rules)))
    evidence = indirect.derive(f"select {columns} from direct union all select {columns} from this", direct=direct)
    for table in (members, walked, steps, direct, indirect):
        table.release()
    return evidence


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


def breadth_first_from(starts: IntArray, ordinal: IntArray, value: IntArray) -> tuple[AnyIntArray, AnyIntArray]:
    """The records that are reached, and the record before each; records that share a value are neighbours.

    ``ordinal`` ascends, and ``value`` among the rows of one record.

    Levels are walked in the order of ordinals, so that of several paths the one through the earliest record is taken.
    Linear: a value is opened once, by the first record that reaches it.

    >>> reached, via = breadth_first_from(np.array([0]), np.array([0, 1, 1, 2]), np.array([7, 7, 8, 8]))
    >>> reached.tolist(), via.tolist()
    ([1, 2], [0, 1])
    """
    # Records and values by their positions among those that occur, in arrays: dicts of lists take ten times the memory.
    # A memoryview gives plain integers, as fast as a list.
    records, record_begins = np.unique(ordinal, return_index=True)
    record_of = np.repeat(np.arange(len(records), dtype=np.int32), np.diff(record_begins, append=len(ordinal)))
    by_value, value_begins = _by_value(value)
    value_of = np.empty(len(value), dtype=np.int32)
    value_of[by_value] = np.repeat(np.arange(len(value_begins) - 1, dtype=np.int32), np.diff(value_begins))
    via = _walked(
        records=np.flatnonzero(np.isin(records, starts)).tolist(),
        values=(value_of.data, np.append(record_begins, len(ordinal)).data),
        sharers=(record_of[by_value].data, value_begins.data),
    )
    reached = np.flatnonzero(via >= 0)
    return records[reached], records[via[reached]]


WALK = GroupFunction(breadth_first_from, "kept", ("ordinal", "value_id"), ("ordinal", "via"), _BYTES_OF_A_VALUE)
"""From the kept record of each group, by which it is known here."""


def _by_value(value: IntArray) -> tuple[AnyIntArray, IntArray]:
    """The rows in the order of their values, and where each value begins in it, and at last where all end."""
    if value.max(initial=0) >> int(_ROW_BITS):  # beside its row it would not fit into 64 bits
        value = np.unique(value, return_inverse=True)[1]
    keys = value.astype(np.uint64) << _ROW_BITS
    keys |= np.arange(len(value), dtype=np.uint64)
    keys.sort()
    rows = keys.astype(np.uint32).astype(np.int32)  # the last bits
    keys >>= _ROW_BITS
    is_start = np.ones(len(value) + 1, dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=is_start[1:-1])
    return rows, np.flatnonzero(is_start)


def _walked(
    records: list[int],
    values: tuple[memoryview[int], memoryview[int]],
    sharers: tuple[memoryview[int], memoryview[int]],
) -> AnyIntArray:
    """For each record the one before it, from ``records`` on, which have -1 like those that are not reached.

    ``values`` and ``sharers``: the values of all records, one after the other, and where those of each begin; and the
    records of all values.
    """
    value_of, value_begins = values
    sharer_of, sharer_begins = sharers
    via = np.full(len(value_begins) - 1, -1, dtype=np.int32)
    is_seen, is_open = bytearray(len(value_begins)), bytearray(len(sharer_begins))
    for record in records:
        is_seen[record] = True
    while records:
        following: list[int] = []
        for record in records:
            for value in value_of[value_begins[record] : value_begins[record + 1]]:
                if is_open[value]:
                    continue
                is_open[value] = True
                for neighbour in sharer_of[sharer_begins[value] : sharer_begins[value + 1]]:
                    if not is_seen[neighbour]:
                        is_seen[neighbour] = True
                        via[neighbour] = record
                        following.append(neighbour)
        records = sorted(following)
    return via
