"""Two records explained: the shortest path of evidence between them; or why there is none, and what comes nearest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise, product
from typing import Literal

from msgspec import Struct

from service.explanation.customer import MOST_CAUSES, SplitCause, cause_of
from service.explanation.cuts import cuts_of
from service.explanation.evidence import WeighedEvidence
from service.explanation.group import Group, SameDecision, closed_group_of, group_of
from service.explanation.likeness import likeness
from service.explanation.records import (
    FIELD_OF_RULE,
    FIELDS,
    RULE_OF_FIELD,
    GroupRecord,
    RecordName,
    compared_values,
)
from service.explanation.ties import Tie, reason_of, ties_between
from service.explanation.touching import TouchingDecision
from service.explanation.walk import path_between
from service.pipeline.fields.phone import RAW

MOST_NEAR = 20
_MOST_COMPARED = 10_000
"""The most pairs of values that are compared for likeness."""

Why = Literal[
    "shared but kept apart", "almost the same", "shown the same, but no evidence", "shared, but one piece of evidence"
]


class Step(Struct, frozen=True, kw_only=True):
    """A step of the path: two records that share values."""

    one: RecordName
    other: RecordName
    rules: str
    """``email+phone``, the strongest first."""
    ties: tuple[Tie, ...]
    evidence: WeighedEvidence | None = None
    """What weighed evidence says of the two; null where it does not make them one customer, or the rule is literal."""


class NearEvidence(Struct, frozen=True, kw_only=True):
    """A value of a record of the one customer, and one of the other, that do not make them one."""

    field: str
    one: RecordName
    other: RecordName
    value: str
    other_value: str
    why: Why
    likeness: str = ""
    """In words, where they are almost the same."""


class Contrast(Struct, frozen=True, kw_only=True):
    """A field of which both records have a value, and not the same."""

    field: str
    value: str
    other_value: str


class PairExplanation(Struct, frozen=True, kw_only=True):
    """Why two records are one customer, or why they are not."""

    batch_id: str
    published_at: str | None
    one: RecordName
    one_of: str
    """The unified id of its customer."""
    other: RecordName
    other_of: str
    is_one: bool
    steps: tuple[Step, ...] = ()
    parted_by: tuple[SplitCause, ...] = ()
    """Where they are one: the single values and records without which these two would not be."""
    near: tuple[NearEvidence, ...] = ()
    """Where they are not: what comes nearest."""
    against: tuple[Contrast, ...] = ()
    """The fields in which the two records differ."""
    decisions: tuple[TouchingDecision, ...] = ()
    """Those about records of both customers, or about one of the two records."""


class PairPath(Struct, frozen=True, kw_only=True):
    """The path between two records of one customer, and what would part the two."""

    steps: tuple[Step, ...]
    parted_by: tuple[SplitCause, ...]


def path_of(records: Sequence[GroupRecord], same: Sequence[SameDecision], one: int, other: int) -> PairPath:
    """The shortest path between two records of a customer, by their ordinals; of equal ones that of earlier records."""
    group, closed = group_of(records, same), closed_group_of(records, same)
    at = {record.ordinal: position for position, record in enumerate(records)}
    start, end = at[one], at[other]
    path = path_between(closed, start, end)
    cuts = cuts_of(group)
    parting = (cut for cut in cuts.found if cut.record not in (start, end) and cuts.parts_two(cut, start, end))
    return PairPath(
        steps=tuple(step_of(closed, first, second) for first, second in pairwise(path)),
        parted_by=tuple(cause_of(cut, cuts, group) for cut in islice(parting, MOST_CAUSES)),
    )


def step_of(group: Group, first: int, second: int) -> Step:
    """The step from one record of a group to another, by what the two share."""
    listed = reason_of(group.shared(first, second))
    rules = dict.fromkeys(value.rule for value in group.shared(first, second) if value.rule in listed)
    return Step(
        one=group.records[first].name,
        other=group.records[second].name,
        rules="+".join(rules),
        ties=ties_between(group, first, second),
    )


def contrasts(one: GroupRecord, other: GroupRecord) -> tuple[Contrast, ...]:
    """The fields in which two records have different values."""
    pairs = ((field, one.values[field], other.values[field]) for field in FIELDS)
    return tuple(
        Contrast(field=field, value=value, other_value=other_value)
        for field, value, other_value in pairs
        if value is not None and other_value is not None and value != other_value
    )


def nearest(
    one: GroupRecord, of_one: Sequence[GroupRecord], other: GroupRecord, of_other: Sequence[GroupRecord]
) -> tuple[NearEvidence, ...]:
    """What the records of two customers nearly share: shared values first, then those that are alike.

    The two records themselves come before the others of their customers.
    """
    left, right = [one, *of_one], [other, *of_other]
    found: dict[tuple[str, str, str], NearEvidence] = {}
    why: Why = "shared but kept apart" if one.evidence is None else "shared, but one piece of evidence"
    for it in (*_shared(left, right, why), *_alike(left, right)):
        found.setdefault((it.field, it.value, it.other_value), it)
    return tuple(islice(found.values(), MOST_NEAR))


def _shared(left: Sequence[GroupRecord], right: Sequence[GroupRecord], why: Why) -> Iterator[NearEvidence]:
    """Values that rules compare as the same; where the rule is literal, only a decision keeps their owners apart."""
    known: dict[tuple[str, str], GroupRecord] = {}
    for record in left:
        for rule, text in compared_values(record).items():
            known.setdefault((rule, text), record)
    for record in right:
        for rule, text in compared_values(record).items():
            first = known.get((rule, text))
            if first is not None and rule in FIELD_OF_RULE:
                field = FIELD_OF_RULE[rule]
                value, other_value = (it.values[field] or text.removeprefix(RAW) for it in (first, record))
                yield _near(field, (first, value), (record, other_value), why)


def _alike(left: Sequence[GroupRecord], right: Sequence[GroupRecord]) -> Iterator[NearEvidence]:
    """Values that are almost the same, or shown the same and yet not shared."""
    for field in FIELD_OF_RULE.values():
        pairs = product(_distinct(left, field), _distinct(right, field))
        for (value, first), (other_value, second) in islice(pairs, _MOST_COMPARED):
            if value != other_value:
                words = likeness(field, value, other_value)
                if words:
                    yield _near(field, (first, value), (second, other_value), "almost the same", words)
            elif not _is_shared(field, first, second):
                yield _near(field, (first, value), (second, other_value), "shown the same, but no evidence")


def _is_shared(field: str, first: GroupRecord, second: GroupRecord) -> bool:
    one, other = (compared_values(record).get(RULE_OF_FIELD[field]) for record in (first, second))
    return one is not None and one == other


def _distinct(records: Sequence[GroupRecord], field: str) -> list[tuple[str, GroupRecord]]:
    """Each value of a field with the first record that has it."""
    first: dict[str, GroupRecord] = {}
    for record in records:
        value = record.values[field]
        if value is not None:
            first.setdefault(value, record)
    return list(first.items())


def _near(
    field: str, one: tuple[GroupRecord, str], other: tuple[GroupRecord, str], why: Why, likeness: str = ""
) -> NearEvidence:
    (first, value), (second, other_value) = one, other
    return NearEvidence(
        field=field,
        one=first.name,
        other=second.name,
        value=value,
        other_value=other_value,
        why=why,
        likeness=likeness,
    )
