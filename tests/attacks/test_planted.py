"""Another user who may create entries in inbox and outbox: nothing is followed, nothing is destroyed, nothing hangs.

Each attack is made by a process of another user. After it the secret is intact and in no published file; the service
works on, or says in its health or on stderr what is in its way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.users import ATTACKER, SharedHouse, fifo, folder, link, remove, write
from tests.required import needs_root

pytestmark = [pytest.mark.large, needs_root]

ID = "20240115T120000Z-aaaaaa"
OUR_FOLDERS = ("inbox/.claimed", "inbox/archive", "inbox/quarantine", "outbox/.staging", "outbox/batches")
NO_PATHS = (fifo, folder)


def claim_text(files: dict[str, Any], batch_id: str = ID) -> str:
    return json.dumps(
        {"batch_id": batch_id, "claimed_at": "2024-01-15T12:00:00+00:00", "suffix": "", "files": files, "starts": 0}
    )


def claimed_as(path: Path, source: str) -> dict[str, Any]:
    """A file as a claim describes it, with its true fingerprint; a link is that of the link."""
    status = path.lstat()
    fingerprint = {
        "device": status.st_dev,
        "inode": status.st_ino,
        "size_bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
    }
    return {"source": source, "sha256": "a" * 64, "fingerprint": fingerprint, "settle_proof": "lease"}


# ------------------------------------------------------------------------------------------------------ our folders


@pytest.mark.parametrize("name", OUR_FOLDERS)
def test_a_link_in_the_place_of_one_of_our_folders_is_refused(shared: SharedHouse, name: str) -> None:
    target = shared.make_target()
    shared.attack(link, shared.root / name, target)
    shared.drop()
    refused = shared.once()
    assert refused.code == 3
    assert Path(name).name in refused.err + refused.out
    assert "real folder" in refused.err + refused.out
    assert sorted(path.name for path in target.iterdir()) == ["precious"]
    shared.attack(remove, shared.root / name)
    assert shared.once().code == 0
    assert len(shared.batches()) == 1


@pytest.mark.parametrize("name", OUR_FOLDERS)
def test_a_folder_of_ours_that_becomes_a_link_is_refused_while_the_service_runs(shared: SharedHouse, name: str) -> None:
    target = shared.make_target()
    with shared.watching():
        shared.attack(link, shared.root / name, target)
        shared.drop()
        shared.health_is("failing", "real folder")
        assert sorted(path.name for path in target.iterdir()) == ["precious"]
        shared.attack(remove, shared.root / name)
        shared.health_is("ok", '"last_batch": "')
    assert len(shared.batches()) == 1


def test_a_closed_folder_of_another_user_ends_no_start(shared: SharedHouse) -> None:
    for parent in ("inbox/quarantine", "inbox/.claimed", "outbox/batches"):
        shared.attack(folder, shared.root / parent)
        shared.attack(folder, shared.root / parent / ID, 0)
    shared.drop()
    assert shared.once().code == 0
    assert len(shared.batches()) == 2, "that of the attacker, which stays, and ours"


# ------------------------------------------------------------------------------------------------- temp files, locks


@pytest.mark.parametrize("name", ["outbox/.customer_master.csv.new", "outbox/.manifest.json.new"])
def test_a_link_under_the_former_name_of_a_temp_file_is_not_written_through(shared: SharedHouse, name: str) -> None:
    with shared.watching():
        shared.attack(link, shared.root / name, shared.secret)
        shared.drop()
        shared.health_is("ok", '"last_batch": "')
    assert shared.is_secret_kept()
    assert shared.manifest()["rows"]["records"] == 8


@pytest.mark.parametrize("make", NO_PATHS)
def test_what_looks_like_a_temp_file_does_not_stop_a_start(shared: SharedHouse, make: Callable[[Path], None]) -> None:
    for parent in (shared.inbox, shared.outbox, shared.inbox / ".claimed"):
        shared.attack(make, parent / ".x.new")
    (shared.inbox / ".claimed").chmod(0o777)
    shared.drop()
    assert shared.once().code == 0
    assert len(shared.batches()) == 1


def test_a_lock_that_is_a_link_does_not_empty_its_target(shared: SharedHouse) -> None:
    shared.attack(link, shared.inbox / ".lock", shared.secret)
    refused = shared.once()
    assert refused.code == 3
    assert "symbolic link" in refused.err
    assert ".lock" in refused.err
    assert shared.is_secret_kept()


@pytest.mark.parametrize("make", NO_PATHS)
def test_a_lock_that_is_no_file_is_refused(shared: SharedHouse, make: Callable[[Path], None]) -> None:
    shared.attack(make, shared.inbox / ".lock")
    refused = shared.once()
    assert refused.code == 3
    assert ".lock" in refused.err


# ------------------------------------------------------------------------------------------------------------ claims


def plant_claim(inbox: Path, secret: Path, kind: str) -> None:
    """Runs as the attacker: an own ``.claimed`` with a claim that would publish or move the secret."""
    claimed = inbox / ".claimed"
    claimed.mkdir()
    claimed.chmod(0o777)
    batch = claimed / ID
    if kind == "absolute paths":
        files = {str(secret): claimed_as(secret, "CRM")}
        (claimed / "x.json").write_text(claim_text(files, "x"), encoding="utf-8")
    elif kind == "a path for an id":
        files = {secret.name: claimed_as(secret, "CRM")}
        (claimed / "x.json").write_text(claim_text(files, f"../../{secret.parent.name}"), encoding="utf-8")
    elif kind == "links for files":
        batch.mkdir()
        for name in ("crm_customers.csv", "ecommerce_customers.json"):
            (batch / name).symlink_to(secret)
        files = {
            name: claimed_as(batch / name, source)
            for name, source in (("crm_customers.csv", "CRM"), ("ecommerce_customers.json", "ECOM"))
        }
        claimed.joinpath(f"{ID}.json").write_text(claim_text(files), encoding="utf-8")
    elif kind == "a link for its folder":
        batch.symlink_to(secret.parent)
        files = {"secret.csv": claimed_as(secret, "CRM")}
        claimed.joinpath(f"{ID}.json").write_text(claim_text(files), encoding="utf-8")
    elif kind == "pipes for files":
        batch.mkdir()
        os.mkfifo(batch / "crm_customers.csv", 0o666)
        files = {"crm_customers.csv": claimed_as(batch / "crm_customers.csv", "CRM")}
        claimed.joinpath(f"{ID}.json").write_text(claim_text(files), encoding="utf-8")
    elif kind == "a closed folder":
        batch.mkdir(0)
        files = {"crm_customers.csv": claimed_as(secret, "CRM")}
        claimed.joinpath(f"{ID}.json").write_text(claim_text(files), encoding="utf-8")
    else:
        make = {"a pipe": fifo, "a folder": folder}[kind]
        make(claimed / f"{ID}.json")
        if kind == "a folder":
            (claimed / f"{ID}.json" / "x").touch()


CLAIMS = (
    *("absolute paths", "a path for an id", "links for files", "a link for its folder", "pipes for files"),
    *("a closed folder", "a pipe", "a folder"),
)


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_planted_claim_is_not_believed_and_the_work_goes_on(shared: SharedHouse, kind: str) -> None:
    shared.attack(plant_claim, shared.inbox, shared.secret, kind)
    with shared.watching():
        shared.drop()
        shared.health_is("degraded", '"last_batch": "')
        shared.health_is("degraded", "cannot be read")
    assert shared.is_secret_kept()
    assert len(shared.batches()) == 1
    assert shared.manifest()["rows"]["records"] == 8


# ------------------------------------------------------------------------------------------------ reasons and retry

ODD_REASONS = ("[]", "null", "", "{", '{"batch_id": 5}', "[" * 100_000, '"' + "x" * (17 << 20))


@pytest.mark.parametrize("text", ODD_REASONS, ids=lambda text: text[:16] or "empty")
def test_an_odd_reason_ends_no_start(shared: SharedHouse, text: str) -> None:
    shared.attack(write, shared.inbox / "quarantine" / ID / "reason.json", text)
    shared.attack(write, shared.inbox / "quarantine" / ID / "crm_customers.csv", "x")
    (shared.inbox / "quarantine").chmod(0o777)
    shared.drop()
    assert shared.once().code == 0
    assert len(shared.batches()) == 1
    assert shared.service("retry", ID).code in (2, 3)


@pytest.mark.parametrize("make", NO_PATHS)
def test_a_reason_that_is_no_file_ends_no_start(shared: SharedHouse, make: Callable[[Path], None]) -> None:
    shared.attack(make, shared.inbox / "quarantine" / ID / "reason.json")
    shared.attack(write, shared.inbox / "quarantine" / ID / "crm_customers.csv", "x")
    shared.drop()
    assert shared.once().code == 0
    assert shared.service("retry", ID).code == 2


@pytest.mark.parametrize("sha256", ["../../secret.csv", "/etc/passwd", "a" * 63, "A" * 64])
def test_retry_accepts_no_path_for_a_hash(shared: SharedHouse, sha256: str) -> None:
    reason = {
        "batch_id": ID,
        "quarantined_at": "2024-01-15T12:00:00+00:00",
        "error": "SuspiciousVolume",
        "message": "m",
        "where": "",
        "found": "",
        "hint": "",
        "retry": "",
        "inputs": {},
        "inputs_sha256": sha256,
    }
    shared.attack(write, shared.inbox / "quarantine" / ID / "reason.json", json.dumps(reason))
    shared.attack(write, shared.inbox / "quarantine" / ID / "crm_customers.csv", "x")
    assert shared.service("retry", "--accept", ID).code == 2
    assert shared.is_secret_kept()


@pytest.mark.parametrize("batch_id", ["..", ".", "../../state", "x"])
def test_retry_takes_ids_only(shared: SharedHouse, batch_id: str) -> None:
    shared.once()
    for path in (shared.inbox / "reason.json", shared.inbox / "x.txt"):
        shared.attack(write, path, "{}")
    assert shared.service("retry", batch_id).code == 2
    assert (shared.inbox / "x.txt").exists()


# ------------------------------------------------------------------------------------------------------- flat files


@pytest.mark.parametrize("name", ["customer_master.csv", "integration_log.txt", "manifest.json"])
@pytest.mark.parametrize("make", [fifo, "link"])
def test_a_link_or_pipe_in_the_place_of_a_flat_file_is_replaced(
    shared: SharedHouse, name: str, make: Callable[[Path], None] | str
) -> None:
    if callable(make):
        shared.attack(make, shared.outbox / name)
    else:
        shared.attack(link, shared.outbox / name, shared.secret)
    shared.drop()
    assert shared.once().code == 0
    assert (shared.outbox / name).is_file()
    assert not (shared.outbox / name).is_symlink()
    assert shared.is_secret_kept()


def test_the_log_of_a_failed_run_is_not_written_through_a_link(shared: SharedHouse) -> None:
    shared.attack(link, shared.outbox / "integration_log.txt", shared.secret)
    assert shared.service("integrate", "gone.csv", "gone.json", "--outbox", str(shared.outbox)).code == 2
    assert shared.is_secret_kept()
    assert "File not found" in shared.read("integration_log.txt")


def plant_set(outbox: Path, batch_id: str, secret: Path) -> None:
    """Runs as the attacker: another set in the place of a published one, whose files are links to the secret."""
    folder(outbox / "batches" / batch_id)
    for name in ("customer_master.csv", "duplicate_report.csv", "integration_log.txt", "integration_log.jsonl"):
        (outbox / "batches" / batch_id / name).symlink_to(secret)
    (outbox / "batches" / batch_id / "manifest.json").write_text("{}", encoding="utf-8")
    (outbox / "manifest.json").unlink()


def test_flat_files_are_not_copied_from_links(shared: SharedHouse) -> None:
    shared.drop()
    assert shared.once().code == 0
    (shared.outbox / "batches").chmod(0o777)
    shared.attack(plant_set, shared.outbox, shared.batches()[0], shared.secret)
    shared.once()
    assert shared.is_secret_kept()


def test_the_state_is_closed_to_other_users(shared: SharedHouse) -> None:
    assert ATTACKER != 0
    shared.once()
    assert shared.state.stat().st_mode & 0o777 == 0o700
