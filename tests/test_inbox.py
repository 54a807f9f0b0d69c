"""The inbox: which names are exports, what pairs, and where files go. Real files; crashes are made by hand."""

from __future__ import annotations

import doctest
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service import files
from service.acceptance import Acceptance
from service.errors import UnreadableFile, UsageError
from service.inbox import Candidate, IgnoredFile, Inbox, Scan, claims, names
from service.inbox.names import is_ignored, read_name
from service.jobs.retry import retry
from service.model import Batch, inputs_sha256
from service.settings import Settings
from tests.required import needs_root
from tests.worlds import API, CRM, ECOM, output_as_another_user

NOW = datetime(2024, 1, 15, 12, tzinfo=UTC)
WRONG = UnreadableFile("it is cut", where="line 3", hint="export it again")


class Died(BaseException):
    """The process ends here."""


class Folder:
    """An opened inbox with its state folder beside it."""

    def __init__(self, root: Path) -> None:
        self.root, self.state = root / "inbox", root / "state"
        self.state.mkdir()
        folders: dict[str, Any] = {"inbox": self.root, "outbox": root / "outbox", "state": self.state}
        self.settings = Settings(**folders)
        self.acceptance = Acceptance(self.state)
        self.inbox = Inbox(self.root, is_accepted=self.acceptance.is_given)
        self.inbox.open()

    def put(self, name: str, content: str = "x\n") -> Path:
        path = self.root / name
        path.write_text(content, encoding="utf-8")
        return path

    def candidate(self) -> Candidate:
        """The one candidate that waits."""
        (found,) = self.inbox.scan().candidates
        return found

    def claim(self, candidate: Candidate | None = None) -> Batch | None:
        candidate = candidate or self.candidate()
        return self.inbox.claim(candidate, {file.path: "lease" for file in candidate.files}, NOW)

    def claimed(self) -> Batch:
        """Put two exports into the inbox and claim them."""
        self.put(CRM, "crm\n")
        self.put(ECOM, "ecom\n")
        batch = self.claim()
        assert batch is not None
        return batch

    def publish(self, batch: Batch) -> None:
        """The end of a publication: the mark is used up, the inputs are archived."""
        self.acceptance.end(inputs_sha256(batch.inputs), [file.file_name for file in batch.inputs])
        self.inbox.archive(batch)

    def retry(self, batch_id: str, *, accept: bool = False) -> list[str]:
        return list(retry(batch_id, self.settings, accept=accept).names)

    def crash_in_claim(self, moved: int) -> tuple[str, Path]:
        """Die in a claim after so many files have moved; returns id and folder of the claim."""

        def move(source: Path, target: Path, **_: object) -> None:
            nonlocal moved
            if not moved:
                raise Died
            moved -= 1
            source.rename(target)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Died):
            patch.setattr(claims, "move", move)
            self.claimed()
        (claim,) = (self.root / ".claimed").glob("*.json")
        return claim.stem, claim.with_suffix("")

    def files(self) -> dict[str, str]:
        """Path in the inbox -> contents, of every file except the lock."""
        return {
            str(path.relative_to(self.root)): path.read_text(encoding="utf-8")
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.name != ".lock"
        }

    def inputs(self) -> dict[str, str]:
        """As ``files``, without those that the service writes."""
        return {name: text for name, text in self.files().items() if not name.endswith((".json", ".txt"))} | {
            name: text for name, text in self.files().items() if name.endswith(ECOM)
        }


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# ------------------------------------------------------------------------------------------------------- names


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(names).failed == 0


