"""Verify names every flipped byte, missing file and broken link, and is content with every way of normal life."""

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

from service import verify
from service.errors import UsageError
from service.files import is_locked
from service.inbox import Inbox
from service.verify import Places, VerifyReport
from tests.worlds import CASES, CRM, ECOM, House, wait_until

QUICK = {"settle_seconds": "0.3", "retry_seconds": "0.1"}
IDS = r"\d{8}T\d{6}Z-[0-9a-f]{6}(-\d+)?"


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A house with three published sets and, between them, a quarantined pair."""
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
    monkeypatch.setattr(verify, "_BETWEEN_LOOKS_SECONDS", 0)
    shutil.copytree(lived_in.root, tmp_path / "house", copy_function=shutil.copy2)
    built = House.__new__(House)
    built.__dict__ |= lived_in.__dict__ | {"root": tmp_path / "house", "_daemons": []}
    built.inbox, built.outbox, built.state = (built.root / name for name in ("inbox", "outbox", "state"))
    yield built
    built.close()


def verified(house: House, batch: str | None = None) -> VerifyReport:
    return verify.verify(Places(house.inbox, house.outbox, house.state), batch)


def quarantined(house: House) -> list[str]:
    return sorted(path.name for path in (house.inbox / "quarantine").iterdir())


def archive(house: House, number: int = 0) -> Path:
    return house.inbox / "archive" / house.batches()[number]


def kept_files(house: House) -> list[Path]:
    """Everything whose bytes are promised."""
    folders = (house.outbox, house.inbox / "archive", house.inbox / "quarantine")
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def shown(house: House, path: Path) -> str:
    return str(path.relative_to(house.root))


def once(house: House, **settings: str) -> int:
    return house.run("watch", "--once", **(QUICK | settings)).code


# ------------------------------------------------------------------------------------------------ what is fine


def test_a_normal_life_is_fine(house: House) -> None:
    assert verified(house) == VerifyReport(sets=3, inputs=6, quarantined=1)
    told = house.run("verify")
    assert (told.code, told.out, told.err) == (0, "ok: 3 sets, 6 inputs, 1 quarantined\n", "")


def test_one_batch_alone(house: House) -> None:
    first, *_ = house.batches()
    assert house.run("verify", first).out == "ok: 1 sets, 2 inputs, 0 quarantined\n"
    assert verified(house, quarantined(house)[0]).sentence == "ok: 0 sets, 0 inputs, 1 quarantined"
    (archive(house, 1) / "crm_customers_3.csv").unlink()
    assert verified(house, first).findings == []


def test_a_batch_or_a_house_that_is_not_there_is_a_usage_error(house: House) -> None:
    assert house.run("verify", "20240115T120000Z-ffffff").code == 2
    shutil.rmtree(house.inbox)
    with pytest.raises(UsageError, match="the folder is not there"):
        verified(house)


def test_a_house_where_nothing_happened_yet_is_fine(tmp_path: Path) -> None:
    assert verified(House(tmp_path / "new")).sentence == "ok: 0 sets, 0 inputs, 0 quarantined"


def test_after_retention_the_sets_that_are_left_are_fine(house: House) -> None:
    for number in range(5, 8):
        house.drop(suffix=f"_{number}")
    assert once(house, keep_batches="2") == 0
    assert len(house.batches()) == 2
    assert verified(house) == VerifyReport(sets=2, inputs=4, quarantined=1)


@pytest.mark.parametrize("how", ["retry", "by hand", "mended by hand", "by hand, with its folder"])
def test_a_quarantined_batch_that_was_taken_back_is_fine(house: House, how: str) -> None:
    (batch,) = quarantined(house)
    folder = house.inbox / "quarantine" / batch
    if how == "retry":
        assert house.run("retry", batch).code == 0
    else:
        if "mended" in how:
            shutil.copyfile(CASES / "the_sample" / ECOM, folder / "ecommerce_customers_2.json")
        for path in folder.glob("*customers_2*"):
            path.rename(house.inbox / path.name)
        if "folder" in how:
            shutil.rmtree(folder)
    assert verified(house).findings == [], "while they wait"
    once(house)
    assert verified(house).findings == []
    assert (verified(house).notes == []) == (how == "retry")


def empty(folder: Path) -> None:
    """As a user does who wants to begin anew."""
    shutil.rmtree(folder)
    folder.mkdir()


def test_an_outbox_that_is_not_there_is_told_and_no_harm_when_it_is_back(house: House) -> None:
    house.outbox.rename(house.root / "aside")
    assert f"{house.outbox} is not there, is it mounted?" in verified(house).notes[0]
    house.drop(suffix="_5")
    assert once(house) == 0
    shutil.rmtree(house.outbox)
    (house.root / "aside").rename(house.outbox)
    house.drop(suffix="_6")
    assert once(house) == 0
    shutil.rmtree(house.outbox / "batches" / house.batches()[0])
    assert any("is missing" in finding for finding in verified(house).findings), (
        "those that were back are not forgotten"
    )


def test_an_emptied_outbox_is_a_note_and_so_it_stays(house: House) -> None:
    empty(house.outbox)
    assert verified(house).findings == []
    assert verified(house).notes[0].startswith("the outbox was emptied: 3 sets are not there any more")
    house.drop(suffix="_5")
    assert once(house) == 0
    assert verified(house).findings == []
    assert verified(house).notes[0].startswith("the outbox was emptied: 3 sets are not there any more")
    assert verified(house).sentence == "ok: 1 sets, 8 inputs, 1 quarantined"


def test_archives_of_an_emptied_outbox_are_still_verified_and_go_with_retention(house: House) -> None:
    before = archive(house)
    empty(house.outbox)
    (before / "crm_customers_1.csv").write_text("changed", encoding="utf-8")
    assert len(verified(house).findings) == 1
    for number in (5, 6):
        house.drop(suffix=f"_{number}")
    assert once(house, keep_batches="1") == 0
    assert verified(house) == VerifyReport(sets=1, inputs=2, quarantined=1)
    assert not before.exists()


def test_a_batch_in_work_is_fine_and_one_that_nobody_works_on_is_not(house: House) -> None:
    daemon = house.watch(**(QUICK | {"retry_seconds": "60"}))
    (house.outbox / ".staging").write_text("no folder can be made here", encoding="utf-8")
    house.drop(suffix="_5")
    wait_until(lambda: house.health()["state"] == "failing")
    assert verified(house).findings == []
    daemon.kill()
    (finding,) = verified(house).findings
    assert re.fullmatch(rf"batch {IDS} is claimed and no service works on it; start the service, .*", finding)
    (claimed,) = (house.inbox / ".claimed").glob("*/*.csv")
    claimed.write_text("changed", encoding="utf-8")
    assert len(verified(house).findings) == 2
    (house.outbox / ".staging").unlink()
    once(house)
    assert verified(house).findings == []


def test_after_a_kill_the_next_start_makes_it_fine(house: House) -> None:
    for number in range(5, 8):
        daemon = house.watch(**QUICK)
        house.drop(suffix=f"_{number}")
        wait_until(lambda: any((house.inbox / ".claimed").iterdir()))
        time.sleep(0.4 * (number - 5))
        daemon.kill()
    assert once(house) == 0
    assert verified(house) == VerifyReport(sets=6, inputs=12, quarantined=1)


def test_beside_a_service_at_work_nothing_is_found(house: House) -> None:
    daemon = house.watch(**QUICK, keep_batches="3")
    for number in range(5, 9):
        house.drop(suffix=f"_{number}")
    deadline = time.monotonic() + 60
    looks = 0
    while any(house.inbox.glob("crm*")) or any((house.inbox / ".claimed").iterdir()) or looks < 20:
        assert verified(house).findings == []
        looks += 1
        assert time.monotonic() < deadline
    assert daemon.stop(signal.SIGTERM) == 0
    assert verified(house).findings == []


def test_a_set_that_retention_takes_while_it_is_read_is_no_finding(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = house.outbox / "batches" / house.batches()[0]
    read = verify._first_cells

    def taken_first(path: Path) -> Iterator[bytes]:
        if path.parent == first and first.exists():
            assert once(house, keep_batches="1") == 0
        return read(path)

    house.drop(suffix="_9")
    monkeypatch.setattr(verify, "_first_cells", taken_first)
    assert verified(house).findings == []
    assert not first.exists()


def test_an_outbox_that_was_filled_by_hand(house: House, tmp_path: Path) -> None:
    sample, folder = CASES / "the_sample", tmp_path / "by hand"
    for _ in range(2):
        assert house.run("integrate", sample / CRM, sample / ECOM, "--outbox", folder).code == 0
    assert house.run("verify", "--outbox", folder).out == "ok: 2 sets, 0 inputs, 0 quarantined\n"
    (folder / "customer_master.csv").write_text("mine\n", encoding="utf-8")
    assert house.run("verify", "--outbox", folder).code == 1


# ------------------------------------------------------------------------------------------------ what is found


def test_a_flipped_byte_in_any_file_is_named(house: House) -> None:
    files = kept_files(house)
    assert len(files) == 3 * 11 + 5 + 3 * 2 + 4, "every kind of file"
    for path in files:
        content = path.read_bytes()
        for at in {0, len(content) // 2, len(content) - 1} if content else set():
            path.chmod(0o644)
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            findings = verified(house).findings
            assert any(shown(house, path) in finding for finding in findings), (path, findings)
        path.write_bytes(content)
    assert verified(house).findings == []


def test_a_missing_file_is_named(house: House) -> None:
    for path in kept_files(house):
        content = path.read_bytes()
        path.unlink()
        findings = verified(house).findings
        assert any(shown(house, path) in finding for finding in findings), (path, findings)
        path.write_bytes(content)
    assert verified(house).findings == []


def test_a_byte_more_is_named(house: House) -> None:
    path = house.outbox / "batches" / house.batches()[0] / "crosswalk.csv"
    path.chmod(0o644)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n")
    (finding,) = verified(house).findings
    assert re.fullmatch(rf"outbox/batches/{IDS}/crosswalk.csv has \d+ bytes, not \d+", finding)


def test_a_finding_ends_with_1_and_stands_on_a_line_of_stdout(house: House) -> None:
    (archive(house) / "crm_customers_1.csv").unlink()
    told = house.run("verify")
    assert (told.code, told.out) == (1, f"inbox/archive/{house.batches()[0]}/crm_customers_1.csv is missing\n")


def test_a_set_that_was_removed_is_named(house: House) -> None:
    gone = house.batches()[1]
    shutil.rmtree(house.outbox / "batches" / gone)
    assert verified(house).findings == [f"outbox/batches/{gone} is missing"]


def test_without_the_ledger_the_documents_are_still_a_chain(house: House) -> None:
    (house.state / "ledger.sqlite").unlink()
    verdict = verified(house)
    assert verdict.findings == []
    assert verdict.notes == ["state/ledger.sqlite is missing; the service rebuilds it when it starts"]
    assert once(house) == 0
    assert verified(house) == VerifyReport(sets=3, inputs=6, quarantined=1)


def test_a_link_that_is_missing_is_named(house: House) -> None:
    """The ledger knows every link: one that is taken out of it, and of the disk, leaves the next without a hold."""
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
    assert verified(house).findings == [expected]


def test_a_forged_document_is_named_though_its_set_fits_it(house: House) -> None:
    folder = house.outbox / "batches" / house.batches()[1]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["inputs"][0]["sha256"] = "0" * 64
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (finding,) = verified(house).findings
    assert finding.startswith(f"{shown(house, folder / 'manifest.json')} is not as it was written")


def test_a_ledger_that_tells_otherwise_is_named(house: House) -> None:
    with sqlite3.connect(house.state / "ledger.sqlite") as db:
        db.execute("update outcomes set customers = customers + 1 where seq = 1")
    db.close()
    (finding,) = verified(house).findings
    assert finding.startswith(f"state/ledger.sqlite tells batch {house.batches()[0]} otherwise than outbox/batches/")


def test_a_damaged_ledger_is_named_and_rebuilt_at_the_next_start(house: House) -> None:
    (house.state / "ledger.sqlite").write_bytes(b"no database at all" * 1000)
    assert verified(house).findings == ["state/ledger.sqlite is damaged; the service rebuilds it when it starts"]
    assert once(house) == 0
    assert verified(house) == VerifyReport(sets=3, inputs=6, quarantined=1)


def test_an_input_that_was_moved_is_named_at_both_places(house: House) -> None:
    path = archive(house) / "crm_customers_1.csv"
    path.rename(archive(house, 1) / path.name)
    first, second, _ = house.batches()
    assert verified(house).findings == [
        f"inbox/archive/{first}/crm_customers_1.csv is missing",
        f"inbox/archive/{second}/crm_customers_1.csv does not belong there",
    ]


@pytest.mark.parametrize("place", ["quarantine", ".claimed"])
def test_a_batch_in_two_places_is_named(house: House, place: str) -> None:
    batch = house.batches()[0]
    shutil.copytree(archive(house), house.inbox / place / batch)
    assert f"batch {batch} lies in inbox/archive and in inbox/{place}" in verified(house).findings


@pytest.mark.parametrize("place", ["archive", "quarantine"])
def test_an_input_that_belongs_to_nothing_is_named(house: House, place: str) -> None:
    shutil.copytree(archive(house), house.inbox / place / "20240115T120000Z-aaaaaa")
    (finding,) = verified(house).findings
    assert f"inbox/{place}/20240115T120000Z-aaaaaa" in finding


def test_a_duplicate_of_an_input_is_named(house: House) -> None:
    path = archive(house) / "crm_customers_1.csv"
    shutil.copyfile(path, path.with_name("crm_customers_1 (copy).csv"))
    (finding,) = verified(house).findings
    assert finding == f"{shown(house, path.parent)}/crm_customers_1 (copy).csv does not belong there"


def test_a_quarantined_file_that_went_alone_and_is_nowhere_is_named(house: House) -> None:
    folder = house.inbox / "quarantine" / quarantined(house)[0]
    (folder / "ecommerce_customers_2.json").unlink()
    assert verified(house).findings == [f"{shown(house, folder)}/ecommerce_customers_2.json is missing"]


def test_a_set_whose_rows_do_not_add_up_is_named(house: House) -> None:
    """The hashes fit and the chain is whole: only a bug of ours could write such a set."""
    folder = house.outbox / "batches" / house.batches()[-1]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    rows = dict.fromkeys(manifest["rows"], 4)
    found = list(verify._master_unlike(folder, "the set", rows))
    assert found == [
        "the set/crosswalk.csv has 8 records, its manifest says 4",
        "the set/customer_master.csv has 5 customers, its manifest says 4",
        "the set/match_evidence.csv has 3 rows, its manifest says 4",
        "the set/rejects.csv has 0 rows, its manifest says 4",
    ]


def test_flat_files_of_a_former_set_are_named(house: House) -> None:
    for path in (house.outbox / "batches" / house.batches()[0]).iterdir():
        if (house.outbox / path.name).exists():
            shutil.copyfile(path, house.outbox / path.name)
    assert verified(house).findings == [f"outbox/manifest.json is not that of batch {house.batches()[-1]}, the latest"]


def test_no_finding_quotes_a_value(house: House) -> None:
    for path in kept_files(house):
        path.chmod(0o644)
        path.write_text("Jane Doe,jane.doe@email.com,5550102\n", encoding="utf-8")
    findings = verified(house).findings
    assert len(findings) > 10
    assert not [finding for finding in findings if "Jane" in finding or "jane" in finding]


def test_a_link_in_place_of_a_file_is_named(house: House, tmp_path: Path) -> None:
    path = archive(house) / "crm_customers_1.csv"
    path.rename(tmp_path / "elsewhere.csv")
    path.symlink_to(tmp_path / "elsewhere.csv")
    assert len(verified(house).findings) == 1


def test_the_inbox_counts_as_locked_only_while_somebody_holds_it(house: House) -> None:
    inbox = Inbox(house.inbox)
    assert inbox.try_lock((house.inbox / ".lock").read_text(encoding="utf-8").strip())
    assert is_locked(house.inbox / ".lock")
    inbox.unlock()
    assert not is_locked(house.inbox / ".lock")
