"""A partition of numbers into clusters, some of which must stay apart: union-find that knows what it must not join."""

from __future__ import annotations


class Partition:
    """The numbers from 0 to ``size - 1``, each a cluster of its own at first.

    >>> clusters = Partition(4)
    >>> clusters.part(0, 3, by=7)
    >>> clusters.join(0, 1), clusters.join(2, 3), clusters.join(1, 2)
    (None, None, 7)
    >>> clusters.find(0) == clusters.find(1), clusters.find(1) == clusters.find(2)
    (True, False)
    """

    def __init__(self, size: int) -> None:
        self._above = list(range(size))
        self._apart: dict[int, dict[int, int]] = {}
        """Root -> the roots that it must not be joined with, and the smallest reason for each."""

    def grown_to(self, number: int) -> int:
        """The same number, which is a cluster of its own if it was none."""
        self._above.extend(range(len(self._above), number + 1))
        return number

    def find(self, number: int) -> int:
        """The root of its cluster: the same number for all of the cluster, until it is joined with another."""
        above = self._above
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return number

    def part(self, one: int, other: int, by: int) -> None:
        """From now on keep the clusters of both apart, for the reason ``by``; they must not be one already."""
        for root, opposite in ((self.find(one), self.find(other)), (self.find(other), self.find(one))):
            reasons = self._apart.setdefault(root, {})
            reasons[opposite] = min(by, reasons.get(opposite, by))

    def reason_apart(self, one: int, other: int) -> int | None:
        """The smallest reason that keeps their clusters apart; None where nothing does."""
        reasons = self._apart.get(self.find(one))
        return None if reasons is None else reasons.get(self.find(other))

    def join(self, one: int, other: int) -> int | None:
        """Make their clusters one; if something keeps them apart nothing changes, and the smallest reason is returned.

        Near linear: of two clusters the one with fewer that it is kept apart from goes below the other.
        """
        root, below = self.find(one), self.find(other)
        if root == below:
            return None
        apart = self._apart
        if apart:
            reasons, moved = apart.get(root, {}), apart.get(below, {})
            if below in reasons:
                return reasons[below]
            if len(moved) > len(reasons):
                root, below = below, root
            self._move_reasons(below, root)
        self._above[below] = root
        return None

    def _move_reasons(self, below: int, root: int) -> None:
        moved = self._apart.pop(below, None)
        if moved is None:
            return
        reasons = self._apart.setdefault(root, {})
        for opposite, by in moved.items():
            least = min(by, reasons.get(opposite, by))
            reasons[opposite] = self._apart[opposite][root] = least
            del self._apart[opposite][below]
