"""``decide`` and ``decisions``: what a person says about two records, made, listed, undone, exported and imported.

Messages name decisions by their numbers; they never quote a customer's value.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from service import logs
from service.commands import command
from service.decisions import Decision, DecisionKind, DecisionStore, Proposal
from service.decisions.decision import DecidedRecord
from service.decisions.decision_file import DecisionLine, csv_of, read_lines
from service.decisions.store import RefusedDecision
from service.errors import UsageError
from service.files import replace_text
from service.folders import Folders, InboxFolders
from service.jobs.decided_records import NewestSet
from service.phrases import counted
from service.pipeline.fields.source_id import id_key
from service.printable import printable
from service.register import Register

MOST_CHARACTERS = 1000
"""Of a note, and of the name of who decides."""
WORDS: Mapping[DecisionKind, str] = {"same": "the same customer", "different": "different customers"}


@dataclass(frozen=True)
class Author:
    """Who decides, and when."""

    name: str
    at: str
    """UTC: ``2026-11-27T14:00:00Z``."""


@dataclass(frozen=True)
class Answered:
    """What became of answers."""

    made: tuple[Decision, ...]
    """Decisions that are new."""
    known: tuple[Decision, ...]
    """Those that were in force already."""


@dataclass(frozen=True)
class Imported:
    """What became of the lines of a file."""

    made: int
    """Decisions that are new."""
    known: int
    """Those that were in force already."""

    @property
    def text(self) -> str:
        """``decisions made: 2; in force already: 1``."""
        return f"decisions made: {self.made}" + (f"; in force already: {self.known}" if self.known else "")


def author(name: str | None, now: datetime) -> Author:
    """The author with this name; None: the login name of the user. Raises: UsageError for a name that is too long."""
    return Author(_text((name or "").strip() or _login_name(), "the name"), f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def decide(kind: DecisionKind, named: tuple[str, str], note: str, by: Author, folders: Folders) -> str:
    """Decide about two records of the newest set; returns what was decided and how it takes effect, for the user.

    Raises: UsageError for a record that does not exist, for one record twice, and for a contradiction; OSError.
    """
    newest = NewestSet(folders)
    found = newest.records(dict(zip("AB", named, strict=True)))
    answered = answer(kind, {"this": (found["A"], found["B"])}, note, by, folders)
    if answered.known:
        return f"decision {answered.known[0].number} says so already; nothing was changed"
    (decision,) = answered.made
    shown = f"{decision.left.shown} and {decision.right.shown}"
    return f"decision {decision.number}: {shown} are {WORDS[kind]}\n{_effect(folders)}"


def answer(
    kind: DecisionKind,
    pairs: Mapping[str, tuple[DecidedRecord, DecidedRecord]],
    note: str,
    by: Author,
    folders: Folders,
) -> Answered:
    """Decide the same about pairs of records, about all or none; ``pairs``: what messages call each -> its records.

    Raises: UsageError for one record twice, and for a contradiction, with the reason; OSError.
    """
    text = _text(note, "the note")
    for label, records in pairs.items():
        _refuse_one_record(*records, where=label)
    store = DecisionStore(folders.state)
    before = {decision.number for decision in store.in_force()}
    try:
        found = store.add([Proposal(kind, records, by.name, by.at, text) for records in pairs.values()])
    except RefusedDecision as refused:
        raise _contradiction(refused, tuple(pairs), folders) from None
    # Another process may have decided so since ``before`` was read: then its number is among the new ones, as if made.
    distinct = {decision.number: decision for decision in found}
    made = tuple(it for number, it in distinct.items() if number not in before)
    if len(made) == 1:
        logs.get().info("decision.made", number=made[0].number, decision=kind)
    elif made:
        logs.get().info("decisions.made", first=made[0].number, last=made[-1].number, decision=kind)
    return Answered(made, tuple(it for number, it in distinct.items() if number in before))


def undo(numbers: Sequence[int], by: Author, folders: Folders) -> str:
    """Undo decisions, all or none; returns what was undone and how that takes effect. Raises: UsageError, OSError."""
    undone = DecisionStore(folders.state).undo(numbers, by.name, by.at)
    undone_numbers = [decision.number for decision in undone]
    logs.get().info("decisions.undone", numbers=undone_numbers)
    return f"undone: {', '.join(map(str, undone_numbers))}\n{_effect(folders)}"


def listed(folders: Folders) -> str:
    """A table of every decision, those that were undone, too."""
    decisions = DecisionStore(folders.state).all()
    if not decisions:
        return "no decisions"
    rows = [("number", "decision", "left", "right", "by", "at", "state", "note")]
    for it in decisions:
        state = "in force" if it.undone_at is None else f"undone by {it.undone_by} at {it.undone_at}"
        rows.append(
            (str(it.number), it.kind, it.left.shown, it.right.shown, it.decided_by, it.decided_at, state, it.note)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(map(printable, lines))


def listed_as_json(folders: Folders) -> str:
    """The same as one JSON document."""
    found = [asdict(decision) for decision in DecisionStore(folders.state).all()]
    return json.dumps({"decisions": found}, indent=2, ensure_ascii=False)


def export(path: Path, folders: Folders) -> str:
    """Write the decisions in force to a CSV file; returns how many. Raises: UsageError, OSError."""
    decisions = DecisionStore(folders.state).in_force()
    _refuse_loss(path, decisions)
    replace_text(path, csv_of(decisions))
    return f"decisions in force written to {path}: {len(decisions)}"


def _refuse_loss(path: Path, decisions: Sequence[Decision]) -> None:
    """Raises: UsageError where the export would replace a file of something else, or decisions by nothing."""
    if not path.parent.is_dir():
        raise UsageError(f"Folder not found: {path.parent}", where=str(path), hint="create it, or name another file")
    if not path.exists():
        return
    try:
        lines = read_lines(path)
    except UsageError:
        raise UsageError(
            "the file is there, and holds something else than decisions", where=str(path), hint="name another file"
        ) from None
    if lines and not decisions:
        raise UsageError(
            f"no decision is in force, and the file holds {counted(len(lines), 'decision')}: it is not replaced",
            where=str(path),
            hint=f"name another file; if the state was lost, `{command('adopt')}` brings back what the sets followed",
        )


def import_file(path: Path, by: Author, folders: Folders) -> str:
    """Import a file; returns what was made of it, and how that takes effect, for the user. Raises: see ``imported``."""
    done = imported(path, by, folders)
    return f"{done.text}\n{_effect(folders)}" if done.made else done.text


def imported(path: Path, by: Author, folders: Folders) -> Imported:
    """Make every decision of a CSV file, or none; those in force already stay as they are.

    A record with a key is taken as it is, one without is looked up in the newest set.

    Raises: UsageError, which names the line that is wrong; OSError.
    """
    if not path.exists():
        raise UsageError(f"File not found: {path.name}", where=str(path), hint="check the path and run again")
    lines = read_lines(path)
    proposals = _proposals(lines, path, by, folders)
    store = DecisionStore(folders.state)
    before = {decision.number for decision in store.in_force()}
    try:
        made = {decision.number for decision in store.add(proposals)} - before
    except RefusedDecision as refused:
        raise _contradicting_line(refused, lines, path, folders) from None
    logs.get().info("decisions.imported", made=len(made), lines=len(lines))
    return Imported(made=len(made), known=len(lines) - len(made))


def _refuse_other_key(record: DecidedRecord, side: str, where: str) -> None:
    """The key must be one that this record may have: of a row without an id it does not show the name."""
    name, key = record.source_id, record.key
    if key in {f"{record.source} id:{name}", f"{record.source} id:{id_key(name)}"}:
        return
    if not re.fullmatch(rf"{re.escape(record.source)} content:[0-9a-f]{{32}}#[1-9][0-9]*", key):
        raise UsageError(
            f"{side}_key is not the key of the record that {side}_source and {side}_id name",
            where=where,
            hint=f"nothing was imported; empty {side}_key, so that the record is looked up",
        )


def _proposals(lines: Sequence[DecisionLine], path: Path, by: Author, folders: Folders) -> list[Proposal]:
    """The decisions that the lines of a file propose. Raises: UsageError."""
    named = {
        f"line {it.line}, {side}": record.shown
        for it in lines
        for side, record in zip(("left", "right"), it.records, strict=True)
        if not record.key
    }
    found = NewestSet(folders).records(named) if named else {}
    proposals: list[Proposal] = []
    for it in lines:
        where = f"{path}, line {it.line}"
        for side, record in zip(("left", "right"), it.records, strict=True):
            if record.key:
                _refuse_other_key(record, side, where)
        left, right = (
            found.get(f"line {it.line}, {side}", record)
            for side, record in zip(("left", "right"), it.records, strict=True)
        )
        _refuse_one_record(left, right, where)
        decided_by = _text(it.decided_by, "the name", where) or by.name
        note = _text(it.note, "the note", where)
        proposals.append(Proposal(it.kind, (left, right), decided_by, it.decided_at or by.at, note))
    return proposals


def _refuse_one_record(left: DecidedRecord, right: DecidedRecord, where: str = "") -> None:
    if left.key == right.key:
        raise UsageError("both are the same record", where=where, hint="a decision is about two different records")


def _text(given: str, what: str, where: str = "") -> str:
    """A text of the user, fit to be printed. Raises: UsageError for one that is too long, which ``what`` names."""
    text = printable(given.strip())
    if len(text) > MOST_CHARACTERS:
        raise UsageError(
            f"{what} has more than {MOST_CHARACTERS} characters", where=where, hint="write it in fewer words"
        )
    return text


def _contradiction(refused: RefusedDecision, labels: Sequence[str], folders: Folders) -> UsageError:
    """The error for an answer that contradicts decisions in force, or answers before it, or both."""
    found, new = refused.contradiction, refused.new
    stored = [number for number in found.because if number not in new]
    before = [labels[new[number]] for number in found.because if number in new]
    against = " and ".join([*([_numbers("decision", stored)] if stored else []), *before])
    to_undo = [str(number) for number in found.to_undo if number not in new]
    command_ = f"undo first: {_command(folders, 'undo', *to_undo)}" if to_undo else ""
    if len(labels) == 1:
        return UsageError(f"this contradicts {against}", hint=f"to decide so, {command_}")
    label = labels[refused.index]
    ways = "; or ".join(filter(None, (f"answer {label} by itself", command_)))
    return UsageError(f"the answer to {label} contradicts {against}", hint=f"nothing was decided; {ways}")


def _contradicting_line(
    refused: RefusedDecision, lines: Sequence[DecisionLine], path: Path, folders: Folders
) -> UsageError:
    """The error for a line that contradicts decisions in force, or lines before it, or both."""
    found, new = refused.contradiction, refused.new
    stored = [number for number in found.because if number not in new]
    before = [lines[new[number]].line for number in found.because if number in new]
    against = [*([_numbers("decision", stored)] if stored else []), *([_numbers("line", before)] if before else [])]
    to_undo = [str(number) for number in found.to_undo if number not in new]
    ways = [
        *([f"undo first: {_command(folders, 'undo', *to_undo)}"] if to_undo else []),
        *([f"remove lines from the file: this one or {_numbers('line', before)}"] if before else []),
    ]
    return UsageError(
        f"this line contradicts {' and '.join(against)}",
        where=f"{path}, line {lines[refused.index].line}",
        hint=f"nothing was imported; {'; or '.join(ways)}",
    )


def _numbers(noun: str, numbers: Sequence[int]) -> str:
    """``decision 2``, ``decisions 2 and 5``."""
    *first, last = map(str, numbers)
    return f"{noun}s {', '.join(first)} and {last}" if first else f"{noun} {last}"


def _command(folders: Folders, *words: str) -> str:
    """A command of ``decisions``, for the folders that this one was given."""
    outbox = () if folders.inbox is not None else ("--outbox", shlex.quote(str(folders.outbox)))
    return command("decisions", *words, *outbox)


def _effect(folders: Folders) -> str:
    """When a decision counts, and what the user does for that."""
    published = Register(folders.state).published()
    if folders.inbox is None or published is None:
        return "it counts from the next run on: integrate the exports again, into the same folder"
    archive = InboxFolders(folders.inbox).archive / published.batch_id
    if not archive.is_dir():
        return "it counts from the next batch on: drop both exports"
    again = f"cp {shlex.quote(str(archive))}/* {shlex.quote(str(folders.inbox))}/"
    return f"it counts from the next batch on: drop both exports, or the last ones again: {again}"