@pytest.mark.parametrize(
    ("name", "source", "suffix"),
    [
        ("crm_customers.csv", "CRM", ""),
        ("ecommerce_customers.json", "ECOM", ""),
        ("CRM_Customers.CSV", "CRM", ""),
        ("ECOMMERCE_CUSTOMERS.Json", "ECOM", ""),
        ("crm_customers_2024-01-15.csv", "CRM", "2024-01-15"),
        ("crm_customers-2024-01-15.csv", "CRM", "2024-01-15"),
        ("crm_customers.2024-01-15.csv", "CRM", "2024-01-15"),
        ("crm_customers 2024-01-15.csv", "CRM", "2024-01-15"),
        ("crm_customers - 7.csv", "CRM", "7"),
        ("crm_customers (north).csv", "CRM", "(north)"),
        ("ecommerce_customers_North.json", "ECOM", "north"),
        ("crm_customers_Zu\u0308rich.csv", "CRM", "z\u00fcrich"),
    ],
)
def test_the_name_of_an_export_contains_its_source_and_its_suffix(name: str, source: str, suffix: str) -> None:
    found = read_name(name)
    assert found is not None
    assert (found.source.name, found.suffix) == (source, suffix)


@pytest.mark.parametrize(
    "name",
    [
        "crm_customers.xlsx",
        "crm_customers.csv.zip",
        "crm_customers.gz",
        "crm_customersX.csv",
        "my_crm_customers.csv",
        "crm_customers_.csv",
        "crm_customers",
        "customers.csv",
        "crm_customers_a\nb.csv",
        "crm_customers_\x1b[31m.csv",
        "crm_customers_\udcff.csv",
    ],
)
def test_other_names_belong_to_no_source(name: str) -> None:
    assert read_name(name) is None


@pytest.mark.parametrize(
    "name",
    [
        ".crm_customers.csv",
        ".hidden",
        "crm_customers.csv.tmp",
        "crm_customers.tmp",
        "crm_customers.csv.part",
        "crm_customers.csv.CRDOWNLOAD",
        "crm_customers.csv~",
        "crm_customers.csv.filepart",
        ".crm_customers.csv.swp",
        "crm_customers.swp",
        "crm_customers.csv.bak",
        "~$crm_customers.csv",
    ],
)
def test_incomplete_and_private_names_are_never_inputs_and_never_reported(folder: Folder, name: str) -> None:
    assert is_ignored(name)
    folder.put(name)
    assert folder.inbox.scan() == Scan()


# ----------------------------------------------------------------------------------------------------- pairing


def test_an_inbox_that_was_moved_away_is_not_made_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    inbox.open()
    (tmp_path / "inbox").rename(tmp_path / "aside")
    with pytest.raises(FileNotFoundError):
        inbox.complete()
    assert not (tmp_path / "inbox").exists()


@pytest.mark.parametrize("order", [(CRM, ECOM), (ECOM, CRM)])
def test_two_exports_are_a_candidate_in_source_order_in_any_order_of_arrival(
    folder: Folder, order: tuple[str, str]
) -> None:
    for name in order:
        folder.put(name)
    assert [file.path.name for file in folder.candidate().files] == [CRM, ECOM]


def test_files_with_one_suffix_belong_together(folder: Folder) -> None:
    for name in (CRM, "ecommerce_customers_b.json", "crm_customers-B.csv", "ecommerce_customers_c.json"):
        folder.put(name)
    scan = folder.inbox.scan()
    assert [[file.path.name for file in candidate.files] for candidate in scan.candidates] == [
        ["crm_customers-B.csv", "ecommerce_customers_b.json"]
    ]
    assert sorted(file.path.name for file in scan.unpaired) == [CRM, "ecommerce_customers_c.json"]


def test_neither_ambiguous_exports_nor_their_partner_are_claimed(folder: Folder) -> None:
    for name in ("crm_customers_7.csv", "CRM_customers-7.csv", "ecommerce_customers_7.json", CRM, ECOM):
        folder.put(name)
    scan = folder.inbox.scan()
    assert sorted(file.path.name for file in scan.ambiguous) == ["CRM_customers-7.csv", "crm_customers_7.csv"]
    assert [candidate.suffix for candidate in scan.candidates] == [""]
    assert [file.path.name for file in scan.unpaired] == ["ecommerce_customers_7.json"]


