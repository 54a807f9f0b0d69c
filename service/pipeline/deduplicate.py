"""Deduplicate: who is the same customer, and why.

Two records are linked by the same id within one source, the same e-mail address, the same phone or the same
name; a group is the transitive closure. Missing never matches. Everything here is linear in records and
keys: a value shared by a million records and a chain of a million records are ordinary work.
"""

from __future__ import annotations

import numpy as np

from service.engine.contract import Engine, IntArray, Table

# One row for every record and every value by which it can be linked to another.
_KEYS = """
    select ordinal, 'id' as rule, source || ' ' || source_id as value from this where has_id
    union all select ordinal, 'email', email from this where email is not null
    union all select ordinal, 'phone', phone_key from this where phone_key is not null
    union all select ordinal, 'name', name_key from this where name_key is not null
"""
# Each record points to the first that shares the value, so k sharers cost k - 1 links, not k * k.
_LINKS = """
    with shared as (
        select rule, value, min(ordinal) as first from this group by rule, value having count(*) > 1
    )
    select distinct shared.first, this.ordinal as other
    from this join shared using (rule, value)
    where this.ordinal <> shared.first
"""

# Agreement of a record with the one it is linked through; name corroborates, the two identifiers settle.
_AGREEMENT = """
    coalesce(one.has_id and other.has_id and one.source = other.source and one.source_id = other.source_id, false)
        as by_id,
    coalesce(one.email = other.email, false) as by_email,
    coalesce(one.phone_key = other.phone_key, false) as by_phone,
    coalesce(one.name_key = other.name_key, false)
        and not (coalesce(one.email = other.email, false) and coalesce(one.phone_key = other.phone_key, false))
        as by_name
"""

_WITH_KEPT = f"""
    select one.ordinal, groups.group_id, survivors.kept, survivors.kept as via, {_AGREEMENT}
    from groups
    join survivors using (group_id)
    join this as one on one.ordinal = groups.ordinal
    join this as other on other.ordinal = survivors.kept
    where one.ordinal <> survivors.kept
"""
_INDIRECT_GROUPS = """
    select groups.ordinal, groups.group_id
    from groups
    where groups.group_id in (select group_id from this where not (by_id or by_email or by_phone or by_name))
"""
_VALUES_OF_INDIRECT = """
    select ordinal, dense_rank() over (order by rule, value) - 1 as value_id
    from (select keys.*, count(*) over (partition by rule, value) as sharers
          from keys join this using (ordinal))
    where sharers > 1
"""
_OVER_OTHERS = f"""
    select direct.ordinal, direct.group_id, direct.kept, this.via, {_AGREEMENT}
    from this
    join direct on direct.ordinal = this.ordinal
    join records as one on one.ordinal = this.ordinal
    join records as other on other.ordinal = this.via
    where not (direct.by_id or direct.by_email or direct.by_phone or direct.by_name)
    union all
    from direct where by_id or by_email or by_phone or by_name
"""


def deduplicate(records: Table, engine: Engine) -> Table:
    """Group the records that are the same customer.

    In:     records    RECORD
    Out:    ordinal · group_id            one row per record; group_id is the smallest ordinal of the group
    Source: CONTRACT section 5
    """
    links = records.derive(_KEYS).derive(_LINKS)
    first, other = links.integers("first", "other")
    labels = smallest_of_component(records.count(), first, other)
    return engine.table({"ordinal": np.arange(len(labels), dtype=np.int64), "group_id": labels})


def smallest_of_component(size: int, left: IntArray, right: IntArray) -> IntArray:
    """Connected components of the graph on ``0 … size-1``: for each node the smallest of its component.

    Minimum labels with pointer jumping: each round hooks the larger of two roots under the smaller, then
    flattens; the rounds grow with the logarithm of the longest chain.

    >>> smallest_of_component(5, np.array([3, 1]), np.array([1, 4])).tolist()
    [0, 1, 2, 1, 1]
    """
    label = np.arange(size, dtype=np.int64)
    while len(left):
        np.minimum.at(label, np.maximum(label[left], label[right]), np.minimum(label[left], label[right]))
        while not np.array_equal(label, label[label]):
            label = label[label]
        apart = label[left] != label[right]
        left, right = left[apart], right[apart]
    return label


def explain(records: Table, groups: Table, survivors: Table, engine: Engine) -> Table:
    """Why each removed record belongs to its group.

    In:     records    RECORD
            groups     ordinal · group_id
            survivors  group_id · kept
    Out:    EVIDENCE, one row per removed record. A record that agrees with the kept one on nothing is
            reached over others: breadth first from the kept one; ties: the earliest record.
    Source: CONTRACT section 5 (Reason)
    """
    direct = records.derive(_WITH_KEPT, groups=groups, survivors=survivors)
    indirect = direct.derive(_INDIRECT_GROUPS, groups=groups)
    if not indirect.count():
        return direct
    steps = _breadth_first(records, indirect, survivors)
    found = engine.table({"ordinal": steps[0], "via": steps[1]})
    return found.derive(_OVER_OTHERS, direct=direct, records=records)


def _breadth_first(records: Table, members: Table, survivors: Table) -> tuple[IntArray, IntArray]:
    """For each member of the groups in question the record before it on the way from the kept one."""
    edges = members.derive(_VALUES_OF_INDIRECT, keys=records.derive(_KEYS))
    ordinal, value = edges.integers("ordinal", "value_id")
    kept = members.derive("select distinct kept from this join survivors using (group_id)", survivors=survivors)
    via = breadth_first_from(kept.integers("kept")[0], ordinal, value)
    reached = np.fromiter(via.keys(), dtype=np.int64, count=len(via))
    return reached, np.fromiter(via.values(), dtype=np.int64, count=len(via))


def breadth_first_from(starts: IntArray, ordinal: IntArray, value: IntArray) -> dict[int, int]:
    """The record before each reached one, where records are neighbours if they share a value.

    Levels are walked in the order of ordinals, so that of several ways the one over the earliest record wins.
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
