"""Verify reports every changed byte, missing file and broken link, and nothing after any normal operation."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.documents import Counts
from service.errors import UsageError
from service.inbox import Inbox
from service.locks import is_locked
from service.verify import VerifyReport, contents
from service.verify.contents import check_export_set, check_master_set
from tests.worlds import CASES, CRM, ECOM, House, Works, wait_until

QUICK = {"settle_seconds": "0.3", "retry_seconds": "0.1"}
FOUR_OF_EACH = Counts(records=4, rejects=4, duplicates=4, customers=4)
IDS = r"\d{8}T\d{6}Z-[0-9a-f]{6}(-\d+)?"


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Three published sets and, between them, a quarantined batch."""
    house = House(tmp_path_factory.mktemp("lived_in") / "house")
    for suffix in ("_1", "_2", "_3", "_4"):
        house.drop(suffix=suffix)
    (house.inbox / "ecommerce_customers_2.json").write_text('{"customers": [', encoding="utf-8")
    assert house.run("watch", "--once", **QUICK).code == 1
    assert (len(house.batches()), len(quarantined(house))) == (3, 1)
    return house


@pytest.fixture
def house(lived_in: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A copy of it."""
    monkeypatch.setattr("service.verify._PAUSE_SECONDS", 0)
    shutil.copytree(lived_in.root, tmp_path / "house", copy_function=shutil.copy2)
    built = House.__new__(House)
    built.__dict__ |= lived_in.__dict__ | {"root": tmp_path / "house", "_daemons": []}
    built.inbox, built.outbox, built.state = (built.root / name for name in ("inbox", "outbox", "state"))
    yield built
    built.close()


def quarantined(house: House) -> list[str]:
    return sorted(path.name for path in (house.inbox / "quarantine").iterdir())


def archive(house: House, number: int = 0) -> Path:
    return house.inbox / "archive" / house.batches()[number]


def kept_files(house: House) -> list[Path]:
    """Every file whose bytes verify checks."""
    folders = (house.outbox, house.inbox / "archive", house.inbox / "quarantine")
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def shown(house: House, path: Path) -> str:
    return str(path.relative_to(house.root))


def once(house: House, **settings: str) -> int:
    return house.run("watch", "--once", **(QUICK | settings)).code


# ------------------------------------------------------------------------------------------------ without a finding


def test_published_and_quarantined_batches_are_fine(house: House) -> None:
    assert house.verified() == VerifyReport(sets=3, inputs=6, quarantined=1)
    done = house.run("verify")
    assert (done.code, done.out, done.err) == (0, "ok: 3 sets, 6 inputs, 1 quarantined\n", "")


def test_one_batch_is_checked_alone(house: House) -> None:
    first, *_ = house.batches()
    assert house.run("verify", first).out == "ok: 1 set, 2 inputs, 0 quarantined\n"
    assert house.verified(quarantined(house)[0]).sentence == "ok: 0 sets, 0 inputs, 1 quarantined"
    (archive(house, 1) / "crm_customers_3.csv").unlink()
    assert house.verified(first).findings == []


def test_an_unknown_batch_or_a_missing_folder_is_a_usage_error(house: House) -> None:
    assert house.run("verify", "20240115T120000Z-ffffff").code == 2
    shutil.rmtree(house.inbox)
    with pytest.raises(UsageError, match="the folder is not there"):
        house.verified()


def test_empty_folders_are_fine(tmp_path: Path) -> None:
    assert House(tmp_path / "new").verified().sentence == "ok: 0 sets, 0 inputs, 0 quarantined"


@pytest.mark.large
def test_the_sets_that_retention_leaves_are_fine(house: House) -> None:
    for number in range(5, 8):
        house.drop(suffix=f"_{number}")
    assert once(house, keep_batches="2") == 0
    assert len(house.batches()) == 2
    assert house.verified() == VerifyReport(sets=2, inputs=4, quarantined=1)


@pytest.mark.parametrize("how", ["retry", "by hand", "corrected by hand", "by hand, with its folder"])
def test_a_quarantined_batch_that_was_moved_back_is_fine(house: House, how: str) -> None:
    (batch,) = quarantined(house)
    folder = house.inbox / "quarantine" / batch
    if how == "retry":
        assert house.run("retry", batch).code == 0
    else:
        if "corrected" in how:
            shutil.copyfile(CASES / "the_sample" / ECOM, folder / "ecommerce_customers_2.json")
        for path in folder.glob("*customers_2*"):
            path.rename(house.inbox / path.name)
        if "folder" in how:
            shutil.rmtree(folder)
    assert house.verified().findings == [], "while they wait"
    once(house)
    assert house.verified().findings == []
    assert (house.verified().notes == []) == (how == "retry")


def empty(folder: Path) -> None:
    """What a user does to start from scratch."""
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.large
def test_a_missing_outbox_is_a_note_and_its_sets_count_again_when_it_is_back(house: House) -> None:
    house.outbox.rename(house.root / "aside")
    assert f"{house.outbox} is not there, is it mounted?" in house.verified().notes[0]
    house.drop(suffix="_5")
    assert once(house) == 0
    shutil.rmtree(house.outbox)
    (house.root / "aside").rename(house.outbox)
    house.drop(suffix="_6")
    assert once(house) == 0
    shutil.rmtree(house.outbox / "batches" / house.batches()[0])
    assert any("is missing" in finding for finding in house.verified().findings), (
        "the sets that came back are checked again"
    )


def test_an_emptied_outbox_is_a_note_also_after_the_next_set(house: House) -> None:
    empty(house.outbox)
    assert house.verified().findings == []
    assert house.verified().notes[0].startswith("the outbox was emptied: 3 sets are not there any more")
    house.drop(suffix="_5")
    assert once(house) == 0
    assert house.verified().findings == []
    assert house.verified().notes[0].startswith("the outbox was emptied: 3 sets are not there any more")
    assert house.verified().sentence == "ok: 1 set, 8 inputs, 1 quarantined"


def test_an_outbox_that_was_emptied_while_a_set_was_published_is_a_note(house: House) -> None:
    *former, _ = house.batches()
    for batch_id in former:
        shutil.rmtree(house.outbox / "batches" / batch_id)
    expected = f"the outbox was emptied: {len(former)} sets are not there any more; if that was intended, do nothing"
    assert (house.verified().findings, house.verified().notes) == ([], [expected])
    house.drop(suffix="_5")
    assert once(house) == 0
    assert (house.verified().findings, house.verified().notes) == ([], [expected])


@pytest.mark.large
def test_archives_of_an_emptied_outbox_are_checked_until_retention_removes_them(house: House) -> None:
    before = archive(house)
    empty(house.outbox)
    (before / "crm_customers_1.csv").write_text("changed", encoding="utf-8")
    assert len(house.verified().findings) == 1
    for number in (5, 6):
        house.drop(suffix=f"_{number}")
    assert once(house, keep_batches="1") == 0
    assert house.verified() == VerifyReport(sets=1, inputs=2, quarantined=1)
    assert not before.exists()


@pytest.mark.large
def test_a_claimed_batch_is_fine_only_while_a_service_works_on_it(house: House) -> None:
    daemon = house.watch(**(QUICK | {"retry_seconds": "60"}))
    (house.outbox / ".staging").write_text("not a folder", encoding="utf-8")
    house.drop(suffix="_5")
    wait_until(lambda: house.health()["state"] == "failing")
    assert house.verified().findings == []
    daemon.kill()
    (finding,) = house.verified().findings
    assert re.fullmatch(rf"batch {IDS} is claimed but no service works on it; start the service, .*", finding)
    (claimed,) = (house.inbox / ".claimed").glob("*/*.csv")
    claimed.write_text("changed", encoding="utf-8")
    assert len(house.verified().findings) == 2
    (house.outbox / ".staging").unlink()
    once(house)
    assert house.verified().findings == []


@pytest.mark.large
@pytest.mark.slow
def test_after_a_kill_the_next_start_repairs_everything(house: House) -> None:
    for number in range(5, 8):
        daemon = house.watch(**QUICK)
        house.drop(suffix=f"_{number}")
        wait_until(lambda: any((house.inbox / ".claimed").iterdir()))
        time.sleep(0.4 * (number - 5))
        daemon.kill()
    assert once(house) == 0
    assert house.verified() == VerifyReport(sets=6, inputs=12, quarantined=1)


@pytest.mark.large
@pytest.mark.slow
def test_beside_a_working_service_there_is_no_finding(house: House) -> None:
    daemon = house.watch(**QUICK, keep_batches="3")
    for number in range(5, 9):
        house.drop(suffix=f"_{number}")
    deadline = time.monotonic() + 60
    reports = 0
    while any(house.inbox.glob("crm*")) or any((house.inbox / ".claimed").iterdir()) or reports < 20:
        assert house.verified().findings == []
        reports += 1
        assert time.monotonic() < deadline
    assert daemon.stop(signal.SIGTERM) == 0
    assert house.verified().findings == []


def test_a_set_that_retention_removes_while_it_is_read_is_not_a_finding(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = house.outbox / "batches" / house.batches()[0]
    read = contents._first_cells

    def removed_first(path: Path) -> Iterator[bytes]:
        if path.parent == first and first.exists():
            assert once(house, keep_batches="1") == 0
        return read(path)

    house.drop(suffix="_9")
    monkeypatch.setattr(contents, "_first_cells", removed_first)
    assert house.verified().findings == []
    assert not first.exists()


@pytest.mark.large
def test_an_outbox_filled_by_hand_is_checked(house: House, tmp_path: Path) -> None:
    sample, folder = CASES / "the_sample", tmp_path / "by hand"
    for _ in range(2):
        assert house.run("integrate", sample / CRM, sample / ECOM, "--outbox", folder).code == 0
    assert house.run("verify", "--outbox", folder).out == "ok: 2 sets, 0 inputs, 0 quarantined\n"
    (folder / "customer_master.csv").write_text("mine\n", encoding="utf-8")
    assert house.run("verify", "--outbox", folder).code == 1


# ------------------------------------------------------------------------------------------------ with a finding


@pytest.mark.large
def test_a_changed_byte_in_any_file_is_reported(house: House) -> None:
    files = kept_files(house)
    assert len(files) == 3 * 17 + 5 + 3 * 2 + 4, "every kind of file"
    for path in files:
        content = path.read_bytes()
        for at in {0, len(content) // 2, len(content) - 1} if content else set():
            path.chmod(0o644)
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            findings = house.verified().findings
            assert any(shown(house, path) in finding for finding in findings), (path, findings)
        path.write_bytes(content)
    assert house.verified().findings == []


def test_a_missing_file_is_reported(house: House) -> None:
    for path in kept_files(house):
        content = path.read_bytes()
        path.unlink()
        findings = house.verified().findings
        assert any(shown(house, path) in finding for finding in findings), (path, findings)
        path.write_bytes(content)
    assert house.verified().findings == []


def test_an_added_byte_is_reported(house: House) -> None:
    path = house.outbox / "batches" / house.batches()[0] / "crosswalk.csv"
    path.chmod(0o644)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n")
    (finding,) = house.verified().findings
    assert re.fullmatch(rf"outbox/batches/{IDS}/crosswalk.csv has \d+ bytes, not \d+", finding)


def test_a_finding_is_a_line_of_stdout_and_the_exit_code_is_1(house: House) -> None:
    (archive(house) / "crm_customers_1.csv").unlink()
    done = house.run("verify")
    assert (done.code, done.out) == (1, f"inbox/archive/{house.batches()[0]}/crm_customers_1.csv is missing\n")


def test_a_removed_set_is_reported(house: House) -> None:
    gone = house.batches()[1]
    shutil.rmtree(house.outbox / "batches" / gone)
    assert house.verified().findings == [f"outbox/batches/{gone} is missing"]


def test_without_the_ledger_the_documents_are_checked_as_a_chain(house: House) -> None:
    (house.state / "ledger.sqlite").unlink()
    report = house.verified()
    assert report.findings == []
    assert report.notes == ["state/ledger.sqlite is missing; the service rebuilds it when it starts"]
    assert once(house) == 0
    assert house.verified() == VerifyReport(sets=3, inputs=6, quarantined=1)


def test_a_missing_link_of_the_chain_is_reported(house: House) -> None:
    """A batch that is removed from the ledger and from the disk leaves a gap before the next one."""
    first, second, third = house.batches()
    (between,) = quarantined(house)
    for batch in (second, between):
        with sqlite3.connect(house.state / "ledger.sqlite") as db:
            db.execute("delete from outcomes where batch_id = ?", (batch,))
        db.close()
    shutil.rmtree(house.outbox / "batches" / second)
    shutil.rmtree(house.inbox / "archive" / second)
    shutil.rmtree(house.inbox / "quarantine" / between)
    expected = f"batch {third} does not follow batch {first}: a link of the chain is missing between them"
    assert house.verified().findings == [expected]


def test_a_forged_manifest_is_reported_though_its_set_matches_it(house: House) -> None:
    folder = house.outbox / "batches" / house.batches()[1]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["inputs"][0]["sha256"] = "0" * 64
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (finding,) = house.verified().findings
    assert finding.startswith(f"{shown(house, folder / 'manifest.json')} is not as it was written")


def test_a_ledger_that_disagrees_with_a_manifest_is_reported(house: House) -> None:
    with sqlite3.connect(house.state / "ledger.sqlite") as db:
        db.execute("update outcomes set customers = customers + 1 where seq = 1")
    db.close()
    (finding,) = house.verified().findings
    first = house.batches()[0]
    assert finding == f"state/ledger.sqlite and outbox/batches/{first}/manifest.json disagree about batch {first}"


def test_a_damaged_ledger_is_reported_and_rebuilt_at_the_next_start(house: House) -> None:
    (house.state / "ledger.sqlite").write_bytes(b"not a database" * 1000)
    assert house.verified().findings == ["state/ledger.sqlite is damaged; the service rebuilds it when it starts"]
    assert once(house) == 0
    assert house.verified() == VerifyReport(sets=3, inputs=6, quarantined=1)


def test_an_input_in_the_wrong_archive_is_reported_for_both_batches(house: House) -> None:
    path = archive(house) / "crm_customers_1.csv"
    path.rename(archive(house, 1) / path.name)
    first, second, _ = house.batches()
    assert house.verified().findings == [
        f"inbox/archive/{first}/crm_customers_1.csv is missing",
        f"inbox/archive/{second}/crm_customers_1.csv does not belong there",
    ]


@pytest.mark.parametrize("folder", ["quarantine", ".claimed"])
def test_a_batch_in_two_folders_is_reported(house: House, folder: str) -> None:
    batch = house.batches()[0]
    shutil.copytree(archive(house), house.inbox / folder / batch)
    assert f"batch {batch} lies in inbox/archive and in inbox/{folder}" in house.verified().findings


@pytest.mark.parametrize("folder", ["archive", "quarantine"])
def test_a_folder_of_an_unknown_batch_is_reported(house: House, folder: str) -> None:
    shutil.copytree(archive(house), house.inbox / folder / "20240115T120000Z-aaaaaa")
    (finding,) = house.verified().findings
    assert f"inbox/{folder}/20240115T120000Z-aaaaaa" in finding


def test_a_copy_of_an_input_is_reported(house: House) -> None:
    path = archive(house) / "crm_customers_1.csv"
    shutil.copyfile(path, path.with_name("crm_customers_1 (copy).csv"))
    (finding,) = house.verified().findings
    assert finding == f"{shown(house, path.parent)}/crm_customers_1 (copy).csv does not belong there"


def test_a_single_missing_file_of_a_quarantined_batch_is_reported(house: House) -> None:
    folder = house.inbox / "quarantine" / quarantined(house)[0]
    (folder / "ecommerce_customers_2.json").unlink()
    assert house.verified().findings == [f"{shown(house, folder)}/ecommerce_customers_2.json is missing"]


def test_a_set_with_wrong_counts_is_reported(house: House) -> None:
    """The hashes are right and the chain is complete: only a bug of the service could write such a set."""
    folder = house.outbox / "batches" / house.batches()[-1]
    found = list(check_master_set(folder, "the set", FOUR_OF_EACH))
    assert found == [
        "the set/crosswalk.csv has 8 records, its manifest states 4",
        "the set/customer_master.csv has 5 customers, its manifest states 4",
        "the set/match_evidence.csv has 3 rows, its manifest states 4",
        "the set/rejects.csv has 0 rows, its manifest states 4",
        "the set/customer_master.parquet has 5 rows, its manifest states 4",
        "the set/records.parquet has 8 rows, its manifest states 4",
    ]


def test_a_set_of_an_older_program_has_no_typed_files_and_what_is_none_is_reported(house: House) -> None:
    folder = house.outbox / "batches" / house.batches()[-1]
    sample = Counts(records=8, rejects=0, duplicates=3, customers=5)
    master, records = folder / "customer_master.parquet", folder / "records.parquet"
    assert list(check_master_set(folder, "the set", sample)) == []
    master.unlink()
    shutil.copyfile(folder / "crosswalk.csv", folder / "other")
    (folder / "other").replace(records)
    assert list(check_master_set(folder, "the set", sample)) == ["the set/records.parquet is not a Parquet file"]


def test_flat_files_of_a_former_set_are_reported(house: House) -> None:
    for path in (house.outbox / "batches" / house.batches()[0]).iterdir():
        if (house.outbox / path.name).exists():
            shutil.copyfile(path, house.outbox / path.name)
    assert house.verified().findings == [f"outbox/manifest.json is not that of batch {house.batches()[-1]}, the latest"]


def test_no_finding_contains_a_customer_value(house: House) -> None:
    for path in kept_files(house):
        path.chmod(0o644)
        path.write_text("Jane Doe,jane.doe@email.com,5550102\n", encoding="utf-8")
    findings = house.verified().findings
    assert len(findings) > 10
    assert not [finding for finding in findings if "Jane" in finding or "jane" in finding]


def test_a_symbolic_link_instead_of_a_file_is_reported(house: House, tmp_path: Path) -> None:
    path = archive(house) / "crm_customers_1.csv"
    path.rename(tmp_path / "elsewhere.csv")
    path.symlink_to(tmp_path / "elsewhere.csv")
    assert len(house.verified().findings) == 1


def test_the_inbox_is_locked_only_while_a_process_holds_its_lock(house: House) -> None:
    inbox = Inbox(house.inbox)
    assert inbox.try_lock((house.inbox / ".lock").read_text(encoding="utf-8").strip())
    assert is_locked(house.inbox / ".lock")
    inbox.unlock()
    assert not is_locked(house.inbox / ".lock")


# ------------------------------------------------------------------------------------------ an analytics export


@pytest.fixture
def both(works: Works, monkeypatch: pytest.MonkeyPatch) -> Works:
    """Folders with a master and two exports."""
    monkeypatch.setattr("service.verify._PAUSE_SECONDS", 0)
    works.drop()
    works.once()
    for customers in (2, 3):
        works.drop_api(customers)
        works.once()
    assert works.verified() == VerifyReport(sets=3, inputs=4)
    return works


@pytest.mark.large
def test_a_changed_byte_in_any_file_of_an_export_is_reported(both: Works) -> None:
    batch = both.batches_of("analytics")[-1]
    flat = [both.outbox / name for name in ("sample_output.json", "analytics_manifest.json")]
    in_set = list((both.outbox / "batches" / batch).iterdir())
    assert len(in_set) == 6, "every kind of file"
    for path in flat + in_set:
        content = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"x")
        findings = both.verified().findings
        assert any(str(path.relative_to(both.root)) in finding for finding in findings), (path, findings)
        path.write_bytes(content)
    assert both.verified().findings == []


@pytest.mark.large
def test_a_missing_flat_file_of_an_export_is_reported(both: Works) -> None:
    batch = both.batches_of("analytics")[-1]
    (both.outbox / "sample_output.json").unlink()
    assert both.verified().findings == [f"outbox/sample_output.json is missing; the set of batch {batch} has it"]
    (both.outbox / "analytics_manifest.json").unlink()
    assert both.verified().findings == ["outbox/analytics_manifest.json is missing"]


@pytest.mark.large
def test_flat_files_of_a_former_export_are_reported(both: Works) -> None:
    former, latest = both.batches_of("analytics")
    shutil.copyfile(both.outbox / "batches" / former / "manifest.json", both.outbox / "analytics_manifest.json")
    assert both.verified().findings == [f"outbox/analytics_manifest.json is not that of batch {latest}, the latest"]


@pytest.mark.large
def test_an_export_with_wrong_counts_is_reported(both: Works) -> None:
    """The hashes are right and the chain is complete: only a bug of the service could write such a set."""
    folder = both.outbox / "batches" / both.batches_of("analytics")[-1]
    found = list(check_export_set(folder, "the set", FOUR_OF_EACH))
    assert found == [
        "the set/sample_output.json has 3 customers, its manifest states 4",
        "the set/rejects.csv has 0 rows, its manifest states 4",
        "the set/sample_output.json states 3 customers, its manifest 4",
    ]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 1 << 20])
def test_customers_are_counted_in_every_form_of_the_export_and_with_every_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, piece_bytes: int
) -> None:
    monkeypatch.setattr("service.verify.contents._PIECE_BYTES", piece_bytes)
    names = ['"customer_id": 7', '"customer_id":', "}}{{", '\\"customer_id":', "customer_id", '"total_customers": 9']
    customers = [{"customer_id": number, "full_name": name} for number, name in enumerate(names)]
    export = {"metadata": {"total_customers": len(names)}, "customers": customers}
    path = tmp_path / "sample_output.json"
    path.write_text(json.dumps(export, indent=indent), encoding="utf-8")
    (tmp_path / "rejects.csv").write_text("source_system\n", encoding="utf-8")
    counts = Counts(records=len(names), rejects=0, duplicates=0, customers=len(names))
    assert list(check_export_set(tmp_path, "the set", counts)) == []
