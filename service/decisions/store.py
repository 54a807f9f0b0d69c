"""The store of decisions: ``state/decisions.sqlite``. Rows are added and never changed; to undo one adds a row as well.

Each change is one transaction of SQLite, which a kill or a loss of power leaves done or not done. Any process may read
and write at any time.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service import sqlite
from service.decisions.contradictions import Consistent, Contradiction
from service.decisions.decision import DecidedRecord, Decision, DecisionKind
from service.errors import UsageError
from service.files import fsync_path, make_folder
from service.folders import StateFolders
from service.sqlite import DamagedDatabase, sqlite_errors_as_oserror

FORMAT = 1
_NAME = "store of decisions"
_SWITCHES = 20
"""The most attempts to switch a new file to write-ahead logging."""
_SCHEMA = f"""
begin;
create table decisions (
    number integer primary key,
    kind text not null check (kind in ('same', 'different')),
    left_key text not null, left_source text not null, left_id text not null,
    right_key text not null, right_source text not null, right_id text not null,
    decided_by text not null, decided_at text not null, note text not null,
    check (left_key < right_key)
);
create table undone (
    number integer primary key references decisions,
    undone_by text not null, undone_at text not null
);
pragma user_version = {FORMAT};
commit;
"""
_SELECT = """
    select number, kind, left_key, left_source, left_id, right_key, right_source, right_id,
        decided_by, decided_at, note, undone_by, undone_at
    from decisions left join undone using (number)
"""


@dataclass(frozen=True)
class Proposal:
    """A decision that is to be made, between two different records in any order."""

    kind: DecisionKind
    records: tuple[DecidedRecord, DecidedRecord]
    decided_by: str
    decided_at: str
    note: str = ""

    def numbered(self, number: int) -> Decision:
        """The decision with this number."""
        left, right = sorted(self.records)
        return Decision(number, self.kind, left, right, self.decided_by, self.decided_at, self.note)


class RefusedDecision(UsageError):
    """A decision contradicts others; nothing was changed."""

    def __init__(self, index: int, contradiction: Contradiction, new: Mapping[int, int]) -> None:
        super().__init__("the decision contradicts others", hint="undo them first")
        self.index = index
        """Which of the proposals it is, from 0."""
        self.contradiction = contradiction
        self.new = new
        """The number that a proposal before it would have had -> which of the proposals that is."""


class DecisionStore:
    """The decisions in the state folder ``state``. Raises: OSError where the file cannot be used or is damaged."""

    def __init__(self, state: Path) -> None:
        self.path = StateFolders(state).decisions

    def all(self) -> list[Decision]:
        """Every decision ever made, those that were undone, too, by their numbers; nothing is written."""
        try:
            return sqlite.query(self.path, _NAME, _read)
        except FileNotFoundError:
            return []

    def in_force(self) -> list[Decision]:
        """The decisions that count, by their numbers; nothing is written."""
        return [decision for decision in self.all() if decision.undone_at is None]

    def add(self, proposals: Sequence[Proposal]) -> list[Decision]:
        """Make decisions, all of them or none; one that is in force already stays as it is.

        Returns: the decision of each proposal. Raises: RefusedDecision.
        """
        with self._changing() as db:
            known = _read(db)
            by_number = {decision.number: decision for decision in known}
            consistent = Consistent(decision for decision in known if decision.undone_at is None)
            first_new = max(by_number, default=0) + 1
            answers, new = list[Decision](), dict[int, int]()
            for index, proposal in enumerate(proposals):
                decision = proposal.numbered(first_new + len(new))
                number = consistent.known(decision.kind, decision.keys)
                if number is None:
                    contradiction = consistent.against(decision.kind, decision.keys)
                    if contradiction is not None:
                        raise RefusedDecision(index, contradiction, new)
                    consistent.add(decision)
                    new[decision.number] = index
                    by_number[decision.number] = decision
                answers.append(by_number[number or decision.number])
            _insert(db, [by_number[number] for number in new])
            return answers

    def restore(self, decisions: Iterable[Decision]) -> int:
        """Store decisions in force with their numbers, if none was ever made; returns how many."""
        with self._changing() as db:
            if _read(db):
                return 0
            restored = list(decisions)
            _insert(db, restored)
            return len(restored)

    def undo(self, numbers: Sequence[int], by: str, at: str) -> list[Decision]:
        """Undo decisions, all of them or none; returns them.

        Raises: UsageError where one does not exist or is not in force.
        """
        with self._changing() as db:
            known = {decision.number: decision for decision in _read(db)}
            for number in numbers:
                if number not in known:
                    raise UsageError(f"there is no decision {number}", hint="decisions list shows all of them")
                if known[number].undone_at is not None:
                    raise UsageError(f"decision {number} is undone already", hint="it does not count any more")
            undone = [known[number] for number in dict.fromkeys(numbers)]
            db.executemany("insert into undone values (?, ?, ?)", [(it.number, by, at) for it in undone])
            return undone

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A connection for one change: all of it is made or, if the block raises, nothing. Other processes wait."""
        make_folder(self.path.parent)
        with sqlite_errors_as_oserror(self.path, _NAME), closing(sqlite.connect(self.path)) as db:
            db.isolation_level = None
            _write_ahead(db)
            db.execute("pragma synchronous = full")
            if _format_of(db) == 0:
                _create(db)
                fsync_path(self.path.parent)
            db.execute("begin immediate")
            try:
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")


def _write_ahead(db: sqlite3.Connection) -> None:
    """Let readers work beside a writer. Where two processes switch a new file, SQLite refuses one at once."""
    for left in reversed(range(_SWITCHES)):
        try:
            db.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not left:
                raise
            # This one waits for the other process.
            db.execute("begin immediate")
            db.execute("rollback")


def _create(db: sqlite3.Connection) -> None:
    try:
        db.executescript(_SCHEMA)
    except sqlite3.OperationalError:
        if db.in_transaction:
            db.execute("rollback")
        if _format_of(db) == 0:  # else another process created it meanwhile
            raise


def _format_of(db: sqlite3.Connection) -> int:
    return int(db.execute("pragma user_version").fetchone()[0])


def _read(db: sqlite3.Connection) -> list[Decision]:
    """Every decision, by their numbers. Raises: DamagedDatabase for another format."""
    written = _format_of(db)
    if written == 0:
        return []  # a process died before it had created the tables
    if written != FORMAT:
        raise DamagedDatabase(errno.EIO, f"the {_NAME} has format {written}, this program knows {FORMAT}")
    return [_decision(*row) for row in db.execute(f"{_SELECT} order by number")]


def _decision(number: int, kind: DecisionKind, *cells: Any) -> Decision:
    """The decision in a row of ``_SELECT``."""
    return Decision(number, kind, DecidedRecord(*cells[:3]), DecidedRecord(*cells[3:6]), *cells[6:])


def _insert(db: sqlite3.Connection, decisions: Iterable[Decision]) -> None:
    db.executemany(
        f"insert into decisions values ({', '.join('?' * 11)})",
        [
            (
                *(it.number, it.kind, it.left.key, it.left.source, it.left.source_id),
                *(it.right.key, it.right.source, it.right.source_id, it.decided_by, it.decided_at, it.note),
            )
            for it in decisions
        ],
    )
