"""Batches of both jobs in one inbox and outbox: the same steps, and no job affects the other."""

from __future__ import annotations

import ast
import json
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from service.errors import StateBehindOutbox, UnreadableFile
from service.jobs import JOBS, Job
from service.jobs.analytics import published_master
from service.publication import Publication
from service.settings import Settings
from service.verify import VerifyReport
from service.watch.watcher import RunResult
from tests.worlds import API, CRM, ECOM, ROOT, House, Works, World, failing, wait_until

QUICK = {"settle_seconds": "0.3", "retry_seconds": "0.1"}
EXPORT_SET = (
    "analytics_report.json",
    "integration_log.jsonl",
    "integration_log.txt",
    "manifest.json",
    "rejects.csv",
    "sample_output.json",
)


def export_manifest(house: World) -> dict[str, Any]:
    return house.manifest("analytics_manifest.json")


def flat_files(house: World) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in house.outbox.iterdir() if path.is_file()}


# ---------------------------------------------------------------------------------------------------- without faults


@pytest.mark.slow
def test_a_pair_and_a_file_of_the_api_that_arrive_together_are_two_batches(house: House) -> None:
    house.watch(**QUICK)
    house.drop()
    house.drop_api(customers=4)
    wait_until(lambda: len(list((house.inbox / "archive").iterdir())) == 2)
    (master,), (export,) = house.batches_of("integration"), house.batches_of("analytics")
    assert sorted(path.name for path in (house.inbox / "archive" / master).iterdir()) == [CRM, ECOM]
    assert [path.name for path in (house.inbox / "archive" / export).iterdir()] == [API]
    assert sorted(path.name for path in (house.outbox / "batches" / export).iterdir()) == sorted(EXPORT_SET)
    assert (house.manifest()["batch_id"], house.manifest()["job"]) == (master, "integration")
    assert (export_manifest(house)["batch_id"], export_manifest(house)["job"]) == (export, "analytics")
    assert json.loads(house.read("sample_output.json"))["metadata"]["total_customers"] == 4
    assert export_manifest(house)["rows"] == {"records": 4, "rejects": 0, "duplicates": 0, "customers": 4}
    assert {line["job"] for line in house.log() if line["event"] == "batch.published"} == {"integration", "analytics"}
    assert house.verified() == VerifyReport(sets=2, inputs=3)


def test_a_file_of_the_api_needs_no_partner_and_no_master(works: Works) -> None:
    works.drop_api()
    assert works.once() == RunResult(published=1)
    assert sorted(flat_files(works)) == ["analytics_manifest.json", "sample_output.json"]
    assert works.verified() == VerifyReport(sets=1, inputs=1)


def test_an_export_changes_nothing_of_the_master_and_the_register(works: Works) -> None:
    works.drop("_2024-01-15")
    works.once()
    before, register = flat_files(works), sorted((works.state / "register").rglob("*"))
    works.drop_api(suffix="_2024-01-10")
    assert works.once() == RunResult(published=1), "its date is compared with exports, not with the master"
    after = flat_files(works)
    assert {name: after[name] for name in before} == before
    assert sorted((works.state / "register").rglob("*")) == register
    works.drop("_2024-01-14")
    assert works.once() == RunResult(quarantined=1), "the guard still compares masters with masters"


@pytest.mark.large
def test_an_export_does_not_wait_for_a_pair_of_an_earlier_date(works: Works) -> None:
    with works.watching():
        works.drop("_2024-01-15")
        with (works.inbox / "ecommerce_customers_2024-01-15.json").open("a"):
            works.drop_api(suffix="_2024-01-16")
            wait_until(works.archived)
            assert works.batches_of("analytics") == works.archived()
        wait_until(lambda: len(works.archived()) == 2)


def test_an_export_waits_only_for_the_others_of_its_job(works: Works) -> None:
    with works.watching():
        (works.inbox / CRM).write_text("customer_id,full_name\nC1,Ann Lee\n", encoding="utf-8")
        waiting = works.waits_to_be(lambda health: health["waiting"])["waiting"]
    assert [(entry["file_name"], entry["waits_for"]) for entry in waiting] == [(CRM, ECOM)]


