"""Review: one pair of records at a time, about which a person should decide, and all open ones of the same pattern."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.dashboard.routes import PageRoute
from service.dashboard.sets.customer_rows import BatchChoice
from service.dashboard.sets.review import Review, review_asked_by, review_of, seen_of
from service.dashboard.sets.review_queue import Numbers, QueueRow
from service.dashboard.sets.reviewed_pairs import ReviewedPair, pair_at, values_at
from service.dashboard.site import Site
from service.decisions import Decision
from service.errors import UsageError
from service.explanation.evidence import FieldOutcome, outcomes_of
from service.explanation.records import RecordName
from service.explanation.touching import decisions_of
from service.jobs.decide import author
from service.masters.customer_sets import ShownSet
from service.masters.missing import MissingThing

MOST_ALIKE = 2000
"""So many questions are answered at once."""
LISTED = 50
"""Of these, so many are listed before they are answered."""
_RANGE = r"^([1-9][0-9]{0,8}(-[1-9][0-9]{0,8})?)?$"

Position = Annotated[int, Meta(ge=1, le=1_000_000)]
BatchId = Annotated[str, Meta(pattern=r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}(-[1-9][0-9]*)?$", max_length=40)]
AnswerKind = Literal["same", "different"]
ReviewState = Literal["unpublished", "unreadable", "literal", "empty", "answered", "asked"]


class ReviewParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which question of the newest set; nothing of a customer: it stands in URLs."""

    batch: BatchChoice = ""
    """Of the set whose question is meant; where a newer one was published, its first open question is shown."""
    position: Position | None = None
    """From 1; without it the first open question."""
    undo: Annotated[str, Meta(pattern=_RANGE, max_length=19)] = ""
    """Numbers of the decisions that the last answer made: ``12`` or ``12-61``; without it the latest decision."""


class AlikeParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which question the others are like."""

    batch: BatchId
    position: Position


class GivenAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a question."""

    kind: AnswerKind
    number: int | None = None
    """Of the decision; null where the answer follows from others."""
    decided_by: str = ""
    decided_at: str = ""
    note: str = ""


class ReviewQuestion(Struct, frozen=True, kw_only=True):
    """A question: are these two records the same customer?"""

    position: int
    pair: ReviewedPair
    weight: float
    """log2 of the odds that they are; no calibrated probability."""
    evidence: tuple[FieldOutcome, ...]
    against: tuple[FieldOutcome, ...]
    answer: GivenAnswer | None
    """Null where it is open."""
    alike: int
    """Open questions with the same evidence, and the same against it; this one counts, too."""
    next_open: int | None
    """The open question behind it, else the first one; null where no other is open."""


class UndoableAnswer(Struct, frozen=True, kw_only=True):
    """The last answer, which can be taken back."""

    first: int
    """Numbers of its decisions."""
    last: int
    kind: AnswerKind
    left: RecordName
    """Of the first of them."""
    right: RecordName
    decided_by: str
    decided_at: str


class ReviewView(Struct, frozen=True, kw_only=True):
    """The review of the newest set."""

    state: ReviewState
    shown: ShownSet | None = None
    is_safe_chosen: bool = False
    """Whether the settings choose weighed evidence, so that the next batch has questions."""
    replaced: str = ""
    """The batch that was asked for, where the newest set is another."""
    questions: int = 0
    answered: int = 0
    is_whole: bool = True
    """Whether the queue has no more questions than these."""
    question: ReviewQuestion | None = None
    last: UndoableAnswer | None = None
    usual_name: str = ""
    """Who decides where a form names no one."""

    @property
    def undo(self) -> str:
        """The parameter ``undo`` for links that keep it."""
        return "" if self.last is None else numbers_text(self.last.first, self.last.last)


class AlikeRow(Struct, frozen=True, kw_only=True):
    """One question of several that are alike."""

    position: int
    left: RecordName
    right: RecordName
    weight: float
    left_values: dict[str, str | None]
    """Field -> value, as normalised."""
    right_values: dict[str, str | None]


class AlikeView(Struct, frozen=True, kw_only=True):
    """The open questions that one answer may answer together."""

    shown: ShownSet
    position: int
    evidence: tuple[FieldOutcome, ...]
    against: tuple[FieldOutcome, ...]
    count: int
    """So many are answered at once."""
    whole: int
    """So many are open."""
    rows: tuple[AlikeRow, ...]
    """The first of them."""
    seen: str
    """Names these questions: an answer must send it back, so that it answers no others."""
    usual_name: str


# ------------------------------------------------------------------------------------------------------ one question


