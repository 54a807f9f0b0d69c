"""Groups that decisions keep apart, made once more by the definition, because there the order of links decides.

Links are added from the strongest to the weakest rule, within a rule by the smaller ordinal, then the larger; one that
would join two groups with a pair decided ``different`` is left out. Only the customers are made again that hold a
record of such a pair: no other customer can be what a link was left out for.

Source: docs/specification.md section 5 (decisions)
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from service.engine.contract import Engine
from service.pipeline.parquet import RECORDS_FILE
from service.verify.stated import STRONGEST_FIRST, Stated

_NUMBERED = f"""
    select ordinal, customer,
        {
    ", ".join(
        f"if({rule}_value is null, -1, dense_rank() over (order by {rule}_value))::bigint as {rule}"
        for rule in STRONGEST_FIRST
    )
}
    from this
    where customer in (
        select customer from this where ordinal in (
            select one::bigint from pairs union all select other::bigint from pairs
        )
    )
    order by ordinal
"""


def replay_findings(stated: Stated, shown: str, engine: Engine) -> list[str]:
    """Findings about groups that are not those which the order of links makes."""
    if not stated.different:
        return []
    pairs = engine.text_table(("one", "other"), [(str(one), str(other)) for one, other in stated.different])
    numbered = stated.records.derive(_NUMBERED, pairs=pairs)
    ordinals, customers, *columns = (
        [number for part in numbered.integer_chunks(name) for number in part[0].tolist()]
        for name in ("ordinal", "customer", *STRONGEST_FIRST)
    )
    numbered.release()
    values = {
        rule: dict(zip(ordinals, numbers, strict=True)) for rule, numbers in zip(STRONGEST_FIRST, columns, strict=True)
    }
    if stated.is_weighed:
        _keep_within_groups(values, ordinals, stated.linking)
    made = grouped(ordinals, values.values(), stated.different)
    first_of: dict[int, int] = {}
    for ordinal, customer in zip(ordinals, customers, strict=True):
        first_of.setdefault(customer, ordinal)
    other = [it for it, customer in zip(ordinals, customers, strict=True) if made[it] != first_of[customer]]
    if not other:
        return []
    return [
        f"{shown}/{RECORDS_FILE}: record {other[0]} is not where the order of links puts it, which decisions limit"
        + (f", nor are {len(other) - 1} more" if other[1:] else "")
    ]


def _keep_within_groups(values: dict[str, dict[int, int]], ordinals: Sequence[int], linking: Sequence[str]) -> None:
    """Number the values of all other rules within the groups that those of ``linking`` make: only there they count."""
    group_of = grouped(ordinals, [values[rule] for rule in linking], ())
    for rule in values.keys() - set(linking):
        numbers: dict[tuple[int, int], int] = {}
        for ordinal, value in values[rule].items():
            if value >= 0:
                values[rule][ordinal] = numbers.setdefault((group_of[ordinal], value), len(numbers))


def grouped(
    ordinals: Sequence[int], values: Iterable[Mapping[int, int]], different: Iterable[tuple[int, int]]
) -> dict[int, int]:
    """Ordinal -> the smallest of its group.

    ``ordinals`` ascend; ``values``: of each rule, the strongest first, ordinal -> value, -1 for none.

    >>> grouped([0, 1, 2], [{0: 7, 1: 7, 2: -1}, {0: -1, 1: 4, 2: 4}], [(0, 2)])
    {0: 0, 1: 0, 2: 2}
    """
    groups = _Groups(ordinals, different)
    for value_of in values:
        sharers: dict[int, list[int]] = defaultdict(list)
        for ordinal in ordinals:
            if value_of[ordinal] >= 0:
                sharers[value_of[ordinal]].append(ordinal)
        tried: dict[int, list[int]] = defaultdict(list)
        for ordinal in ordinals:
            value = value_of[ordinal]
            # What the group of a former sharer was refused, or was joined with, is so for this record as well.
            if value >= 0 and not any(groups.is_one(ordinal, it) for it in tried[value]):
                tried[value].append(ordinal)
                for other in sharers[value][bisect_right(sharers[value], ordinal) :]:
                    groups.join(ordinal, other)
    return {ordinal: min(members) for members in groups.members.values() for ordinal in members}


class _Groups:
    """Groups of ordinals, and for each the ordinals that must not join it."""

    def __init__(self, ordinals: Sequence[int], different: Iterable[tuple[int, int]]) -> None:
        self.members = {ordinal: [ordinal] for ordinal in ordinals}
        self._root = {ordinal: ordinal for ordinal in ordinals}
        self._kept_apart: dict[int, set[int]] = defaultdict(set)
        for one, other in different:
            self._kept_apart[one].add(other)
            self._kept_apart[other].add(one)

    def is_one(self, one: int, other: int) -> bool:
        """Whether both are in one group."""
        return self._root[one] == self._root[other]

    def join(self, one: int, other: int) -> None:
        """Make two groups one, unless a record of one must not join one of the other."""
        small, large = sorted((self._root[one], self._root[other]), key=lambda it: len(self.members[it]))
        if small == large or any(self._root[it] == large for it in self._kept_apart[small]):
            return
        for moved in self.members[small]:
            self._root[moved] = large
        self.members[large] += self.members.pop(small)
        self._kept_apart[large] |= self._kept_apart.pop(small, set())
