"""Decisions as a CSV file: ``decisions.csv`` of each set, and what ``decisions export`` writes and ``import`` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from service.decisions.decision import KINDS, DecidedRecord, Decision, DecisionKind
from service.decisions.rows import csv_rows
from service.errors import UsageError

COLUMNS = (
    *("number", "decision", "left_source", "left_id", "left_key", "right_source", "right_id", "right_key"),
    *("decided_by", "decided_at", "note"),
)
DECISIONS_FILE = "decisions.csv"
"""In each set of the integration, with one column more: ``outcome``."""
Outcome = Literal["applied", "unattached"]
"""Whether both records were in the batch."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_NEEDED = ("decision", "left_source", "left_id", "right_source", "right_id")
_HINT = "decisions export writes a file of the right form"


@dataclass(frozen=True)
class DecisionLine:
    """A line of such a file; what it does not state is empty."""

    line: int
    """From 1, which is the header."""
    number: int
    """0 where the line states none."""
    kind: DecisionKind
    records: tuple[DecidedRecord, DecidedRecord]
    decided_by: str
    decided_at: str
    note: str

    def as_decision(self) -> Decision:
        """The decision as it was written, in force."""
        left, right = sorted(self.records)
        return Decision(self.number, self.kind, left, right, self.decided_by, self.decided_at, self.note)


def csv_of(decisions: Iterable[Decision], outcomes: Mapping[int, Outcome] | None = None) -> str:
    """The text of a file.

    ``outcomes``: number -> its value in a last column, ``outcome``; None: without that column.
    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS if outcomes is None else (*COLUMNS, "outcome"))
    for it in decisions:
        cells = (
            *(it.number, it.kind, it.left.source, it.left.source_id, it.left.key),
            *(it.right.source, it.right.source_id, it.right.key, it.decided_by, it.decided_at, it.note),
        )
        rows.writerow(cells if outcomes is None else (*cells, outcomes[it.number]))
    return out.getvalue()


def read_lines(path: Path) -> list[DecisionLine]:
    """The decisions in a file. The columns may have any order, and there may be others.

    Raises: UsageError, which names the line that is wrong; OSError.
    """
    with csv_rows(path, encoding="utf-8-sig", strict=True) as rows:
        try:
            return list(_lines(rows, path))
        except (UnicodeDecodeError, csv.Error):
            raise UsageError("the file is not CSV in UTF-8", where=str(path), hint=_HINT) from None


def _lines(rows: csv.DictReader[str], path: Path) -> Iterator[DecisionLine]:
    """Each line as a value. Raises: UsageError for the first that is wrong."""
    names = rows.fieldnames or ()
    missing = [name for name in _NEEDED if name not in names]
    if missing and len(names) == 1 and all(name in names[0] for name in _NEEDED):
        raise UsageError("the cells are not separated by commas", where=f"{path}, line 1", hint=_HINT)
    twice = [name for name in COLUMNS if list(names).count(name) > 1]
    if twice:
        raise UsageError(f"the file has two columns {twice[0]}", where=f"{path}, line 1", hint=_HINT)
    if missing:
        raise UsageError(f"the file has no column {', '.join(missing)}", where=f"{path}, line 1", hint=_HINT)
    for row in rows:
        wrong = _wrong_in(row)
        if wrong:
            raise UsageError(wrong, where=f"{path}, line {rows.line_num}", hint="nothing was imported; mend the line")
        cells = {name: (value or "").strip() for name, value in row.items() if name is not None}
        left, right = (
            DecidedRecord(cells.get(f"{side}_key", ""), cells[f"{side}_source"].upper(), cells[f"{side}_id"])
            for side in ("left", "right")
        )
        yield DecisionLine(
            line=rows.line_num,
            number=int(cells.get("number") or 0),
            kind="same" if cells["decision"] == "same" else "different",
            records=(left, right),
            **{name: cells.get(name, "") for name in ("decided_by", "decided_at", "note")},
        )


def _wrong_in(row: Mapping[str | None, str | list[str] | None]) -> str:
    """What is wrong with a line; empty where nothing is. Never a value of it."""
    if None in row:
        return "the line has more cells than the header"
    cells = {name: value.strip() for name, value in row.items() if name is not None and isinstance(value, str)}
    if cells.get("decision") not in KINDS:
        return f"decision must be {' or '.join(KINDS)}"
    empty = next((name for name in _NEEDED if not cells.get(name)), None)
    if empty:
        return f"{empty} is empty"
    number = cells.get("number", "")
    if number and not (number.isascii() and number.isdigit() and len(number) < 10):
        return "number is no number"
    at = cells.get("decided_at", "")
    if at and not _is_time(at):
        return "decided_at is not in UTC as 2026-11-27T14:00:00Z"
    return ""


def _is_time(text: str) -> bool:
    try:
        return f"{datetime.fromisoformat(text):{_TIME}}" == text
    except ValueError:
        return False
