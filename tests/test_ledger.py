"""The ledger: idempotent, rebuilt from the documents, whole over crashes, and never in the way of work."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.errors import InputError
from service.ledger import Entry, Input, Ledger, Outcome, read_outcome
from service.watch.watcher import RunResult
from tests.small_batches import integrate_pair, write_pair
from tests.worlds import Works, failing

FORMER = Path(__file__).with_name("former") / "ledger_format_1.sqlite"
COUNTS = {"records": 8, "rejects": 1, "duplicates": 3, "customers": 5}


class Archive:
    """Documents as outbox and inbox write them, and the ledger of them."""

    def __init__(self, root: Path) -> None:
        self.state, self.outbox, self.inbox = (root / name for name in ("state", "outbox", "inbox"))
        self.state.mkdir()
        self.ledger = Ledger(self.state, self.outbox, self.inbox)

    def publish(self, batch: str, former: str | None, **others: Any) -> str:
        """A set with its manifest; returns the manifest's hash."""
        told = {
            "batch_id": batch,
            "former_outcome_sha256": former,
            "inputs": [{"file_name": "crm_customers.csv", "sha256": "aa", "settle_proof": "lease"}],
            "rows": COUNTS,
        }
        return self._write(self.outbox / "batches" / batch / "manifest.json", told | others)

    def quarantine(self, batch: str, former: str | None, **others: Any) -> str:
        """A quarantined batch with its reason; returns the reason's hash."""
        told = {
            "batch_id": batch,
            "quarantined_at": "2024-01-15T12:00:00+00:00",
            "error": "UnreadableFile",
            "inputs": {"crm_customers.csv": "aa"},
            "former_outcome_sha256": former,
        }
        return self._write(self.inbox / "quarantine" / batch / "reason.json", told | others)

    def _write(self, path: Path, told: dict[str, Any]) -> str:
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(told), encoding="utf-8")
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def history(self) -> list[tuple[str, str, str | None]]:
        """Batch, outcome, and how its document went."""
        return [(entry.outcome.batch_id, entry.outcome.kind, entry.removed) for entry in self.entries()]

    def entries(self) -> list[Entry]:
        found, trouble = self.ledger.entries()
        assert trouble is None
        return found


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_an_outcome_is_noted_once_with_all_that_its_document_tells(archive: Archive) -> None:
    archive.ledger.open()
    digest = archive.publish("20240115T120000Z-aaaaaa", None)
    for seconds in (1.5, 9.9):
        archive.ledger.note("20240115T120000Z-aaaaaa", seconds)
    (entry,) = archive.entries()
    assert (entry.seconds, entry.removed) == (1.5, None)
    assert entry.outcome.claimed_at == "2024-01-15T12:00:00+00:00"
    assert replace(entry.outcome, claimed_at=None, ended_at=None) == Outcome(
        "20240115T120000Z-aaaaaa",
        "published",
        "integration",
        None,
        None,
        None,
        tuple(COUNTS.values()),
        digest,
        None,
        (Input("crm_customers.csv", "aa"),),
    )
    assert archive.ledger.head() == digest


def test_what_happened_without_the_ledger_is_taken_in_along_the_links(archive: Archive) -> None:
    first = archive.publish("b3", None)  # the clock went back: the ids are no order
    archive.ledger.note("b3")
    second = archive.quarantine("b2", first)
    archive.publish("b1", second)
    assert [batch for batch, _, _ in archive.history()] == ["b3", "b2", "b1"], "without writing"
    archive.ledger.open()
    archive.ledger.open()
    assert archive.history() == [("b3", "published", None), ("b2", "quarantined", None), ("b1", "published", None)]
    assert [entry.seconds for entry in archive.entries()] == [None] * 3


def test_a_lost_ledger_is_rebuilt_and_what_was_before_is_a_bare_hash(archive: Archive) -> None:
    pruned = "0" * 64
    archive.publish("b2", pruned)
    retried = "1" * 64
    archive.publish("b4", retried)
    archive.ledger.open()
    assert archive.history() == [
        ("", "unknown", "before"),
        ("b2", "published", None),
        ("", "unknown", "before"),
        ("b4", "published", None),
    ]
    assert archive.entries()[0].outcome.sha256 == pruned


