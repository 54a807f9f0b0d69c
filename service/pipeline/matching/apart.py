"""Apart: a group that holds records decided to be different customers becomes several, each without such a pair.

Links are added from the strongest to the weakest: decisions first, then in the order of the matcher's rules; ties: the
smaller ordinal, then the larger. A link that would join two groups with a pair decided different is left out.

Source: docs/specification.md section 5 (decisions)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from service.decisions.partition import Partition
from service.engine.contract import AnyIntArray, Engine, GroupFunction, IntArray, Table
from service.pipeline.matching import Matcher
from service.pipeline.matching.decided import DECISION, Attached, integer_table

_BYTES_OF_A_VALUE = 300
"""Of what Python holds, while groups are made again."""
_DIFFERENT = -1
"""The rank of a row that says that a record is one of a pair decided different; ``value`` is the decision."""
# The decisions that the links contradict. In two statements: of one, an engine may compare all records of each group.
_OF_ONE = "select this.*, groups.group_id from this join groups on groups.ordinal = this.one"
_WITHIN = """
    select this.number, this.one, this.other, this.group_id
    from this join groups on groups.ordinal = this.other and groups.group_id = this.group_id
"""
_MEMBERS = """
    select this.*
    from this join groups using (ordinal)
    where group_id in (select group_id from within)
"""
_LINKING = f"""
    select group_id, {{rank}} as rank, ordinal, value from this join groups using (ordinal)
    union all
    select group_id, {_DIFFERENT}, one, number from within
    union all
    select group_id, {_DIFFERENT}, other, number from within
"""
_GROUPS = """
    select this.ordinal, coalesce(made.group_id, this.group_id) as group_id
    from this left join made using (ordinal)
"""
# Of the records whose group was made again, a value counts among the members of one group.
_KEYS = """
    select ordinal, {rules} from this where ordinal not in (select ordinal from made)
    union all
    select ordinal, {within_group} from this join made using (ordinal)
"""
_WITHIN_GROUP = "case when {0} < 0 then -1 else min(ordinal) over (partition by made.group_id, {0}) end as {0}"
# For each decision the values by which links would have joined the two groups that it keeps apart. Two groups that
# share a value have a pair decided different: else the value had joined them.
_LEFT_OUT = """
    with
    held as (
        select rank, value, made.group_id
        from this join made using (ordinal)
        where rank >= 0
        group by rank, value, made.group_id
    ),
    parted as (
        select
            least(one_side.group_id, other_side.group_id) as one,
            greatest(one_side.group_id, other_side.group_id) as other,
            min(within.number) as number
        from within
        join made as one_side on one_side.ordinal = within.one
        join made as other_side on other_side.ordinal = within.other
        group by least(one_side.group_id, other_side.group_id), greatest(one_side.group_id, other_side.group_id)
    )
    select parted.number, held.rank, count(*)
    from held
    join held as shared on shared.rank = held.rank and shared.value = held.value and held.group_id < shared.group_id
    join parted on parted.one = held.group_id and parted.other = shared.group_id
    group by parted.number, held.rank
    order by parted.number, held.rank
