"""Measures of groups against the customers that are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

Labels = Sequence[Hashable]
"""The group of each record."""


@dataclass(frozen=True)
class Measures:
    """How well groups agree with the known customers.

    precision, recall  of pairs of records
    bcubed             B³ precision and recall (means over records), and their F1; Source: Bagga and Baldwin 1998
    largest            records in the largest group
    false_merges       for 1,000 customers
    """

    precision: float
    recall: float
    bcubed: tuple[float, float, float]
    largest: int
    false_merges: float

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return _f1(self.precision, self.recall)


def measures(found: Labels, known: Labels) -> Measures:
    """How well ``found`` agrees with ``known``.

    A false merge is a customer too many in a group: three customers in one group are two false merges.

    >>> it = measures([1, 1, 1, 2], ["a", "a", "b", "b"])
    >>> round(it.precision, 2), it.recall, round(it.f1, 2), it.largest, it.false_merges
    (0.33, 0.5, 0.4, 3, 500.0)
    """
    groups, customers, both = Counter(found), Counter(known), Counter(zip(found, known, strict=True))
    shared = _pairs(both.values())
    customers_in = Counter(group for group, _ in both)
    bcubed_precision = sum(size * size / groups[group] for (group, _), size in both.items()) / len(known)
    bcubed_recall = sum(size * size / customers[customer] for (_, customer), size in both.items()) / len(known)
    return Measures(
        precision=_ratio(shared, _pairs(groups.values())),
        recall=_ratio(shared, _pairs(customers.values())),
        bcubed=(bcubed_precision, bcubed_recall, _f1(bcubed_precision, bcubed_recall)),
        largest=max(groups.values()),
        false_merges=1000 * sum(it - 1 for it in customers_in.values()) / len(customers),
    )


def after_review(found: Labels, known: Labels, queue: Iterable[tuple[int, int]]) -> list[Hashable]:
    """The groups after a person has given the right answer to each question of the queue."""
    joined: dict[Hashable, Hashable] = {}

    def group_of(record: int) -> Hashable:
        group = found[record]
        while group in joined:
            group = joined[group]
        return group

    for one, other in queue:
        if known[one] == known[other] and group_of(one) != group_of(other):
            joined[group_of(one)] = group_of(other)
    return [group_of(record) for record in range(len(found))]


def _pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
