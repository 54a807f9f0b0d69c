"""The ledger: every batch with its outcome, in order, in SQLite; rebuilt from manifests and reasons.

Each of these documents states the SHA-256 of the one before it, so that all outcomes are one chain. Retention,
``retry`` and users remove documents; the ledger keeps their hashes, so that the chain stays complete.
"""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from service import sqlite
from service.documents import Counts
from service.files import move
from service.folders import StateFolders
from service.job_name import JobName
from service.outcomes import Input, Outcome, OutcomeFiles, in_order, last_after
from service.sqlite import DamagedDatabase, sqlite_errors_as_oserror

FORMAT = 2
FORMAT_OF_ONE_JOB = 1
"""Written when integration was the only job."""
COUNTS = ("records", "rejects", "duplicates", "customers")
_NAME = "ledger"
_INDEXES = """
create index if not exists outcomes_of_a_batch on outcomes (batch_id);
create index if not exists outcomes_of_a_job on outcomes (job);
create index if not exists outcomes_of_a_kind on outcomes (outcome, removed);
create index if not exists inputs_of_an_outcome on inputs (seq);
create index if not exists totals_of_outcomes on outcomes (job, outcome, records, rejects, duplicates);
"""
_SCHEMA = f"""
begin;
create table if not exists outcomes (
    seq integer primary key,
    batch_id text not null,
    outcome text not null check (outcome in ('published', 'quarantined', 'unknown')),
    code text,                     -- of a quarantined batch: class of the error
    claimed_at text,
    ended_at text,
    seconds real,                  -- null where the outcome was read from its document later
    records integer, rejects integer, duplicates integer, customers integer,
    sha256 text not null unique,   -- of the manifest or the reason
    former_sha256 text,            -- as that document states
    removed text check (removed in ('retention', 'retried', 'emptied', 'repeated', 'before')),
    job text not null default 'integration'
);
create table if not exists inputs (
    seq integer not null references outcomes,
    file_name text not null,
    sha256 text not null,
    is_moved integer not null      -- 0 where it was named on the command line and stays with its owner
);
{_INDEXES}
pragma user_version = {FORMAT};
commit;
"""
_UPGRADE = "alter table outcomes add column job text not null default 'integration'"
_OUTCOME = f"batch_id, outcome, job, code, claimed_at, ended_at, {', '.join(COUNTS)}, sha256, former_sha256"

Removed = Literal["retention", "retried", "emptied", "repeated", "before"]


@dataclass(frozen=True)
class Entry:
    """A line of the ledger."""

    seq: int
    """Order of the outcomes, from 1."""
    outcome: Outcome
    seconds: float | None
    """Duration of the batch, where this process measured it."""
    removed: Removed | None
    """Why its document is gone: ``retention``; ``retried``; ``emptied`` (a user emptied the outbox); ``repeated`` (the
    batch was processed again afterwards, under the same id); ``before`` (the ledger was lost and rebuilt, and only the
    hash is known). None: it is there."""


