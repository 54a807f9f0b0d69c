"""Cuts: the single values and single records without which a group of records falls apart. Linear.

They are the articulation points of the graph of records and values, found by one depth-first walk from the kept record.
What falls off is a range of the records in the order of that walk, so that cuts of any number of records take no more
room than the graph.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from operator import itemgetter

from service.explanation.group import Group


@dataclass(frozen=True)
class Cut:
    """A value or a record, and what the group becomes without it."""

    value: int | None
    """The position of the value; None where it is a record."""
    record: int | None
    ranges: tuple[tuple[int, int], ...]
    """Parts, each as the begin and the end of a range of ``Cuts.order``."""
    rest: int
    """The number of records that stay with the kept one; 0 where that is the record taken away."""


@dataclass(frozen=True)
class Cuts:
    """All cuts of a group, in order: values first, each kind by position."""

    found: Sequence[Cut]
    order: Sequence[int]
    """The records in the order of the walk; those that no value ties to the kept one are not in it."""

    def parts(self, cut: Cut) -> list[list[int]]:
        """The records of each part, ascending; the largest part first, of equal ones that of the earlier record."""
        inside = [sorted(self.order[begin:end]) for begin, end in cut.ranges]
        rest = sorted(self._rest(cut))
        return sorted([*inside, *([rest] if rest else [])], key=lambda part: (-len(part), part[0]))

    def sizes(self, cut: Cut) -> list[int]:
        """The number of records in each part, the largest first."""
        sizes = [end - begin for begin, end in cut.ranges]
        return sorted([*sizes, *([cut.rest] if cut.rest else [])], reverse=True)

    def apart(self, cut: Cut, most: int) -> list[int]:
        """The first ``most`` records of all parts but the largest, ascending among those looked at."""
        largest = max((end - begin, -begin, begin) for begin, end in cut.ranges)
        if cut.rest >= largest[0]:
            kept_off = [range(begin, end) for begin, end in cut.ranges]
            return sorted(islice((self.order[at] for part in kept_off for at in part), most))
        others = (range(begin, end) for begin, end in cut.ranges if begin != largest[2])
        found = (self.order[at] for part in others for at in part)
        return sorted([*islice(self._rest(cut), most), *islice(found, most)])[:most]

    def parts_two(self, cut: Cut, one: int, other: int) -> bool:
        """Whether two records, neither of which is taken away, are in different parts."""
        return self._part(cut, one) != self._part(cut, other)

    def _part(self, cut: Cut, record: int) -> int:
        """The number of the part that has the record; -1 for the rest."""
        at = self._at.get(record, -1)
        number = bisect_right(cut.ranges, at, key=itemgetter(0)) - 1
        return number if number >= 0 and at < cut.ranges[number][1] else -1

    @cached_property
    def _at(self) -> Mapping[int, int]:
        return {record: at for at, record in enumerate(self.order)}

    def _rest(self, cut: Cut) -> Iterator[int]:
        at = 0
        for begin, end in (*cut.ranges, (len(self.order), len(self.order))):
            for record in self.order[at:begin]:
                if record != cut.record:
                    yield record
            at = end


def cuts_of(group: Group) -> Cuts:
    """Every single value and record without which the records of the group are no longer all connected."""
    count, root = len(group.records), group.kept
    walk = _Walk(group)
    walk.run(root)
    found: list[Cut] = []
    for node in (*range(count, count + len(group.values)), *range(count)):
        ranges = tuple(walk.ranges.get(node, ()))
        if len(ranges) < (2 if node == root else 1):
            continue
        is_record = node < count
        rest = len(walk.order) - sum(end - begin for begin, end in ranges) - is_record
        found.append(Cut(None if is_record else node - count, node if is_record else None, ranges, rest))
    return Cuts(found, walk.order)


class _Walk:
    """A depth-first walk over records (from 0) and values (behind them), without recursion: chains may be long."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._count = len(group.records)
        size = self._count + len(group.values)
        self._entered = [-1] * size
        """When each node was entered; -1: not yet."""
        self._low = [0] * size
        """The earliest entered node that its subtree reaches by one edge beside those of the tree."""
        self._begin = [0] * size
        self.order: list[int] = []
        self.ranges: dict[int, list[tuple[int, int]]] = {}
        """Node -> the parts below it that nothing but it connects with the rest."""

    def run(self, root: int) -> None:
        """Walk from ``root``."""
        clock = self._enter(root, 0)
        stack: list[tuple[int, Iterator[int]]] = [(root, iter(self._neighbours(root)))]
        while stack:
            node, neighbours = stack[-1]
            following = next(neighbours, None)
            if following is None:
                stack.pop()
                if stack:
                    self._leave(node, stack[-1][0])
            elif self._entered[following] < 0:
                clock = self._enter(following, clock)
                stack.append((following, iter(self._neighbours(following))))
            else:  # the node before it among them: that reaches no further up than the edge of the tree
                self._low[node] = min(self._low[node], self._entered[following])

    def _neighbours(self, node: int) -> Sequence[int]:
        if node < self._count:
            return [self._count + value for value in self._group.values_of[node]]
        return self._group.values[node - self._count].sharers

    def _enter(self, node: int, clock: int) -> int:
        self._entered[node] = self._low[node] = clock
        self._begin[node] = len(self.order)
        if node < self._count:
            self.order.append(node)
        return clock + 1

    def _leave(self, node: int, above: int) -> None:
        self._low[above] = min(self._low[above], self._low[node])
        if self._low[node] >= self._entered[above]:
            self.ranges.setdefault(above, []).append((self._begin[node], len(self.order)))
