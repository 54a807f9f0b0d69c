"""The ledger: every outcome once, rebuilt from the documents, complete after crashes, and never a reason to stop."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from service import documents
from service.documents import Counts, Manifest
from service.errors import InputError
from service.ledger import Entry, Ledger
from service.outcomes import Input, Outcome, read_outcome
from service.watch.watcher import RunResult
from tests.small_batches import integrate_pair, write_pair
from tests.small_documents import COUNTS, INPUT_SHA256, DocumentFolders, batch
from tests.worlds import Works, failing

FORMER = Path(__file__).with_name("former") / "ledger_format_1.sqlite"
B1, B2, B3, B4 = (batch(number) for number in range(1, 5))


@pytest.fixture
def folders(tmp_path: Path) -> DocumentFolders:
    return DocumentFolders(tmp_path)


def remove_set(folders: DocumentFolders, batch_id: str) -> None:
    shutil.rmtree(folders.outbox.set_of(batch_id))


def test_an_outcome_is_added_once_with_everything_its_document_states(folders: DocumentFolders) -> None:
    folders.ledger.open()
    digest = folders.publish(B1, None)
    for seconds in (1.5, 9.9):
        folders.ledger.note(B1, seconds)
    (entry,) = folders.entries()
    assert (entry.seconds, entry.removed) == (1.5, None)
    assert replace(entry.outcome, ended_at=None) == Outcome(
        batch_id=B1,
        kind="published",
        job="integration",
        code=None,
        claimed_at="2024-01-15T12:01:00+00:00",
        ended_at=None,
        counts=COUNTS,
        sha256=digest,
        former_sha256=None,
        inputs=(Input("crm_customers.csv", INPUT_SHA256),),
    )
    assert folders.ledger.next()[0] == digest


def test_outcomes_that_happened_without_the_ledger_are_added_along_the_links(folders: DocumentFolders) -> None:
    first = folders.publish(B3, None)  # the clock was set back: the ids are not in order
    folders.ledger.note(B3)
    second = folders.quarantine(B2, first)
    folders.publish(B1, second)
    assert [batch_id for batch_id, _, _ in folders.summary()] == [B3, B2, B1], "without writing"
    folders.ledger.open()
    folders.ledger.open()
    assert folders.summary() == [(B3, "published", None), (B2, "quarantined", None), (B1, "published", None)]
    assert [entry.seconds for entry in folders.entries()] == [None] * 3


def test_a_lost_ledger_is_rebuilt_and_a_missing_document_is_a_bare_hash(folders: DocumentFolders) -> None:
    pruned, retried = "0" * 64, "1" * 64
    folders.publish(B2, pruned)
    folders.publish(B4, retried)
    folders.ledger.open()
    assert folders.summary() == [
        ("", "unknown", "before"),
        (B2, "published", None),
        ("", "unknown", "before"),
        (B4, "published", None),
    ]
    assert folders.entries()[0].outcome.sha256 == pruned


def test_an_altered_document_does_not_become_an_outcome(folders: DocumentFolders) -> None:
    digest = folders.publish(B1, None)
    folders.ledger.note(B1)
    remove_set(folders, B1)
    folders.publish(B1, "2" * 64)
    folders.ledger.note(B1)
    folders.ledger.open()
    assert [entry.outcome.sha256 for entry in folders.entries()] == [digest]


def test_a_batch_that_is_processed_again_under_its_id_is_a_second_outcome(folders: DocumentFolders) -> None:
    """Published, the outbox emptied before the inputs were archived, and so published again."""
    digest = folders.publish(B1, None)
    folders.ledger.note(B1)
    shutil.rmtree(folders.outbox.root)
    again = folders.publish(B1, digest)
    folders.ledger.note(B1)
    assert folders.summary() == [(B1, "published", "repeated"), (B1, "published", None)]
    assert folders.ledger.next()[0] == again


@pytest.mark.parametrize("content", ["{", "[]", '{"batch_id": "b1", "former_outcome_sha256": null}'])
def test_a_damaged_document_is_not_an_outcome_and_stops_nothing(folders: DocumentFolders, content: str) -> None:
    folders.publish(B1, None)
    path = folders.outbox.manifest_of(B1)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(documents.MalformedDocument):
        read_outcome(path)
    folders.ledger.note(B1)
    folders.ledger.open()
    assert folders.summary() == []


@pytest.mark.parametrize(
    ("text", "replacement"),
    [('"records": 8', '"records": 1e999'), ('"records": 8', f'"records": {1 << 64}'), ('"lease"', '"\\ud800"')],
    ids=["infinite", "too large for SQLite", "not UTF-8"],
)
def test_values_that_sqlite_cannot_store_are_damage_too(folders: DocumentFolders, text: str, replacement: str) -> None:
    folders.publish(B1, None)
    path = folders.outbox.manifest_of(B1)
    written = path.read_text(encoding="utf-8")
    path.write_text(written.replace(text, replacement), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != written
    folders.ledger.open()
    assert folders.summary() == []


def test_an_id_that_does_not_begin_with_a_time_is_damage(folders: DocumentFolders) -> None:
    folders.publish("20249999T120000Z-aaaaaa", None)
    folders.ledger.open()
    assert folders.summary() == []


def test_files_that_were_set_aside_before_acceptance_are_not_a_link(folders: DocumentFolders) -> None:
    folders.quarantine(B1, None, former_outcome_sha256=UNSET)
    path = folders.inbox.reason_of(B1)
    folders.ledger.open()
    assert (read_outcome(path), folders.summary()) == (None, [])


def test_retention_is_recorded_before_it_happens_with_older_sets_that_are_gone(folders: DocumentFolders) -> None:
    head = None
    for batch_id in (B1, B2, B3, B4):
        head = folders.publish(batch_id, head)
        folders.ledger.note(batch_id)
    remove_set(folders, B1)
    assert folders.ledger.retire([], "integration") == []
    assert folders.ledger.retire([B2], "integration") == [B1, B2]
    assert [removed for _, _, removed in folders.summary()] == ["retention", "retention", None, None]
    assert folders.ledger.next()[0] == head


def test_a_retried_batch_is_recorded(folders: DocumentFolders) -> None:
    folders.ledger.note_retried(B1)
    assert not folders.ledger.path.exists()
    folders.quarantine(B1, None)
    folders.ledger.open()
    folders.ledger.note_retried(B1)
    assert folders.summary() == [(B1, "quarantined", "retried")]


def test_an_emptied_outbox_is_recorded_with_the_next_set(folders: DocumentFolders) -> None:
    first = folders.publish(B1, None)
    folders.ledger.note(B1)
    second = folders.quarantine(B2, first)
    folders.ledger.note(B2)
    shutil.rmtree(folders.outbox.root)
    assert folders.summary()[0] == (B1, "published", None)
    folders.publish(B3, second)
    folders.ledger.note(B3)
    assert [removed for _, _, removed in folders.summary()] == ["emptied", None, None]


def test_an_outbox_that_was_emptied_during_a_publication_is_recorded_with_the_next_set(
    folders: DocumentFolders,
) -> None:
    head = None
    for batch_id in (B1, B2, B3):
        head = folders.publish(batch_id, head)
        folders.ledger.note(batch_id)  # B1 and B2 are still there when B3 is noted
    for batch_id in (B1, B2):
        shutil.rmtree(folders.outbox.set_of(batch_id))
    folders.publish(B4, head)
    folders.ledger.note(B4)
    assert [removed for _, _, removed in folders.summary()] == ["emptied", "emptied", None, None]


def test_a_set_that_is_missing_between_others_is_not_recorded_as_emptied(folders: DocumentFolders) -> None:
    head = None
    for batch_id in (B1, B2, B3):
        head = folders.publish(batch_id, head)
        folders.ledger.note(batch_id)
    shutil.rmtree(folders.outbox.set_of(B2))
    folders.publish(B4, head)
    folders.ledger.note(B4)
    assert [removed for _, _, removed in folders.summary()] == [None, None, None, None]


def test_an_emptied_outbox_is_recorded_also_if_the_service_died_before(folders: DocumentFolders) -> None:
    head = None
    for batch_id in (B1, B2):
        head = folders.publish(batch_id, head)
        folders.ledger.note(batch_id)
    shutil.rmtree(folders.outbox.root)
    for batch_id in (B3, B4):
        head = folders.publish(batch_id, head)
    assert [removed for _, _, removed in folders.summary()] == ["emptied", "emptied", None, None]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_the_next_link_is_known_though_the_outbox_was_emptied_and_the_ledger_is_out_of_reach(
    folders: DocumentFolders, monkeypatch: pytest.MonkeyPatch, is_restarted: bool
) -> None:
    first = folders.quarantine(B1, None)
    second = folders.publish(B2, first)
    for batch_id in (B1, B2):
        folders.ledger.note(batch_id)
    if is_restarted:
        folders.ledger = Ledger(folders.state.root, folders.outbox.root, folders.inbox.root)
        folders.ledger.open()
    for name in ("connect", "query"):
        monkeypatch.setattr(f"service.ledger.sqlite.{name}", failing(OSError(errno.EIO, "Input/output error")))
    shutil.rmtree(folders.outbox.root)
    assert folders.ledger.next()[0] == second
    third = folders.quarantine(B3, second)
    assert folders.ledger.next()[0] == third


def test_a_ledger_that_is_removed_while_we_work_is_rebuilt_with_the_next_entry(folders: DocumentFolders) -> None:
    first = folders.publish(B1, None)
    folders.ledger.note(B1)
    folders.ledger.path.unlink()
    assert folders.ledger.next()[0] == first
    folders.publish(B2, first)
    folders.ledger.note(B2, 1.0)
    assert [batch_id for batch_id, _, _ in folders.summary()] == [B1, B2]


@pytest.mark.parametrize("rubbish", [b"no database " * 1000, b""], ids=["rubbish", "empty"])
def test_a_damaged_ledger_is_set_aside_and_rebuilt(folders: DocumentFolders, rubbish: bytes) -> None:
    first = folders.publish(B1, None)
    folders.ledger.open()
    folders.ledger.path.write_bytes(rubbish)
    assert folders.ledger.next()[0] == first
    folders.publish(B2, first)
    folders.ledger.note(B2)
    assert [batch_id for batch_id, _, _ in folders.summary()] == [B1, B2]
    assert folders.state.root.joinpath("ledger.sqlite.damaged").exists() == bool(rubbish)


def test_a_ledger_of_a_later_program_is_not_written_to(folders: DocumentFolders) -> None:
    folders.publish(B1, None)
    folders.ledger.open()
    with sqlite3.connect(folders.ledger.path) as db:
        db.execute("pragma user_version = 99")
    db.close()
    folders.ledger.open()
    assert [batch_id for batch_id, _, _ in folders.summary()] == [B1]
    assert folders.state.root.joinpath("ledger.sqlite.damaged").exists()


def test_an_outcome_is_added_without_reading_the_documents_of_other_batches(
    folders: DocumentFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = None
    for number in range(1, 20):
        head = folders.publish(batch(number), head)
    folders.ledger.open()
    folders.publish(batch(20), head)
    read: set[str] = set()

    def read_hashed(path: Path, kind: type[Manifest]) -> tuple[Manifest, str]:
        read.add(path.parent.name)
        return hashed(path, kind)

    hashed = documents.read_hashed
    with monkeypatch.context() as patch:
        patch.setattr(documents, "read_hashed", read_hashed)
        patch.setattr(Path, "glob", failing(AssertionError("a folder is listed")))
        patch.setattr(Path, "iterdir", failing(AssertionError("a folder is listed")))
        folders.ledger.note(batch(20))
    assert read == {batch(20)}
    assert len(folders.entries()) == 20


# ---------------------------------------------------------------------------------------------- several jobs


def jobs(folders: DocumentFolders) -> list[str]:
    return [entry.outcome.job for entry in folders.entries()]


def test_an_outcome_has_a_job_and_a_document_without_one_is_an_integration(folders: DocumentFolders) -> None:
    head = folders.publish(B1, None)
    head = folders.publish(B2, head, job="analytics")
    head = folders.quarantine(B3, head, job="analytics")
    folders.publish(B4, head, job="integration")
    folders.ledger.open()
    assert jobs(folders) == ["integration", "analytics", "analytics", "integration"]
    assert folders.ledger.last_published() == {"analytics": B2, "integration": B4}
    assert list(folders.ledger.last_published().values()) == [B2, B4], "the latest is the last"


def test_a_document_of_an_unknown_job_is_damaged(folders: DocumentFolders) -> None:
    folders.publish(B1, None, job="forecast")
    with pytest.raises(documents.MalformedDocument, match="job"):
        read_outcome(folders.outbox.manifest_of(B1))
    folders.ledger.open()
    assert folders.summary() == []


def test_a_set_is_superseded_by_one_of_its_own_job(folders: DocumentFolders) -> None:
    head = folders.publish(B1, None)
    head = folders.publish(B2, head, job="analytics")
    folders.ledger.open()
    assert not folders.ledger.is_superseded(B1)
    folders.publish(B3, head)
    folders.ledger.open()
    assert folders.ledger.is_superseded(B1)
    assert not folders.ledger.is_superseded(B2)


@pytest.mark.parametrize(
    ("keep", "current", "gone"),
    [(0, B3, []), (1, B3, [B1, B2]), (2, B3, [B1]), (9, B3, []), (1, B1, [B2])],
)
def test_the_newest_sets_are_kept_and_always_the_current_one(
    folders: DocumentFolders, keep: int, current: str, gone: list[str]
) -> None:
    publish_in_order(folders, B1, B2, B3)
    assert folders.ledger.superseded([B1, B2, B3], "integration", keep=keep, current=current) == gone


def test_the_clock_does_not_decide_which_set_is_the_newest(folders: DocumentFolders) -> None:
    ahead, right = ["20300101T120000Z-00000a", "20300101T120000Z-000001"], [B2, B1]
    publish_in_order(folders, *ahead, *right)
    sets = sorted((*ahead, *right))
    assert folders.ledger.superseded(sets, "integration", keep=2, current=B1) == ahead
    shutil.rmtree(folders.outbox.set_of(ahead[0]))
    assert folders.ledger.retire(ahead[1:], "integration") == sorted(ahead)
    assert [removed for _, _, removed in folders.summary()] == ["retention", "retention", None, None]


def test_a_rebuilt_ledger_orders_sets_by_the_position_they_state(folders: DocumentFolders) -> None:
    ids = ["20300101T120000Z-00000a", B2, B1]
    for number, batch_id in enumerate(ids):  # the reasons between them were removed
        folders.publish(batch_id, f"{number}" * 64, sequence=2 * number + 2)
    folders.ledger.open()
    published = [entry for entry in folders.entries() if entry.outcome.kind == "published"]
    assert [(entry.outcome.batch_id, entry.seq) for entry in published] == [(ids[0], 2), (ids[1], 4), (ids[2], 6)]
    assert folders.ledger.next()[1] == 7


def test_retention_counts_the_sets_of_each_job_by_themselves(folders: DocumentFolders) -> None:
    head = folders.publish(B1, None)
    head = folders.publish(B2, head, job="analytics")
    folders.publish(B3, head)
    folders.ledger.open()
    assert folders.ledger.superseded([B1, B2, B3], "integration", keep=1, current=B3) == [B1]
    assert folders.ledger.superseded([B1, B2, B3], "analytics", keep=1, current=B2) == []


def test_a_quarantine_ends_with_the_next_published_batch_of_its_own_job(folders: DocumentFolders) -> None:
    late = "20300101T120000Z-00000a"  # the clock was ahead
    head = folders.quarantine(late, None)
    head = folders.publish(B1, head, job="analytics")
    folders.ledger.open()
    assert not folders.ledger.is_overtaken(late, "integration")
    folders.publish(B2, head)
    folders.ledger.open()
    assert folders.ledger.is_overtaken(late, "integration")
    assert folders.ledger.is_overtaken(batch(0), "integration"), "without an outcome, claimed before"
    assert not folders.ledger.is_overtaken(B3, "integration"), "without an outcome, claimed after"


def publish_in_order(folders: DocumentFolders, *ids: str) -> None:
    head: str | None = None
    for batch_id in ids:
        head = folders.publish(batch_id, head)
    folders.ledger.open()


def test_retention_of_one_job_leaves_the_other_alone(folders: DocumentFolders) -> None:
    head = folders.publish(B1, None)
    head = folders.publish(B2, head, job="analytics")
    head = folders.publish(B3, head, job="analytics")
    folders.ledger.open()
    remove_set(folders, B1)
    assert folders.ledger.retire([B2], "analytics") == [B2]
    assert [removed for _, _, removed in folders.summary()] == [None, "retention", None]


@pytest.mark.parametrize("reachable", [True, False])
def test_the_records_of_the_last_published_batch_are_known_per_job(
    folders: DocumentFolders, monkeypatch: pytest.MonkeyPatch, reachable: bool
) -> None:
    def counts(records: int) -> Counts:
        return Counts(records=records, rejects=0, duplicates=0, customers=1)

    head = folders.publish(B1, None, rows=counts(3))
    head = folders.publish(B2, head, rows=counts(4), job="analytics")
    folders.quarantine(B3, head, job="analytics")
    if reachable:
        folders.ledger.open()
    else:
        monkeypatch.setattr(Ledger, "_connected", failing(OSError(5, "Input/output error")))
    assert (folders.ledger.last_records("integration"), folders.ledger.last_records("analytics")) == (3, 4)


# ------------------------------------------------------------------------------------------- the former format


@pytest.fixture
def former_format(folders: DocumentFolders) -> DocumentFolders:
    """A ledger of the program version that had one job: three outcomes, and their documents."""
    shutil.copyfile(FORMER, folders.ledger.path)
    first = folders.publish("20240115T120000Z-aaaaaa", None)
    second = folders.quarantine("20240115T121000Z-bbbbbb", first)
    folders.publish("20240115T122000Z-cccccc", second)
    return folders


def format_of(ledger: Ledger) -> int:
    with sqlite3.connect(ledger.path) as db:
        (found,) = db.execute("pragma user_version").fetchone()
    db.close()
    return int(found)


def test_a_ledger_of_the_former_format_is_upgraded_and_loses_nothing(former_format: DocumentFolders) -> None:
    before, trouble = former_format.ledger.entries()
    assert (len(before), trouble, format_of(former_format.ledger)) == (3, None, 1), "reading changes nothing"
    former_format.ledger.open()
    assert format_of(former_format.ledger) == 2
    assert not former_format.ledger.path.with_name("ledger.sqlite.damaged").exists()
    assert former_format.entries() == before
    assert [entry.seconds for entry in before] == [1.5, None, 2.5], "which no document states"
    assert jobs(former_format) == ["integration"] * 3
    former_format.publish("20240115T123000Z-dddddd", before[-1].outcome.sha256, job="analytics")
    former_format.ledger.note("20240115T123000Z-dddddd")
    assert jobs(former_format) == ["integration"] * 3 + ["analytics"]


@pytest.mark.parametrize("first_call", ["next", "note", "note_retried", "is_superseded"])
def test_the_first_process_that_writes_upgrades_the_ledger(former_format: DocumentFolders, first_call: str) -> None:
    arguments = () if first_call == "next" else ("20240115T122000Z-cccccc",)
    getattr(former_format.ledger, first_call)(*arguments)
    assert format_of(former_format.ledger) == 2
    assert len(former_format.entries()) == 3


def test_a_death_during_the_upgrade_leaves_the_former_format(
    former_format: DocumentFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(OSError, match="cannot be used"):
        patch.setattr("service.ledger.FORMAT", "no number")
        former_format.ledger.is_superseded(B1)
    assert format_of(former_format.ledger) == 1
    former_format.ledger.open()
    assert (format_of(former_format.ledger), len(former_format.entries())) == (2, 3)


def test_at_rest_the_ledger_is_one_file(folders: DocumentFolders) -> None:
    folders.publish(B1, None)
    folders.ledger.note(B1)
    folders.entries()
    assert [path.name for path in folders.state.root.iterdir()] == ["ledger.sqlite"]
    with sqlite3.connect(folders.ledger.path) as db:
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
    db.close()


# ---------------------------------------------------------------------------------------------- in the daemon


def ledger_of(works: Works) -> list[Entry]:
    entries, trouble = Ledger(works.state, works.outbox, works.inbox).entries()
    assert trouble is None
    return entries


def links(entries: list[Entry]) -> Iterator[bool]:
    former = None
    for entry in entries:
        yield entry.outcome.former_sha256 == former
        former = entry.outcome.sha256


def test_the_daemon_keeps_the_ledger_and_every_outcome_names_its_predecessor(works: Works) -> None:
    works.drop("_1")
    works.drop("_2", ecom="[")
    works.drop("_3")
    works.once()
    entries = ledger_of(works)
    assert [entry.outcome.kind for entry in entries] == ["published", "quarantined", "published"]
    assert entries[0].outcome.counts == Counts(records=8, rejects=0, duplicates=3, customers=5)
    assert entries[0].seconds is not None
    assert entries[1].outcome.code == "UnreadableFile"
    assert all(links(entries))


@pytest.mark.large
@pytest.mark.parametrize("method", ["note", "open"])
def test_a_ledger_that_cannot_be_written_stops_nothing_and_is_completed_later(
    works: Works, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    works.drop("_1")
    works.drop("_2", ecom="[")
    works.drop("_3")
    with monkeypatch.context() as patch:
        patch.setattr(f"service.ledger.Ledger.{method}", failing(OSError(28, "No space left on device")))
        patch.setattr("service.ledger.Ledger._connected", failing(OSError(28, "No space left on device")))
        assert works.once().published == 2
    assert not (works.state / "ledger.sqlite").exists()
    works.once()
    assert len(ledger_of(works)) == 3
    assert all(links(ledger_of(works)))


@pytest.mark.large
@pytest.mark.parametrize(
    "step", ["service.publication.Publication.roll_forward", "service.register.register.Register.advance"]
)
def test_a_death_before_the_entry_leaves_no_gap(works: Works, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Died

    works.drop("_1")
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(step, die)
        works.once()
    works.drop("_2")
    works.once()
    assert len(ledger_of(works)) == 2
    assert all(links(ledger_of(works)))


@pytest.mark.large
def test_an_outbox_that_is_emptied_right_after_the_commit_gets_the_set_again(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    def emptied(*_: Any, **__: Any) -> None:
        shutil.rmtree(works.outbox / "batches")

    works.drop("_1")
    with monkeypatch.context() as patch:
        patch.setattr("service.ledger.Ledger.note", emptied)
        assert works.once() == RunResult(unfinished=1)
    assert works.once() == RunResult(published=1)
    assert works.archived() == works.batches()
    assert [entry.outcome.kind for entry in ledger_of(works)] == ["published"]


def test_a_reason_that_was_written_but_not_yet_in_quarantine_is_discarded(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Died

    works.drop("_1")
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr("service.jobs.integration.extract_records", failing(InputError("it is wrong", hint="correct it")))
        patch.setattr("service.inbox.claims.Claims.end", die)
        works.once()
    works.once()
    assert [entry.outcome.kind for entry in ledger_of(works)] == ["published"]
    (archived,) = works.archived()
    assert len(list((works.inbox / "archive" / archived).iterdir())) == 2, "the reason and log were not archived"


@pytest.mark.large
def test_an_outbox_filled_by_hand_has_a_ledger_too(tmp_path: Path) -> None:
    pair = write_pair(tmp_path / "pair", "customer_id,full_name\n1,Ann Lee\n", "[]")
    for _ in range(2):
        integrate_pair(pair, tmp_path / "out")
    entries, trouble = Ledger(tmp_path / "out/.state", tmp_path / "out", None).entries()
    assert (len(entries), trouble) == (2, None)
    assert all(links(entries))
    assert {entry.is_moved for entry in entries[0].outcome.inputs} == {False}