def test_an_altered_document_does_not_become_an_outcome(archive: Archive) -> None:
    digest = archive.publish("b1", None)
    archive.ledger.note("b1")
    shutil.rmtree(archive.outbox / "batches" / "b1")
    archive.publish("b1", "2" * 64)
    archive.ledger.note("b1")
    archive.ledger.open()
    assert [entry.outcome.sha256 for entry in archive.entries()] == [digest]


def test_a_batch_that_was_begun_anew_under_its_id_is_an_outcome_of_its_own(archive: Archive) -> None:
    """Published, the outbox emptied before the inputs were archived, and so published again."""
    digest = archive.publish("b1", None)
    archive.ledger.note("b1")
    shutil.rmtree(archive.outbox)
    again = archive.publish("b1", digest)
    archive.ledger.note("b1")
    assert archive.history() == [("b1", "published", "repeated"), ("b1", "published", None)]
    assert archive.ledger.head() == again


@pytest.mark.parametrize("content", ["{", "[]", '{"batch_id": "b1", "former_outcome_sha256": null}'])
def test_a_damaged_document_is_no_outcome_and_stops_nothing(archive: Archive, content: str) -> None:
    archive.publish("b1", None)
    path = archive.outbox / "batches/b1/manifest.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"lacks|Expecting"):
        read_outcome(path)
    archive.ledger.note("b1")
    archive.ledger.open()
    assert archive.history() == []


def test_what_was_set_aside_before_it_was_accepted_is_no_link(archive: Archive) -> None:
    archive.quarantine("b1", None)
    path = archive.inbox / "quarantine/b1/reason.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    del told["former_outcome_sha256"]
    path.write_text(json.dumps(told), encoding="utf-8")
    archive.ledger.open()
    assert (read_outcome(path), archive.history()) == (None, [])


def test_retention_is_noted_before_it_happens_and_takes_what_is_gone_already_with_it(archive: Archive) -> None:
    head = None
    for number in range(4):
        head = archive.publish(f"b{number}", head)
        archive.ledger.note(f"b{number}")
    shutil.rmtree(archive.outbox / "batches/b0")
    assert archive.ledger.retire([], "integration") == []
    assert archive.ledger.retire(["b1"], "integration") == ["b0", "b1"]
    assert [removed for _, _, removed in archive.history()] == ["retention", "retention", None, None]
    assert archive.ledger.head() == head


def test_a_retried_batch_is_noted(archive: Archive) -> None:
    archive.ledger.note_retried("b1")
    assert not archive.ledger.path.exists()
    archive.quarantine("b1", None)
    archive.ledger.open()
    archive.ledger.note_retried("b1")
    assert archive.history() == [("b1", "quarantined", "retried")]


def test_an_emptied_outbox_is_noted_with_the_next_set(archive: Archive) -> None:
    first = archive.publish("b1", None)
    archive.ledger.note("b1")
    second = archive.quarantine("b2", first)
    archive.ledger.note("b2")
    shutil.rmtree(archive.outbox)
    assert archive.history()[0] == ("b1", "published", None)
    archive.publish("b3", second)
    archive.ledger.note("b3")
    assert [removed for _, _, removed in archive.history()] == ["emptied", None, None]


def test_an_emptied_outbox_is_noted_also_where_the_service_died_before_it_could(archive: Archive) -> None:
    head = None
    for batch in ("b1", "b2"):
        head = archive.publish(batch, head)
        archive.ledger.note(batch)
    shutil.rmtree(archive.outbox)
    for batch in ("b3", "b4"):
        head = archive.publish(batch, head)
    assert [removed for _, _, removed in archive.history()] == ["emptied", "emptied", None, None]


