"""The ledger: which batch came to which outcome, in order; a view that is rebuilt from manifests and reasons.

The outcome of a batch is told by one document: the manifest of its published set, or the reason it lies in
quarantine. Each document names the SHA-256 of the one before it, so that all of them are one chain. Retention,
``retry`` and users take documents away; the ledger keeps their hashes, so that the chain stays whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from service.files import move
from service.model import JOBS, JobName

FILE_NAME = "ledger.sqlite"
_FORMAT = 2
_OF_ONE_JOB = 1
"""The format of when there were integrations only."""
_BUSY_SECONDS = 10.0
_SCHEMA = f"""
begin;
create table if not exists outcomes (
    seq integer primary key,
    batch_id text not null,
    outcome text not null check (outcome in ('published', 'quarantined', 'unknown')),
    code text,                     -- of a quarantined batch: why
    claimed_at text,
    ended_at text,
    seconds real,                  -- null where the outcome was found, not witnessed
    records integer, rejects integer, duplicates integer, customers integer,
    sha256 text not null unique,   -- of the manifest or the reason
    former_sha256 text,            -- as that document says
    removed text check (removed in ('retention', 'retried', 'emptied', 'repeated', 'before')),
    job text not null default 'integration'
);
create table if not exists inputs (
    seq integer not null references outcomes,
    file_name text not null,
    sha256 text not null,
    is_moved integer not null      -- 0 where it was named by hand and stays with its owner
);
create index if not exists outcomes_of_a_batch on outcomes (batch_id);
create index if not exists inputs_of_an_outcome on inputs (seq);
pragma user_version = {_FORMAT};
commit;
"""
_UPGRADE = "alter table outcomes add column job text not null default 'integration'"
_COUNTS = ("records", "rejects", "duplicates", "customers")
_OUTCOME = f"batch_id, outcome, job, code, claimed_at, ended_at, {', '.join(_COUNTS)}, sha256, former_sha256"

Kind = Literal["published", "quarantined", "unknown"]


class _Damaged(OSError):
    """The file is no ledger that can be read."""


@dataclass(frozen=True)
class Input:
    """An export that went into a batch."""

    file_name: str
    sha256: str
    is_moved: bool = True
    """False where it was named by hand and stays with its owner."""


@dataclass(frozen=True)
class Outcome:
    """What became of a batch, as its manifest or its reason tells."""

    batch_id: str
    kind: Kind
    job: JobName
    code: str | None
    claimed_at: str | None
    ended_at: str | None
    counts: tuple[int | None, ...]
    """Records, rejects, duplicates, customers."""
    sha256: str
    former_sha256: str | None
    inputs: tuple[Input, ...]


@dataclass(frozen=True)
class Entry:
    """A line of the ledger."""

    seq: int
    outcome: Outcome
    seconds: float | None
    removed: str | None
    """How its document went: retention, retried, emptied (the outbox, by a user), repeated (the batch was begun
    anew after that), before (the ledger was lost and rebuilt, and only the hash is known). None: it is there."""


def read_outcome(path: Path) -> Outcome | None:
    """The outcome a ``manifest.json`` or ``reason.json`` tells; None where it is no link of the chain.

    Raises: ValueError where it is damaged, OSError where it cannot be read.
    """
    content = path.read_bytes()
    told = json.loads(content)
    if not isinstance(told, dict):
        raise ValueError(f"{path.name} lacks everything")  # noqa: TRY004  # as all that is wrong with its text
    try:
        if "former_outcome_sha256" not in told:
            return None  # set aside before it was ever accepted
        is_published = path.name == "manifest.json"
        batch_id = str(told["batch_id"])
        return Outcome(
            batch_id=batch_id,
            kind="published" if is_published else "quarantined",
            job=_job(told),
            code=None if is_published else str(told["error"]),
            claimed_at=_claimed_at(batch_id),
            ended_at=_changed_at(path) if is_published else str(told["quarantined_at"]),
            counts=tuple(int(told["rows"][name]) for name in _COUNTS) if is_published else (None,) * len(_COUNTS),
            sha256=hashlib.sha256(content).hexdigest(),
            former_sha256=told["former_outcome_sha256"],
            inputs=tuple(_published_inputs(told["inputs"]) if is_published else _quarantined_inputs(told["inputs"])),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} lacks {error}") from None


class Ledger:
    """The ledger in the state folder ``state``, of what lies in ``outbox`` and (but by hand) in ``inbox``.

    Any process may read and write it at any time. Raises: OSError where that cannot be done; what is missing
    then is made up for later.
    """

    def __init__(self, state: Path, outbox: Path, inbox: Path | None) -> None:
        self.path = state / FILE_NAME
        self._outbox, self._inbox = outbox, inbox
        self._is_behind = False

    def open(self) -> None:
        """Create or mend the ledger, and take in what happened without it.

        A damaged ledger is set aside as ``ledger.sqlite.damaged`` and rebuilt; one of the former format is upgraded.
        """
        try:
            self._catch_up()
        except _Damaged:
            for suffix in ("-wal", "-shm"):
                self.path.with_name(f"{FILE_NAME}{suffix}").unlink(missing_ok=True)
            move(self.path, self.path.with_name(f"{FILE_NAME}.damaged"))
            self._catch_up()

    def head(self) -> str | None:
        """The hash of the last outcome's document: what the next one names. None before the first."""
        if self._is_behind:
            with suppress(OSError):
                self._catch_up()
        try:
            with self._connected() as db:
                return _head(db)
        except OSError:
            # The documents know it as well, but for those that were taken away since.
            entries, _ = self.entries()
            return entries[-1].outcome.sha256 if entries else None

    def note(self, batch_id: str, seconds: float | None = None) -> None:
        """Take in the outcome of a batch; again is fine."""
        self._is_behind = True
        try:
            with self._connected() as db, db:
                self._append(db, self._documents_of(batch_id), seconds)
        except _Damaged:
            self.open()
        self._is_behind = False

    def knows(self, batch_id: str) -> bool:
        """Whether a batch of this id ever came to an outcome."""
        with self._connected() as db:
            return _is_known(db, "batch_id", batch_id)

    def is_superseded(self, batch_id: str) -> bool:
        """Whether the set of this batch was published, and another one of its job after it."""
        with self._connected() as db:
            later = db.execute(
                "select 1 from outcomes as it join outcomes as later on later.job = it.job and later.seq > it.seq"
                " where it.batch_id = ? and it.outcome = 'published' and later.outcome = 'published'",
                (batch_id,),
            )
            return later.fetchone() is not None

    def last_published(self) -> dict[JobName, str]:
        """The batch of each job that was published last; the latest of them stands last."""
        with self._connected() as db:
            return dict(
                db.execute(
                    "select job, batch_id from outcomes where seq in"
                    " (select max(seq) from outcomes where outcome = 'published' group by job) order by seq"
                ).fetchall()
            )

    def last_records(self, job: JobName) -> int:
        """How many records the batch of a job had that was published last; 0 before the first."""
        try:
            with self._connected() as db:
                found = db.execute(
                    "select records from outcomes where outcome = 'published' and job = ? order by seq desc limit 1",
                    (job,),
                ).fetchone()
            return 0 if found is None else int(found[0])
        except OSError:
            # The manifests know it as well, but for those that were taken away since.
            told = [it.outcome for it in self.entries()[0] if it.outcome.kind == "published" and it.outcome.job == job]
            return (told[-1].counts[0] or 0) if told else 0

    def retire(self, superseded: Iterable[str], job: JobName) -> list[str]:
        """Note that retention takes these sets of a job, and what is older and gone already; returns the ids of both.

        To be called before anything is removed: what the ledger says is removed may be removed by halves.
        """
        leaving = set(superseded)
        if not leaving:
            return []
        with self._connected() as db, db:
            older = db.execute(
                "select distinct batch_id from outcomes where outcome = 'published' and job = ? and batch_id <= ?",
                (job, max(leaving)),
            ).fetchall()
            leaving |= {batch_id for (batch_id,) in older if not self._has_set(batch_id)}
            db.executemany(
                "update outcomes set removed = 'retention' where batch_id = ? and outcome = 'published'",
                [(batch_id,) for batch_id in leaving],
            )
        return sorted(leaving)

    def note_retried(self, batch_id: str) -> None:
        """Note that a quarantined batch was moved back into the inbox, and its reason with it."""
        if not self.path.exists():
            return  # nothing was noted of it
        with self._connected() as db, db:
            db.execute(
                "update outcomes set removed = 'retried'"
                " where batch_id = ? and outcome = 'quarantined' and removed is null",
                (batch_id,),
            )

    def entries(self) -> tuple[list[Entry], str | None]:
        """Every line in order, with what lies on the disk and is not taken in yet; nothing is written.

        Returns: the lines, and what is wrong with the ledger itself if anything is: missing, damaged, out of reach.
        """
        trouble = None
        with closing(sqlite3.connect(":memory:")) as db:
            try:
                self._copy_into(db)
            except FileNotFoundError:
                trouble = "missing"
            except _Damaged:
                trouble = "damaged"
            except OSError:
                trouble = "out of reach"
            if trouble:
                db.executescript(_SCHEMA)
            self._take_in_unknown(db)
            return _entries(db), trouble

    def _catch_up(self) -> None:
        self._is_behind = True
        with self._connected() as db, db:
            self._take_in_unknown(db)
        self._is_behind = False

    def _take_in_unknown(self, db: sqlite3.Connection) -> None:
        self._note_found_again(db)
        known = {batch_id for (batch_id,) in db.execute("select batch_id from outcomes")}
        paths = [path for path in self._documents() if path.parent.name not in known]
        self._append(db, paths, is_rebuilt=not known)

    def _append(
        self, db: sqlite3.Connection, paths: list[Path], seconds: float | None = None, *, is_rebuilt: bool = False
    ) -> None:
        """Write the outcomes that are not known yet behind the others, in the order of the chain.

        Another document of a batch that is known counts only where it follows the head: the batch was begun anew.
        Else somebody altered the document. What a ledger that is rebuilt does not find is kept as a bare hash.
        """
        for outcome in _in_order([outcome for path in paths for outcome in _readable(path)], _head(db)):
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
                self._note_emptied(db)
            _insert(db, outcome, seconds)

    def _note_emptied(self, db: sqlite3.Connection) -> None:
        """If none of the former sets is there any more: a user emptied the outbox, as users may."""
        kept = db.execute("select batch_id from outcomes where outcome = 'published' and removed is null").fetchall()
        if not any(self._has_set(batch_id) for (batch_id,) in kept):
            db.execute("update outcomes set removed = 'emptied' where outcome = 'published' and removed is null")

    def _note_found_again(self, db: sqlite3.Connection) -> None:
        """Sets that lie there after all: the outbox was another folder for a while, or was put back."""
        gone = db.execute("select distinct batch_id from outcomes where removed = 'emptied'").fetchall()
        db.executemany(
            "update outcomes set removed = null where removed = 'emptied' and batch_id = ?",
            [(batch_id,) for (batch_id,) in gone if self._has_set(batch_id)],
        )

    def _has_set(self, batch_id: str) -> bool:
        return (self._outbox / "batches" / batch_id).exists()

    def _documents(self) -> list[Path]:
        reasons = [] if self._inbox is None else self._inbox.glob("quarantine/*/reason.json")
        return [*self._outbox.glob("batches/*/manifest.json"), *reasons]

    def _documents_of(self, batch_id: str) -> list[Path]:
        return [path for path in self._documents() if path.parent.name == batch_id]

    def _copy_into(self, db: sqlite3.Connection) -> None:
        self.path.stat()
        # Nothing is created beside it: who verifies may be another user than the one who works.
        how = "mode=ro" if self.path.with_name(f"{FILE_NAME}-wal").exists() else "mode=ro&immutable=1"
        with _told(self.path), closing(_connect(f"file:{quote(str(self.path.resolve()))}?{how}")) as source:
            _refuse_damaged(source)
            source.backup(db)
        _upgrade(db)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with _told(self.path), closing(_connect(f"file:{quote(str(self.path.resolve()))}")) as db:
            db.execute("pragma journal_mode = wal")
            if db.execute("select count(*) from sqlite_master").fetchone() == (0,):
                db.executescript(_SCHEMA)
                with db:
                    self._take_in_unknown(db)
            _refuse_damaged(db)
            _upgrade(db)
            yield db


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)


