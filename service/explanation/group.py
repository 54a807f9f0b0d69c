"""The records of a customer and the values that tie them, as a graph of two kinds of nodes.

A record and a value are neighbours where the record has the value; only values of at least two records are in it. So
it has no more edges than the records have values, however many records share one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.decisions.partition import Partition
from service.explanation.records import GroupRecord, compared_values
from service.explanation.words import in_one_list
from service.pipeline.matching.decided import DECISION


@dataclass(frozen=True)
class SameDecision:
    """A decision that two records are the same customer, by their keys."""

    number: int
    left: str
    right: str


@dataclass(frozen=True)
class TyingValue:
    """What ties records: a value that a rule compares, or a decision."""

    rule: str
    compared: str
    """The text that is compared; of a decision its number."""
    sharers: tuple[int, ...]
    """The records with it, by their positions in the group; at least two."""


@dataclass(frozen=True)
class Group:
    """The records of one customer, and what ties them."""

    records: Sequence[GroupRecord]
    """In order of appearance."""
    values: Sequence[TyingValue]
    """By rule, the strongest first, then by the first record."""
    values_of: Sequence[Sequence[int]]
    """For each record the positions of its values, ascending."""

    @property
    def kept(self) -> int:
        """The position of the kept record."""
        return next((at for at, record in enumerate(self.records) if record.is_kept), 0)

    def shared(self, one: int, other: int) -> list[TyingValue]:
        """What ties two records directly, the strongest first."""
        of_other = set(self.values_of[other])
        return [self.values[value] for value in self.values_of[one] if value in of_other]


def group_of(records: Sequence[GroupRecord], decisions: Iterable[SameDecision] = ()) -> Group:
    """The graph of a customer's records, which are in order of appearance. Linear.

    Each decision is a value of its own: one may be undone without the others.
    """
    return _group_of(records, _decided(records, decisions))


def closed_group_of(records: Sequence[GroupRecord], decisions: Iterable[SameDecision] = ()) -> Group:
    """The same graph as evidence sees it: what decisions make one customer together is one value."""
    return _group_of(records, _closed(_decided(records, decisions), len(records)))


def _group_of(records: Sequence[GroupRecord], decided: Iterable[TyingValue]) -> Group:
    compared = [compared_values(record) for record in records]
    shared: list[TyingValue] = []
    for rule in ("id", "email", "phone", "name"):
        sharers: dict[str, list[int]] = defaultdict(list)
        for at, texts in enumerate(compared):
            if rule in texts:
                sharers[texts[rule]].append(at)
        shared += [TyingValue(rule, text, tuple(of)) for text, of in sharers.items() if len(of) > 1]
    return group_along(records, [*shared, *decided])


def group_along(records: Sequence[GroupRecord], values: Sequence[TyingValue]) -> Group:
    """The graph of these records and values."""
    values_of: list[list[int]] = [[] for _ in records]
    for number, value in enumerate(values):
        for at in value.sharers:
            values_of[at].append(number)
    return Group(records, values, values_of)


def _decided(records: Sequence[GroupRecord], decisions: Iterable[SameDecision]) -> Iterable[TyingValue]:
    """The decisions that tie two of the records. Where several have one key the first stands for them."""
    first: dict[str, int] = {}
    for at, record in enumerate(records):
        first.setdefault(record.key, at)
    for it in decisions:
        if it.left in first and it.right in first:
            yield TyingValue(DECISION, str(it.number), tuple(sorted((first[it.left], first[it.right]))))


def _closed(decided: Iterable[TyingValue], records: int) -> Iterable[TyingValue]:
    """The closure of decisions: each part with the numbers of its decisions, such as ``1 and 2``."""
    clusters = Partition(records)
    decisions = list(decided)
    for it in decisions:
        clusters.join(*it.sharers)
    numbers: dict[int, list[str]] = defaultdict(list)
    sharers: dict[int, set[int]] = defaultdict(set)
    for it in decisions:
        root = clusters.find(it.sharers[0])
        numbers[root].append(it.compared)
        sharers[root].update(it.sharers)
    for root, of_root in numbers.items():
        yield TyingValue(DECISION, in_one_list(of_root), tuple(sorted(sharers[root])))