def test_only_exports_for_one_job_belong_together(folder: Folder) -> None:
    for name in (API, CRM, "api_customers_7.JSON", "crm_customers_7.csv", "ecommerce_customers_7.json", "api_8.json"):
        folder.put(name)
    scan = folder.inbox.scan()
    found = [(candidate.job, [file.path.name for file in candidate.files]) for candidate in scan.candidates]
    assert sorted(found) == [
        ("analytics", ["api_customers.json"]),
        ("analytics", ["api_customers_7.JSON"]),
        ("integration", ["crm_customers_7.csv", "ecommerce_customers_7.json"]),
    ]
    assert [file.path.name for file in scan.unpaired] == [CRM], "it still waits for its partner"
    assert [entry.file_name for entry in scan.ignored] == ["api_8.json"]


def test_ambiguous_exports_of_one_job_do_not_delay_another_job(folder: Folder) -> None:
    for name in (API, "API_customers.json", CRM, ECOM):
        folder.put(name)
    scan = folder.inbox.scan()
    assert [candidate.job for candidate in scan.candidates] == ["integration"]
    assert sorted(file.path.name for file in scan.ambiguous) == ["API_customers.json", API]
    assert scan.unpaired == ()


def test_quarantined_batches_are_listed_with_their_jobs(folder: Folder) -> None:
    batch = folder.claimed()
    folder.inbox.quarantine(batch, WRONG, NOW, "")
    folder.put(API)
    export = folder.claim()
    assert export is not None
    folder.inbox.quarantine(export, WRONG, NOW, "")
    assert {it.batch_id: it.job for it in folder.inbox.quarantined()} == {
        batch.id: "integration",
        export.id: "analytics",
    }


def test_a_reason_without_a_job_is_that_of_an_integration(folder: Folder) -> None:
    quarantined = folder.inbox.quarantine(folder.claimed(), WRONG, NOW, "")
    reason = json.loads((quarantined / "reason.json").read_text(encoding="utf-8"))
    del reason["job"]
    (quarantined / "reason.json").write_text(json.dumps(reason), encoding="utf-8")
    assert [it.job for it in folder.inbox.quarantined()] == ["integration"]


def test_candidates_are_ordered_by_suffix_and_then_by_arrival(folder: Folder) -> None:
    for suffix in ("_south", "_2024-02-01", "_10", "_north", "_9", "_20240131", ""):
        folder.put(f"crm_customers{suffix}.csv")
        folder.put(f"ecommerce_customers{suffix}.json")
    expected = ["20240131", "2024-02-01", "9", "10", "south", "north", ""]
    assert [candidate.suffix for candidate in folder.inbox.scan().candidates] == expected


