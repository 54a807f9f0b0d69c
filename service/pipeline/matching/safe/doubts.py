"""Doubts: records that fit two customers, and pairs of customers about which a person should decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.pipeline.matching.safe.prepared import Ints, Pairs
from service.pipeline.matching.safe.scoring import Scorer

_AS_GOOD = 2.0
"""Bits by which a rival may fit a record less than the record's own group does."""
_MOST_QUESTIONS = 2
"""The most questions about one customer."""


@dataclass(frozen=True)
class OpenPair:
    """A question to a person: are these two records one customer? ``gain``: pairs that a yes is expected to join."""

    one: int
    other: int
    weight: float
    gain: float


def members_of(groups: Ints) -> Mapping[int, Ints]:
    """The records of each group, in order."""
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return {int(groups[part[0]]): part for part in parts if len(part)}


def without_ambiguous(groups: Ints, pairs: Pairs, limit: float, scorer: Scorer) -> Ints:
    """The groups, in which each ambiguous record is a group of its own.

    A record is ambiguous if it fits another group, the rival, about as well as the rest of its own, and that rest
    would not be joined with the rival. Else the order of the records would decide.
    """
    members = members_of(groups)
    tried = [it for it in _rivals(groups, pairs, limit) if len(members[int(groups[it[0]])]) > 1]
    alone = [np.array([record]) for record, _ in tried]
    own = [np.setdiff1d(members[int(groups[record])], [record]) for record, _ in tried]
    rival = [members[group] for _, group in tried]
    fit_own, fit_rival = scorer.means(alone, own), scorer.means(alone, rival)
    are_two = scorer.means(own, rival) < limit
    is_ambiguous = (fit_rival > limit) & (fit_rival >= fit_own - _AS_GOOD) & are_two
    ambiguous = sorted({record for (record, _), found in zip(tried, is_ambiguous.tolist(), strict=True) if found})
    return _taken_out(groups, ambiguous)


def _rivals(groups: Ints, pairs: Pairs, limit: float) -> list[tuple[int, int]]:
    """Record and group of every pair above ``limit`` that leads to another group; ascending, each once."""
    ones, others, bits = pairs
    across = (groups[ones] != groups[others]) & (bits > limit)
    ones, others = ones[across], others[across]
    records, rivals = np.concatenate((ones, others)), np.concatenate((groups[others], groups[ones]))
    return sorted({*zip(records.tolist(), rivals.tolist(), strict=True)})


def _taken_out(groups: Ints, records: list[int]) -> Ints:
    """The groups without these records, each of which is one of its own; named by their first records again."""
    found = groups.copy()
    found[records] = -1 - np.array(records, np.int64)
    names = {name: int(part[0]) for name, part in members_of(found).items()}
    return np.array([names[it] for it in found.tolist()], np.int64)


def doubts(groups: Ints, pairs: Pairs, least: float, scorer: Scorer) -> list[OpenPair]:
    """Pairs of groups that may be one customer, by their best pair of records; what gains most comes first."""
    ones, others, bits = pairs
    across = np.flatnonzero((groups[ones] != groups[others]) & (bits > least))
    across = across[np.lexsort((others[across], ones[across], -bits[across]))]
    best: dict[tuple[int, int], int] = {}
    for it in across.tolist():
        low, high = sorted((int(groups[ones[it]]), int(groups[others[it]])))
        best.setdefault((low, high), it)
    members = members_of(groups)
    means = scorer.means([members[low] for low, _ in best], [members[high] for _, high in best])
    found = [
        OpenPair(int(ones[it]), int(others[it]), mean, _gain(mean, len(members[low]) * len(members[high])))
        for ((low, high), it), mean in zip(best.items(), means.tolist(), strict=True)
        if mean > least
    ]
    found.sort(key=lambda it: (-it.gain, it.one, it.other))
    return _few_of_each(found, groups)


def _gain(weight: float, pairs: int) -> float:
    return float(pairs / (1 + 2.0**-weight))


def _few_of_each(found: list[OpenPair], groups: Ints) -> list[OpenPair]:
    asked: dict[int, int] = {}
    kept = []
    for it in found:
        both = int(groups[it.one]), int(groups[it.other])
        if max(asked.get(group, 0) for group in both) < _MOST_QUESTIONS:
            kept.append(it)
            for group in both:
                asked[group] = asked.get(group, 0) + 1
    return kept