class Ledger:
    """The ledger in the folder ``state``, of the documents in ``outbox`` and, unless filled by hand, in ``inbox``.

    Any process may read and write it at any time. Raises: OSError where that fails; the entries that are missing then
    are added later.
    """

    def __init__(self, state: Path, outbox: Path, inbox: Path | None) -> None:
        self.path = StateFolders(state).ledger
        self._files = OutcomeFiles(outbox, inbox)
        self._is_behind = False
        self._last_head: str | None = None

    def open(self) -> None:
        """Create or repair the ledger, and add the outcomes that it does not have yet.

        A damaged ledger is moved to ``ledger.sqlite.damaged`` and rebuilt; one of the former format is upgraded.
        """
        try:
            self._catch_up()
        except DamagedDatabase:
            for suffix in ("-wal", "-shm"):
                self.path.with_name(f"{self.path.name}{suffix}").unlink(missing_ok=True)
            move(self.path, self.path.with_name(f"{self.path.name}.damaged"))
            self._catch_up()

    def next(self) -> tuple[str | None, int]:
        """The hash of the last outcome's document, which the next one states, and the position of the next outcome.

        None and 1 before the first. What is missing is added first.
        """
        try:
            if self._is_behind:
                self._catch_up()
            with self._connected() as db:
                self._last_head = _head(db)
                return self._last_head, _next_sequence(db)
        except OSError:
            # The documents know it as well; a user may have removed those before the last head that we know.
            entries = self.entries()[0]
            head = last_after(self._last_head, [entry.outcome for entry in entries])
            return head, max((entry.seq for entry in entries), default=0) + 1

    def note(self, batch_id: str, seconds: float | None = None) -> None:
        """Add the outcome of a batch; may be repeated. ``seconds``: its duration, where known."""
        self._is_behind = True
        try:
            with self._connected() as db, db:
                self._append(db, self._files.outcomes_of(batch_id), seconds)
                self._last_head = _head(db)
        except DamagedDatabase:
            self.open()
        self._is_behind = False

    def knows(self, batch_id: str) -> bool:
        """Whether a batch with this id ever had an outcome."""
        with self._connected() as db:
            return _is_known(db, "batch_id", batch_id)

    def is_superseded(self, batch_id: str) -> bool:
        """Whether the set of this batch was published, and another one of its job after it."""
        with self._connected() as db:
            return _is_superseded(db, batch_id)

    def last_published(self) -> dict[JobName, str]:
        """The id of the last published batch of each job; the latest of them comes last."""
        with self._connected() as db:
            return dict(
                db.execute(
                    "select job, batch_id from outcomes where seq in"
                    " (select max(seq) from outcomes where outcome = 'published' group by job) order by seq"
                ).fetchall()
            )

    def last_records(self, job: JobName) -> int:
        """The number of records of the last published batch of a job; 0 before the first."""
        try:
            with self._connected() as db:
                row = db.execute(
                    "select records from outcomes where outcome = 'published' and job = ? order by seq desc limit 1",
                    (job,),
                ).fetchone()
            return 0 if row is None else int(row[0])
        except OSError:
            counts = [entry.outcome.counts for entry in self.entries()[0] if entry.outcome.job == job]
            return next((found.records for found in reversed(counts) if found), 0)

    def superseded(self, present: Iterable[str], job: JobName, *, keep: int, current: str) -> list[str]:
        """Of the sets ``present``, all but the ``keep`` newest of a job (0 = keep all); never the ``current`` one.

        The order is that of the outcomes; the clock may have been wrong.
        """
        if not keep:
            return []
        with self._connected() as db:
            return [batch_id for batch_id in _published_in_order(db, present, job)[:-keep] if batch_id != current]

    def is_overtaken(self, batch_id: str, job: JobName) -> bool:
        """Whether a batch of the job was published after this outcome; without an outcome: was claimed after it."""
        with self._connected() as db:
            return _is_overtaken(db, batch_id, job)

    def retire(self, superseded: Iterable[str], job: JobName) -> list[str]:
        """Record that retention removes these sets of a job, and older ones that are gone; returns the ids of both.

        Call it before anything is removed: a set that is recorded as removed may be incomplete, any other may not.
        """
        leaving = set(superseded)
        if not leaving:
            return []
        with self._connected() as db, db:
            leaving |= {it for it in _published_until(db, leaving, job) if not self._files.has_set(it)}
            db.executemany(
                "update outcomes set removed = 'retention' where batch_id = ? and outcome = 'published'",
                [(batch_id,) for batch_id in leaving],
            )
        return sorted(leaving)

    def note_retried(self, batch_id: str) -> None:
        """Record that a quarantined batch was moved back into the inbox, which removed its reason."""
        if not self.path.exists():
            return  # there is no entry to change
        with self._connected() as db, db:
            db.execute(
                "update outcomes set removed = 'retried'"
                " where batch_id = ? and outcome = 'quarantined' and removed is null",
                (batch_id,),
            )

    def entries(self) -> tuple[list[Entry], str | None]:
        """Every line in order, including documents on the disk that are not in the ledger yet; nothing is written.

        Returns: the lines, and the state of the ledger unless it is fine: missing, damaged, out of reach.
        """
        trouble = None
        with closing(sqlite3.connect(":memory:")) as db:
            try:
                sqlite.query(self.path, _NAME, lambda source: _copy(source, db))
                _upgrade(db)
            except FileNotFoundError:
                trouble = "missing"
            except DamagedDatabase:
                trouble = "damaged"
            except OSError:
                trouble = "out of reach"
            if trouble:
                db.executescript(_SCHEMA)
            self._add_missing(db)
            return read_entries(db, "order by seq"), trouble

    def _catch_up(self) -> None:
        self._is_behind = True
        with self._connected() as db:
            db.executescript(_INDEXES)
            with db:
                self._add_missing(db)
                self._last_head = _head(db)
        self._is_behind = False

    def _add_missing(self, db: sqlite3.Connection) -> None:
        _note_restored(db, self._files)
        known = {batch_id for (batch_id,) in db.execute("select batch_id from outcomes")}
        self._append(db, self._files.outcomes_except(known), is_rebuilt=not known)

    def _append(
        self, db: sqlite3.Connection, outcomes: list[Outcome], seconds: float | None = None, *, is_rebuilt: bool = False
    ) -> None:
        """Add the outcomes that are not known yet after the others, in the order of the chain.

        A second document of a known batch counts only where it follows the head: the batch was processed again.
        Otherwise the document was altered. A missing document is added as a bare hash if the ledger is rebuilt.
        """
        for outcome in in_order(outcomes, _head(db)):
            is_next = outcome.former_sha256 == _head(db)
            is_altered = not is_next and _is_known(db, "batch_id", outcome.batch_id)
            if is_altered or _is_known(db, "sha256", outcome.sha256):
                continue
            if is_rebuilt and not is_next and outcome.former_sha256 is not None:
                _insert_bare(db, outcome.former_sha256)
            db.execute(
                "update outcomes set removed = 'repeated' where batch_id = ? and removed is null", (outcome.batch_id,)
            )
            if outcome.kind == "published":
                _note_emptied(db, self._files)
            _insert(db, outcome, seconds)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with sqlite_errors_as_oserror(self.path, _NAME), closing(sqlite.connect(self.path)) as db:
            db.execute("pragma journal_mode = wal")
            if db.execute("select count(*) from sqlite_master").fetchone() == (0,):
                db.executescript(_SCHEMA)
                with db:
                    self._add_missing(db)
            _refuse_damaged(db)
            _upgrade(db)
            yield db


