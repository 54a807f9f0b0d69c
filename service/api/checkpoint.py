"""The pages that a sync has received, on disk: an interrupted run is resumed from here.

A run reads the collection in sweeps, until one is complete. Pages are kept after the run as a cache: they are requested
again with their ETags, so that an unchanged API sends no bodies.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from service import sqlite
from service.api.pages import Page
from service.errors import TransientError
from service.files import make_folder
from service.fingerprint import Fingerprint
from service.locks import STATE_NEEDS_LOCKS, Lock
from service.sqlite import DamagedDatabase, sqlite_errors_as_oserror

_FILE_NAME = "checkpoint.sqlite"
_NAME = "checkpoint"
_FORMAT = 1
_SCHEMA = f"""
begin;
create table run (
    identity text not null,            -- hash of URL, key and page size
    started_at text not null,
    sweep integer not null,            -- the current one; numbers count up over all runs
    first_sweep integer not null,      -- the first whose rows count
    is_running integer not null,
    ended_at text,                     -- of the last complete run
    not_before text,                   -- end of the pause that the API requested
    delivered text                     -- fingerprint of the last file written to the inbox
);
create table pages (
    page integer not null, sweep integer not null,
    seq integer not null,              -- order of arrival
    total integer not null, total_pages integer not null,
    keys blob not null, etag text, body_sha256 text not null,
    primary key (page, sweep)
) without rowid;
create table bodies (sha256 text primary key, body blob not null);
pragma user_version = {_FORMAT};
commit;
"""


@dataclass(frozen=True)
class Note:
    """A stored page without its rows; its members are the first columns of the table."""

    page: int
    sweep: int
    seq: int
    total: int
    total_pages: int
    keys: bytes


@dataclass(frozen=True)
class Run:
    """The current run."""

    sweep: int
    first_sweep: int
    started_at: datetime
    is_resumed: bool
    may_use_etags: bool = True
    """False after a doubt, and once resumed: an ETag of the rows alone hides that the total has changed."""


@dataclass(frozen=True)
class LastRun:
    """What a checkpoint says of its last run."""

    is_incomplete: bool
    """A run began and has not ended; it is resumed, unless it is going on."""
    ended_at: datetime | None
    """Of the last complete run."""
    not_before: datetime | None
    """The end of the pause that the API requested."""


def read_last_run(folder: Path) -> LastRun | None:
    """The last run of the checkpoint in ``folder``, read without its lock; None before the first. Raises: OSError."""
    try:
        row = sqlite.query(
            folder / _FILE_NAME,
            _NAME,
            lambda db: db.execute("select is_running, ended_at, not_before from run").fetchone(),
        )
    except FileNotFoundError:
        return None
    if row is None:
        return None
    ended_at, not_before = (None if text is None else datetime.fromisoformat(text) for text in row[1:])
    return LastRun(bool(row[0]), ended_at, not_before)


class Checkpoint:
    """The folder ``state/sync``; one process at a time uses it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE_NAME
        self._lock = Lock(folder / ".lock", locks=f"the folder {folder}", hint=STATE_NEEDS_LOCKS)
        self._db: sqlite3.Connection | None = None
        self._seq = 0

    @contextmanager
    def opened(self) -> Iterator[Checkpoint]:
        """Lock and open the checkpoint until the block ends.

        Raises: TransientError while another process uses it, OSError.
        """
        make_folder(self._path.parent)
        self._path.parent.chmod(0o700)  # it holds customers' data
        if not self._lock.acquire():
            raise TransientError("another sync is running", hint="wait until it ends, or stop it")
        try:
            self._db = _connected(self._path)
            yield self
        finally:
            if self._db is not None:
                self._db.close()
            self._db = None
            self._lock.release()

    # ---------------------------------------------------------------------------------------------- the run

    def begin(self, identity: str, now: datetime, max_age: timedelta) -> Run:
        """Resume the last run if it is unfinished, of this identity and at most ``max_age`` old; else start one."""
        row = self._sql("select identity, started_at, sweep, first_sweep, is_running from run").fetchone()
        if row is not None:
            previous_identity, began_at, sweep, first_sweep, is_running = row
            started_at = datetime.fromisoformat(began_at)
            if previous_identity != identity:
                self._forget_pages(identity)
            elif is_running and now - started_at <= max_age:
                (self._seq,) = self._sql("select coalesce(max(seq), 0) from pages").fetchone()
                return Run(sweep, first_sweep, started_at, is_resumed=bool(self.notes(sweep)), may_use_etags=False)
        with self._transaction():
            if row is None:
                self._sql("insert into run values (?, ?, 1, 1, 1, null, null, null)", identity, now.isoformat())
            else:
                self._sql(
                    "update run set started_at = ?, sweep = sweep + 1, first_sweep = sweep + 1, is_running = 1",
                    now.isoformat(),
                )
            self._drop_superseded()
        (sweep,) = self._sql("select sweep from run").fetchone()
        return Run(sweep, sweep, now, is_resumed=False)

    def next_sweep(self, run: Run, *, is_fresh: bool) -> Run:
        """Start another sweep; ``is_fresh``: earlier sweeps do not count any more."""
        first_sweep = run.sweep + 1 if is_fresh else run.first_sweep
        with self._transaction():
            self._sql("update run set sweep = ?, first_sweep = ?", run.sweep + 1, first_sweep)
        return replace(run, sweep=run.sweep + 1, first_sweep=first_sweep, is_resumed=False, may_use_etags=False)

    def end(self, now: datetime) -> None:
        """Record a complete run: its last sweep is kept as the cache, earlier ones are removed."""
        with self._transaction():
            self._sql("update run set is_running = 0, ended_at = ?", now.isoformat())
            self._sql("delete from pages where sweep < (select sweep from run)")
            self._drop_superseded()

    def give_up(self) -> None:
        """Record an inconsistent run: the next one starts from scratch, with these pages as its cache."""
        with self._transaction():
            self._sql("update run set is_running = 0")
            self._drop_superseded()

    def postpone(self, until: datetime) -> None:
        """Record the end of the pause that the API requested; a longer one in force stays."""
        noted = self._time("not_before")
        with self._transaction():
            self._sql("update run set not_before = ?", max(until, noted or until).isoformat())

    def not_before(self, identity: str) -> datetime | None:
        """When requests to this API may be sent again; None without a pause."""
        (previous_identity,) = self._sql("select identity from run").fetchone() or (None,)
        return self._time("not_before") if previous_identity == identity else None

    def note_delivered(self, file: Fingerprint) -> None:
        """Record the fingerprint of the file written to the inbox."""
        with self._transaction():
            self._sql("update run set delivered = ?", json.dumps(asdict(file)))

    def delivered(self) -> Fingerprint | None:
        """The fingerprint of the last file written to the inbox; None before the first."""
        (noted,) = self._sql("select delivered from run").fetchone() or (None,)
        return None if noted is None else Fingerprint(**json.loads(noted))

    def ended_at(self) -> datetime | None:
        """When the last complete run ended; None before the first."""
        return self._time("ended_at")

    # -------------------------------------------------------------------------------------------- the pages

    def etag_of(self, page: int, most_pages: int) -> str | None:
        """The ETag of the latest stored version of a page; None without one, or if it states more pages than that."""
        row = self._sql(
            "select etag, total_pages from pages where page = ? order by sweep desc limit 1", page
        ).fetchone()
        return None if row is None or row[1] > most_pages else row[0]

    def save_page(self, run: Run, page: Page) -> Note:
        """Store a page of this sweep, durably."""
        digest = page.body_sha256
        note = Note(page.number, run.sweep, self._next_seq(), page.total, page.total_pages, page.keys)
        with self._transaction():
            self._sql("insert or ignore into bodies values (?, ?)", digest, page.body)
            self._insert(note, page.etag, digest)
        return note

    def reuse_page(self, run: Run, page: int) -> Note:
        """The page is unchanged (304): reuse the stored version in this sweep."""
        total, total_pages, keys, etag, digest = self._sql(
            "select total, total_pages, keys, etag, body_sha256 from pages where page = ? order by sweep desc limit 1",
            page,
        ).fetchone()
        note = Note(page, run.sweep, self._next_seq(), total, total_pages, keys)
        with self._transaction():
            self._insert(note, etag, digest)
        return note

    def forget(self, run: Run, pages: Iterable[int]) -> None:
        """Remove these pages from this sweep."""
        with self._transaction():
            for page in pages:
                self._sql("delete from pages where page = ? and sweep = ?", page, run.sweep)

    def notes(self, sweep: int) -> list[Note]:
        """The notes of one sweep, in order of arrival."""
        rows = self._sql(
            "select page, sweep, seq, total, total_pages, keys from pages where sweep = ? order by seq", sweep
        )
        return [Note(*row) for row in rows]

    def bodies(self, sweeps: Iterable[int]) -> Iterator[bytes]:
        """The rows of all non-empty pages of these sweeps, in page order."""
        for sweep in sweeps:
            for (body,) in self._sql(
                "select body from pages join bodies on sha256 = body_sha256 where sweep = ? order by page", sweep
            ):
                if body:
                    yield body

    # ----------------------------------------------------------------------------------------------- SQLite

    @property
    def _db_open(self) -> sqlite3.Connection:
        assert self._db is not None, "usable inside ``opened`` only"
        return self._db

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with sqlite_errors_as_oserror(self._path, _NAME), self._db_open:
            yield

    def _sql(self, sql: str, *values: object) -> sqlite3.Cursor:
        with sqlite_errors_as_oserror(self._path, _NAME):
            return self._db_open.execute(sql, values)

    def _drop_superseded(self) -> None:
        """Keep only the latest version of each page, as the cache."""
        self._sql(
            "delete from pages where exists"
            " (select 1 from pages as later where later.page = pages.page and later.sweep > pages.sweep)"
        )
        self._sql("delete from bodies where sha256 not in (select body_sha256 from pages)")

    def _insert(self, note: Note, etag: str | None, digest: str) -> None:
        self._sql("insert or replace into pages values (?, ?, ?, ?, ?, ?, ?, ?)", *astuple(note), etag, digest)

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _time(self, column: str) -> datetime | None:
        row = self._sql(f"select {column} from run").fetchone()
        return None if row is None or row[0] is None else datetime.fromisoformat(row[0])

    def _forget_pages(self, identity: str) -> None:
        """Remove everything that belongs to another identity."""
        with self._transaction():
            self._sql("delete from pages")
            self._sql("update run set identity = ?, ended_at = null, not_before = null", identity)


def _connected(path: Path) -> sqlite3.Connection:
    """The database; a damaged one, or one of another format, is replaced, because its pages can be fetched again."""
    with suppress(DamagedDatabase), sqlite_errors_as_oserror(path, _NAME):
        return _connect(path)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
    with sqlite_errors_as_oserror(path, _NAME):
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    try:
        db.execute("pragma journal_mode = wal")
        # A kill loses nothing. If a power cut damages the database, it is deleted and its pages are fetched again.
        db.execute("pragma synchronous = off")
        (written_by,) = db.execute("pragma user_version").fetchone()
        (verdict,) = db.execute("pragma quick_check(1)").fetchone()
        if written_by == 0:
            db.executescript(_SCHEMA)
        elif written_by != _FORMAT or verdict != "ok":
            raise sqlite3.DatabaseError(f"format {written_by}, {verdict}")
    except BaseException:
        db.close()
        raise
    return db
