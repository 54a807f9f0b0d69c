"""What went wrong in operation, as tests of what is promised now: each is a situation that was reported."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from service.__main__ import main
from service.acceptance import Acceptance
from service.container import is_user_namespace
from service.errors import SettingsError
from service.inbox import names
from service.inbox.names import original_of, read_name, shown_name
from service.settings import Settings, load
from service.watch import daemon
from tests.attacks.users import SERVICE_USER, shared_house
from tests.required import is_lacking, needs_root
from tests.warm import SERVER
from tests.worlds import CRM, ECOM, QUICK, ROOT, House, Works, local_now, wait_until

EMPTY_ECOM = '{"customers": []}'
_PR_SET_DUMPABLE, _CLONE_NEWUSER = 4, 0x10000000
_NO_NAMESPACES = 77


def crm_of(rows: int, *more: str) -> str:
    header = "customer_id,full_name,email\n"
    return header + "".join(f"C{n},Firsta{n} Last{n},p{n}@x.com\n" for n in range(rows)) + "".join(more)


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return Works(tmp_path)


def quarantined_by_the_volume_guard(works: Works) -> Path:
    """The folder of a pair ``_2`` that has too few rows after the pair ``_1``."""
    works.drop("_1", crm=crm_of(60), ecom=EMPTY_ECOM)
    works.drop("_2", crm=crm_of(10), ecom=EMPTY_ECOM)
    assert works.once(volume_guard_rows=50).quarantined == 1
    return works.quarantine()[0]


# ------------------------------------------------------------------------------------------------ retry --accept


@pytest.mark.large
def test_acceptance_is_for_the_files_as_they_lie_there_now(works: Works) -> None:
    folder = quarantined_by_the_volume_guard(works)
    (folder / "crm_customers_2.csv").write_text(crm_of(10, "C99,One More,one@x.com\n"), encoding="utf-8")
    assert works.retry("--accept", folder.name) == 0
    result = works.once(volume_guard_rows=50)
    assert (result.published, result.quarantined) == (1, 0)
    assert len(works.rows("customer_master.csv")) == 11
    assert list((works.state / "accepted").iterdir()) == []


@pytest.mark.large
@pytest.mark.parametrize("mended", [crm_of(11), "wrong\n", None])
def test_an_acceptance_that_was_not_used_ends(works: Works, mended: str | None) -> None:
    folder = quarantined_by_the_volume_guard(works)
    assert works.retry("--accept", folder.name) == 0
    for name in ("crm_customers_2.csv", "ecommerce_customers_2.json"):
        if mended is None:
            (works.inbox / name).unlink()
    if mended is not None:
        (works.inbox / "crm_customers_2.csv").write_text(mended, encoding="utf-8")
    works.once(volume_guard_rows=50)
    assert list((works.state / "accepted").iterdir()) == []
    works.drop("_2", crm=crm_of(10), ecom=EMPTY_ECOM)
    assert works.once(volume_guard_rows=50).quarantined == 1, "no user accepted these files"


@pytest.mark.large
@needs_root
def test_root_may_accept_a_batch_while_the_service_works_as_another_user() -> None:
    with shared_house() as house:
        with house.watching():
            house.drop("_2024-02-01")
            wait_until(house.batches)
            house.drop("_2024-01-01")
            wait_until(house.quarantine)
            (folder,) = house.quarantine()
            accepted = subprocess.run(
                [sys.executable, "-m", "service", "retry", "--accept", folder.name],
                cwd=house.root,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
                check=False,
            )
            assert accepted.returncode == 0
            wait_until(lambda: len(house.archived()) == 2)
            house.drop("_2024-03-01")
            wait_until(lambda: len(house.archived()) == 3)
            house.health_is("ok")
            assert list((house.state / "accepted").iterdir()) == []
        assert len(house.batches()) == 3
        assert house.verified().findings == []


# ------------------------------------------------------------------------------------- faults after the commit


@pytest.mark.large
@pytest.mark.parametrize("step", ["acceptance.Acceptance.end", "inbox.inbox.Inbox.archive", "outbox.Outbox.copy_flat"])
def test_a_step_that_fails_after_the_commit_stops_no_other_batch(
    works: Works, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    owner, _, name = f"service.{step}".rpartition(".")
    real = getattr(resolve_name(owner), name)
    is_broken = [True]

    def guarded(self: Any, *arguments: Any) -> Any:
        if is_broken[0] and (name == "copy_flat" or "_1" in str(arguments)):
            raise PermissionError(errno.EACCES, "Permission denied", "state/accepted/x")
        return real(self, *arguments)

    monkeypatch.setattr(resolve_name(owner), name, guarded)
    works.drop("_1", ecom=EMPTY_ECOM)
    with works.watching():
        wait_until(lambda: len(works.batches()) == 1)
        health = works.waits_to_be(lambda it: "a step after it failed" in str(it["reasons"]))
        assert health["state"] == "degraded"
        assert "Permission denied" in str(health["reasons"])
        is_broken[0] = step != "outbox.Outbox.copy_flat"
        works.drop("_2", ecom=EMPTY_ECOM)
        wait_until(lambda: len(works.batches()) == 2)
        is_broken[0] = False
        works.waits_to_be(lambda it: it["state"] == "ok")
        wait_until(lambda: len(works.archived()) == 2)
    assert works.verified().findings == []


# --------------------------------------------------------------------------------------------------- wrong clock


def _now_plus(ahead: timedelta) -> datetime:
    return local_now() + ahead


@pytest.mark.large
def test_a_clock_that_was_ahead_deletes_no_new_set(works: Works) -> None:
    for number in range(1, 7):
        works.drop(f"_{number}", crm=crm_of(number), ecom=EMPTY_ECOM)
        ahead = timedelta(days=1500 if number <= 3 else 0)
        here = {"inbox": works.inbox, "outbox": works.outbox, "state": works.state, "keep_batches": 3}
        watcher = daemon.build(Settings(**(QUICK | here)), partial(_now_plus, ahead))
        assert watcher.run(once=True).published == 1
    kept = [len(works.rows("customer_master.csv", batch_id)) for batch_id in works.batches()]
    assert sorted(kept) == [4, 5, 6]
    assert sorted(works.batches()) == works.archived()
    assert works.verified().findings == []


# --------------------------------------------------------------------------------- files that no user has dropped


@pytest.mark.large
@pytest.mark.parametrize(
    "name", [".DS_Store", "._crm_customers.csv", "~$crm_customers.csv", "Thumbs.db", "@eaDir", "desktop.ini"]
)
def test_files_of_a_file_manager_hinder_nothing(works: Works, name: str) -> None:
    works.drop(ecom="{broken")
    assert works.once().quarantined == 1
    (folder,) = works.quarantine()
    for place in (works.inbox, folder):
        (place / name).mkdir() if name == "@eaDir" else (place / name).write_bytes(b"x")
    (folder / ECOM).write_text(EMPTY_ECOM, encoding="utf-8")
    assert works.retry(folder.name) == 0
    assert not folder.exists()
    assert works.once().published == 1
    assert works.health()["ignored"] == []
    archive = works.inbox / "archive" / works.archived()[0]
    (archive / ".DS_Store").write_bytes(b"x")
    (works.outbox / "batches" / ".DS_Store").write_bytes(b"x")
    assert works.verified().findings == []


def test_retry_moves_the_files_that_the_batch_had_and_no_other(
    works: Works, capsys: pytest.CaptureFixture[str]
) -> None:
    works.drop(ecom="{broken")
    assert works.once().quarantined == 1
    (folder,) = works.quarantine()
    (folder / "notes.txt").write_text("mended by hand", encoding="utf-8")
    (folder / ECOM).write_text(EMPTY_ECOM, encoding="utf-8")
    assert works.retry(folder.name) == 0
    assert "notes.txt" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert sorted(path.name for path in works.inbox.iterdir() if path.is_file() and path.name != ".lock") == [CRM, ECOM]
    assert works.once().published == 1
    assert works.health()["state"] == "ok"


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("crm_customers (1).csv", "crm_customers.csv"),
        ("crm_customers(2).csv", "crm_customers.csv"),
        ("crm_customers_2024-01-15 (1).csv", "crm_customers_2024-01-15.csv"),
        ("crm_customers - Copy.csv", "crm_customers.csv"),
        ("crm_customers - Copy (3).csv", "crm_customers.csv"),
        ("crm_customers - Kopie.csv", "crm_customers.csv"),
        ("crm_customers copy 2.csv", "crm_customers.csv"),
        ("Copy of crm_customers.csv", "crm_customers.csv"),
        ("crm_customers (1).csv.gz", "crm_customers.csv.gz"),
    ],
)
def test_a_copy_degrades_health_with_the_name_to_give_it(works: Works, name: str, original: str) -> None:
    assert original_of(name) == original
    (works.inbox / name).write_text(crm_of(3), encoding="utf-8")
    works.once()
    health = works.health()
    assert health["state"] == "degraded"
    assert f"{name} is ignored: its name is that of a copy: rename it to {original}, or remove it" in health["reasons"]


@pytest.mark.large
def test_copies_of_both_exports_are_no_pair(works: Works) -> None:
    works.drop(" (1)", ecom=EMPTY_ECOM)
    works.drop(ecom=EMPTY_ECOM)
    assert works.once().published == 1
    assert works.once().published == 0
    assert len([it for it in works.health()["reasons"] if "that of a copy" in it]) == 2
    for name in (CRM, ECOM):
        stem, _, kind = name.partition(".")
        (works.inbox / f"{stem} (1).{kind}").rename(works.inbox / name)
    assert works.once().published == 1


@pytest.mark.parametrize(
    "mark",
    [
        " (conflicted copy 2024-01-15)",
        " (Ann Lee's conflicted copy 2024-01-15)",
        "_2024-01-15 (conflicted copy 2024-01-15 103000)",
        " (Case Conflict)",
        " (Konfliktkopie 2024-01-15)",
        " (SFConflict ann@lee.example 2024-01-15-10-30-00)",
        ".sync-conflict-20240115-103000-ABCDEFG",
        "_conflict-20240115-103000",
    ],
)
def test_what_a_sync_program_could_not_merge_is_no_export(mark: str) -> None:
    for name in (f"crm_customers{mark}.csv", f"ecommerce_customers{mark}.json", f"crm_customers{mark}.csv.gz"):
        assert read_name(name) is None
        assert "Ann" not in shown_name(name)


@pytest.mark.large
def test_what_a_sync_program_could_not_merge_is_never_taken_and_never_in_the_way(works: Works) -> None:
    mark = " (Ann Lee's conflicted copy 2024-01-15)"
    works.drop(ecom="{broken")
    assert works.once().quarantined == 1
    (folder,) = works.quarantine()
    works.drop(mark, ecom=EMPTY_ECOM)
    shutil.copy(works.inbox / f"crm_customers{mark}.csv", folder)
    (folder / ECOM).write_text(EMPTY_ECOM, encoding="utf-8")
    assert works.retry(folder.name) == 0
    assert works.once().published == 1
    assert works.once().published == 0
    health = works.health()
    assert (health["state"], health["waiting"]) == ("ok", [])
    assert len(health["ignored"]) == 2
    assert all("could not merge" in entry["why"] and "Ann" not in str(entry) for entry in health["ignored"])


@pytest.mark.parametrize("name", ["crm_customers_Ann Lee (1).csv", "Copy of crm_customers_Ann Lee.csv"])
def test_health_shows_no_person_whose_name_a_copy_has(works: Works, name: str) -> None:
    (works.inbox / name).write_text(crm_of(3), encoding="utf-8")
    works.once()
    assert "rename it to crm_customers_#a36e14.csv" in str(works.health()["reasons"])
    assert "Ann" not in str(works.health())


def test_names_of_exports_are_not_those_of_copies() -> None:
    for name in ("crm_customers_2024-01-15.csv", "crm_customers 3.csv", "crm_customers_copycat.csv"):
        assert original_of(name) is None


@pytest.mark.parametrize(
    "name", ["crm_customers.part.csv", "crm_customers_7.tmp.csv", "ecommerce_customers.crdownload.json"]
)
def test_an_unfinished_transfer_is_ignored_and_reported(works: Works, name: str) -> None:
    assert read_name(name) is None
    (works.inbox / name).write_text(crm_of(3), encoding="utf-8")
    works.once()
    (ignored,) = works.health()["ignored"]
    assert (ignored["file_name"], "unfinished transfer" in ignored["why"]) == (shown_name(name), True)
    assert names.is_incomplete(name)


def test_a_mended_export_under_another_name_waits_and_health_says_for_what(works: Works) -> None:
    works.drop("_7", ecom="{broken")
    assert works.once().quarantined == 1
    (works.inbox / "ecommerce_customers_7_mended.json").write_text(EMPTY_ECOM, encoding="utf-8")
    works.once()
    (waiting,) = works.health()["waiting"]
    assert waiting["file_name"] == shown_name("ecommerce_customers_7_mended.json")
    assert waiting["waits_for"] == shown_name("crm_customers_7_mended.csv")


# ------------------------------------------------------------------------------------------------- stuck exports


@pytest.mark.large
def test_an_export_whose_writer_never_ends_is_passed_and_its_pair_is_outdated(works: Works) -> None:
    works.drop("_1", crm=crm_of(2), ecom=EMPTY_ECOM)
    works.drop("_2", crm=crm_of(3), ecom=EMPTY_ECOM)
    with open(works.inbox / "crm_customers_1.csv", "ab") as writer, works.watching(stuck_pair_minutes=1.5 / 60):
        wait_until(lambda: len(works.batches()) == 1)
        health = works.waits_to_be(lambda it: it["state"] == "degraded")
        assert any("crm_customers_1.csv is not ready" in reason for reason in health["reasons"])
        wait_until(works.archived)
        assert "crm_customers_1.csv was not ready for long" in works.read("integration_log.txt")
        (passed_by,) = works.batches()
        writer.close()
        wait_until(works.quarantine)
        works.waits_to_be(lambda it: not it["waiting"])
    assert works.reason()["error"] == "OutdatedBatch"
    assert passed_by in works.reason()["message"]


@pytest.mark.large
@needs_root
def test_an_export_that_cannot_be_read_is_passed_and_its_pair_is_outdated() -> None:
    with shared_house() as house:
        for suffix in ("_1", "_2"):
            house.drop(suffix)
        closed = house.inbox / "crm_customers_1.csv"
        closed.chmod(0o000)
        with house.watching(stuck_pair_minutes="0.02"):
            wait_until(house.archived)
            house.health_is("degraded", "crm_customers_1.csv is not ready, and later pairs do not wait for it")
            (passed_by,) = house.batches()
            closed.chmod(0o644)
            wait_until(house.quarantine)
        assert house.reason()["error"] == "OutdatedBatch"
        assert passed_by in house.reason()["message"]


@pytest.mark.large
def test_later_pairs_wait_for_an_export_that_still_arrives(works: Works) -> None:
    works.drop("_1", crm=crm_of(2), ecom=EMPTY_ECOM)
    works.drop("_2", crm=crm_of(3), ecom=EMPTY_ECOM)
    with open(works.inbox / "crm_customers_1.csv", "ab") as writer, works.watching():
        wait_until(lambda: works.health()["waiting_count"] == 4)
        assert works.batches() == []
        writer.close()
        wait_until(lambda: len(works.archived()) == 2)
    first, second = (works.rows("customer_master.csv", batch_id) for batch_id in works.batches_of("integration"))
    assert (len(first), len(second)) == (2, 3)


# ---------------------------------------------------------------------------------------------- messages, streams


@pytest.mark.large
def test_a_failed_rename_names_source_and_target(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    works.drop("_1", ecom=EMPTY_ECOM)
    assert works.once().published == 1

    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if "batches" in str(target):
            raise PermissionError(errno.EACCES, "Permission denied", str(self), None, str(target))
        return rename(self, target)

    works.drop("_2", ecom=EMPTY_ECOM)
    with works.watching():
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", refused)
            health = works.waits_to_be(lambda it: "Permission denied" in str(it["reasons"]))
        assert ".staging/" in str(health["reasons"])
        assert "outbox/batches/" in str(health["reasons"])


@pytest.mark.large
@needs_root
def test_a_folder_that_belongs_to_another_user_is_named_in_health_and_reason() -> None:
    with shared_house() as house:
        house.drop("_1")
        assert house.once().code == 0
        os.chown(house.outbox / "batches", 0, 0)
        house.drop("_2")
        with house.watching():
            house.health_is("failing", "outbox/batches cannot be written")
            wait_until(house.quarantine)
        reason = house.reason()
        assert reason["error"] == "LastingFault"
        source, _, target = reason["message"].partition(" -> ")
        assert "outbox/.staging/" in source
        assert f"outbox/batches/{reason['batch_id']}" in target
        assert "remove the cause that the message names" in reason["hint"]
        os.chown(house.outbox / "batches", SERVICE_USER, SERVICE_USER)
        assert house.service("retry", reason["batch_id"]).code == 0
        assert house.once().code == 0
        assert len(house.batches()) == 2


def test_a_folder_below_the_roots_that_cannot_be_written_is_named(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    works.drop()
    assert works.once().published == 1
    access = os.access
    for name, state in (("outbox/batches", "failing"), ("inbox/archive", "degraded")):
        monkeypatch.setattr(os, "access", lambda path, mode, name=name: name not in str(path) and access(path, mode))
        works.once()
        health = works.health()
        assert health["state"] == state
        assert f"{name} cannot be written" in str(health["reasons"])


@pytest.mark.large
@needs_root
@pytest.mark.parametrize("name", ["inbox", "inbox/quarantine", "outbox", "state"])
def test_a_folder_that_is_closed_for_a_while_does_not_end_the_daemon(name: str) -> None:
    with shared_house() as house:
        house.drop("_1")
        (house.inbox / "crm_customers_1.csv").write_text("klantnummer\n1\n", encoding="utf-8")
        folder = house.root / name
        with house.watching() as daemon_process:
            wait_until(house.quarantine)
            house.health_is("degraded", "quarantined")
            mode = stat.S_IMODE(folder.stat().st_mode)
            folder.chmod(0o000)
            if name == "state":  # where health itself is written
                time.sleep(1)
            else:
                house.health_is("failing", f"{name} cannot be")
            folder.chmod(mode)
            house.health_is("degraded", "quarantined")
            house.drop("_2")
            wait_until(house.archived)
            house.health_is("ok")
            assert daemon_process.is_alive()
        assert house.verified().findings == []


@pytest.mark.large
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_hinder_nothing(tmp_path: Path, closed: str) -> None:
    house = House(tmp_path)
    house.drop()
    command = f'exec "{sys.executable}" -m service watch --once {closed}'
    done = subprocess.run(["sh", "-c", command], cwd=house.root, env=house.environment(), timeout=120, check=False)
    assert done.returncode == 0
    assert len(house.batches()) == 1
    assert json.loads((house.state / "health.json").read_text())["state"] == "ok"
    assert house.verified().findings == []


def test_a_mark_of_an_earlier_version_ends_unused(works: Works) -> None:
    (works.state / "accepted").mkdir(parents=True)
    (works.state / "accepted" / ("a" * 64)).write_text("")
    works.once()
    assert not Acceptance(works.state).is_given("a" * 64)


# ------------------------------------------------------------------------------------------- other file systems


@pytest.mark.large
@pytest.mark.parametrize("root", ["inbox", "outbox", "state"])
def test_a_file_system_that_cannot_sync_folders_can_be_used(
    works: Works, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    fsync = os.fsync

    def refused(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) and _path_of(descriptor).is_relative_to(works.root / root):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    for suffix in ("_1", "_2"):
        works.drop(suffix)
    works.drop("_3", ecom="{broken")
    result = works.once()
    assert (result.published, result.quarantined, result.unfinished) == (2, 1, 0)
    health = works.health()
    assert [note.split()[4] for note in health["notes"]] == [str(works.root / root)]
    assert "cannot sync" not in str(health["reasons"])
    assert works.verified().findings == []


def test_a_file_that_cannot_be_synced_is_still_a_fault(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and ".staging" in str(_path_of(descriptor)):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    works.drop()
    assert works.once().unfinished == 1
    assert works.batches() == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
@pytest.mark.parametrize("root", ["inbox", "state"])
def test_a_start_on_a_file_system_without_locks_is_refused_with_path_and_reason(
    works: Works, monkeypatch: pytest.MonkeyPatch, root: str, number: int
) -> None:
    flock = fcntl.flock

    def refused(descriptor: int, operation: int) -> None:
        if _path_of(descriptor).is_relative_to(works.root / root):
            raise OSError(number, os.strerror(number))
        flock(descriptor, operation)

    works.drop()
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refused)
        with pytest.raises(SettingsError) as error:
            works.once()
    assert f"{works.root / root} cannot be locked ({os.strerror(number)})" in error.value.message
    assert f"SERVICE_{root.upper()}" in error.value.hint
    assert works.batches() == []
    assert works.once().published == 1, "nothing is left of the refused start"


@pytest.mark.parametrize("root", ["inbox", "state"])
def test_a_disk_that_fails_at_the_lock_is_a_fault_of_the_environment_and_no_wrong_setting(
    works: Works, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    def broken(descriptor: int, operation: int) -> None:
        if _path_of(descriptor).is_relative_to(works.root / root):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    works.drop()
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", broken)
        with pytest.raises(OSError, match="cannot be locked") as error:
            works.once()
    assert error.value.filename == str(works.root / root / ".lock")
    assert works.once().published == 1


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


# ------------------------------------------------------------------------------------------------- settings, signals


@pytest.mark.parametrize(
    "zone", ["", "UTC", "Europe/Berlin", ":Europe/Berlin", "UTC0", "EST5EDT", "CET-1CEST,M3.5.0,M10.5.0/3"]
)
def test_a_time_zone_that_exists_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    load(tmp_path)


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Mars/Olympus", "such as"),
        ("../x", "such as"),
    ],
)
def test_a_misspelt_time_zone_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, zone: str, hint: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    with pytest.raises(SettingsError, match="TZ names no time zone") as error:
        load(tmp_path)
    assert hint in error.value.hint


@pytest.mark.large
@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_hangup_ends_the_daemon_in_order_unless_it_is_ignored(tmp_path: Path, is_ignored: bool) -> None:
    house = House(tmp_path)
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    try:
        daemon_process = house.watch()
        daemon_process.process.send_signal(signal.SIGHUP)
        if is_ignored:
            house.drop()
            wait_until(house.batches)
        assert daemon_process.stop(signal.SIGTERM if is_ignored else signal.SIGHUP) == 0
        why = [event["why"] for event in house.log() if event["event"] == "service.stopped"]
        assert why == (["SIGTERM"] if is_ignored else ["SIGHUP"])
    finally:
        signal.signal(signal.SIGHUP, former)
        house.close()


# ----------------------------------------------------------------------------------------------- user namespaces


def test_a_user_namespace_is_one_whose_ids_are_mapped(tmp_path: Path) -> None:
    table = tmp_path / "uid_map"
    for text, expected in (
        ("         0          0 4294967295\n", False),
        ("         0       1000          1\n         1     100000      65536\n", True),
        ("         0     100000      65536\n", True),
    ):
        table.write_text(text)
        assert is_user_namespace(table) == expected
    assert not is_user_namespace(tmp_path / "missing")


def _work_in_a_user_namespace(root: Path, settings: dict[str, str], log: Path) -> None:
    """The program of the image, in a namespace in which its user is root, as rootless engines start it."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(root)
    os.environ.clear()
    os.environ.update({"PATH": "/usr/bin:/bin", "IS_CUSTOMER_INTEGRATION_IMAGE": "1", **settings})
    os.setgroups([])
    os.setgid(SERVICE_USER)
    os.setuid(SERVICE_USER)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_DUMPABLE, 1)  # else the tables of this process belong to the root of the host
    if libc.unshare(_CLONE_NEWUSER) != 0:
        os._exit(_NO_NAMESPACES)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    for table in ("uid_map", "gid_map"):
        Path("/proc/self", table).write_text(f"0 {SERVICE_USER} 1", encoding="ascii")
    sys.exit(main(["watch", "--once"]))


@pytest.mark.large
@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("settings", [{}, {"PUID": "0"}])
def test_in_a_user_namespace_the_results_belong_to_the_owner_of_the_folders(settings: dict[str, str]) -> None:
    with shared_house() as house:
        house.drop()
        os.chown(house.root, SERVICE_USER, SERVICE_USER)
        work = {f"SERVICE_{it.upper()}": str(house.root / it) for it in ("inbox", "outbox", "state")}
        log = house.root / "log"
        process = SERVER.Process(target=_work_in_a_user_namespace, args=(house.root, settings | work, log))
        process.start()
        process.join(60)
        if process.exitcode == _NO_NAMESPACES:
            is_lacking("needs user namespaces")
        assert process.exitcode == 0, log.read_text(encoding="utf-8")
        assert len(house.archived()) == 1
        written = [house.inbox, house.outbox, house.state, *house.outbox.rglob("*"), *house.state.rglob("*")]
        assert {path.stat().st_uid for path in written} == {SERVICE_USER}