def _refuse_damaged(db: sqlite3.Connection) -> None:
    (verdict,) = db.execute("pragma quick_check(1)").fetchone()
    if _format_of(db) not in (_OF_ONE_JOB, _FORMAT) or verdict != "ok":
        raise _Damaged(errno.EIO, "the ledger is damaged")


def _upgrade(db: sqlite3.Connection) -> None:
    """A ledger of the former format gets its jobs, all or nothing."""
    if _format_of(db) == _FORMAT:
        return
    with db:
        db.execute("begin immediate")
        if _format_of(db) != _FORMAT:  # another process may have been at it
            db.execute(_UPGRADE)
            db.execute(f"pragma user_version = {_FORMAT}")


def _format_of(db: sqlite3.Connection) -> int:
    return int(db.execute("pragma user_version").fetchone()[0])


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors as what they are here: faults of the world."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(errno.EIO, f"the ledger cannot be used: {error}", str(path)) from error
    except sqlite3.DatabaseError as error:
        raise _Damaged(errno.EIO, f"the ledger is damaged: {error}", str(path)) from error


def _is_known(db: sqlite3.Connection, column: Literal["sha256", "batch_id"], value: str) -> bool:
    return db.execute(f"select 1 from outcomes where {column} = ?", (value,)).fetchone() is not None


