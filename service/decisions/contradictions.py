"""Contradictions: which decisions a new one contradicts, and which of them to undo so that it can be made."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from service.decisions.decision import Decision, DecisionKind
from service.decisions.partition import Partition


@dataclass(frozen=True)
class Contradiction:
    """Why a decision cannot be made."""

    because: tuple[int, ...]
    """The decisions that together say the contrary, ascending."""
    to_undo: tuple[int, ...]
    """Without these it can be made, ascending."""


class Consistent:
    """Decisions that do not contradict each other; a million take seconds."""

    def __init__(self, decisions: Iterable[Decision] = ()) -> None:
        self._decisions: list[Decision] = []
        self._position: dict[str, int] = {}
        self._numbers: dict[tuple[DecisionKind, tuple[str, str]], int] = {}
        self._clusters = Partition(0)
        for decision in sorted(decisions, key=lambda it: it.kind == "different"):  # joined first, then parted
            self.add(decision)

    def known(self, kind: DecisionKind, keys: tuple[str, str]) -> int | None:
        """The number of this decision, if it is one of them."""
        return self._numbers.get((kind, keys))

    def said(self, keys: tuple[str, str]) -> DecisionKind | None:
        """What they say about two records, by themselves or together; None where they leave it open."""
        left, right = map(self._at, keys)
        if self._clusters.find(left) == self._clusters.find(right):
            return "same"
        return None if self._clusters.reason_apart(left, right) is None else "different"

    def add(self, decision: Decision) -> None:
        """Add one that does not contradict them."""
        left, right = map(self._at, decision.keys)
        self._decisions.append(decision)
        self._numbers[decision.kind, decision.keys] = decision.number
        if decision.kind == "same":
            self._clusters.join(left, right)
        elif self._clusters.find(left) != self._clusters.find(right):
            self._clusters.part(left, right, decision.number)

    def against(self, kind: DecisionKind, keys: tuple[str, str]) -> Contradiction | None:
        """What a decision about the records with these keys contradicts; None if it can be made."""
        left, right = map(self._at, keys)
        if kind == "different":
            if self._clusters.find(left) != self._clusters.find(right):
                return None
            links = _links(self._decisions)
            return Contradiction(tuple(sorted(_path(links, *keys) or ())), _separating(links, *keys))
        if self._clusters.reason_apart(left, right) is None:
            return None
        return self._parted(*keys)

    def _at(self, key: str) -> int:
        position = self._position.setdefault(key, len(self._position))
        return self._clusters.grown_to(position)

    def _parted(self, one: str, other: str) -> Contradiction:
        """The decisions that keep the clusters of both apart, and those by which each of the two is in its cluster."""
        roots = {self._clusters.find(self._position[key]): key for key in (one, other)}
        between = [
            decision
            for decision in self._decisions
            if decision.kind == "different"
            and {self._clusters.find(self._position[key]) for key in decision.keys} == set(roots)
        ]
        first = min(between, key=lambda decision: decision.number)
        links = _links(self._decisions)
        because = {first.number}
        for key in first.keys:
            because |= set(_path(links, key, roots[self._clusters.find(self._position[key])]) or ())
        return Contradiction(tuple(sorted(because)), tuple(sorted(decision.number for decision in between)))


_Links = Mapping[str, Sequence[tuple[str, int]]]


def _links(decisions: Iterable[Decision]) -> dict[str, list[tuple[str, int]]]:
    """Key -> the keys that a decision ``same`` links it with, and the numbers of these."""
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for decision in decisions:
        if decision.kind == "same":
            left, right = decision.keys
            found[left].append((right, decision.number))
            found[right].append((left, decision.number))
    return found


def _path(links: _Links, one: str, other: str, without: Set[int] = frozenset()) -> tuple[int, ...] | None:
    """The numbers of the decisions on a shortest path from one record to the other; None if there is none."""
    parents: dict[str, tuple[str, int]] = {one: (one, 0)}
    waiting = deque([one])
    while waiting and other not in parents:
        key = waiting.popleft()
        for neighbour, number in links.get(key, ()):
            if neighbour not in parents and number not in without:
                parents[neighbour] = (key, number)
                waiting.append(neighbour)
    if other not in parents:
        return None
    steps: list[int] = []
    while other != one:
        other, number = parents[other]
        steps.append(number)
    return tuple(steps)


def _separating(links: _Links, one: str, other: str) -> tuple[int, ...]:
    """Decisions without which no path leads from one record to the other: of each path the one made last."""
    removed: set[int] = set()
    while path := _path(links, one, other, removed):
        removed.add(max(path))
    return tuple(sorted(removed))