@pytest.mark.parametrize("kind", ["fifo", "link", "socket", "folder"])
def test_what_is_no_regular_file_is_ignored_and_never_opened(
    folder: Folder, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder.root / CRM
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        (folder.root.parent / "secret.csv").write_text("customer_id,email\n", encoding="utf-8")
        path.symlink_to(folder.root.parent / "secret.csv")
    elif kind == "socket":
        monkeypatch.chdir(folder.root)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(CRM)
    else:
        path.mkdir()
    folder.put(ECOM)
    scan = folder.inbox.scan()
    assert [entry.file_name for entry in scan.ignored] == [CRM]
    assert {"fifo": "pipe", "link": "link", "socket": "socket", "folder": "folder"}[kind] in scan.ignored[0].why
    assert [file.path.name for file in scan.unpaired] == [ECOM]


def test_other_files_are_ignored_and_our_own_folders_are_not_listed(folder: Folder) -> None:
    folder.put("notes.txt")
    assert folder.inbox.scan() == Scan(ignored=(IgnoredFile("notes.txt", "no source has exports of this name"),))


@needs_root
def test_a_file_without_read_permission_is_marked(shared_folder: Path) -> None:
    (shared_folder / CRM).touch(0o600)
    (shared_folder / ECOM).touch(0o644)
    program = "print([file.is_readable for file in Inbox(folder).scan().candidates[0].files])"
    assert output_as_another_user(program, shared_folder, "from service.inbox import Inbox") == "[False, True]\n"


# ---------------------------------------------------------------------------------------------------- claiming


def test_a_claim_moves_both_files_and_records_them(folder: Folder) -> None:
    batch = folder.claimed()
    assert batch.id == f"20240115T120000Z-{inputs_sha256(batch.inputs)[:6]}"
    assert [file.path for file in batch.inputs] == [folder.root / ".claimed" / batch.id / name for name in (CRM, ECOM)]
    claim = json.loads((folder.root / ".claimed" / f"{batch.id}.json").read_text(encoding="utf-8"))
    assert list(claim["files"]) == [CRM, ECOM]
    assert claim["files"][CRM]["settle_proof"] == "lease"
    assert folder.inbox.scan() == Scan()


def test_the_same_bytes_in_the_same_second_are_another_batch(folder: Folder) -> None:
    first = folder.claimed()
    folder.publish(first)
    second = folder.claimed()
    assert second.id == f"{first.id}-2"


def test_the_id_of_a_published_set_is_not_reused_after_its_archive_is_gone(folder: Folder) -> None:
    published = folder.claimed().id
    shutil.rmtree(folder.root)
    folder.inbox = Inbox(folder.root, lambda batch_id: batch_id == published)
    folder.inbox.open()
    assert folder.claimed().id == f"{published}-2"


def overwrite(path: Path) -> None:
    path.write_text("newer\n", encoding="utf-8")


def replace_by_rename(path: Path) -> None:
    staged = path.with_suffix(".tmp")
    overwrite(staged)
    staged.rename(path)


@pytest.mark.parametrize("change", [overwrite, replace_by_rename, Path.unlink])
def test_a_file_that_changed_since_the_scan_is_not_claimed(folder: Folder, change: Callable[[Path], None]) -> None:
    folder.put(CRM)
    folder.put(ECOM)
    candidate = folder.candidate()
    change(folder.root / ECOM)
    before = folder.files()
    assert folder.claim(candidate) is None
    assert folder.files() == before


def test_a_file_that_became_a_link_is_not_followed(folder: Folder) -> None:
    secret = folder.root.parent / "secret"
    secret.write_text("x\n", encoding="utf-8")
    folder.put(CRM)
    folder.put(ECOM)
    candidate = folder.candidate()
    (folder.root / CRM).unlink()
    (folder.root / CRM).symlink_to(secret)
    with pytest.raises(OSError, match="symbolic link"):
        folder.claim(candidate)
    assert [entry.file_name for entry in folder.inbox.scan().ignored] == [CRM]


@pytest.mark.parametrize("change", [overwrite, replace_by_rename, Path.unlink])
def test_if_a_file_changes_between_the_two_moves_the_other_is_put_back(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    folder.put(CRM, "crm\n")
    folder.put(ECOM, "ecom\n")
    real = files.move

    def move(source: Path, target: Path, **_: object) -> None:
        if source.name == ECOM:
            change(source)
        real(source, target)

    monkeypatch.setattr(claims, "move", move)
    assert folder.claim() is None
    assert folder.files() == {CRM: "crm\n"} | ({} if change is Path.unlink else {ECOM: "newer\n"})


def test_a_newer_file_is_not_overwritten_when_the_older_is_put_back(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.put(CRM, "older\n")
    folder.put(ECOM, "ecom\n")
    real = files.move

    def move(source: Path, target: Path, **_: object) -> None:
        if source.name == ECOM:
            folder.put(CRM, "newer\n")
            source.unlink()
        real(source, target)

    monkeypatch.setattr(claims, "move", move)
    assert folder.claim() is None
    assert (folder.root / CRM).read_text(encoding="utf-8") == "newer\n"
    (older,) = (folder.root / "quarantine").iterdir()
    assert (older / CRM).read_text(encoding="utf-8") == "older\n"
    reason = json.loads((older / "reason.json").read_text(encoding="utf-8"))
    assert (reason["error"], list(reason["inputs"])) == ("SupersededFile", [CRM])
    assert list((folder.root / ".claimed").iterdir()) == []


def test_the_gap_of_a_candidate_is_that_of_the_arrival_of_its_files(folder: Folder) -> None:
    os.utime(folder.put(CRM), ns=(0, 0))  # a copy that keeps its old time arrived now all the same
    folder.put(ECOM)
    assert 0 <= folder.candidate().gap_seconds < 60


# ------------------------------------------------------------------------------- crashes in the midst of a claim


def assert_claim_is_complete(folder: Folder, batch_id: str) -> None:
    (batch,) = folder.inbox.unfinished().batches
    assert batch.id == batch_id
    assert [file.path.read_text(encoding="utf-8") for file in batch.inputs] == ["crm\n", "ecom\n"]
    assert folder.inbox.scan() == Scan()


@pytest.mark.parametrize("moved", [0, 1])
def test_a_claim_that_died_before_all_its_files_moved_is_completed(folder: Folder, moved: int) -> None:
    batch_id, _ = folder.crash_in_claim(moved)
    assert_claim_is_complete(folder, batch_id)


def test_a_claim_that_died_before_its_folder_was_made_is_completed(folder: Folder) -> None:
    batch_id, claimed = folder.crash_in_claim(0)
    claimed.rmdir()
    assert_claim_is_complete(folder, batch_id)


def test_a_complete_claim_is_found_again(folder: Folder) -> None:
    assert_claim_is_complete(folder, folder.claimed().id)


def test_a_claim_whose_files_were_archived_already_is_removed(folder: Folder) -> None:
    batch = folder.claimed()
    (folder.root / ".claimed" / batch.id).rename(folder.root / "archive" / batch.id)
    found = folder.inbox.unfinished()
    assert (found.batches, found.put_back) == ((), (batch.id,))
    assert list((folder.root / ".claimed").iterdir()) == []
    assert folder.inputs() == {f"archive/{batch.id}/{CRM}": "crm\n", f"archive/{batch.id}/{ECOM}": "ecom\n"}


def test_a_newer_file_that_came_before_the_move_ends_the_claim(folder: Folder) -> None:
    batch_id, _ = folder.crash_in_claim(1)
    replace_by_rename(folder.root / ECOM)
    assert folder.inbox.unfinished().put_back == (batch_id,)
    assert folder.files() == {CRM: "crm\n", ECOM: "newer\n"}


def test_newer_files_of_both_names_are_all_kept(folder: Folder) -> None:
    batch_id, _ = folder.crash_in_claim(1)
    replace_by_rename(folder.root / ECOM)
    folder.put(CRM, "newer\n")
    folder.inbox.unfinished()
    assert folder.inputs() == {CRM: "newer\n", ECOM: "newer\n", f"quarantine/{batch_id}/{CRM}": "crm\n"}


def test_newer_files_in_the_inbox_do_not_change_a_complete_claim(folder: Folder) -> None:
    batch = folder.claimed()
    folder.put(CRM, "newer\n")
    folder.put(ECOM, "newer\n")
    (found,) = folder.inbox.unfinished().batches
    assert found.id == batch.id
    assert len(folder.inbox.scan().candidates) == 1


def test_putting_back_that_died_between_link_and_unlink_is_completed(folder: Folder) -> None:
    batch_id, claimed = folder.crash_in_claim(0)
    (claimed / CRM).hardlink_to(folder.root / CRM)
    replace_by_rename(folder.root / ECOM)
    assert folder.inbox.unfinished().put_back == (batch_id,)
    assert folder.files() == {CRM: "crm\n", ECOM: "newer\n"}


def test_leftovers_of_a_dead_run_in_the_claims_folder_are_removed(folder: Folder) -> None:
    (folder.root / ".claimed" / "empty").mkdir()
    (folder.root / ".claimed" / ".x.json.new").touch()
    assert folder.inbox.unfinished().batches == ()
    assert list((folder.root / ".claimed").iterdir()) == []


def test_warnings_and_acceptance_of_a_claim_survive_a_crash(folder: Folder) -> None:
    folder.put(CRM)
    folder.put(ECOM)
    candidate = folder.candidate()
    folder.inbox.claim(candidate, {file.path: "lease" for file in candidate.files}, NOW, ["odd"])
    (batch,) = folder.inbox.unfinished().batches
    assert (batch.warnings, batch.claimed_at, batch.accepted) == (("odd",), NOW, False)


def test_a_claimed_file_that_was_written_to_is_hashed_again(folder: Folder) -> None:
    batch = folder.claimed()
    batch.inputs[0].path.write_text("changed\n", encoding="utf-8")
    (again,) = folder.inbox.unfinished().batches
    assert again.inputs[0].sha256 != batch.inputs[0].sha256
    assert again.inputs[1] == batch.inputs[1]


def test_the_first_attempt_uses_the_hash_of_the_claim(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def hashing(path: Path, sha256_of: Callable[[Path], str] = files.sha256_of) -> str:
        hashed.append(path.name)
        return sha256_of(path)

    for module in (files, claims):
        monkeypatch.setattr(module, "sha256_of", hashing)
    batch = folder.claimed()
    assert sorted(hashed) == [CRM, ECOM]
    assert folder.inbox.unfinished().batches == (batch,)
    assert sorted(hashed) == [CRM, CRM, ECOM, ECOM], "it may have been written to since"


def test_a_file_with_a_second_name_is_copied_and_hashed_again(folder: Folder) -> None:
    (folder.root.parent / "other_name").hardlink_to(folder.put(CRM, "crm\n"))
    folder.put(ECOM)
    batch = folder.claim()
    assert batch is not None
    (folder.root.parent / "other_name").write_text("changed\n", encoding="utf-8")
    assert batch.inputs[0].sha256 == files.sha256_of(batch.inputs[0].path) == hashlib.sha256(b"crm\n").hexdigest()
    assert files.fingerprint_of(batch.inputs[0].path) == batch.inputs[0].fingerprint


FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another batch": lambda claim: claim | {"batch_id": "20240115T120000Z-ffffff"},
    "a path for an id": lambda claim: claim | {"batch_id": "../archive"},
    "a path for a name": lambda claim: claim | {"files": {f"../{CRM}": claim["files"][CRM]}},
    "our own file": lambda claim: claim | {"files": {".lock": claim["files"][CRM]}},
    "no files": lambda claim: claim | {"files": {}},
    "an unknown source": lambda claim: claim | {"files": {CRM: claim["files"][CRM] | {"source": "ERP"}}},
    "no hash": lambda claim: claim | {"files": {CRM: claim["files"][CRM] | {"sha256": "0"}}},
    "no time": lambda claim: claim | {"claimed_at": "noon"},
    "a list": lambda claim: [claim],
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_claim_that_is_none_of_ours_is_left_alone(folder: Folder, forgery: str) -> None:
    batch = folder.claimed()
    path = folder.root / ".claimed" / f"{batch.id}.json"
    claim = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(FORGERIES[forgery](claim)), encoding="utf-8")
    before = folder.files()
    found = folder.inbox.unfinished()
    assert (found.batches, found.put_back, found.unreadable) == ((), (), (path.name,))
    assert folder.files() == before


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_a_claim_that_is_no_regular_file_is_left_alone(folder: Folder, kind: str) -> None:
    path = folder.root / ".claimed" / "20240115T120000Z-ffffff.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        (path / "full").mkdir(parents=True)
    assert folder.inbox.unfinished().unreadable == (path.name,)
    assert os.path.lexists(path)


def test_starts_count_deaths_only(folder: Folder) -> None:
    batch = folder.claimed()
    assert folder.inbox.begin(batch).starts == 1
    assert folder.inbox.begin(batch).starts == 2  # the first start died
    assert folder.inbox.count_fault(batch) == 1
    assert folder.inbox.begin(batch).starts == 2
    folder.inbox.release(batch)
    assert folder.inbox.begin(batch).starts == 2


# ------------------------------------------------------------------------------------------- archive, quarantine


def test_a_published_batch_goes_into_the_archive(folder: Folder) -> None:
    batch = folder.claimed()
    folder.publish(batch)
    assert folder.files() == {f"archive/{batch.id}/{CRM}": "crm\n", f"archive/{batch.id}/{ECOM}": "ecom\n"}


def test_a_wrong_batch_goes_into_quarantine_with_reason_and_log(folder: Folder) -> None:
    batch = folder.claimed()
    quarantined = folder.inbox.quarantine(batch, WRONG, NOW, "the log\n")
    assert sorted(path.name for path in quarantined.iterdir()) == [CRM, ECOM, "integration_log.txt", "reason.json"]
    assert (quarantined / "integration_log.txt").read_text(encoding="utf-8") == "the log\n"
    assert json.loads((quarantined / "reason.json").read_text(encoding="utf-8")) == {
        "format": 1,
        "batch_id": batch.id,
        "job": "integration",
        "quarantined_at": NOW.isoformat(),
        "error": "UnreadableFile",
        "message": "it is cut",
        "where": "line 3",
        "found": "",
        "hint": "export it again",
        "retry": f"python -m service retry {batch.id}",
        "inputs": {file.file_name: file.sha256 for file in batch.inputs},
        "inputs_sha256": inputs_sha256(batch.inputs),
        "log_sha256": hashlib.sha256(b"the log\n").hexdigest(),
        "former_outcome_sha256": None,
    }
    assert folder.inbox.unfinished().batches == ()


def test_quarantined_batches_are_listed_until_they_are_moved_back(folder: Folder) -> None:
    batch = folder.claimed()
    folder.inbox.quarantine(batch, WRONG, NOW, "")
    assert [str(it) for it in folder.inbox.quarantined()] == [f"{batch.id}: UnreadableFile"]
    folder.retry(batch.id)
    assert folder.inbox.quarantined() == []


def test_retry_moves_the_files_back(folder: Folder) -> None:
    batch = folder.claimed()
    folder.inbox.quarantine(batch, WRONG, NOW, "")
    assert folder.retry(batch.id) == [CRM, ECOM]
    assert folder.files() == {CRM: "crm\n", ECOM: "ecom\n"}
    again = folder.claim()
    assert again is not None
    assert not again.accepted


def test_retry_with_acceptance_lets_the_same_files_skip_the_guards_once(folder: Folder) -> None:
    batch = folder.claimed()
    folder.inbox.quarantine(batch, WRONG, NOW, "")
    folder.retry(batch.id, accept=True)
    accepted = folder.claim()
    assert accepted is not None
    assert accepted.accepted
    folder.publish(accepted)
    assert not folder.claimed().accepted


def test_acceptance_of_a_batch_without_a_readable_reason_is_refused(folder: Folder) -> None:
    batch = folder.claimed()
    quarantined = folder.inbox.quarantine(batch, WRONG, NOW, "")
    (quarantined / "reason.json").write_text("{}", encoding="utf-8")
    before = folder.files()
    with pytest.raises(UsageError, match="cannot be read"):
        folder.retry(batch.id, accept=True)
    assert folder.files() == before
    assert folder.retry(batch.id) == [CRM, ECOM], "without acceptance no reason is needed"


def test_acceptance_is_for_those_bytes_only(folder: Folder) -> None:
    batch = folder.claimed()
    folder.inbox.quarantine(batch, WRONG, NOW, "")
    folder.retry(batch.id, accept=True)
    folder.put(CRM, "others\n")
    other = folder.claim()
    assert other is not None
    assert not other.accepted


@pytest.mark.parametrize("batch_id", ["20240115T120000Z-ffffff", "..", ".", "../archive", ""])
def test_retry_of_an_unknown_batch_is_refused(folder: Folder, batch_id: str) -> None:
    with pytest.raises(UsageError, match="no quarantined batch"):
        folder.retry(batch_id, accept=True)


def test_retry_overwrites_nothing_that_waits(folder: Folder) -> None:
    batch = folder.claimed()
    folder.inbox.quarantine(batch, WRONG, NOW, "")
    folder.put(ECOM, "newer\n")
    before = folder.files()
    with pytest.raises(UsageError, match=f"{ECOM} waits in the inbox already"):
        folder.retry(batch.id, accept=True)
    assert folder.files() == before
    assert not (folder.state / "accepted").exists()


def test_retry_of_a_batch_whose_files_were_moved_back_by_hand_is_refused(folder: Folder) -> None:
    batch = folder.claimed()
    quarantined = folder.inbox.quarantine(batch, WRONG, NOW, "")
    for name in (CRM, ECOM):
        (quarantined / name).rename(folder.root / name)
    assert folder.inbox.quarantined() == []
    with pytest.raises(UsageError, match="gone from the quarantine"):
        folder.retry(batch.id)
    assert folder.claim() is not None


def test_a_retry_that_died_is_completed_by_another(folder: Folder) -> None:
    batch = folder.claimed()
    quarantined = folder.inbox.quarantine(batch, WRONG, NOW, "")
    (quarantined / CRM).rename(folder.root / CRM)
    assert folder.retry(batch.id) == [ECOM]
    assert len(folder.inbox.scan().candidates) == 1


def test_pruning_removes_the_archives_of_the_named_batches_only(folder: Folder) -> None:
    old = folder.claimed()
    folder.publish(old)
    new = folder.claimed()
    folder.publish(new)
    folder.inbox.prune([old.id, "long gone"])
    assert [path.name for path in (folder.root / "archive").iterdir()] == [new.id]


# -------------------------------------------------------------------------------------------------------- lock


def test_one_instance_works_here_at_a_time(folder: Folder) -> None:
    other = Inbox(folder.root)
    assert folder.inbox.try_lock("a")
    assert not other.try_lock("a")
    folder.inbox.unlock()
    assert other.try_lock("a")


@pytest.mark.parametrize("is_held", [True, False])
def test_another_state_is_refused_while_its_owner_runs_and_after_it(folder: Folder, is_held: bool) -> None:
    assert folder.inbox.try_lock("a")
    if not is_held:
        folder.inbox.unlock()
    with pytest.raises(UsageError, match="belongs to another state"):
        Inbox(folder.root).try_lock("b")


def test_a_folder_that_was_replaced_is_not_held_any_more(folder: Folder) -> None:
    folder.inbox.try_lock("a")
    assert folder.inbox.is_locked()
    shutil.rmtree(folder.root)
    assert not folder.inbox.is_locked()
    folder.inbox.unlock()
    folder.inbox.open()
    assert folder.inbox.try_lock("a")
    assert folder.inbox.is_locked()
    assert folder.inbox.is_new


def test_a_folder_that_was_used_before_is_not_new(folder: Folder) -> None:
    folder.inbox.try_lock("a")
    folder.inbox.unlock()
    folder.inbox.try_lock("a")
    assert not folder.inbox.is_new