"""


@dataclass(frozen=True)
class KeptApart:
    """Two groups that share values, and the first decision that keeps them apart."""

    number: int
    links: int
    """The values by which they would have been joined."""
    rules: tuple[str, ...]
    """Those of these values, in the order in which links are added."""


@dataclass(frozen=True)
class Regrouped:
    """The groups after decisions ``different``.

    groups  ordinal · group_id
    keys    KEYS, in which a value that several groups share has a number for each of them
    """

    groups: Table
    keys: Table
    kept_apart: tuple[KeptApart, ...] = ()


def keep_apart(
    keys: Table, groups: Table, matcher: Matcher, different: Sequence[Attached], engine: Engine
) -> Regrouped:
    """Make the groups that hold records decided different again; all others stay as they are.

    In:     keys       KEYS
            groups     ordinal · group_id, by all links; released if a group is made again
    """
    pairs = ((it.decision.number, it.left, it.right) for it in different)
    decided = integer_table(("number", "one", "other"), pairs, engine)
    of_one = decided.derive(_OF_ONE, groups=groups)
    within = of_one.derive(_WITHIN, groups=groups)
    for table in (decided, of_one):
        table.release()
    if not within.count():
        return Regrouped(groups, keys)
    members = keys.derive(_MEMBERS, groups=groups, within=within)
    values = matcher.shared_values(members)
    members.release()
    order = _order_of(matcher)
    cases = " ".join(f"when {matcher.rules.index(rule)} then {rank}" for rank, rule in enumerate(order))
    linking = values.derive(_LINKING.format(rank=f"case rule {cases} end"), groups=groups, within=within)
    values.release()
    made = engine.by_group(linking, _MADE_AGAIN)
    found = Regrouped(
        groups=groups.derive(_GROUPS, made=made),
        keys=keys.derive(_keys_sql(matcher), made=made),
        kept_apart=_kept_apart(linking.rows(_LEFT_OUT, made=made, within=within), order),
    )
    for table in (linking, within, made, groups):
        table.release()
    return found


def groups_kept_apart(
    _: IntArray, rank: IntArray, ordinal: IntArray, value: IntArray
) -> tuple[AnyIntArray, AnyIntArray]:
    """Each record of some groups, and the smallest ordinal of the group that it is in from now on.

    Rows ascend by rank, then ordinal; records with the same rank and value are linked, those with the same value at the
    rank -1 are different.

    Near linear: once a record was tried with all later sharers of a value, a later sharer in the same group need not
    try, because what is kept apart from a group once is always.

    >>> rank, ordinal, value = np.array([-1, -1, 3, 3, 3]), np.array([0, 2, 0, 1, 2]), np.array([7, 7, 0, 0, 0])
    >>> groups = groups_kept_apart(np.array([0]), rank, ordinal, value)
    >>> [column.tolist() for column in groups]
    [[0, 1, 2], [0, 0, 2]]
    """
    records, position = np.unique(ordinal, return_inverse=True)
    clusters = Partition(len(records))
    bounds = [*np.flatnonzero(np.diff(rank, prepend=rank[:1] - 1)).tolist(), len(rank)]
    for begin, end in pairwise(bounds):
        sharers: dict[int, list[int]] = defaultdict(list)
        shared = value[begin:end].tolist()
        for record, of_value in zip(position[begin:end].tolist(), shared, strict=True):
            sharers[of_value].append(record)
        if rank[begin] == _DIFFERENT:
            for number, (one, other) in sharers.items():
                clusters.part(one, other, number)
        else:
            _join_sharers(clusters, position[begin:end].tolist(), shared, sharers)
    smallest: dict[int, int] = {}
    group = [smallest.setdefault(clusters.find(at), at) for at in range(len(records))]
    return records, records[group]


_MADE_AGAIN = GroupFunction(
    groups_kept_apart, "group_id", ("rank", "ordinal", "value"), ("ordinal", "group_id"), _BYTES_OF_A_VALUE
)


def _join_sharers(
    clusters: Partition, records: Sequence[int], values: Sequence[int], sharers: dict[int, list[int]]
) -> None:
    """Add the links of one rule: ``records`` ascend, ``sharers`` has the records of each value in their order."""
    begun: dict[int, int] = defaultdict(int)
    tried: dict[int, list[int]] = defaultdict(list)
    for record, value in zip(records, values, strict=True):
        begun[value] += 1
        all_sharers = sharers[value]
        root = clusters.find(record)
        if any(clusters.find(former) == root for former in tried[value]):
            continue
        tried[value].append(record)
        for later in all_sharers[begun[value] :]:
            clusters.join(record, later)


def _order_of(matcher: Matcher) -> list[str]:
    """The rules in the order in which links are added."""
    return sorted(matcher.rules, key=lambda rule: rule != DECISION)


def _keys_sql(matcher: Matcher) -> str:
    within_group = ", ".join(_WITHIN_GROUP.format(rule) for rule in matcher.rules)
    return _KEYS.format(rules=", ".join(matcher.rules), within_group=within_group)


def _kept_apart(left_out: Sequence[tuple[int, int, int]], order: Sequence[str]) -> tuple[KeptApart, ...]:
    """In: the decision, the rank of a rule and a number of values; ordered by the first two."""
    found: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for number, rank, count in left_out:
        found[number].append((order[rank], count))
    return tuple(
        KeptApart(number, sum(count for _, count in of_rules), tuple(rule for rule, _ in of_rules))
        for number, of_rules in found.items()
    )
