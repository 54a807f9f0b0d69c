"""The loop of the daemon in one process: real files, real engine; each test checks what is on the disk afterwards."""

from __future__ import annotations

import errno
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from service.errors import TransientError, UsageError
from service.fingerprint import Fingerprint
from service.health_reasons import HealthReason
from service.inbox import Settling, shown_name
from service.jobs.batch_runner import BatchRunner
from service.watch import file_events
from service.watch.attempts import pause_seconds
from service.watch.file_events import EVENT_GRACE_SECONDS, FileEvents
from service.watch.watcher import RunResult
from tests.worlds import CRM, ECOM, SAMPLE, Works, failing, local_now, put_in_place, wait_until

# -------------------------------------------------------------------------------------------------- complete batches


def test_the_sample_comes_out_as_expected_and_its_inputs_are_archived(works: Works) -> None:
    works.drop()
    assert works.once() == RunResult(published=1)
    for name in ("customer_master.csv", "duplicate_report.csv"):
        assert works.read(name) == (SAMPLE / "expected" / name).read_text(encoding="utf-8")
    (batch,) = works.batches()
    assert works.archived() == [batch]
    assert (works.inbox / "archive" / batch / CRM).read_bytes() == (SAMPLE / CRM).read_bytes()
    assert works.manifest()["batch_id"] == batch
    assert [entry["settle_proof"] for entry in works.manifest()["inputs"]] == ["lease", "lease"]
    assert sorted(path.name for path in works.inbox.iterdir()) == [".claimed", ".lock", "archive", "quarantine"]
    assert list((works.inbox / ".claimed").iterdir()) == []


def test_the_log_has_one_line_for_a_batch(works: Works, events: Callable[[], list[dict[str, Any]]]) -> None:
    works.drop()
    works.once()
    logged = {event["event"]: event for event in events()}
    (batch,) = works.batches()
    line = logged["batch.published"]
    assert (line["batch_id"], line["records"], line["duplicates"], line["customers"]) == (batch, 8, 3, 5)
    assert "batch.recovered" not in logged


def test_with_nothing_to_do_it_ends_at_once(works: Works) -> None:
    assert works.once() == RunResult()
    assert works.manifest() == {}


@pytest.mark.large
def test_the_same_bytes_again_are_a_batch_of_their_own_with_the_same_bytes_out(works: Works) -> None:
    for _ in range(3):
        works.drop()
        assert works.once() == RunResult(published=1)
    batches = works.batches()
    assert len(set(batches)) == 3
    assert works.archived() == batches
    for name in ("customer_master.csv", "duplicate_report.csv", "crosswalk.csv", "match_evidence.csv"):
        assert len({(works.outbox / "batches" / batch / name).read_bytes() for batch in batches}) == 1


def test_old_customers_keep_their_ids_and_new_ones_follow(works: Works) -> None:
    crm = (SAMPLE / CRM).read_text(encoding="utf-8")
    works.drop()
    works.once()
    before = {row["email"]: row for row in works.rows("customer_master.csv")}
    changed = crm.replace("+1-555-0103", "+1-555-0199")
    assert changed != crm
    new = "CRM000,Ada New,ada@email.com,212-555-0901,2024-01-01,active\n"
    head, _, rest = changed.partition("\n")
    added = f"{head}\n{new}{rest}CRM900,Zed New,zed@email.com,212-555-0902,2024-01-01,active\n"
    works.drop(crm=added)
    works.once()
    after = {row["email"]: row for row in works.rows("customer_master.csv")}
    assert {email: after[email]["unified_id"] for email in before} == {
        email: row["unified_id"] for email, row in before.items()
    }
    assert (after["bob.wilson@email.com"]["phone"], len(after)) == ("5550199", 7)
    assert (after["ada@email.com"]["unified_id"], after["zed@email.com"]["unified_id"]) == ("CUST006", "CUST007")
    changes = works.rows("id_changes.csv", works.manifest()["batch_id"])
    assert [(row["unified_id"], row["change"]) for row in changes] == [("CUST006", "created"), ("CUST007", "created")]


@pytest.mark.large
def test_retention_keeps_the_newest_sets_and_their_archives(works: Works) -> None:
    for number in range(4):
        works.drop(f"_{number}")
    assert works.once(keep_batches=2).published == 4
    batches = works.batches()
    assert len(batches) == 2
    assert works.archived() == batches
    assert works.manifest()["batch_id"] in batches


def test_pairs_are_worked_on_oldest_first(works: Works, events: Callable[[], list[dict[str, Any]]]) -> None:
    for suffix in ("_north", "_2024-02-01", "_2024-01-15", "_2024-01-31"):
        works.drop(suffix)
    assert works.once() == RunResult(published=4)
    order = [event["batch_id"] for event in events() if event["event"] == "batch.published"]
    names = [next((works.inbox / "archive" / batch).glob("*.csv")).stem for batch in order]
    assert names == [f"crm_customers_{suffix}" for suffix in ("2024-01-15", "2024-01-31", "2024-02-01", "north")]