def test_a_ledger_that_is_removed_while_we_work_is_rebuilt_with_the_next_entry(archive: Archive) -> None:
    first = archive.publish("b1", None)
    archive.ledger.note("b1")
    archive.ledger.path.unlink()
    assert archive.ledger.head() == first
    archive.publish("b2", first)
    archive.ledger.note("b2", 1.0)
    assert [batch for batch, _, _ in archive.history()] == ["b1", "b2"]


@pytest.mark.parametrize("rubbish", [b"no database " * 1000, b""], ids=["rubbish", "empty"])
def test_a_damaged_ledger_is_set_aside_and_rebuilt(archive: Archive, rubbish: bytes) -> None:
    first = archive.publish("b1", None)
    archive.ledger.open()
    archive.ledger.path.write_bytes(rubbish)
    assert archive.ledger.head() == first
    archive.publish("b2", first)
    archive.ledger.note("b2")
    assert [batch for batch, _, _ in archive.history()] == ["b1", "b2"]
    assert archive.state.joinpath("ledger.sqlite.damaged").exists() == bool(rubbish)


def test_a_format_of_a_later_program_is_not_written_to(archive: Archive) -> None:
    archive.publish("b1", None)
    archive.ledger.open()
    with sqlite3.connect(archive.ledger.path) as db:
        db.execute("pragma user_version = 99")
    db.close()
    archive.ledger.open()
    assert [batch for batch, _, _ in archive.history()] == ["b1"]
    assert archive.state.joinpath("ledger.sqlite.damaged").exists()


# ------------------------------------------------------------------------------------------------ of several jobs


def jobs(archive: Archive) -> list[str]:
    return [entry.outcome.job for entry in archive.entries()]


def test_an_outcome_knows_its_job_and_one_of_before_there_were_several_is_an_integration(archive: Archive) -> None:
    head = archive.publish("b1", None)
    head = archive.publish("b2", head, job="analytics")
    head = archive.quarantine("b3", head, job="analytics")
    archive.publish("b4", head, job="integration")
    archive.ledger.open()
    assert jobs(archive) == ["integration", "analytics", "analytics", "integration"]
    assert archive.ledger.last_published() == {"analytics": "b2", "integration": "b4"}
    assert list(archive.ledger.last_published().values()) == ["b2", "b4"], "the latest is the last"


def test_a_document_of_a_job_nobody_knows_is_damaged(archive: Archive) -> None:
    archive.publish("b1", None, job="forecast")
    with pytest.raises(ValueError, match="lacks 'a job that is known'"):
        read_outcome(archive.outbox / "batches/b1/manifest.json")
    archive.ledger.open()
    assert archive.history() == []


def test_a_set_is_superseded_by_one_of_its_own_job(archive: Archive) -> None:
    head = archive.publish("b1", None)
    head = archive.publish("b2", head, job="analytics")
    archive.ledger.open()
    assert not archive.ledger.is_superseded("b1")
    archive.publish("b3", head)
    archive.ledger.open()
    assert archive.ledger.is_superseded("b1")
    assert not archive.ledger.is_superseded("b2")


def test_retention_of_one_job_leaves_the_other_alone(archive: Archive) -> None:
    head = archive.publish("b1", None)
    head = archive.publish("b2", head, job="analytics")
    head = archive.publish("b3", head, job="analytics")
    archive.ledger.open()
    shutil.rmtree(archive.outbox / "batches/b1")
    assert archive.ledger.retire(["b2"], "analytics") == ["b2"]
    assert [removed for _, _, removed in archive.history()] == [None, "retention", None]


@pytest.fixture
def former_format(archive: Archive) -> Archive:
    """As the program before left it, which knew of no jobs: three outcomes, and their documents."""
    shutil.copyfile(FORMER, archive.ledger.path)
    first = archive.publish("20240115T120000Z-aaaaaa", None)
    second = archive.quarantine("20240115T121000Z-bbbbbb", first)
    archive.publish("20240115T122000Z-cccccc", second)
    return archive


def format_of(ledger: Ledger) -> int:
    with sqlite3.connect(ledger.path) as db:
        (found,) = db.execute("pragma user_version").fetchone()
    db.close()
    return int(found)


