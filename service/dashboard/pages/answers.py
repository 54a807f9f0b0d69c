"""Answers to the questions of a review: given, taken back, exported and imported, as the command line does it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Annotated, Any, BinaryIO, cast

from msgspec import Meta, Struct

from service import logs
from service.dashboard.formats import sentence
from service.dashboard.pages.review import (
    MOST_ALIKE,
    AnswerKind,
    BatchId,
    Position,
    numbers_text,
)
from service.dashboard.routes import (
    ActionRoute,
    Announced,
    FileRoute,
    NoParameters,
    ServedFile,
    UploadRoute,
)
from service.dashboard.sets.review import Review, newest_review, review_asked_by, seen_of
from service.dashboard.sets.reviewed_pairs import decided_records
from service.dashboard.site import Site
from service.dashboard.web.uploads import refuse_too_large
from service.decisions import DecisionStore
from service.decisions.decision_file import DECISIONS_FILE, csv_of
from service.errors import UsageError
from service.files import free_bytes, make_folder
from service.inbox import NoSpaceForUpload, StagedUpload, UploadTooLarge
from service.jobs.decide import MOST_CHARACTERS, WORDS, Answered, answer, author, imported, undo
from service.phrases import counted

_MOST_FILE_MB = 32
_Text = Annotated[str, Meta(max_length=MOST_CHARACTERS)]
_Number = Annotated[int, Meta(ge=1, le=999_999_999)]


class AnswerParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which question of which set, and its answer."""

    batch: BatchId
    """The newest set: the question of an older one is not answered."""
    position: Position
    answer: AnswerKind
    note: _Text = ""
    by: _Text = ""
    """Who decides; without it the login name of the user who runs the dashboard."""


