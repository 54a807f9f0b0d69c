"""History answers from a real ledger, page by page, at a cost that does not grow, and changes nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from service import documents, sqlite
from service.documents import Manifest, Reason
from service.folders import Folders
from service.history import BatchPage, History, QuarantinePage
from service.ledger import Entry
from service.sqlite import DamagedDatabase
from tests.small_batches import integrate_pair, write_pair
from tests.small_documents import COUNTS, DocumentFolders, batch
from tests.worlds import ROOT, Works, World

FORMER = Path(__file__).with_name("former") / "ledger_format_1.sqlite"
ALWAYS = (date.min, date.max)


def history_of(world: World) -> History:
    return History(Folders(world.inbox, world.outbox, world.state))


def history_in(folders: DocumentFolders) -> History:
    return History(Folders(folders.inbox.root, folders.outbox.root, folders.state.root))


def ids(entries: tuple[Entry, ...]) -> list[str]:
    return [entry.outcome.batch_id for entry in entries]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    """Two masters, a quarantined batch between them, and an analytics export; not to be changed."""
    works = Works(tmp_path_factory.mktemp("past"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.inbox.settling.LEASE_STILL_SECONDS", 0.05)
        works.drop("_1")
        works.drop("_2", ecom="[")
        works.drop("_3")
        works.once()
        works.drop_api(4)
        works.once()
    yield works


@pytest.fixture
def folders(tmp_path: Path) -> DocumentFolders:
    return DocumentFolders(tmp_path)


# ------------------------------------------------------------------------------------------------- real batches


def test_the_batches_of_all_jobs_come_latest_first(past: Works) -> None:
    page = history_of(past).batches()
    assert page.before is None
    assert [(entry.outcome.kind, entry.outcome.job) for entry in page.entries] == [
        ("published", "analytics"),
        ("published", "integration"),
        ("quarantined", "integration"),
        ("published", "integration"),
    ]
    first = page.entries[-1]
    assert first.outcome.counts is not None
    assert (first.outcome.counts.records, first.outcome.counts.customers) == (8, 5)
    assert [given.file_name for given in first.outcome.inputs] == ["crm_customers_1.csv", "ecommerce_customers_1.json"]
    assert first.seconds is not None


def test_the_batches_of_one_job_come_page_by_page(past: Works) -> None:
    found, before = [], None
    for _ in range(3):
        page = history_of(past).batches("integration", before, limit=1)
        found += ids(page.entries)
        before = page.before
    assert before is None
    assert sorted(found) == sorted(past.batches_of("integration") + [path.name for path in past.quarantine()])
    assert ids(history_of(past).batches("analytics").entries) == past.batches_of("analytics")


def test_batches_can_be_chosen_by_outcome(past: Works) -> None:
    quarantined = ids(history_of(past).batches(outcome="quarantined").entries)
    assert quarantined == [path.name for path in past.quarantine()]
    assert len(history_of(past).batches("integration", outcome="published").entries) == 2
    assert history_of(past).batches("analytics", outcome="quarantined").entries == ()


def test_a_batch_has_neighbours_of_its_own_job(past: Works) -> None:
    history = history_of(past)
    last, middle, first = history.batches("integration").entries
    assert history.neighbours(middle) == (first, last)
    assert history.neighbours(first) == (None, middle)
    (alone,) = history.batches("analytics").entries
    assert history.neighbours(alone) == (None, None)


def test_the_history_knows_which_batches_it_has_and_which_repeat_others(past: Works, folders: DocumentFolders) -> None:
    (quarantined,) = past.quarantine()
    assert history_of(past).known([quarantined.name, batch(1)]) == {quarantined.name}
    first = folders.quarantine("20240115T120000Z-abcdef", None)
    second = folders.publish(batch(2), first)
    folders.publish("20240115T130000Z-abcdef-2", second)
    folders.ledger.open()
    last, other, retried = history_in(folders).batches().entries
    assert history_in(folders).repeated(retried) == last
    assert history_in(folders).repeated(other) is None
    assert history_in(folders).known(ids((last, other))) == {last.outcome.batch_id, other.outcome.batch_id}


def test_a_batch_comes_with_its_manifest_or_its_reason(past: Works) -> None:
    (quarantined,) = past.quarantine()
    published = past.batches_of("analytics")[0]
    found = history_of(past).batch(published)
    assert found is not None
    assert isinstance(found.document, Manifest)
    assert (found.document.job, found.document.rows.customers) == ("analytics", 4)
    found = history_of(past).batch(quarantined.name)
    assert found is not None
    assert isinstance(found.document, Reason)
    assert (found.entry.outcome.code, found.document.error) == ("UnreadableFile", "UnreadableFile")


@pytest.mark.parametrize("batch_id", ["20240115T120000Z-ffffff", "", "..", "../../etc", "' or 1=1 --", "x" * 100_000])
def test_an_unknown_batch_is_none(past: Works, batch_id: str) -> None:
    assert history_of(past).batch(batch_id) is None


def test_quarantined_batches_come_with_their_reasons(past: Works) -> None:
    page = history_of(past).quarantined()
    ((entry, reason),) = [(found.entry, found.document) for found in page.batches]
    assert isinstance(reason, Reason)
    assert (entry.outcome.batch_id, page.before) == (reason.batch_id, None)
    assert reason.where.endswith("ecommerce_customers_2.json") or "ecommerce_customers_2.json" in reason.where


def test_counts_are_by_day_and_job(past: Works) -> None:
    today = datetime.now(UTC).date()
    integration, analytics = sorted(history_of(past).counts_by_day(*ALWAYS), key=lambda it: it.job, reverse=True)
    assert (today - integration.day).days in (0, 1)
    assert (integration.published, integration.quarantined, integration.customers) == (2, 1, 5)
    assert (integration.records, integration.rejects, integration.duplicates) == (16, 0, 6)
    assert (analytics.job, analytics.published, analytics.customers) == ("analytics", 1, 4)


def test_reading_creates_and_changes_nothing(past: Works) -> None:
    def files() -> dict[str, tuple[int, int]]:
        found = [path for path in past.root.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}

    before = files()
    asked = history_of(past)
    asked.batches()
    asked.quarantined()
    asked.counts_by_day(*ALWAYS)
    for batch_id in past.batches():
        asked.batch(batch_id)
    assert files() == before


def test_an_outbox_filled_by_hand_has_a_history(tmp_path: Path) -> None:
    pair = write_pair(tmp_path / "pair", "customer_id,full_name\n1,Ann Lee\n", "[]")
    integrate_pair(pair, tmp_path / "out", csv_bom=True)
    found = History(Folders(None, tmp_path / "out", tmp_path / "out/.state"))
    (entry,) = found.batches().entries
    assert (entry.outcome.kind, entry.outcome.counts and entry.outcome.counts.customers) == ("published", 1)


# ------------------------------------------------------------------------------------------------ without a ledger


def test_a_missing_ledger_is_empty(tmp_path: Path) -> None:
    found = History(Folders(tmp_path / "inbox", tmp_path / "outbox", tmp_path / "state"))
    assert (found.batches(), found.quarantined(), found.batch(batch(1))) == (BatchPage(), QuarantinePage(), None)
    assert found.counts_by_day(*ALWAYS) == ()
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_is_being_created_is_empty(folders: DocumentFolders) -> None:
    folders.ledger.path.touch()
    assert history_in(folders).batches() == BatchPage()


def test_a_damaged_ledger_is_an_error(folders: DocumentFolders) -> None:
    folders.ledger.path.write_bytes(b"not a database" * 1000)
    with pytest.raises(DamagedDatabase, match="the ledger is damaged"):
        history_in(folders).batches()


def test_a_ledger_of_a_later_program_is_an_error(folders: DocumentFolders) -> None:
    folders.publish(batch(1), None)
    folders.ledger.open()
    with sqlite3.connect(folders.ledger.path) as db:
        db.execute("pragma user_version = 99")
    db.close()
    with pytest.raises(DamagedDatabase, match="unknown format 99"):
        history_in(folders).batches()


def test_a_ledger_of_the_former_format_is_read_as_it_is(folders: DocumentFolders) -> None:
    shutil.copyfile(FORMER, folders.ledger.path)
    page = history_in(folders).batches("integration", limit=2)
    assert ids(page.entries) == ["20240115T122000Z-cccccc", "20240115T121000Z-bbbbbb"]
    assert ids(history_in(folders).batches("integration", page.before).entries) == ["20240115T120000Z-aaaaaa"]
    assert history_in(folders).batches("analytics") == BatchPage()
    (day,) = history_in(folders).counts_by_day(*ALWAYS)
    assert (day.day, day.published, day.quarantined) == (date(2024, 1, 15), 2, 1)
    assert folders.ledger.path.read_bytes() == FORMER.read_bytes()


# -------------------------------------------------------------------------------------------------- small ledgers


def test_a_removed_document_leaves_the_entry(folders: DocumentFolders) -> None:
    head = folders.publish(batch(1), None)
    folders.quarantine(batch(2), head)
    folders.ledger.open()
    shutil.rmtree(folders.outbox.root)
    shutil.rmtree(folders.inbox.root)
    for number in (1, 2):
        found = history_in(folders).batch(batch(number))
        assert found is not None
        assert found.document is None


def test_a_retried_batch_is_not_in_quarantine_any_more(folders: DocumentFolders) -> None:
    folders.quarantine(batch(1), None)
    folders.ledger.open()
    assert len(history_in(folders).quarantined().batches) == 1
    folders.ledger.note_retried(batch(1))
    assert history_in(folders).quarantined() == QuarantinePage()


def test_an_outcome_without_a_document_is_left_out(folders: DocumentFolders) -> None:
    folders.publish(batch(1), "0" * 64)
    folders.ledger.open()
    assert len(folders.entries()) == 2
    assert ids(history_in(folders).batches().entries) == [batch(1)]


def test_a_batch_that_was_processed_again_counts_once(folders: DocumentFolders) -> None:
    digest = folders.publish(batch(1), None)
    folders.ledger.note(batch(1))
    shutil.rmtree(folders.outbox.root)
    again = folders.publish(batch(1), digest)
    folders.ledger.note(batch(1))
    found = history_in(folders).batch(batch(1))
    assert found is not None
    assert found.entry.outcome.sha256 == again
    (day,) = history_in(folders).counts_by_day(*ALWAYS)
    assert (day.published, day.records) == (1, COUNTS.records)


def test_only_the_days_of_the_range_are_counted(folders: DocumentFolders) -> None:
    head = None
    for day in ("14", "15", "16", "17"):
        head = folders.publish(f"202401{day}T235959Z-aaaaaa", head)
    folders.ledger.open()
    found = history_in(folders).counts_by_day(date(2024, 1, 15), date(2024, 1, 16))
    assert [it.day.day for it in found] == [15, 16]


@pytest.mark.parametrize(
    ("before", "limit", "found"), [(None, 0, 1), (None, -5, 1), (10**30, 2, 2), (-(10**30), 2, 0), (None, 10**30, 3)]
)
def test_impossible_pages_are_bounded(folders: DocumentFolders, before: int | None, limit: int, found: int) -> None:
    head = None
    for number in range(3):
        head = folders.publish(batch(number), head)
    folders.ledger.open()
    assert len(history_in(folders).batches(None, before, limit).entries) == found


# ---------------------------------------------------------------------------------------------------- cost, writers


@dataclass
class Cost:
    """What queries did: SQL statements, steps of SQLite's virtual machine, files opened."""

    statements: int = 0
    steps: int = 0
    opened: list[str] = field(default_factory=list)

    @property
    def figures(self) -> tuple[int, int, int]:
        return self.statements, self.steps, len(self.opened)