@pytest.mark.large
@pytest.mark.slow
def test_retention_keeps_the_given_number_of_sets_of_each_job(works: Works) -> None:
    works.drop("_1")
    works.drop("_2")
    assert works.once(keep_batches=2).published == 2
    masters = works.batches_of("integration")
    for number in range(5):
        works.drop_api(suffix=f"_{number}")
    assert works.once(keep_batches=2).published == 5
    assert works.batches_of("integration") == masters, "however many exports are published"
    exports = works.batches_of("analytics")
    assert len(exports) == 2
    assert works.archived() == sorted([*masters, *exports])
    works.drop("_3")
    assert works.once(keep_batches=2).published == 1
    assert works.batches_of("analytics") == exports
    assert works.batches_of("integration")[0] == masters[1]
    assert works.verified() == VerifyReport(sets=4, inputs=6)


# -------------------------------------------------------------------------------------------------- wrong content


@pytest.mark.large
@pytest.mark.slow
def test_a_quarantine_ends_only_with_a_batch_of_its_own_job(works: Works) -> None:
    with works.watching():
        works.drop(ecom='{"customers": [')
        works.waits_to_be(lambda health: health["quarantined"])
        works.drop_api()
        works.waits_to_be(lambda health: health["last_batch"])
        (pair,) = works.quarantine()
        assert works.health()["quarantined"] == [f"{pair.name}: UnreadableFile"]
    time.sleep(1)  # batches are ordered by the second in which they were claimed
    with works.watching():
        health = works.waits_to_be(lambda health: health["state"] == "degraded")
        assert health["quarantined"] == [f"{pair.name}: UnreadableFile"], "also after a restart"
        (works.inbox / API).write_text('{"data": [', encoding="utf-8")
        works.waits_to_be(lambda health: len(health["quarantined"]) == 2)
        works.drop()
        health = works.waits_to_be(lambda health: len(health["quarantined"]) == 1 and health["busy_since"] is None)
        (export,) = (folder for folder in works.quarantine() if folder != pair)
        assert health["quarantined"] == [f"{export.name}: UnreadableFile"]
    with works.watching():
        assert works.waits_to_be(lambda health: health["quarantined"])["quarantined"][0].startswith(export.name)
        works.drop_api()
        works.waits_to_be(lambda health: health["state"] == "ok")


@pytest.mark.large
@pytest.mark.slow
def test_the_last_batch_is_the_last_of_all_jobs_also_after_a_restart(works: Works) -> None:
    for drop, job in ((works.drop, "integration"), (works.drop_api, "analytics"), (works.drop, "integration")):
        drop()
        works.once()
        with works.watching():
            assert works.health()["last_batch"] == works.batches_of(job)[-1]


@pytest.mark.slow
def test_the_reason_of_a_quarantined_api_file_states_its_job_and_retry_works(house: House) -> None:
    (house.inbox / API).write_text('{"data": [', encoding="utf-8")
    assert house.run("watch", "--once", **QUICK).code == 1
    (folder,) = (house.inbox / "quarantine").iterdir()
    reason = json.loads((folder / "reason.json").read_text(encoding="utf-8"))
    assert (reason["job"], list(reason["inputs"])) == ("analytics", [API])
    (folder / API).write_text('{"data": []}', encoding="utf-8")
    assert house.run("retry", "--accept", folder.name).code == 0
    assert (house.inbox / API).exists()
    assert house.verified().findings == []


@pytest.mark.parametrize("lost", ["nothing", "outbox", "ledger"])
def test_an_export_that_lost_most_customers_is_held_back_until_it_is_accepted(works: Works, lost: str) -> None:
    guard = {"volume_guard_rows": 10}
    works.drop_api(customers=10)
    assert works.once(**guard) == RunResult(published=1)
    if lost == "outbox":
        shutil.rmtree(works.outbox)
    elif lost == "ledger":
        (works.state / "ledger.sqlite").unlink()
    before = flat_files(works) if works.outbox.exists() else {}
    works.drop_api(customers=4)
    assert works.once(**guard) == RunResult(quarantined=1)
    reason = works.reason()
    assert (reason["error"], reason["job"]) == ("SuspiciousVolume", "analytics")
    assert reason["message"] == "API has 4 rows, the published set had 10"
    assert {name: it for name, it in flat_files(works).items() if name in before} == before
    assert works.retry("--accept", works.quarantine()[0].name) == 0
    assert works.once(**guard) == RunResult(published=1)
    assert export_manifest(works)["rows"]["records"] == 4
    works.drop_api(customers=1)
    assert works.once(**guard) == RunResult(published=1), "a small export is not held back for its size"