def test_a_ledger_of_the_former_format_is_upgraded_and_nothing_of_it_is_lost(former_format: Archive) -> None:
    before, trouble = former_format.ledger.entries()
    assert (len(before), trouble, format_of(former_format.ledger)) == (3, None, 1), "who only looks changes nothing"
    former_format.ledger.open()
    assert format_of(former_format.ledger) == 2
    assert not former_format.ledger.path.with_name("ledger.sqlite.damaged").exists()
    assert former_format.entries() == before
    assert [entry.seconds for entry in before] == [1.5, None, 2.5], "which no document tells"
    assert jobs(former_format) == ["integration"] * 3
    former_format.publish("b4", before[-1].outcome.sha256, job="analytics")
    former_format.ledger.note("b4")
    assert jobs(former_format) == ["integration"] * 3 + ["analytics"]


@pytest.mark.parametrize("begins", ["head", "note", "note_retried", "is_superseded"])
def test_whoever_comes_first_upgrades_the_ledger(former_format: Archive, begins: str) -> None:
    arguments = () if begins == "head" else ("20240115T122000Z-cccccc",)
    getattr(former_format.ledger, begins)(*arguments)
    assert format_of(former_format.ledger) == 2
    assert len(former_format.entries()) == 3


def test_a_death_in_the_midst_of_the_upgrade_leaves_the_former_format(
    former_format: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(OSError, match="cannot be used"):
        patch.setattr("service.ledger._FORMAT", "no number")
        former_format.ledger.is_superseded("b1")
    assert format_of(former_format.ledger) == 1
    former_format.ledger.open()
    assert (format_of(former_format.ledger), len(former_format.entries())) == (2, 3)


def test_at_rest_the_ledger_is_one_file(archive: Archive) -> None:
    archive.publish("b1", None)
    archive.ledger.note("b1")
    assert [path.name for path in archive.state.iterdir()] == ["ledger.sqlite"]
    with sqlite3.connect(archive.ledger.path) as db:
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


def test_the_daemon_keeps_the_ledger_and_every_outcome_names_the_one_before(works: Works) -> None:
    works.drop("_1")
    works.drop("_2", ecom="[")
    works.drop("_3")
    works.once()
    entries = ledger_of(works)
    assert [entry.outcome.kind for entry in entries] == ["published", "quarantined", "published"]
    assert entries[0].outcome.counts == (8, 0, 3, 5)
    assert entries[0].seconds is not None
    assert entries[1].outcome.code == "UnreadableFile"
    assert all(links(entries))


@pytest.mark.parametrize("method", ["note", "open"])
def test_a_ledger_that_takes_no_entry_stops_nothing_and_is_made_up_for(
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


@pytest.mark.parametrize(
    "step", ["service.jobs.batch_runner.BatchRunner.note", "service.jobs.batch_runner.roll_forward"]
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


def test_a_reason_that_was_written_but_not_yet_in_quarantine_is_written_anew(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Died

    works.drop("_1")
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr("service.jobs.batch_runner.integrate", failing(InputError("it is wrong", hint="mend it")))
        patch.setattr("service.inbox.inbox.Inbox._settle", die)
        works.once()
    works.once()
    assert [entry.outcome.kind for entry in ledger_of(works)] == ["published"]
    (batch,) = works.archived()
    assert len(list((works.inbox / "archive" / batch).iterdir())) == 2, "nothing of the quarantine came along"


def test_by_hand_there_is_a_ledger_too_without_archives(tmp_path: Path) -> None:
    pair = write_pair(tmp_path / "pair", "customer_id,full_name\n1,Ann Lee\n", "[]")
    for _ in range(2):
        integrate_pair(pair, tmp_path / "out")
    entries, trouble = Ledger(tmp_path / "out/.state", tmp_path / "out", None).entries()
    assert (len(entries), trouble) == (2, None)
    assert all(links(entries))
    assert {entry.is_moved for entry in entries[0].outcome.inputs} == {False}