def _insert_bare(db: sqlite3.Connection, sha256: str) -> None:
    db.execute(
        "insert or ignore into outcomes (batch_id, outcome, sha256, removed) values ('', 'unknown', ?, 'before')",
        (sha256,),
    )


def _insert(db: sqlite3.Connection, outcome: Outcome, seconds: float | None) -> None:
    values = (
        outcome.batch_id,
        outcome.kind,
        outcome.job,
        outcome.code,
        outcome.claimed_at,
        outcome.ended_at,
        *outcome.counts,
        outcome.sha256,
        outcome.former_sha256,
        seconds,
    )
    places = ", ".join("?" * len(values))
    seq = db.execute(f"insert into outcomes ({_OUTCOME}, seconds) values ({places})", values).lastrowid
    db.executemany(
        "insert into inputs values (?, ?, ?, ?)",
        [(seq, entry.file_name, entry.sha256, entry.is_moved) for entry in outcome.inputs],
    )


def _in_order(found: Iterable[Outcome], head: str | None) -> Iterator[Outcome]:
    """Along the links, beginning at ``head``; where a link is missing, on with the oldest that is left."""
    left = {outcome.sha256: outcome for outcome in sorted(found, key=lambda outcome: outcome.batch_id)}
    follower = {outcome.former_sha256: outcome for outcome in reversed(left.values())}
    while left:
        following = follower.get(head)
        if following is None or following.sha256 not in left:
            begins = (outcome for outcome in left.values() if outcome.former_sha256 not in left)
            following = next(begins)
        head = following.sha256
        yield left.pop(head)


