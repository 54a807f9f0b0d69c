"""Average linkage (UPGMA, Sokal and Michener 1958): links become groups by their mean weight.

The two groups with the highest mean weight over all pairs between them are joined, until no mean is above the limit. So
one record that fits two customers does not join them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from service.decisions.partition import Partition
from service.pipeline.matching.safe.prepared import Floats, Ints, Pairs
from service.pipeline.matching.safe.scoring import MOST_BITS

LARGEST = 150
"""Larger sets of linked records are first cut at stronger links."""
_STEP = 3.0
"""Bits by which the limit rises at each cut."""
_STRONGEST = 40.0
"""Bits: above this limit a set is not cut further; pairs of it that were not weighed count 0."""
WeightOf = Callable[[Ints, Ints], Floats]


def grouped(count: int, links: Pairs, limit: float, weight_of: WeightOf) -> Ints:
    """The group of each record: the number of its first record.

    In: links      each pair once
        weight_of  the weight of further pairs
    """
    ones, others, weights = links
    parts = _parts(count, links, limit)
    groups = np.arange(count)
    inside = _missing_pairs(parts)
    more = weight_of(*inside) if len(inside[0]) else np.empty(0)
    table = _table(
        np.concatenate((ones, inside[0])), np.concatenate((others, inside[1])), np.append(weights, more), count
    )
    for part in parts:
        for group in _average_linkage(part, _matrix(part, table, count), limit):
            groups[group] = group[0]
    return groups


def _parts(count: int, links: Pairs, limit: float) -> list[Ints]:
    """Records that links above the limit connect, at least two; too large a set is cut at stronger links."""
    ones, others, weights = links
    found: list[Ints] = []
    todo = [(np.flatnonzero(weights > limit), limit)]
    inside = np.zeros(count, bool)
    while todo:
        used, at_least = todo.pop()
        for part in components(ones[used], others[used]):
            if len(part) <= LARGEST or at_least > _STRONGEST:
                found.append(part)
                continue
            inside[part] = True
            stronger = used[inside[ones[used]]]
            inside[part] = False
            todo.append((stronger[weights[stronger] > at_least + _STEP], at_least + _STEP))
    return sorted(found, key=lambda part: int(part[0]))


def components(ones: Ints, others: Ints) -> list[Ints]:
    """The sets of at least two records that pairs connect, each in order."""
    linked, numbers = np.unique(np.concatenate((ones, others)), return_inverse=True)
    clusters = Partition(len(linked))
    for one, other in zip(numbers[: len(ones)].tolist(), numbers[len(ones) :].tolist(), strict=True):
        clusters.join(one, other)
    roots = np.array([clusters.find(it) for it in range(len(linked))], np.int64)
    order = np.argsort(roots, kind="stable")
    return np.split(linked[order], np.flatnonzero(np.diff(roots[order])) + 1) if len(linked) else []


def _missing_pairs(parts: Sequence[Ints]) -> tuple[Ints, Ints]:
    """Every pair inside the parts that have more than two records, and not too many."""
    ones, others = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for part in parts:
        if 2 < len(part) <= LARGEST:
            low, high = np.triu_indices(len(part), 1)
            ones.append(part[low])
            others.append(part[high])
    return np.concatenate(ones), np.concatenate(others)


def _table(ones: Ints, others: Ints, weights: Floats, count: int) -> tuple[Ints, Floats]:
    pairs, first = np.unique(ones * count + others, return_index=True)
    return pairs, np.clip(weights[first], -MOST_BITS, MOST_BITS)


def _matrix(part: Ints, table: tuple[Ints, Floats], count: int) -> Floats:
    size = len(part)
    found = np.zeros((size, size))
    low, high = np.triu_indices(size, 1)
    wanted = part[low] * count + part[high]
    where = np.minimum(np.searchsorted(table[0], wanted), len(table[0]) - 1)
    values = np.where(table[0][where] == wanted, table[1][where], 0.0)
    found[low, high] = values
    found[high, low] = values
    return found


def _average_linkage(part: Ints, sums: Floats, limit: float) -> list[Ints]:
    """The groups of one part."""
    if len(part) == 2:
        return [part]
    members = [[it] for it in range(len(part))]
    sizes = np.ones(len(part))
    np.fill_diagonal(sums, -np.inf)
    while True:
        means = sums / np.outer(sizes, sizes)
        best = int(np.argmax(means))
        one, other = sorted(divmod(best, len(part)))
        if means[one, other] <= limit:
            break
        sums[one] += sums[other]
        sums[:, one] = sums[one]
        sums[other], sums[:, other], sums[one, one] = -np.inf, -np.inf, -np.inf
        sizes[one] += sizes[other]
        members[one] += members[other]
        members[other] = []
    return [part[np.sort(it)] for it in members if it]