@pytest.mark.large
def test_a_later_pair_waits_for_an_earlier_one_that_is_still_being_written(works: Works) -> None:
    with works.watching():
        works.drop("_2024-01-15")
        with (works.inbox / "ecommerce_customers_2024-01-15.json").open("a"):
            works.drop("_2024-01-16")
            works.drop("_apart")
            wait_until(works.archived)
            assert "apart" in str(list((works.inbox / "archive").rglob("*.csv")))
            time.sleep(0.7)
            assert len(works.batches()) == 1
        wait_until(lambda: len(works.archived()) == 3)
    assert works.quarantine() == []


# ------------------------------------------------------------------------------------------------- wrong content


def cut(text: str) -> str:
    return text[: len(text) // 2]


WRONG: dict[str, tuple[Callable[[str], str], Callable[[str], str], str]] = {
    "truncated JSON": (str, cut, ECOM),
    "CSV without an id column": (lambda text: text.replace("customer_id", "number"), str, CRM),
    "empty CSV": (lambda text: "", str, CRM),
    "empty JSON": (str, lambda text: "", ECOM),
}


def test_wrong_files_are_kept_with_the_reason_and_change_nothing_published(works: Works) -> None:
    works.drop()
    works.once()
    published = {path: path.read_bytes() for path in works.outbox.rglob("*") if path.is_file()}
    crm, ecom = ((SAMPLE / name).read_text(encoding="utf-8") for name in (CRM, ECOM))
    for number, (wrong_crm, wrong_ecom, at_fault) in enumerate(WRONG.values(), 1):
        works.drop(crm=wrong_crm(crm), ecom=wrong_ecom(ecom))
        assert works.once() == RunResult(quarantined=1)
        assert {path: path.read_bytes() for path in works.outbox.rglob("*") if path.is_file()} == published
        folder = max(works.quarantine(), key=lambda path: path.stat().st_ctime_ns)
        assert len(works.quarantine()) == number
        assert (folder / CRM).read_text(encoding="utf-8") == wrong_crm(crm)
        assert (folder / ECOM).read_text(encoding="utf-8") == wrong_ecom(ecom)
        assert_explained(folder, at_fault)


def assert_explained(folder: Path, at_fault: str) -> None:
    """What, where, and what to do; and the log of that run."""
    reason = json.loads((folder / "reason.json").read_text(encoding="utf-8"))
    assert at_fault in reason["message"] + reason["where"]
    assert all(reason[key] for key in ("error", "message", "where", "hint", "retry"))
    lines = (folder / "integration_log.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith(" - INFO - Pipeline started")
    assert " - ERROR - " in lines[-2]
    assert lines[-1].endswith(" - ERROR - Pipeline failed")


def test_the_daemon_continues_after_a_wrong_pair_and_is_degraded_until_the_next_published_one(works: Works) -> None:
    with works.watching():
        works.drop(ecom='{"customers": [')
        health = works.waits_to_be(lambda health: health["quarantined"])
        works.waits_to_be(lambda health: health["state"] == "degraded")
        assert health["quarantined"] == [f"{works.quarantine()[0].name}: UnreadableFile"]
    with works.watching():
        assert works.waits_to_be(lambda health: health["state"] == "degraded")["quarantined"], "also over a restart"
        works.drop()
        works.waits_to_be(lambda health: health["state"] == "ok" and health["last_batch"])
    assert len(works.batches()) == 1


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_quarantined_pair_is_published_when_it_was_corrected_and_moved_back(works: Works, by_hand: bool) -> None:
    works.drop(ecom='{"customers": [')
    works.once()
    (folder,) = works.quarantine()
    shutil.copyfile(SAMPLE / ECOM, folder / ECOM)
    if by_hand:
        for name in (CRM, ECOM):
            (folder / name).rename(works.inbox / name)
    else:
        assert works.retry(folder.name) == 0
    assert works.once() == RunResult(published=1)
    assert works.read("customer_master.csv") == (SAMPLE / "expected/customer_master.csv").read_text("utf-8")


def test_retry_refuses_an_unknown_batch_and_a_name_that_is_taken(
    works: Works, capsys: pytest.CaptureFixture[str]
) -> None:
    works.drop(ecom='{"customers": [')
    works.once()
    (folder,) = works.quarantine()
    assert works.retry("20240115T120000Z-ffffff") == 2
    assert "no quarantined batch" in capsys.readouterr().err
    works.drop()
    assert works.retry(folder.name) == 2
    assert "waits in the inbox already" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == [CRM, ECOM, "integration_log.txt", "reason.json"]


def test_a_pair_before_the_published_one_is_held_back_and_passes_once_when_accepted(works: Works) -> None:
    works.drop("_2024-01-15")
    works.once()
    works.drop("_2024-01-14")
    assert works.once() == RunResult(quarantined=1)
    assert works.reason()["error"] == "OutdatedBatch"
    assert works.retry("--accept", works.quarantine()[0].name) == 0
    assert works.once() == RunResult(published=1)
    works.drop("_2024-01-13")
    assert works.once() == RunResult(quarantined=1)


@pytest.mark.large
def test_numbers_have_an_order_too_and_the_same_number_may_come_again(works: Works) -> None:
    for suffix in ("_9", "_10", "_10"):
        works.drop(suffix)
        assert works.once() == RunResult(published=1)
    works.drop("_9")
    assert works.once() == RunResult(quarantined=1)


def test_a_source_that_shrank_is_held_back_and_passes_once_when_accepted(works: Works) -> None:
    guard = {"volume_guard_rows": 4}
    header, *rows = (SAMPLE / CRM).read_text(encoding="utf-8").splitlines(keepends=True)
    works.drop()
    works.once(**guard)
    works.drop(crm="".join([header, *rows[:2]]))
    assert works.once(**guard) == RunResult(quarantined=1)
    assert works.reason()["error"] == "SuspiciousVolume"
    assert works.retry("--accept", works.quarantine()[0].name) == 0
    assert works.once(**guard) == RunResult(published=1)
    assert list((works.state / "accepted").iterdir()) == [], "the mark is used up"


# ------------------------------------------------------------------------------------------- faults of the environment


def test_a_fault_keeps_the_batch_and_it_is_published_when_the_fault_is_gone(
    works: Works, events: Callable[[], list[dict[str, Any]]]
) -> None:
    with works.watching(retry_seconds=0.3):
        (works.outbox / ".staging").write_text("no folder can be made here", encoding="utf-8")
        works.drop()
        health = works.waits_to_be(lambda health: health["state"] == "failing")
        assert "waits for another try: NotADirectoryError: must be a real folder" in health["reasons"][0]
        (claim,) = works.claim_files()
        works.drop("_later")
        (works.outbox / ".staging").unlink()
        wait_until(lambda: len(works.archived()) == 2)
        works.waits_to_be(lambda health: health["state"] == "ok")
    order = [event["batch_id"] for event in events() if event["event"] == "batch.published"]
    assert order[0] == claim.stem, "while it waits no other batch is begun"


def test_after_three_tries_with_growing_pauses_the_batch_is_quarantined(
    works: Works, events: Callable[[], list[dict[str, Any]]]
) -> None:
    with works.watching():
        (works.state / "work").write_text("no folder can be made here", encoding="utf-8")
        works.drop()
        wait_until(works.quarantine)
        works.waits_to_be(lambda health: health["state"] == "failing")
    assert "tried 4 times, the last time: FileExistsError: File exists" in works.reason()["message"]
    pauses = [event["retry_in_seconds"] for event in events() if event["event"] == "batch.postponed"]
    assert pauses == [0.05, 0.1, 0.2]
    (works.state / "work").unlink()
    assert works.retry(works.quarantine()[0].name) == 0
    assert works.once() == RunResult(published=1)


def test_the_pause_between_tries_stops_growing() -> None:
    assert [pause_seconds(5, failures) for failures in (0, 1, 2, 7, 8, 100_000)] == [5, 5, 10, 320, 320, 320]


def test_once_leaves_a_postponed_batch_claimed_and_the_next_run_continues_it(
    works: Works, monkeypatch: pytest.MonkeyPatch, events: Callable[[], list[dict[str, Any]]]
) -> None:
    works.drop()
    with monkeypatch.context() as patch:
        patch.setattr(
            "service.jobs.integration.extract_records", failing(OSError(errno.ENOSPC, "No space left on device"))
        )
        assert works.once() == RunResult(unfinished=1)
    (claim,) = works.claim_files()
    events()
    assert works.once() == RunResult(published=1)
    assert [event["how"] for event in events() if event["event"] == "batch.recovered"] == ["begun again"]
    assert works.batches() == [claim.stem]


@pytest.mark.parametrize(
    ("method", "lasts"),
    [
        ("begin", "a count of starts"),
        ("archive", "the move after the commit"),
        ("count_fault", "a count of faults"),
        ("claim", "a claim"),
        ("unfinished", "the list of claims"),
    ],
)
def test_an_inbox_that_cannot_be_written_does_not_end_the_daemon(
    works: Works, monkeypatch: pytest.MonkeyPatch, method: str, lasts: str
) -> None:
    full = failing(OSError(errno.ENOSPC, "No space left on device"))
    with works.watching(retry_seconds=0.3):
        with monkeypatch.context() as patch:
            patch.setattr(f"service.inbox.inbox.Inbox.{method}", full)
            if method == "count_fault":
                patch.setattr("service.jobs.integration.extract_records", full)
            works.drop()
            # After the commit the next batch may begin, so the service does not fail.
            state = "degraded" if method == "archive" else "failing"
            health = works.waits_to_be(lambda health: health["state"] == state)
            assert "No space left on device" in health["reasons"][0], lasts
        wait_until(works.archived)
        works.waits_to_be(lambda health: health["state"] == "ok")
    assert len(works.batches()) == 1


def test_a_quarantine_that_cannot_be_written_is_made_later(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    with works.watching():
        with monkeypatch.context() as patch:
            patch.setattr("service.inbox.inbox.Inbox.quarantine", failing(OSError(errno.EROFS, "Read-only")))
            works.drop(ecom='{"customers": [')
            works.waits_to_be(lambda health: health["state"] == "failing")
        wait_until(works.quarantine)
    assert works.reason()["error"] == "UnreadableFile"


def test_a_published_batch_is_never_quarantined_however_long_its_archive_fails(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    with works.watching(retry_seconds=0.01):
        tries: list[None] = []

        def archive(*_: Any) -> None:
            tries.append(None)
            raise OSError(errno.EXDEV, "Cross-device link")

        with monkeypatch.context() as patch:
            patch.setattr("service.inbox.inbox.Inbox.archive", archive)
            works.drop()
            wait_until(lambda: len(tries) > 5)
        wait_until(works.archived)
    assert works.quarantine() == []
    assert works.archived() == works.batches()


def test_a_bug_is_logged_without_values_and_does_not_end_the_daemon(
    works: Works, monkeypatch: pytest.MonkeyPatch, events: Callable[[], list[dict[str, Any]]]
) -> None:
    with works.watching():
        with monkeypatch.context() as patch:
            patch.setattr("service.jobs.integration.extract_records", failing(KeyError("jane.doe@email.com")))
            works.drop()
            works.waits_to_be(lambda health: health["state"] == "failing")
        wait_until(works.archived)
    logged = events()
    assert "KeyError" in [event.get("error") for event in logged if event["event"] == "bug.found"]
    assert "jane" not in json.dumps(logged)


def test_a_health_file_that_cannot_be_written_is_logged_once_and_the_work_continues(
    works: Works, monkeypatch: pytest.MonkeyPatch, events: Callable[[], list[dict[str, Any]]]
) -> None:
    with works.watching():
        monkeypatch.setattr("service.health.write", failing(OSError(errno.ENOSPC, "No space left on device")))
        works.drop()
        wait_until(works.archived)
    assert [event["event"] for event in events()].count("health.unwritten") == 1


# ---------------------------------------------------------------------------------------------- deaths and restarts


def die(
    works: Works, monkeypatch: pytest.MonkeyPatch, where: str, *, after: bool = False, crm: str | None = None
) -> str:
    """Drop the sample, or another CRM export, and let the run die at (or right after) a step.

    Returns: the id of the claimed batch.
    """

    class Died(BaseException):
        pass

    real = resolve_name(where)

    def step(*arguments: Any, **others: Any) -> Any:
        if after:
            real(*arguments, **others)
        raise Died(where)

    works.drop(crm=crm)
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(where, step)
        works.once()
    (claim,) = works.claim_files()
    return claim.stem


STEPS = {
    "before the work": ("service.watch.attempts.Attempts.run", False),
    "during the work": ("service.jobs.integration.group", False),
    "before the register is staged": ("service.register.register.Register.stage", False),
    "register staged, set not committed": ("service.register.register.Register.stage", True),
    "set committed, register not advanced": ("service.register.register.Register.advance", False),
    "register advanced, flat files not replaced": ("service.outbox.replace_copies", False),
    "flat files replaced, batch not archived": ("service.inbox.inbox.Inbox.archive", False),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_any_step_costs_nothing(works: Works, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    where, after = STEPS[step]
    batch = die(works, monkeypatch, where, after=after)
    works.drop("_newer")
    assert works.once() == RunResult(published=2)
    assert len(works.batches()) == 2
    assert works.archived() == works.batches()
    assert works.quarantine() == []
    assert (works.inbox / "archive" / batch / CRM).read_bytes() == (SAMPLE / CRM).read_bytes()
    assert [row["unified_id"] for row in works.rows("customer_master.csv")] == [f"CUST00{n}" for n in range(1, 6)]
    master = (works.outbox / "batches" / batch / "customer_master.csv").read_bytes()
    assert master == (SAMPLE / "expected/customer_master.csv").read_bytes()
    assert not (works.outbox / ".staging").exists()


@pytest.mark.large
@pytest.mark.parametrize("replaced", [1, 4])
def test_flat_files_of_which_some_were_replaced_end_as_those_of_the_set(
    works: Works, monkeypatch: pytest.MonkeyPatch, replaced: int
) -> None:
    works.drop("_0", crm="customer_id,full_name\nC1,Only One\n")
    works.once()
    batch = die(works, monkeypatch, "service.outbox.replace_copies")
    for name in ("customer_master.csv", "duplicate_report.csv", "integration_log.txt", "integration_log.jsonl")[
        :replaced
    ]:
        shutil.copyfile(works.outbox / "batches" / batch / name, works.outbox / name)
    assert works.once() == RunResult(published=1)
    manifest = works.manifest()
    assert manifest["batch_id"] == batch
    for path in works.outbox.iterdir():
        if path.is_file() and path.name != "manifest.json":
            assert path.read_bytes() == (works.outbox / "batches" / batch / path.name).read_bytes()


def test_a_newer_export_that_arrived_meanwhile_is_not_lost(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    die(works, monkeypatch, "service.jobs.integration.group")
    (works.inbox / CRM).write_text("customer_id,full_name\nC1,Newer One\n", encoding="utf-8")
    assert works.once() == RunResult(published=1)
    assert (works.inbox / CRM).exists()
    shutil.copyfile(SAMPLE / ECOM, works.inbox / ECOM)
    assert works.once() == RunResult(published=1)
    assert "Newer One" in works.read("customer_master.csv")


@pytest.mark.parametrize(("starts", "outcome"), [(19, RunResult(published=1)), (20, RunResult(quarantined=1))])
def test_the_twentieth_death_quarantines_a_batch_as_poisoned(
    works: Works, monkeypatch: pytest.MonkeyPatch, starts: int, outcome: RunResult
) -> None:
    die(works, monkeypatch, "service.jobs.integration.group")
    (claim,) = works.claim_files()
    remembered = json.loads(claim.read_text(encoding="utf-8"))
    assert remembered["starts"] == 1
    claim.write_text(json.dumps(remembered | {"starts": starts}), encoding="utf-8")
    assert works.once() == outcome
    if outcome.quarantined:
        assert works.reason()["error"] == "PoisonedBatch"
        assert "died 20 times" in works.reason()["message"]
        assert works.retry(works.quarantine()[0].name) == 0
        assert works.once() == RunResult(published=1), "after a retry the deaths are counted from zero"


def test_a_published_batch_is_never_poisoned(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    die(works, monkeypatch, "service.inbox.inbox.Inbox.archive")
    (claim,) = works.claim_files()
    remembered = json.loads(claim.read_text(encoding="utf-8"))
    claim.write_text(json.dumps(remembered | {"starts": 99}), encoding="utf-8")
    assert works.once() == RunResult(published=1)
    assert works.archived() == works.batches()


@pytest.mark.large
def test_several_claims_are_all_published(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service never makes several claims, but a restored backup may contain them."""
    claimed = works.inbox / ".claimed"
    die(works, monkeypatch, "service.jobs.integration.group")
    claimed.rename(works.root / "aside")
    die(works, monkeypatch, "service.jobs.integration.group", crm="customer_id,full_name\nC1,Only One\n")
    for path in (works.root / "aside").iterdir():
        path.rename(claimed / path.name)
    assert works.once() == RunResult(published=2)
    assert works.archived() == works.batches()


@pytest.mark.parametrize("text", ["", "{", '{"batch_id": "x"}', "[]"])
def test_a_claim_that_cannot_be_read_is_reported_and_delays_no_batch(works: Works, text: str) -> None:
    claimed = works.inbox / ".claimed"
    (claimed / "foreign").mkdir(parents=True)
    (claimed / "foreign" / CRM).write_text("kept\n", encoding="utf-8")
    (claimed / "foreign.json").write_text(text, encoding="utf-8")
    works.drop()
    assert works.once() == RunResult(published=1)
    health = works.health()
    assert (health["state"], health["reasons"][0][:39]) == ("degraded", "the claim foreign.json cannot be read: ")
    assert (claimed / "foreign" / CRM).read_text(encoding="utf-8") == "kept\n"


@pytest.mark.large
def test_an_emptied_outbox_does_not_renumber_anyone(works: Works) -> None:
    works.drop()
    works.once()
    shutil.rmtree(works.outbox)
    works.drop(crm=(SAMPLE / CRM).read_text(encoding="utf-8").replace("CRM001,", "CRM000,"))
    assert works.once() == RunResult(published=1)
    assert [row["unified_id"] for row in works.rows("customer_master.csv")] == [f"CUST00{n}" for n in range(1, 6)]


# -------------------------------------------------------------------------------------- what waits and what is ignored


@pytest.mark.slow
def test_an_unpaired_export_waits_and_health_names_the_missing_one(
    works: Works, events: Callable[[], list[dict[str, Any]]]
) -> None:
    with works.watching(partner_warning_minutes=3 / 60):
        shutil.copyfile(SAMPLE / CRM, works.inbox / "crm_customers_7.csv")
        health = works.waits_to_be(lambda health: health["waiting"])
        (waiting,) = health["waiting"]
        assert (waiting["file_name"], waiting["waits_for"]) == ("crm_customers_7.csv", "ecommerce_customers_7.json")
        assert (local_now() - datetime.fromisoformat(waiting["since"])).total_seconds() < 20
        assert health["state"] == "ok"
        warned = works.waits_to_be(lambda health: health["state"] == "degraded")
        assert warned["reasons"] == ["crm_customers_7.csv waits for ecommerce_customers_7.json"]
        assert (works.inbox / "crm_customers_7.csv").exists()
        shutil.copyfile(SAMPLE / ECOM, works.inbox / "ecommerce_customers_7.json")
        works.waits_to_be(lambda health: health["state"] == "ok" and health["last_batch"])
        shutil.copyfile(SAMPLE / CRM, works.inbox / "crm_customers_7.csv")
        works.waits_to_be(lambda health: health["state"] == "degraded")
    missed = [event for event in events() if event["event"] == "partner.missed"]
    assert [(e["file_name"], e["missing"]) for e in missed] == 2 * [
        ("crm_customers_7.csv", "ecommerce_customers_7.json")
    ], "once for each time it waits"


def test_a_waiting_export_is_replaced_by_overwriting_it(works: Works) -> None:
    with works.watching():
        (works.inbox / CRM).write_text("customer_id,full_name\nC1,Older One\n", encoding="utf-8")
        works.waits_to_be(lambda health: health["waiting"])
        (works.inbox / CRM).write_text("customer_id,full_name\nC1,Newer One\n", encoding="utf-8")
        shutil.copyfile(SAMPLE / ECOM, works.inbox / ECOM)
        wait_until(works.archived)
    master = works.read("customer_master.csv")
    assert "Newer One" in master
    assert "Older One" not in master


def test_exports_that_arrived_far_apart_are_integrated_with_a_warning(
    works: Works, events: Callable[[], list[dict[str, Any]]]
) -> None:
    shutil.copyfile(SAMPLE / CRM, works.inbox / CRM)
    time.sleep(0.1)
    shutil.copyfile(SAMPLE / ECOM, works.inbox / ECOM)
    assert works.once(max_partner_gap_hours=0.05 / 3600) == RunResult(published=1)
    assert [event["batch_id"] for event in events() if event["event"] == "partner.late"] == works.batches()
    assert " - WARNING - The exports arrived 0 hours apart" in works.read("integration_log.txt")


def test_ambiguous_exports_are_reported_and_not_claimed_until_one_is_left(
    works: Works, events: Callable[[], list[dict[str, Any]]]
) -> None:
    works.drop()
    shutil.copyfile(SAMPLE / CRM, works.inbox / "CRM_CUSTOMERS.CSV")
    with works.watching():
        health = works.waits_to_be(lambda health: health["state"] == "degraded")
        assert health["reasons"] == [
            "CRM_CUSTOMERS.CSV waits for the other versions of it to be removed",
            "crm_customers.csv waits for the other versions of it to be removed",
        ]
        time.sleep(0.5)
        assert works.batches() == []
        (works.inbox / "CRM_CUSTOMERS.CSV").unlink()
        wait_until(works.archived)
    contested = [event["file_name"] for event in events() if event["event"] == "export.contested"]
    assert sorted(contested) == ["CRM_CUSTOMERS.CSV", "crm_customers.csv"]


def test_ignored_files_are_logged_once_each_time_they_appear(
    works: Works, events: Callable[[], list[dict[str, Any]]]
) -> None:
    shown = shown_name("notes.txt")
    with works.watching():
        for _ in range(2):
            (works.inbox / "notes.txt").touch()
            (works.inbox / "upload.csv.part").touch()
            works.waits_to_be(lambda health: [entry["file_name"] for entry in health["ignored"]] == [shown])
            time.sleep(0.4)
            (works.inbox / "notes.txt").unlink()
            works.waits_to_be(lambda health: not health["ignored"])
    ignored = [event["file_name"] for event in events() if event["event"] == "inbox.file_ignored"]
    assert ignored == [shown, shown]


def test_scarce_space_degrades_health_and_does_not_stop_work(works: Works) -> None:
    with works.watching(min_free_mb=1 << 40):
        works.drop()
        wait_until(works.archived)
        health = works.waits_to_be(lambda health: health["state"] == "degraded")
    assert f"free for {works.inbox}" in health["reasons"][0]


@pytest.mark.large
def test_once_leaves_a_file_that_never_settles_and_health_reports_it(works: Works) -> None:
    works.drop()
    with (works.inbox / CRM).open("a"):
        assert works.once() == RunResult(unfinished=1)
    assert works.health()["waiting"][0]["waits_for"] == "its writer"


# -------------------------------------------------------------------------------------- the inbox under the watcher


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the limit of inotify instances is reached."""
    monkeypatch.setattr(
        file_events, "InotifyObserver", failing(OSError(errno.EMFILE, "inotify instance limit reached"))
    )


@pytest.mark.usefixtures("deaf")
def test_without_file_events_the_scan_finds_every_file_and_health_is_degraded(works: Works) -> None:
    with works.watching():
        works.drop()
        wait_until(works.archived)
        health = works.waits_to_be(lambda health: health["found_without_event"] == 2)
    assert health["state"] == "degraded"
    assert health["reasons"] == ["no file events: inotify instance limit reached; the inbox is only scanned"]


@pytest.mark.large
def test_files_with_an_event_and_files_from_before_the_start_are_not_counted_as_missed(works: Works) -> None:
    works.drop("_1")
    with works.watching():
        wait_until(lambda: len(works.archived()) == 1)
        works.drop("_2")
        wait_until(lambda: len(works.archived()) == 2)
        for name in (CRM, ECOM):
            shutil.copyfile(SAMPLE / name, works.root / name)
            (works.root / name).rename(works.inbox / name)
        wait_until(lambda: len(works.archived()) == 3)
        time.sleep(EVENT_GRACE_SECONDS + 0.5)
        assert works.health()["found_without_event"] == 0


@pytest.mark.large
def test_an_inbox_that_was_replaced_is_watched_locked_and_reported(
    works: Works, events: Callable[[], list[dict[str, Any]]]
) -> None:
    with works.watching():
        elsewhere = works.lose_inbox()
        works.waits_to_be(lambda health: health["state"] == "failing")
        works.inbox.mkdir()
        health = works.waits_to_be(lambda health: health["state"] == "degraded")
        assert "the inbox is another folder than before, was it unmounted?" in health["reasons"]
        with pytest.raises(TransientError, match="another instance"):
            works.once()
        works.drop()
        wait_until(works.archived)
        works.waits_to_be(lambda health: health["state"] == "ok")
        put_in_place(works.inbox, lambda: elsewhere.rename(works.inbox))
        works.drop()
        wait_until(works.archived)
        works.waits_to_be(lambda health: health["state"] == "ok")
    assert len(works.batches()) == 2
    reasons = [event["reason"] for event in events() if event["event"] == "inbox.degraded"]
    assert any(reason.startswith("the inbox cannot be used: No such file") for reason in reasons)


def test_an_inbox_replaced_between_two_scans_is_noticed(works: Works) -> None:
    """The new folder replaces the old one in a single step, so that the path never fails."""
    fresh = works.root / "fresh"
    fresh.mkdir()
    with works.watching(rescan_seconds=0.5):
        works.waits_to_be(lambda health: health["last_scan"])
        put_in_place(works.inbox, lambda: fresh.rename(works.inbox))
        works.drop()
        wait_until(lambda: (works.inbox / "archive").exists() and works.archived())
    assert (works.inbox / ".lock").read_text(encoding="utf-8").strip()


@pytest.mark.large
def test_a_postponed_batch_in_a_folder_that_was_moved_away_continues_when_it_is_back(works: Works) -> None:
    with works.watching(retry_seconds=0.5):
        (works.outbox / ".staging").write_text("no folder can be made here", encoding="utf-8")
        works.drop()
        wait_until(works.claim_files)
        works.waits_to_be(lambda health: health["state"] == "failing")
        elsewhere = works.lose_inbox()
        (works.outbox / ".staging").unlink()
        works.waits_to_be(lambda health: "cannot be used" in str(health["reasons"]))
        elsewhere.rename(works.inbox)
        wait_until(works.archived)
    assert works.archived() == works.batches()


def test_an_inbox_of_another_state_is_not_touched(works: Works) -> None:
    foreign = works.root / "foreign"
    foreign.mkdir()
    (foreign / ".lock").write_text("another-state\n", encoding="utf-8")
    with works.watching():
        put_in_place(works.inbox, lambda: foreign.rename(works.inbox))
        # Not at once: the watcher may have looked between the two renames.
        health = works.waits_to_be(lambda health: "another state folder" in "".join(health["reasons"][:1]))
        assert health["state"] == "failing"
        assert "belongs to another state folder" in health["reasons"][0]
        works.drop()
        time.sleep(0.5)
        assert works.batches() == []
        assert (works.inbox / CRM).exists()


@pytest.mark.parametrize("gone", ["archive", "quarantine", ".claimed"])
def test_a_service_folder_that_was_removed_is_created_again(works: Works, gone: str) -> None:
    with works.watching():
        (works.inbox / gone).rmdir()
        works.drop()
        wait_until(lambda: (works.inbox / "archive").exists() and works.archived())


def test_once_with_an_inbox_that_cannot_be_read_is_incomplete(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.inbox.inbox.Inbox.scan", failing(OSError(errno.EACCES, "Permission denied")))
    assert works.once() == RunResult(unfinished=1)
    assert works.health()["reasons"] == [f"the inbox cannot be used: Permission denied: {works.inbox}"]


def test_a_state_that_another_process_holds_is_refused(works: Works) -> None:
    other = Works(works.root / "other")
    with works.watching(), pytest.raises(UsageError, match="another process works with the state folder"):
        other.once(state=works.state)


# ------------------------------------------------------------------------------------------------------ file events


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[FileEvents]:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/before.csv").touch()
    events = FileEvents(tmp_path / "inbox")
    assert events.ensure_watching() is None
    yield events
    events.stop()


def write_into(folder: Path) -> None:
    (folder / "a.csv").write_text("x", encoding="utf-8")


def move_into(folder: Path) -> None:
    (folder.parent / "a.csv").write_text("x", encoding="utf-8")
    (folder.parent / "a.csv").rename(folder / "a.csv")


def rename_within(folder: Path) -> None:
    (folder / "a.csv.tmp").write_text("x", encoding="utf-8")
    (folder / "a.csv.tmp").rename(folder / "a.csv")


@pytest.mark.parametrize("arrive", [write_into, move_into, rename_within])
def test_an_arrival_wakes_the_loop_and_names_the_file(
    watch: FileEvents, tmp_path: Path, arrive: Callable[[Path], None]
) -> None:
    begun = time.monotonic()
    arrive(tmp_path / "inbox")
    closed: list[Path] = []
    while tmp_path / "inbox/a.csv" not in closed:
        watch.wait(5)
        closed += watch.closed()
        assert time.monotonic() - begun < 4
    watch.expect_event("a.csv", 0.0)
    assert watch.missed_events(math.inf) == 0
    watch.expect_event("a.csv", 0.0)
    assert watch.missed_events(math.inf) == 1, "each arrival counts once"


def test_an_event_may_come_a_moment_after_the_scan_found_its_file(watch: FileEvents, tmp_path: Path) -> None:
    watch.expect_event("a.csv", 0.0)
    assert watch.missed_events(EVENT_GRACE_SECONDS - 0.1) == 0
    write_into(tmp_path / "inbox")
    wait_until(watch.closed)
    assert watch.missed_events(math.inf) == 0
    watch.expect_event("b.csv", 0.0)
    assert (watch.missed_events(EVENT_GRACE_SECONDS), watch.missed_events(math.inf)) == (1, 0)


def test_a_claim_whose_own_rename_is_reported_before_it_ends_had_its_event(watch: FileEvents, tmp_path: Path) -> None:
    write_into(tmp_path / "inbox")
    wait_until(watch.closed)
    assert watch.missed_events(0.0) == 0, "a turn begins"
    watch.wait(0)
    (tmp_path / "inbox/a.csv").rename(tmp_path / "a.csv")
    watch.wait(5)  # the claim takes so long that its own event comes first
    watch.expect_event("a.csv", 0.0)
    assert watch.missed_events(math.inf) == 0
    watch.expect_event("a.csv", 0.0)
    assert watch.missed_events(math.inf) == 1, "of an earlier turn"


def test_a_file_that_is_open_has_not_been_closed(watch: FileEvents, tmp_path: Path) -> None:
    with (tmp_path / "inbox/a.csv").open("w") as file:
        file.write("x")
        file.flush()
        watch.wait(5)
        assert watch.closed() == []


def test_no_event_is_expected_for_files_from_before_the_watch(watch: FileEvents) -> None:
    watch.expect_event("before.csv", 0.0)
    assert watch.missed_events(math.inf) == 0
    watch.expect_event("never.csv", 0.0)
    assert watch.missed_events(math.inf) == 1


def test_a_folder_that_was_replaced_is_watched_again(watch: FileEvents, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.rename(tmp_path / "old")
    reason = "no file events: the inbox cannot be reached (No such file or directory)"
    assert watch.ensure_watching() == HealthReason("file_events_missing", reason)
    inbox.mkdir()
    assert watch.ensure_watching() is None
    write_into(inbox)
    wait_until(lambda: inbox / "a.csv" in watch.closed())


def test_a_folder_that_was_created_again_with_the_same_inode_is_watched_again(
    watch: FileEvents, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    shutil.rmtree(inbox)
    inbox.mkdir()
    wait_until(lambda: watch.ensure_watching() is None)
    deadline = time.monotonic() + 5
    closed: list[Path] = []
    while not closed:  # the end of the old watch may come a moment after the new folder
        assert time.monotonic() < deadline
        watch.ensure_watching()
        write_into(inbox)
        watch.wait(0.2)
        closed = watch.closed()


def test_a_watch_that_cannot_begin_leaks_nothing(watch: FileEvents, tmp_path: Path) -> None:
    (tmp_path / "inbox").rename(tmp_path / "old")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        watch.ensure_watching()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_an_engine_is_open_while_files_settle_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(BatchRunner, "prepare", lambda self: opened.append("open"))
    monkeypatch.setattr(BatchRunner, "rest", lambda self: opened.append("closed"))
    works = Works(tmp_path)
    with works.watching(settle_seconds=60):
        works.drop()
        wait_until(lambda: opened[-1:] == ["open"])
        (works.inbox / CRM).unlink()
        wait_until(lambda: opened[-1:] == ["closed"])


def test_the_loop_looks_again_when_the_first_file_may_be_proven() -> None:
    settling = Settling(settle_seconds=5)
    state = Fingerprint(1, 2, 3, 4, 5)
    assert settling.seconds_to_proof(0.0) == math.inf
    settling.see(Path("a"), state, 10.0)
    settling.see(Path("b"), state, 10.2)
    assert settling.seconds_to_proof(10.25) == pytest.approx(0.05)
    assert settling.seconds_to_proof(10.4) == pytest.approx(0.1)
    assert settling.seconds_to_proof(11.0) == math.inf