def _head(db: sqlite3.Connection) -> str | None:
    row = db.execute("select sha256 from outcomes order by seq desc limit 1").fetchone()
    return None if row is None else str(row[0])


def _entries(db: sqlite3.Connection) -> list[Entry]:
    inputs: dict[int, list[Input]] = {}
    for seq, file_name, sha256, is_moved in db.execute("select * from inputs order by seq, file_name"):
        inputs.setdefault(seq, []).append(Input(file_name, sha256, bool(is_moved)))
    entries = []
    for seq, seconds, removed, *row in db.execute(
        f"select seq, seconds, removed, {_OUTCOME} from outcomes order by seq"
    ):
        *head, sha256, former_sha256 = row
        batch_id, kind, job, code, claimed_at, ended_at, *counts = head
        told = tuple(inputs.get(seq, ()))
        outcome = Outcome(batch_id, kind, job, code, claimed_at, ended_at, tuple(counts), sha256, former_sha256, told)
        entries.append(Entry(seq, outcome, seconds, removed))
    return entries


def _readable(path: Path) -> Iterator[Outcome]:
    with suppress(OSError, ValueError):  # a damaged document is for ``verify`` to tell
        outcome = read_outcome(path)
        if outcome is not None and outcome.batch_id == path.parent.name:
            yield outcome


def _job(told: dict[str, Any]) -> JobName:
    """The job a document tells; one of before there were several tells none."""
    job = told.get("job", "integration")
    found = next((known for known in JOBS if known == job), None)
    if found is None:
        raise KeyError("a job that is known")
    return found


def _published_inputs(told: Iterable[dict[str, str]]) -> Iterator[Input]:
    for entry in sorted(told, key=lambda entry: entry["file_name"]):
        yield Input(entry["file_name"], entry["sha256"], entry["settle_proof"] != "given")


def _quarantined_inputs(told: dict[str, str]) -> Iterator[Input]:
    yield from (Input(name, sha256) for name, sha256 in sorted(told.items()))


def _changed_at(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


def _claimed_at(batch_id: str) -> str | None:
    found = re.match(r"\d{8}T\d{6}Z", batch_id)
    return None if found is None else datetime.strptime(found[0], "%Y%m%dT%H%M%S%z").isoformat()
