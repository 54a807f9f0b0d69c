"""Which former customer each new group continues, so that as few records as possible change their id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

Overlap = tuple[int, int, int]
"""Number of the former customer, group, and how much the two share (> 0)."""

EXACT_UP_TO = 120
"""Tangles with more customers or groups than this are matched greedily: the exact method is cubic."""


def assign(overlaps: Sequence[Overlap]) -> dict[int, int]:
    """Match groups to former customers, each at most once, with the greatest sum of shared records.

    Ties: the lower customer number is kept; then it continues in the earliest group possible.

    Returns: group -> customer; a group that is absent gets a new id.

    >>> assign([(1, 10, 3), (2, 10, 2)])          # a merge: the larger part's id survives
    {10: 1}
    >>> assign([(1, 10, 1), (1, 11, 2)])          # a split: the largest part keeps the id
    {11: 1}
    >>> assign([(1, 10, 2), (2, 10, 2), (2, 11, 1)])
    {10: 1, 11: 2}
    """
    chosen: dict[int, int] = {}
    for tangle in _tangles(overlaps):
        customers, groups = {o[0] for o in tangle}, {o[1] for o in tangle}
        exact = max(len(customers), len(groups)) <= EXACT_UP_TO
        chosen.update(_exact(tangle) if exact else _greedy(tangle))
    return dict(sorted(chosen.items()))


def _tangles(overlaps: Iterable[Overlap]) -> list[list[Overlap]]:
    """The connected components of the overlap graph."""
    root: dict[tuple[str, int], tuple[str, int]] = {}

    def find(node: tuple[str, int]) -> tuple[str, int]:
        root.setdefault(node, node)
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    overlaps = list(overlaps)
    for customer, group, _ in overlaps:
        root[find(("customer", customer))] = find(("group", group))
    tangles: dict[tuple[str, int], list[Overlap]] = defaultdict(list)
    for overlap in overlaps:
        tangles[find(("customer", overlap[0]))].append(overlap)
    return list(tangles.values())


def _greedy(tangle: Sequence[Overlap]) -> dict[int, int]:
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    for customer, group, _ in sorted(tangle, key=lambda o: (-o[2], o[0], o[1])):
        if customer not in taken and group not in chosen:
            taken.add(customer)
            chosen[group] = customer
    return chosen


def _exact(tangle: Sequence[Overlap]) -> dict[int, int]:
    customers = sorted({o[0] for o in tangle})
    groups = sorted({o[1] for o in tangle})
    if len(customers) == 1 or len(groups) == 1:
        return _greedy(tangle)
    size = max(len(customers), len(groups))
    gain = [[0] * size for _ in range(size)]
    # A gain is one whole number of three parts, from the most significant on: the shared records; one bit for each
    # customer, the highest for the lowest number, which ties keep; one digit in base ``base`` for each customer, larger
    # for an earlier group.
    base, digits = len(groups) + 1, len(customers)
    for customer, group, shared in tangle:
        row, column = customers.index(customer), groups.index(group)
        below = digits - 1 - row
        gain[row][column] = ((shared << digits) + (1 << below)) * base**digits + (base - 1 - column) * base**below
    matched = _most_gain(gain)
    return {
        groups[column]: customers[row]
        for row, column in enumerate(matched)
        if row < len(customers) and column < len(groups) and gain[row][column]
    }


def _most_gain(gain: Sequence[Sequence[int]]) -> list[int]:
    """The column of each row in a perfect matching of a square matrix whose sum is the greatest.

    The Hungarian method with potentials (Kuhn 1955, Munkres 1957), in whole numbers. Row and column 0 are outside the
    matrix: column 0 holds the row that has no column yet.
    """
    size = len(gain)
    row_potential, column_potential = [0] * (size + 1), [0] * (size + 1)
    row_at = [0] * (size + 1)
    for row in range(1, size + 1):
        row_at[0] = row
        _augment(gain, row_potential, column_potential, row_at)
    matched = [0] * size
    for column in range(1, size + 1):
        matched[row_at[column] - 1] = column - 1
    return matched


def _augment(
    gain: Sequence[Sequence[int]], row_potential: list[int], column_potential: list[int], row_at: list[int]
) -> None:
    """Give the row in column 0 a column, moving other rows along the cheapest alternating path."""
    size = len(gain)
    unreached = set(range(1, size + 1))
    slack: dict[int, int] = {}
    came_from: dict[int, int] = {}
    column, path = 0, [0]
    while row_at[column]:
        row = row_at[column]
        for j in unreached:
            reduced = -gain[row - 1][j - 1] - row_potential[row] - column_potential[j]
            if j not in slack or reduced < slack[j]:
                slack[j], came_from[j] = reduced, column
        following = min(unreached, key=lambda j: (slack[j], j))
        step = slack[following]
        for j in path:
            row_potential[row_at[j]] += step
            column_potential[j] -= step
        for j in unreached:
            slack[j] -= step
        unreached.remove(following)
        path.append(following)
        column = following
    while column:
        row_at[column] = row_at[came_from[column]]
        column = came_from[column]
