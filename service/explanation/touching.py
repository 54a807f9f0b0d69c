"""The decisions of people that touch a customer: those that its set followed, and what was decided since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from service.decisions import Decision, DecisionStore
from service.decisions.decision_file import DECISIONS_FILE, read_lines
from service.explanation.group import SameDecision
from service.explanation.records import RecordName
from service.masters.customer_sets import CustomerSet, CustomerSets

Standing = Literal["followed", "undone", "new"]
"""``followed``: by the set, if both records are in it. ``undone``: so, and undone since. ``new``: made since."""


class TouchingDecision(Struct, frozen=True, kw_only=True):
    """A decision about a record of the customer."""

    number: int
    kind: Literal["same", "different"]
    left: RecordName
    """As it was named when it was decided."""
    right: RecordName
    decided_by: str
    decided_at: str
    note: str
    standing: Standing


def decisions_of(sets: CustomerSets, of: CustomerSet) -> Sequence[Decision]:
    """The decisions that a set followed; none where an older program made it. Raises: UsageError for a damaged file."""
    return sets.figure(of, "decisions", lambda: _read(of.folder / DECISIONS_FILE))


def _read(path: Path) -> Sequence[Decision]:
    with suppress(FileNotFoundError):
        return [line.as_decision() for line in read_lines(path)]
    return []


def same_decisions(decisions: Iterable[Decision], keys: Set[str]) -> list[SameDecision]:
    """Those that make two of the records with these keys one customer."""
    return [SameDecision(it.number, *it.keys) for it in decisions if it.kind == "same" and keys >= set(it.keys)]


def touching(
    followed: Sequence[Decision], state: Path, is_meant: Callable[[Set[str]], bool]
) -> tuple[TouchingDecision, ...]:
    """The decisions whose two keys are meant: those that the set followed, then those made since. Raises: OSError."""
    in_force = {it.number: it for it in DecisionStore(state).in_force()}
    numbers = {it.number for it in followed}
    found: list[tuple[Decision, Standing]] = [
        (it, "followed" if it.number in in_force else "undone") for it in followed
    ]
    found += [(it, "new") for it in in_force.values() if it.number not in numbers]
    return tuple(_touching(it, standing) for it, standing in found if is_meant(set(it.keys)))


def _touching(decision: Decision, standing: Standing) -> TouchingDecision:
    left, right = (RecordName(source=it.source, source_id=it.source_id) for it in (decision.left, decision.right))
    return TouchingDecision(
        number=decision.number,
        kind=decision.kind,
        left=left,
        right=right,
        decided_by=decision.decided_by,
        decided_at=decision.decided_at,
        note=decision.note,
        standing=standing,
    )