def cost_of(query: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> Cost:
    cost = Cost()
    connect, read = sqlite.connect, documents.read

    def counting(*arguments: Any) -> sqlite3.Connection:
        def step() -> int:
            cost.steps += 1
            return 0

        def statement(_: str) -> None:
            cost.statements += 1

        db = connect(*arguments)
        db.set_progress_handler(step, 1)
        db.set_trace_callback(statement)
        return db

    def reading(path: Path, kind: Any) -> Any:
        cost.opened.append(path.name)
        return read(path, kind)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "connect", counting)
        patch.setattr(documents, "read", reading)
        for name in ("glob", "iterdir", "rglob"):
            patch.setattr(Path, name, lambda *_: pytest.fail("a folder is listed"))
        query()
    return cost


def test_the_cost_of_a_page_does_not_grow_with_the_number_of_batches(
    folders: DocumentFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of integrated batches before and after some of both jobs: no query passes over all of them."""

    def costs() -> dict[str, tuple[int, int, int]]:
        found = history_in(folders)
        middle = found.batches(limit=5).before
        last = date(2024, 1, 16)
        queries: dict[str, Callable[[], object]] = {
            "batches": lambda: found.batches(limit=5),
            "next page": lambda: found.batches(None, middle, limit=5),
            "of one job": lambda: found.batches("integration", limit=5),
            "of the other job": lambda: found.batches("analytics", limit=5),
            "quarantined": lambda: found.quarantined(limit=5),
            "one batch": lambda: found.batch("20240116T120019Z-aaaaaa"),
            "one day": lambda: found.counts_by_day(last, last),
        }
        return {name: cost_of(query, monkeypatch).figures for name, query in queries.items()}

    head = folders.publish(batch(0), None)
    for number in range(20):
        add = folders.quarantine if number % 2 else folders.publish
        job = "analytics" if number % 4 > 1 else "integration"
        head = add(f"20240116T1200{number:02}Z-aaaaaa", head, job=job)
    folders.ledger.open()
    few = costs()
    copy_first(folders, 5000)
    many = costs()
    assert len(history_in(folders).batches(limit=1000).entries) == 1000
    for name, (statements, steps, opened) in few.items():
        assert many[name][0] == statements, name
        assert many[name][1] <= steps * 1.1, name
        assert many[name][2] == opened <= 5, name


def copy_first(folders: DocumentFolders, times: int) -> None:
    """Insert many entries like the first one, alternately before and after all others."""
    with sqlite3.connect(folders.ledger.path) as db:
        columns = [name for _, name, *_ in db.execute("pragma table_info(outcomes)")]
        (first,) = db.execute("select * from outcomes order by seq limit 1").fetchall()
        for number in range(times):
            seq, day = (-number, 15) if number % 2 else (1000 + number, 17)
            id_ = f"202401{day}T12{number // 60:02}{number % 60:02}Z-{number:06x}"
            copy = dict(zip(columns, first, strict=True))
            copy |= {"seq": seq, "sha256": f"{number:064}", "batch_id": id_, "removed": "retention"}
            db.execute(f"insert into outcomes values ({', '.join('?' * len(columns))})", list(copy.values()))
    db.close()


def test_pages_are_consistent_while_batches_are_added(folders: DocumentFolders) -> None:
    """Every page is the end of the chain at one moment, with a writer that opens and closes the ledger each time."""
    failed: list[BaseException] = []
    is_done = threading.Event()

    def write() -> None:
        try:
            head = None
            for number in range(60):
                head = folders.publish(batch(number), head)
                folders.ledger.note(batch(number))
        except BaseException as error:  # noqa: BLE001  # shown to the test below
            failed.append(error)
        is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    pages = 0
    while not is_done.is_set() or pages < 20:
        page = history_in(folders).batches(limit=10)
        seqs = [entry.seq for entry in page.entries]
        assert seqs == sorted(seqs, reverse=True)
        for later, former in zip(page.entries, page.entries[1:], strict=False):
            assert later.outcome.former_sha256 == former.outcome.sha256
        assert all(entry.outcome.inputs for entry in page.entries)
        pages += 1
    writer.join(30)
    assert failed == []
    assert len(history_in(folders).batches(limit=100).entries) == 60
    assert ids(history_in(folders).batches(limit=1).entries) == [batch(59)]


def test_a_writer_that_is_connected_is_seen(folders: DocumentFolders) -> None:
    folders.publish(batch(1), None)
    folders.ledger.open()
    with sqlite3.connect(folders.ledger.path) as db:
        db.execute("update outcomes set seconds = 7")
        db.commit()
        (entry,) = history_in(folders).batches().entries
        assert entry.seconds == 7
        db.execute("update outcomes set seconds = 8")
        (entry,) = history_in(folders).batches().entries
        assert entry.seconds == 7, "not committed yet"
    db.close()


def test_history_loads_neither_the_engine_nor_the_service(tmp_path: Path) -> None:
    statements = "import sys, json, service.history; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", statements], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"duckdb", "numpy", "pydantic", "watchdog", "aiohttp", "service.settings", "service.engine"}
