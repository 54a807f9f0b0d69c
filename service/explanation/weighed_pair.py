"""Two records of a set of weighed evidence explained: the published links between them, or the question asked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path

from msgspec import Struct, structs

from service.commands import command
from service.decisions import Decision
from service.decisions.rows import csv_rows
from service.errors import UsageError
from service.explanation.customer import MOST_CAUSES, cause_of, keys_of
from service.explanation.evidence import evidence_of
from service.explanation.group import Group, closed_group_of
from service.explanation.pair import PairExplanation, PairPath, Step, step_of
from service.explanation.records import GroupRecord, RecordName, compared_values
from service.explanation.ties import Tie, ties_between
from service.explanation.touching import same_decisions
from service.explanation.weighed_customer import not_said, published_via, sure_cuts

NOT_ASKED = (
    "the review queue does not ask about this pair, and the set stores only the weights of its own links, so the weight"
    " of this pair is not known"
)
ONLY_SOME_FIELDS = (
    "street addresses, dates of birth and other fields that only weighed evidence reads are not in the set"
)


class QueuedQuestion(Struct, frozen=True, kw_only=True):
    """A question of the review queue about two customers."""

    left: RecordName
    right: RecordName
    weight: float
    """The mean weight of the pairs of their groups, as evidence alone made them; of large ones of the first records."""
    evidence: str
    """Of these two: the fields that speak for one customer, and how far they agree."""
    against: str


class WeighedPair(Struct, frozen=True, kw_only=True):
    """What weighed evidence adds to the explanation of two records."""

    shared: tuple[Tie, ...] = ()
    """Where they are one customer: what the two share directly."""
    is_one_by_weight: bool = False
    """Whether weighed evidence alone makes the two one customer."""
    question: QueuedQuestion | None = None
    """Where they are not: the question about their customers, if one is asked."""
    is_kept_apart: bool = False
    """Where they are not: whether links lead from the one customer to the other, and decisions keep them apart."""
    not_said: tuple[str, ...] = ()
    """What is not in the explanation, with the reason."""


class WeighedPairExplanation(PairExplanation, frozen=True, kw_only=True):
    """Why two records of a set of weighed evidence are one customer, or why they are not."""

    weighed: WeighedPair


def weighed_path(
    records: Sequence[GroupRecord], followed: Sequence[Decision], one: int, other: int, *, is_whole: bool
) -> tuple[PairPath, WeighedPair]:
    """The path of published links between two records of a customer, by their ordinals."""
    closed = closed_group_of(records, same_decisions(followed, keys_of(records)))
    at = {record.ordinal: position for position, record in enumerate(records)}
    start, end = at[one], at[other]
    via = published_via(records)
    links, cuts, found = sure_cuts(records, followed, is_whole=is_whole)
    parting = (cut for cut in found if cuts.parts_two(cut, start, end))
    path = PairPath(
        steps=tuple(_step(closed, via, first, second) for first, second in pairwise(path_along(via, start, end))),
        parted_by=tuple(cause_of(cut, cuts, links) for cut in islice(parting, MOST_CAUSES)),
    )
    left, right = (records[it].evidence for it in (start, end))
    return path, WeighedPair(
        shared=ties_between(closed, start, end),
        is_one_by_weight=left is not None and right is not None and left.weighed == right.weighed,
        not_said=not_said(links, is_whole=is_whole),
    )


def path_along(via: Sequence[int | None], start: int, end: int) -> list[int]:
    """The records of the path from ``start`` to ``end`` in a tree, both among them. Raises: UsageError without a path.

    ``via``: for each record its parent.

    >>> path_along([None, 0, 0, 1, 1], 3, 2), path_along([None, 0, 0, 1, 1], 3, 4)
    ([3, 1, 0, 2], [3, 1, 4])
    """
    ups, downs = (_up(via, it) for it in (start, end))
    known = set(downs)
    common = next((it for it in ups if it in known), None)
    if common is None:
        hint = f"{command('verify')} says what was changed"
        raise UsageError("the links of the set are damaged: they do not connect its customer", hint=hint)
    return [*ups[: ups.index(common) + 1], *reversed(downs[: downs.index(common)])]


def _up(via: Sequence[int | None], at: int) -> list[int]:
    """The records from one to the root; of a circle, which a damaged set may have, each once."""
    path = {at: None}
    while (parent := via[at]) is not None and parent not in path:
        path[parent] = None
        at = parent
    return [*path]


def _step(group: Group, via: Sequence[int | None], first: int, second: int) -> Step:
    """A link of the tree, in either direction, with the reason that was published."""
    removed = group.records[first if via[first] == second else second]
    stated = removed.evidence
    found = step_of(group, first, second)
    return structs.replace(
        found,
        rules="+".join(removed.rules),
        evidence=None if stated is None else evidence_of(stated.weight, stated.parts),
    )


def between_customers(
    of_one: Sequence[GroupRecord], of_other: Sequence[GroupRecord], followed: Sequence[Decision], queue: Path
) -> WeighedPair:
    """What weighed evidence says of two customers; ``queue``: the path of ``review_queue.csv``. Raises: OSError."""
    question = _question(queue, _names(of_one), _names(of_other))
    return WeighedPair(
        question=question,
        is_kept_apart=_are_linked(of_one, of_other, followed),
        not_said=(ONLY_SOME_FIELDS,) if question else (NOT_ASKED, ONLY_SOME_FIELDS),
    )


def _are_linked(of_one: Sequence[GroupRecord], of_other: Sequence[GroupRecord], followed: Sequence[Decision]) -> bool:
    """Whether weighed evidence, an id or a decision links a record of the one customer with one of the other."""
    if not _numbers(of_one).isdisjoint(_numbers(of_other)):
        return True
    left, right = keys_of(of_one), keys_of(of_other)
    return any(it.kind == "same" and not left.isdisjoint(it.keys) and not right.isdisjoint(it.keys) for it in followed)


def _numbers(records: Sequence[GroupRecord]) -> set[object]:
    weighed = {it.evidence.weighed for it in records if it.evidence}
    return {*weighed, *(text for it in records if (text := compared_values(it).get("id")))}


def _names(records: Sequence[GroupRecord]) -> set[tuple[str, str]]:
    return {(it.name.source, it.name.source_id) for it in records}


def _question(path: Path, of_one: set[tuple[str, str]], of_other: set[tuple[str, str]]) -> QueuedQuestion | None:
    """The first question about two customers, by the names of their records; the record of the first comes first."""
    with csv_rows(path) as rows:
        for row in rows:
            left, right = (row["left_source"], row["left_id"]), (row["right_source"], row["right_id"])
            if not ((left in of_one and right in of_other) or (left in of_other and right in of_one)):
                continue
            first, second = (left, right) if left in of_one else (right, left)
            return QueuedQuestion(
                left=RecordName(source=first[0], source_id=first[1]),
                right=RecordName(source=second[0], source_id=second[1]),
                weight=float(row["weight"]),
                evidence=row["evidence"],
                against=row["against"],
            )
    return None