class AlikeAnswerParameters(AnswerParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to all open questions like one."""

    seen: Annotated[str, Meta(max_length=40)]
    """As the list of these questions gave it."""


class UndoParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which decisions are taken back: those with a number from ``first`` to ``last``."""

    first: _Number
    last: _Number
    by: _Text = ""


class AnswerResult(Struct, frozen=True, kw_only=True):
    """What became of an answer."""

    message: str
    batch_id: str
    numbers: tuple[int, ...]
    """Of the decisions that it made; those in force already are not among them."""
    next_open: int | None
    """The position of the next open question."""


class UndoResult(Struct, frozen=True, kw_only=True):
    """What was taken back."""

    message: str
    numbers: tuple[int, ...]
    batch_id: str | None = None
    position: int | None = None
    """Of the question that is open again; null where the newest set does not ask it."""


class ImportResult(Struct, frozen=True, kw_only=True):
    """What an import made."""

    message: str


# ----------------------------------------------------------------------------------------------------------- answers


def _answer(site: Site, given: AnswerParameters) -> AnswerResult:
    review = review_asked_by(site, given.batch)
    done = _answered(review, given, [review.checked(given.position)])
    if done.known:
        message = f"Decision {done.known[0].number} says so already; nothing was changed."
    else:
        (decision,) = done.made
        shown = f"{decision.left.shown} and {decision.right.shown}"
        message = f"Decision {decision.number}: {shown} are {WORDS[decision.kind]}."
    return _result(review, given, done, message)


def _answer_alike(site: Site, given: AlikeAnswerParameters) -> AnswerResult:
    review = review_asked_by(site, given.batch)
    positions = review.open_alike(review.checked(given.position))[:MOST_ALIKE]
    if given.seen != seen_of(positions):
        raise UsageError(
            "nothing was decided: other questions are open now than those that were listed",
            hint="look at the list again, then answer",
        )
    done = _answered(review, given, positions.tolist())
    message = f"{counted(len(done.made), 'decision')} made: {WORDS[given.answer]}."
    return _result(review, given, done, message)


def _answered(review: Review, given: AnswerParameters, positions: Sequence[int]) -> Answered:
    pairs: dict[int, list[int]] = {it: review.queue.records[it - 1].tolist() for it in positions}
    records = decided_records(review.site.customer_sets, review.of, (it for both in pairs.values() for it in both))
    named = {f"question {position}": (records[left], records[right]) for position, (left, right) in pairs.items()}
    by = author(given.by, review.site.now())
    return answer(given.answer, named, given.note, by, review.site.folders)


def _result(review: Review, given: AnswerParameters, done: Answered, message: str) -> AnswerResult:
    return AnswerResult(
        message=message,
        batch_id=given.batch,
        numbers=tuple(it.number for it in done.made),
        next_open=review.again().standing.next_open(given.position),
    )


def _to_next(_: AnswerParameters, done: AnswerResult) -> tuple[str, dict[str, Any]]:
    undo_ = numbers_text(done.numbers[0], done.numbers[-1]) if done.numbers else None
    return "review", {"batch": done.batch_id, "position": done.next_open, "undo": undo_}


# -------------------------------------------------------------------------------------------------------------- undo


def _undo(site: Site, given: UndoParameters) -> UndoResult:
    if not given.first <= given.last < given.first + MOST_ALIKE:
        raise UsageError("nothing was undone: these are no decisions of one answer", hint="open Review again")
    before = DecisionStore(site.settings.state).in_force()
    # Another process may have undone some of the answer; if it has undone all, that is what is said.
    undone = [it for it in before if given.first <= it.number <= given.last]
    numbers = [it.number for it in undone] or range(given.first, given.last + 1)
    undo(numbers, author(given.by, site.now()), site.folders)
    count = f"decision {numbers[0]}" if len(numbers) == 1 else counted(len(numbers), "decision")
    review = newest_review(site)
    position = review.standing.position_of(undone[0]) if review else None
    return UndoResult(
        message=f"Undone: {count}.",
        numbers=tuple(numbers),
        batch_id=review.of.batch_id if review and position else None,
        position=position,
    )


def _to_question(_: UndoParameters, done: UndoResult) -> tuple[str, dict[str, Any]]:
    return "review", {"batch": done.batch_id, "position": done.position}


# ------------------------------------------------------------------------------------------------------------- files


def _decisions(site: Site, _: NoParameters) -> ServedFile:
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  # the server closes it once it is sent, after this function
    file.write(csv_of(DecisionStore(site.settings.state).in_force()).encode())
    file.seek(0)
    return ServedFile(file, DECISIONS_FILE, "text/csv")


def _check(site: Site, _: NoParameters, announced: Announced) -> None:
    refuse_too_large(announced, _MOST_FILE_MB)
    make_folder(site.inbox.root)
    if free_bytes(site.inbox.root) < announced.size_bytes:
        raise NoSpaceForUpload


def _import(site: Site, _: NoParameters, given_name: str, upload: StagedUpload) -> ImportResult:
    if upload.size_bytes > _MOST_FILE_MB << 20:  # a body may come without its length
        raise UploadTooLarge(_MOST_FILE_MB)
    upload.seek(0)
    try:
        done = imported(upload.path, author(None, site.now()), site.folders)
    except UsageError as error:
        line = error.where.removeprefix(f"{upload.path}, ")
        raise UsageError(
            f"{line}: {error.message}" if line != error.where else error.message, hint=error.hint
        ) from None
    logs.get().info("dashboard.acted", action="import_decisions", size_bytes=upload.size_bytes)
    return ImportResult(message=f"{sentence(done.text)}.")


ACTIONS: tuple[ActionRoute[Any, Any], ...] = (
    ActionRoute(
        "answer_question",
        "/review/answer",
        "decide about the two records of a question",
        AnswerParameters,
        AnswerResult,
        _answer,
        _to_next,
    ),
    ActionRoute(
        "answer_alike",
        "/review/alike/answer",
        "decide the same about all open questions with the same evidence, or about none",
        AlikeAnswerParameters,
        AnswerResult,
        _answer_alike,
        _to_next,
    ),
    ActionRoute(
        "undo_answer",
        "/review/undo",
        "take decisions back, all or none",
        UndoParameters,
        UndoResult,
        _undo,
        _to_question,
    ),
)
FILES: tuple[FileRoute[Any], ...] = (
    FileRoute("decisions_file", "/review/decisions.csv", "the decisions in force", NoParameters, _decisions),
)
UPLOADS: tuple[UploadRoute[Any, Any], ...] = (
    UploadRoute(
        "import_decisions",
        "/review/decisions",
        "make every decision of a CSV file, or none",
        NoParameters,
        ImportResult,
        _check,
        _import,
        lambda parameters, done: ("review", {}),
    ),
)