def _review(site: Site, asked: ReviewParameters) -> ReviewView:
    of, is_safe_chosen = site.customer_sets.find(), site.settings.matching == "safe"
    if of is None:
        return ReviewView(state="unpublished", is_safe_chosen=is_safe_chosen)
    review = None if of.shown.obstacle else review_of(site, of)
    replaced = asked.batch if asked.batch not in ("", of.batch_id) else ""
    if review is None:
        return ReviewView(
            state="unreadable" if of.shown.obstacle else "literal",
            shown=of.shown,
            is_safe_chosen=is_safe_chosen,
            replaced=replaced,
        )
    open_count, position = review.standing.open_count, None if replaced else asked.position
    at = review.checked(position) if position else review.standing.next_open()
    return ReviewView(
        state="asked" if at else "answered" if review.queue.count else "empty",
        shown=of.shown,
        is_safe_chosen=is_safe_chosen,
        replaced=replaced,
        questions=review.queue.count,
        answered=review.queue.count - open_count,
        is_whole=review.queue.is_whole,
        question=_question(review, at) if at else None,
        last=_last(review, asked.undo),
        usual_name=usual_name(site),
    )


def _question(review: Review, position: int) -> ReviewQuestion:
    (row,) = review.rows([position])
    next_open = review.standing.next_open(position)
    return ReviewQuestion(
        position=position,
        pair=pair_at(review.site.customer_sets, review.of, review.queue.records[position - 1].tolist()),
        weight=row.weight,
        evidence=tuple(outcomes_of(row.evidence)),
        against=tuple(outcomes_of(row.against)),
        answer=_answer(review, position),
        alike=len(review.open_alike(position)),
        next_open=None if next_open == position else next_open,
    )


def _answer(review: Review, position: int) -> GivenAnswer | None:
    kind = review.standing.said(position)
    if kind is None:
        return None
    decision = review.standing.decision(position)
    if decision is None:
        return GivenAnswer(kind=kind)
    return GivenAnswer(
        kind=kind,
        number=decision.number,
        decided_by=decision.decided_by,
        decided_at=decision.decided_at,
        note=decision.note,
    )


def _last(review: Review, undo: str) -> UndoableAnswer | None:
    """The answer that ``undo`` names, else the latest decision since the set was made; None where none is in force."""
    first, _, last = undo.partition("-")
    numbers = range(int(first), int(last or first) + 1) if first else range(0)
    named = [it for it in review.decisions if it.number in numbers]
    return _undoable(named or _since(review)[-1:])


def _since(review: Review) -> list[Decision]:
    followed = {it.number for it in decisions_of(review.site.customer_sets, review.of)}
    return [it for it in review.decisions if it.number not in followed]


def _undoable(decisions: list[Decision]) -> UndoableAnswer | None:
    if not decisions:
        return None
    first = decisions[0]
    left, right = (RecordName(source=it.source, source_id=it.source_id) for it in (first.left, first.right))
    return UndoableAnswer(
        first=first.number,
        last=decisions[-1].number,
        kind=first.kind,
        left=left,
        right=right,
        decided_by=first.decided_by,
        decided_at=first.decided_at,
    )


def numbers_text(first: int, last: int) -> str:
    """``12``, ``12-61``: as the parameter ``undo`` names decisions."""
    return str(first) if first == last else f"{first}-{last}"


def usual_name(site: Site) -> str:
    """Who decides where nothing else is said: as ``decide`` has it."""
    return author(None, site.now()).name


# ------------------------------------------------------------------------------------------------- questions alike


def _alike(site: Site, asked: AlikeParameters) -> AlikeView:
    try:
        review = review_asked_by(site, asked.batch)
    except UsageError as error:
        raise MissingThing(error.message, error.hint) from None
    position = review.checked(asked.position)
    found = review.open_alike(position)
    (row,) = review.rows([position])
    chosen = found[:MOST_ALIKE]
    return AlikeView(
        shown=review.of.shown,
        position=position,
        evidence=tuple(outcomes_of(row.evidence)),
        against=tuple(outcomes_of(row.against)),
        count=len(chosen),
        whole=len(found),
        rows=tuple(_listed(review, chosen[:LISTED])),
        seen=seen_of(chosen),
        usual_name=usual_name(site),
    )


def _listed(review: Review, positions: Numbers) -> Iterator[AlikeRow]:
    listed: list[int] = positions.tolist()
    records: list[list[int]] = review.queue.records[positions - 1].tolist()
    values = values_at(review.site.customer_sets, review.of, (it for both in records for it in both))
    rows: list[QueueRow] = review.rows(listed)
    for position, row, (left, right) in zip(listed, rows, records, strict=True):
        yield AlikeRow(
            position=position,
            left=row.left,
            right=row.right,
            weight=row.weight,
            left_values=values[left],
            right_values=values[right],
        )


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("review", "/review", "a question of the newest set", ReviewParameters, ReviewView, _review),
    PageRoute(
        "review_alike",
        "/review/alike",
        "the open questions with the same evidence",
        AlikeParameters,
        AlikeView,
        _alike,
    ),
)