@pytest.mark.large
def test_an_export_without_customers_replaces_one_with_customers_only_once_accepted(works: Works) -> None:
    works.drop_api(customers=0)
    assert works.once() == RunResult(published=1), "the first export may be empty"
    works.drop_api(customers=3)
    assert works.once() == RunResult(published=1)
    before = flat_files(works)
    works.drop_api(customers=0)
    assert works.once() == RunResult(quarantined=1)
    assert works.reason()["error"] == "SuspiciousVolume"
    assert flat_files(works) == before
    assert works.retry("--accept", works.quarantine()[0].name) == 0
    assert works.once() == RunResult(published=1)
    assert export_manifest(works)["rows"]["records"] == 0
    works.drop_api(customers=0)
    assert works.once() == RunResult(published=1), "none replaces none"


@pytest.mark.large
def test_the_volume_guard_compares_exports_with_exports(works: Works) -> None:
    guard = {"volume_guard_rows": 3}
    works.drop()
    works.once(**guard)
    for customers in (1, 4, 2):
        works.drop_api(customers)
        assert works.once(**guard) == RunResult(published=1)
    works.drop()
    assert works.once(**guard) == RunResult(published=1)


def test_the_volume_guard_works_while_the_ledger_is_out_of_reach(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = {"volume_guard_rows": 10}
    works.drop_api(customers=10)
    works.once(**guard)
    works.drop_api(customers=4)
    with monkeypatch.context() as patch:
        patch.setattr("service.ledger.Ledger._connected", failing(OSError(5, "Input/output error")))
        assert works.once(**guard) == RunResult(quarantined=1)
    assert works.reason()["error"] == "SuspiciousVolume"


# -------------------------------------------------------------------------------------------------------- crashes


class Died(BaseException):
    """The process ends here."""


def dies(*_: Any, **__: Any) -> None:
    raise Died


STEPS = {
    "before the work": "service.watch.attempts.Attempts.run",
    "in the midst of the work": "service.outbox.Outbox.commit",
    "committed, not in the ledger": "service.publication.Publication.roll_forward",
    "committed, flat files not replaced": "service.outbox.replace_copies",
    "flat files replaced, not archived": "service.inbox.inbox.Inbox.archive",
}


@pytest.mark.large
@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_any_step_of_an_export_costs_nothing(
    works: Works, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    works.drop()
    works.once()
    works.drop_api(customers=2, suffix="_1")
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(STEPS[step], dies)
        works.once()
    (claim,) = works.claim_files()
    assert works.once() == RunResult(published=1)
    assert works.batches_of("analytics") == [claim.stem]
    assert export_manifest(works)["batch_id"] == claim.stem
    assert works.verified() == VerifyReport(sets=2, inputs=3)


@pytest.mark.large
def test_a_committed_export_is_not_superseded_by_a_later_master(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    works.drop_api()
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr("service.outbox.replace_copies", dies)
        works.once()
    aside = shutil.move(works.inbox / ".claimed", works.root / "aside")
    works.drop()
    assert works.once() == RunResult(published=1)
    shutil.rmtree(works.inbox / ".claimed")
    shutil.move(aside, works.inbox / ".claimed")
    assert works.once() == RunResult(published=1)
    assert works.verified() == VerifyReport(sets=2, inputs=3)


def test_a_fault_of_the_environment_keeps_the_file_of_the_api_and_tries_again(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    works.drop_api()
    with monkeypatch.context() as patch:
        patch.setattr("service.jobs.analytics.extract", failing(OSError(28, "No space left on device")))
        assert works.once() == RunResult(unfinished=1)
    assert works.once() == RunResult(published=1)


@pytest.mark.parametrize("lost", [["analytics_manifest.json"], ["analytics_manifest.json", "sample_output.json"]])
def test_the_next_start_restores_removed_flat_files_from_the_set(works: Works, lost: list[str]) -> None:
    works.drop_api()
    works.once()
    before = flat_files(works)
    for name in lost:
        (works.outbox / name).unlink()
    works.once()
    assert flat_files(works) == before


@pytest.mark.large
def test_flat_files_are_restored_without_the_ledger_too(works: Works) -> None:
    works.drop()
    works.once()
    works.drop_api()
    works.once()
    before = flat_files(works)
    for name in before:
        (works.outbox / name).unlink()
    (works.state / "ledger.sqlite").unlink()
    works.once()
    assert flat_files(works) == before


def test_a_lost_register_stops_the_start_though_the_ledger_has_the_master(works: Works) -> None:
    works.drop()
    works.once()
    shutil.rmtree(works.state / "register")
    works.drop()
    with pytest.raises(StateBehindOutbox, match="the state has no customers"):
        works.once()


@pytest.mark.large
def test_verify_reports_no_missing_master_in_an_emptied_outbox_with_an_export(works: Works) -> None:
    works.drop()
    works.once()
    shutil.rmtree(works.outbox)
    works.drop_api()
    assert works.once() == RunResult(published=1)
    verdict = works.verified()
    assert (verdict.findings, verdict.inputs) == ([], 3)
    assert verdict.notes[0].startswith("the outbox was emptied: 1 sets are not there any more")
    works.drop_api()
    assert works.once(keep_batches=1) == RunResult(published=1)
    assert len(works.archived()) == 2, "the retention of exports keeps the inputs of the master"
    assert works.verified().findings == []


@pytest.mark.large
def test_a_ledger_of_the_former_format_is_fine_for_verify_and_for_the_next_start(works: Works) -> None:
    works.drop("_1")
    works.once()
    with sqlite3.connect(works.state / "ledger.sqlite") as db:
        db.execute("drop index outcomes_of_a_job")
        db.execute("drop index totals_of_outcomes")
        db.execute("alter table outcomes drop column job")
        db.execute("pragma user_version = 1")
    db.close()
    assert works.verified() == VerifyReport(sets=1, inputs=2)
    works.drop_api()
    assert works.once() == RunResult(published=1)
    assert works.verified() == VerifyReport(sets=2, inputs=3)
    assert not (works.state / "ledger.sqlite.damaged").exists()


@pytest.mark.large
def test_the_analytics_job_uses_the_master_published_at_that_moment(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Path | None] = []

    def find(publication: Publication) -> None:
        given.append(published_master(publication))
        raise UnreadableFile("enough", hint="nothing")

    monkeypatch.setattr("service.jobs.analytics.published_master", find)

    def offered() -> Path | None:
        works.drop_api()
        works.once()
        return given[-1]

    assert offered() is None, "nothing was published"
    works.drop()
    works.once()
    assert offered() == works.outbox / "batches" / works.manifest()["batch_id"]
    shutil.rmtree(works.outbox)
    assert offered() is None, "the outbox was emptied"


# --------------------------------------------------------------------------------------------- a job is a value

# Documents without a job are of the integration, and ``integrate`` is that job by definition.
MODULES_OF_JOBS = {f"{'/'.join(job.build.__module__.split('.')[1:])}.py" for job in JOBS.values()}
NAMING_A_JOB = {
    "job_name.py",
    "model.py",
    "documents.py",
    "jobs/by_hand.py",
    "masters/customer_sets.py",
} | MODULES_OF_JOBS
# Here the word is a table of service.toml or words.toml; the pages show what each job publishes, in its own words.
NAMING_A_TABLE = {"settings.py", "vocabulary.py"}


@pytest.mark.large
def test_a_job_is_named_only_where_it_is_defined() -> None:
    naming = {
        str(path.relative_to(ROOT / "service"))
        for path in (ROOT / "service").rglob("*.py")
        if "dashboard" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in JOBS
    }
    assert naming - NAMING_A_TABLE == NAMING_A_JOB


@pytest.mark.parametrize("job", JOBS.values(), ids=lambda job: job.name)
def test_a_job_takes_exports_of_its_own_sources_and_has_flat_files_of_its_own(job: Job[Any]) -> None:
    defaults: dict[str, Any] = {}
    assert JOBS[job.name] is job
    assert {source.job for source in job.sources(Settings(**defaults))} == {job.name}
    others = [other.flat_files for other in JOBS.values() if other is not job]
    assert {*job.flat_files.names, job.flat_files.manifest}.isdisjoint(
        name for flat in others for name in (*flat.names, flat.manifest)
    )
    assert sum(it.has_register for it in JOBS.values()) == 1, "there is one register"
