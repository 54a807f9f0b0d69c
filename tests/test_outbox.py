"""The outbox: a set is published as a whole or not at all, and after a crash it only rolls forward."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service import __version__
from service.errors import TransientError
from service.files import fingerprint_of, sha256_of
from service.folders import Folders
from service.jobs import JOBS
from service.model import API, CRM, Batch, InputFile, Source, Summary
from service.outbox import Outbox
from service.publication import PastBatches, Publication

MASTER, EXPORT = JOBS["integration"].flat_files, JOBS["analytics"].flat_files
FLAT_NAMES = MASTER.names
B = [f"20240115T12000{number}Z-{number:06x}" for number in range(8)]
"""Ids of batches, oldest first."""
FILES = (*FLAT_NAMES, "crosswalk.csv")
EXPORT_FILES = (*EXPORT.names, "rejects.csv")
NOW = datetime(2024, 1, 15, tzinfo=UTC)


def publication_of(outbox: Outbox) -> Publication:
    """The publication that fills this outbox."""
    return Publication(PastBatches(Folders(None, outbox.root, outbox.root.parent / "state")), JOBS)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    opened = Outbox(tmp_path / "outbox")
    opened.open()
    return opened


def batch(id_: str, folder: Path, source: Source = CRM) -> Batch:
    path = folder / source.file_name
    path.write_text("customer_id\n", encoding="utf-8")
    return Batch(id_, NOW, (InputFile(source, path, sha256_of(path), fingerprint_of(path), "lease"),))


def commit(outbox: Outbox, id_: str, source: Source = CRM) -> None:
    """Commit a set whose files all contain its id."""
    summary = Summary(records=8, rejects=1, duplicates=3, customers=5, source_rows={source.name: 8})
    with publication_of(outbox).stage(batch(id_, outbox.root.parent, source), summary) as folder:
        for name in FILES if source.job == "integration" else EXPORT_FILES:
            (folder / name).write_text(f"{name} of {id_}\n", encoding="utf-8")


def publish(outbox: Outbox, *ids: str) -> None:
    for id_ in ids:
        commit(outbox, id_)
        outbox.copy_flat(id_, MASTER)


def export(outbox: Outbox, *ids: str) -> None:
    """Publish analytics exports."""
    for id_ in ids:
        commit(outbox, id_, API)
        outbox.copy_flat(id_, EXPORT)


def flat(outbox: Outbox) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in outbox.root.iterdir() if path.is_file()}


def manifest(outbox: Outbox) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((outbox.root / "manifest.json").read_text(encoding="utf-8"))
    return found


def assert_flat_is(outbox: Outbox, id_: str) -> None:
    assert sorted(flat(outbox)) == sorted((*FLAT_NAMES, "manifest.json"))
    for name in FLAT_NAMES:
        assert flat(outbox)[name] == f"{name} of {id_}\n"
        assert sha256_of(outbox.root / name) == manifest(outbox)["files"][name]["sha256"]
    assert manifest(outbox)["batch_id"] == id_


def test_a_set_appears_complete_and_immutable(outbox: Outbox) -> None:
    commit(outbox, B[1])
    folder = outbox.root / "batches" / B[1]
    assert sorted(path.name for path in folder.iterdir()) == sorted((*FILES, "manifest.json"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    assert sorted(path.name for path in outbox.root.iterdir()) == ["batches"]


def test_a_set_that_is_being_written_is_invisible(outbox: Outbox) -> None:
    with pytest.raises(RuntimeError), outbox.stage(B[1]) as folder:
        (folder / "customer_master.csv").write_text("half", encoding="utf-8")
        assert not outbox.is_committed(B[1])
        assert list((outbox.root / "batches").iterdir()) == []
        raise RuntimeError
    assert not outbox.is_committed(B[1])
    assert [path.name for path in outbox.root.iterdir()] == ["batches"]


def test_the_manifest_describes_the_set_its_inputs_and_the_set_before_it(outbox: Outbox) -> None:
    publish(outbox, B[1])
    former = (outbox.root / "manifest.json").read_bytes()
    publish(outbox, B[2])
    described = manifest(outbox)
    assert described["files"] == {
        name: {
            "size_bytes": len(f"{name} of {B[2]}\n"),
            "sha256": hashlib.sha256(f"{name} of {B[2]}\n".encode()).hexdigest(),
        }
        for name in sorted(FILES)
    }
    del described["files"]
    assert described == {
        "format": 1,
        "batch_id": B[2],
        "job": "integration",
        "program_version": __version__,
        "former_manifest_sha256": hashlib.sha256(former).hexdigest(),
        "former_outcome_sha256": None,
        "sequence": 1,
        "inputs": [
            {
                "source": "CRM",
                "file_name": "crm_customers.csv",
                "size_bytes": 12,
                "sha256": hashlib.sha256(b"customer_id\n").hexdigest(),
                "rows": 8,
                "settle_proof": "lease",
            }
        ],
        "rows": {"records": 8, "rejects": 1, "duplicates": 3, "customers": 5},
    }


def test_the_first_manifest_names_no_former_one(outbox: Outbox) -> None:
    publish(outbox, B[1])
    assert manifest(outbox)["former_manifest_sha256"] is None


def test_the_flat_files_are_independent_copies_that_users_may_write(outbox: Outbox) -> None:
    publish(outbox, B[1])
    assert_flat_is(outbox, B[1])
    (outbox.root / "customer_master.csv").write_text("mine\n", encoding="utf-8")
    assert (outbox.root / f"batches/{B[1]}/customer_master.csv").read_text(
        encoding="utf-8"
    ) == f"customer_master.csv of {B[1]}\n"


def test_the_manifest_is_the_last_of_the_flat_files(outbox: Outbox) -> None:
    publish(outbox, B[1], B[2])
    changed = {name: (outbox.root / name).stat().st_ctime_ns for name in flat(outbox)}
    assert changed["manifest.json"] == max(changed.values())


@pytest.mark.parametrize("copied", range(len(FLAT_NAMES) + 1))
def test_partly_replaced_flat_files_are_completed(outbox: Outbox, copied: int) -> None:
    publish(outbox, B[1])
    commit(outbox, B[2])
    for name in FLAT_NAMES[:copied]:
        (outbox.root / name).unlink()
        shutil.copyfile(outbox.root / f"batches/{B[2]}" / name, outbox.root / name)
    outbox.copy_flat(B[2], MASTER)
    assert_flat_is(outbox, B[2])


def test_flat_files_of_the_set_are_not_replaced_again(outbox: Outbox) -> None:
    publish(outbox, B[1])
    before = (outbox.root / "customer_master.csv").stat()
    outbox.copy_flat(B[1], MASTER)
    assert (outbox.root / "customer_master.csv").stat().st_ino == before.st_ino


@pytest.mark.parametrize("damaged", ["", "{", "[]", "{}"])
def test_a_damaged_manifest_is_replaced(outbox: Outbox, damaged: str) -> None:
    publish(outbox, B[1])
    (outbox.root / "manifest.json").write_text(damaged, encoding="utf-8")
    outbox.copy_flat(B[1], MASTER)
    assert_flat_is(outbox, B[1])


def test_files_staged_by_a_process_that_died_are_removed(outbox: Outbox) -> None:
    publish(outbox, B[1])
    (outbox.root / f".staging/{B[2]}").mkdir(parents=True)
    (outbox.root / f".staging/{B[2]}/customer_master.csv").write_text("half", encoding="utf-8")
    (outbox.root / ".customer_master.csv.new").write_text("half", encoding="utf-8")
    outbox.open()
    assert sorted(path.name for path in outbox.root.iterdir()) == sorted(("batches", *FLAT_NAMES, "manifest.json"))
    assert not outbox.is_committed(B[2])


def test_the_next_set_is_published_in_an_outbox_that_was_emptied(outbox: Outbox) -> None:
    publish(outbox, B[1])
    shutil.rmtree(outbox.root)
    outbox.copy_flat(B[1], MASTER)  # nothing to copy: the set is gone
    publish(outbox, B[2])
    assert_flat_is(outbox, B[2])


# ------------------------------------------------------------------------------------------------ several jobs


def test_the_flat_files_of_both_jobs_are_in_the_outbox(outbox: Outbox) -> None:
    publish(outbox, B[1])
    export(outbox, B[2])
    assert sorted(flat(outbox)) == sorted(
        (*FLAT_NAMES, "manifest.json", "sample_output.json", "analytics_manifest.json")
    )
    assert manifest(outbox)["batch_id"] == B[1], "an export does not change the files of the master"
    copied = flat(outbox)["analytics_manifest.json"]
    assert copied == (outbox.root / f"batches/{B[2]}/manifest.json").read_text(encoding="utf-8")
    assert json.loads(copied)["job"] == "analytics"
    changed = {name: (outbox.root / name).stat().st_ctime_ns for name in flat(outbox)}
    assert changed["analytics_manifest.json"] == max(changed.values()), "it is the last"


def test_a_manifest_names_the_former_one_of_its_own_job(outbox: Outbox) -> None:
    export(outbox, B[1])
    publish(outbox, B[2])
    assert manifest(outbox)["former_manifest_sha256"] is None
    former = sha256_of(outbox.root / "analytics_manifest.json")
    export(outbox, B[3])
    assert json.loads(flat(outbox)["analytics_manifest.json"])["former_manifest_sha256"] == former


def test_the_log_of_a_failed_run_may_lie_beside_an_analytics_export(outbox: Outbox) -> None:
    export(outbox, B[1])
    assert outbox.folder_for_failed_log("r1") == outbox.root


@pytest.mark.parametrize("source", [CRM, API], ids=lambda source: source.job)
def test_nothing_is_published_from_a_file_that_was_written_to_while_it_was_read(outbox: Outbox, source: Source) -> None:
    summary = Summary(records=0, rejects=0, duplicates=0, customers=0, source_rows={source.name: 0})
    with (
        pytest.raises(TransientError, match="was written to"),
        publication_of(outbox).stage(batch(B[1], outbox.root.parent, source), summary),
    ):
        (outbox.root.parent / source.file_name).write_text("customer_ix\n", encoding="utf-8")
    assert [path.name for path in outbox.root.rglob("*")] == ["batches"]


def test_the_log_of_a_failed_run_does_not_touch_a_published_set(outbox: Outbox) -> None:
    assert outbox.folder_for_failed_log("r1") == outbox.root
    publish(outbox, B[1])
    assert outbox.folder_for_failed_log("r1") == outbox.root / "failed/r1"