def format_of(db: sqlite3.Connection) -> int:
    """The format in which the ledger ``db`` is written; 0 for an empty file."""
    return int(db.execute("pragma user_version").fetchone()[0])


def outcomes_table(db: sqlite3.Connection) -> str:
    """The SQL name of the outcomes of ``db`` with their jobs; those of the former format are of the integration."""
    return "outcomes" if format_of(db) != FORMAT_OF_ONE_JOB else "(select *, 'integration' as job from outcomes)"


def read_entries(db: sqlite3.Connection, rest: str, *values: object) -> list[Entry]:
    """The lines of the ledger ``db`` that the ``rest`` of a select names: where, order by, limit."""
    table = outcomes_table(db)
    selected = db.execute(f"select seq, seconds, removed, {_OUTCOME} from {table} {rest}", values).fetchall()
    inputs: dict[int, list[Input]] = {}
    for seq, *it in db.execute(
        f"select seq, file_name, sha256, is_moved from inputs where seq in (select seq from {table} {rest})"
        " order by seq, file_name",
        values,
    ):
        inputs.setdefault(seq, []).append(Input(it[0], it[1], bool(it[2])))
    return [_entry(row, tuple(inputs.get(row[0], ()))) for row in selected]


def _entry(row: Sequence[Any], inputs: tuple[Input, ...]) -> Entry:
    seq, seconds, removed, batch_id, kind, job, code, claimed_at, ended_at, *counted, sha256, former_sha256 = row
    counts = None if None in counted else Counts(**dict(zip(COUNTS, counted, strict=True)))
    outcome = Outcome(batch_id, kind, job, code, claimed_at, ended_at, counts, sha256, former_sha256, inputs)
    return Entry(seq, outcome, seconds, removed)


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    _refuse_damaged(source)
    source.backup(target)


def _refuse_damaged(db: sqlite3.Connection) -> None:
    (verdict,) = db.execute("pragma quick_check(1)").fetchone()
    if format_of(db) not in (FORMAT_OF_ONE_JOB, FORMAT) or verdict != "ok":
        raise DamagedDatabase(errno.EIO, "the ledger is damaged")


def _upgrade(db: sqlite3.Connection) -> None:
    """Add the jobs to a ledger of the former format, in one transaction."""
    if format_of(db) == FORMAT:
        return
    with db:
        db.execute("begin immediate")
        if format_of(db) != FORMAT:  # another process may have upgraded it meanwhile
            db.execute(_UPGRADE)
            db.execute(f"pragma user_version = {FORMAT}")


def _is_known(db: sqlite3.Connection, column: Literal["sha256", "batch_id"], value: str) -> bool:
    return db.execute(f"select 1 from outcomes where {column} = ?", (value,)).fetchone() is not None


def _head(db: sqlite3.Connection) -> str | None:
    row = db.execute("select sha256 from outcomes order by seq desc limit 1").fetchone()
    return None if row is None else str(row[0])


def _published_in_order(db: sqlite3.Connection, published: Iterable[str], job: JobName) -> list[str]:
    """Those of the ``published`` batches that are of the job, the earliest outcome first."""
    found = db.execute(
        "select batch_id from outcomes where outcome = 'published' and job = ?"
        " and batch_id in (select value from json_each(?)) group by batch_id order by max(seq)",
        (job, json.dumps(list(published))),
    )
    return [batch_id for (batch_id,) in found.fetchall()]


def _published_until(db: sqlite3.Connection, last: Iterable[str], job: JobName) -> list[str]:
    """The published batches of the job up to the latest outcome of the ``last`` ones."""
    found = db.execute(
        "select distinct batch_id from outcomes where outcome = 'published' and job = ? and seq <="
        " (select max(seq) from outcomes where batch_id in (select value from json_each(?)))",
        (job, json.dumps(list(last))),
    )
    return [batch_id for (batch_id,) in found.fetchall()]


def _is_superseded(db: sqlite3.Connection, batch_id: str) -> bool:
    later = db.execute(
        "select 1 from outcomes as it join outcomes as later on later.job = it.job and later.seq > it.seq"
        " where it.batch_id = ? and it.outcome = 'published' and later.outcome = 'published'",
        (batch_id,),
    )
    return later.fetchone() is not None


def _is_overtaken(db: sqlite3.Connection, batch_id: str, job: JobName) -> bool:
    (seq,) = db.execute("select max(seq) from outcomes where batch_id = ?", (batch_id,)).fetchone()
    later, value = ("batch_id", batch_id) if seq is None else ("seq", seq)
    found = db.execute(f"select 1 from outcomes where outcome = 'published' and job = ? and {later} > ?", (job, value))
    return found.fetchone() is not None


def _next_sequence(db: sqlite3.Connection) -> int:
    return int(db.execute("select coalesce(max(seq), 0) + 1 from outcomes").fetchone()[0])


def _note_emptied(db: sqlite3.Connection, files: OutcomeFiles) -> None:
    """If none of the former sets is there any more: a user emptied the outbox, which users may do.

    The newest of them may be there: it was published while the outbox was being emptied.
    """
    latest_first = db.execute(
        "select batch_id from outcomes where outcome = 'published' and removed is null order by seq desc"
    ).fetchall()
    if not any(files.has_set(batch_id) for (batch_id,) in latest_first[1:]):
        db.executemany(
            "update outcomes set removed = 'emptied' where outcome = 'published' and removed is null and batch_id = ?",
            [(batch_id,) for (batch_id,) in latest_first if not files.has_set(batch_id)],
        )


def _note_restored(db: sqlite3.Connection, files: OutcomeFiles) -> None:
    """If sets are there again: the outbox was another folder for a while, or was restored."""
    gone = db.execute("select distinct batch_id from outcomes where removed = 'emptied'").fetchall()
    db.executemany(
        "update outcomes set removed = null where removed = 'emptied' and batch_id = ?",
        [(batch_id,) for (batch_id,) in gone if files.has_set(batch_id)],
    )


def _insert_bare(db: sqlite3.Connection, sha256: str) -> None:
    db.execute(
        "insert or ignore into outcomes (batch_id, outcome, sha256, removed) values ('', 'unknown', ?, 'before')",
        (sha256,),
    )


def _insert(db: sqlite3.Connection, outcome: Outcome, seconds: float | None) -> None:
    counts = [outcome.counts and getattr(outcome.counts, name) for name in COUNTS]
    values = (
        # The position that the manifest states is higher where the ledger was lost, and documents before it as well.
        max(_next_sequence(db), outcome.sequence or 0),
        outcome.batch_id,
        outcome.kind,
        outcome.job,
        outcome.code,
        outcome.claimed_at,
        outcome.ended_at,
        *counts,
        outcome.sha256,
        outcome.former_sha256,
        seconds,
    )
    marks = ", ".join("?" * len(values))
    seq = db.execute(f"insert into outcomes (seq, {_OUTCOME}, seconds) values ({marks})", values).lastrowid
    db.executemany(
        "insert into inputs values (?, ?, ?, ?)",
        [(seq, it.file_name, it.sha256, it.is_moved) for it in outcome.inputs],
    )
