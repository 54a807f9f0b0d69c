"""A file is claimed only with a proof that its writer is done. The clock is handed in; files and leases are real."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from service.files import fingerprint_of
from service.inbox import Settling, mounts
from tests.required import needs_root
from tests.worlds import output_as_another_user

SETTLE_SECONDS = 5.0
CSV, JSON = "crm_customers.csv", "ecommerce_customers.json"


class Observed:
    """One file, observed at the seconds that the test gives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settling = Settling(SETTLE_SECONDS)

    def at(self, seconds: float) -> str | None:
        """The proof at this moment."""
        return self.settling.proof(self.path, fingerprint_of(self.path), seconds)

    def closed_at(self, seconds: float) -> None:
        """A close event arrives."""
        self.settling.closed(self.path, seconds)


def observed(folder: Path, name: str = CSV, content: str = "a,b\n1,2\n") -> Observed:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return Observed(path)


@pytest.fixture
def no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network share: no file system honours leases."""
    monkeypatch.setattr(mounts, "LEASE_FILE_SYSTEMS", frozenset[str]())


def test_a_file_without_a_writer_is_proven_by_a_lease_after_a_moment_without_changes(tmp_path: Path) -> None:
    file = observed(tmp_path)
    assert file.at(0) is None
    assert file.at(0.29) is None
    assert file.at(0.3) == "lease"


def test_a_file_that_is_open_for_writing_is_never_claimed_even_without_changes(tmp_path: Path) -> None:
    file = observed(tmp_path)
    with file.path.open("a"):
        assert [file.at(seconds) for seconds in (0, 1, 5, 10, 1000)] == [None] * 5
    assert file.at(1001) == "lease"


def test_a_writer_that_opens_a_closed_file_again_is_not_done_though_nothing_changed(tmp_path: Path) -> None:
    file = observed(tmp_path)
    file.closed_at(0)
    with file.path.open("a"):
        assert [file.at(seconds) for seconds in (0, 1, 5, 1000)] == [None] * 4


def test_a_rename_does_not_hide_the_writer(tmp_path: Path) -> None:
    file = observed(tmp_path, "upload.tmp")
    with file.path.open("a"):
        file.path.rename(tmp_path / CSV)
        file = Observed(tmp_path / CSV)
        assert [file.at(seconds) for seconds in (0, 1, 1000)] == [None] * 3
    assert file.at(1001) == "lease"


def test_a_writer_that_has_only_a_memory_map_left_is_detected(tmp_path: Path) -> None:
    file = observed(tmp_path)
    with file.path.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 0)
    assert [file.at(seconds) for seconds in (0, 1, 1000)] == [None] * 3
    mapped.close()
    assert file.at(1001) == "lease"


def test_a_reader_does_not_delay_a_file(tmp_path: Path) -> None:
    file = observed(tmp_path)
    with file.path.open():
        assert (file.at(0), file.at(0.3)) == (None, "lease")


def test_the_wait_begins_at_the_last_change_of_a_growing_file(tmp_path: Path) -> None:
    file = observed(tmp_path)
    assert file.at(0) is None
    with file.path.open("a") as writer:
        writer.write("3,4\n")
    assert file.at(0.3) is None
    assert file.at(0.59) is None
    assert file.at(0.6) == "lease"


def test_a_rewrite_of_the_same_length_and_time_is_a_change(tmp_path: Path) -> None:
    file = observed(tmp_path)
    times = (file.path.stat().st_atime_ns, file.path.stat().st_mtime_ns)
    assert file.at(0) is None
    file.path.write_text("a,b\n3,4\n", encoding="utf-8")
    os.utime(file.path, ns=times)
    assert file.at(0.3) is None


def test_a_document_without_its_closing_bracket_waits_for_the_rest(tmp_path: Path) -> None:
    file = observed(tmp_path, JSON, '{"customers": [{"id": "EC1"')
    file.at(0)
    file.closed_at(0)
    assert [file.at(seconds) for seconds in (1, 5, 9.9)] == [None] * 3
    assert file.at(10) == "stillness"


@pytest.mark.parametrize("name", [CSV, JSON])
def test_an_empty_file_must_be_still_for_twice_as_long_and_has_no_other_proof(tmp_path: Path, name: str) -> None:
    file = observed(tmp_path, name, "")
    file.at(0)
    file.closed_at(0)
    assert [file.at(seconds) for seconds in (0.3, 1, 5, 9.9)] == [None] * 4
    assert file.at(10) == "stillness"


def test_an_empty_file_that_is_open_for_writing_is_not_claimed(tmp_path: Path) -> None:
    file = observed(tmp_path, content="")
    with file.path.open("a"):
        assert [file.at(seconds) for seconds in (0, 10, 1000)] == [None] * 3


@pytest.mark.usefixtures("no_leases")
class TestWithoutLeases:
    """Where a lease proves nothing, events and stillness do."""

    def test_a_close_event_and_a_second_of_stillness_are_a_proof(self, tmp_path: Path) -> None:
        file = observed(tmp_path)
        file.closed_at(0)
        assert [file.at(seconds) for seconds in (0, 0.3, 0.99)] == [None] * 3
        assert file.at(1) == "close_event"

    def test_a_writer_that_came_back_after_its_close_is_not_done(self, tmp_path: Path) -> None:
        file = observed(tmp_path)
        file.closed_at(0)
        file.at(0)
        with file.path.open("a") as writer:
            writer.write("3,4\n")
            writer.flush()
            assert [file.at(seconds) for seconds in (0.5, 1.5, 3)] == [None] * 3
        file.closed_at(4)
        assert file.at(5) == "close_event"

    def test_a_close_event_of_another_file_of_that_name_proves_nothing(self, tmp_path: Path) -> None:
        file = observed(tmp_path)
        file.closed_at(0)
        observed(tmp_path, "newer.tmp").path.rename(file.path)
        assert [file.at(seconds) for seconds in (0, 1, 4.9)] == [None] * 3
        assert file.at(5) == "stillness"

    def test_without_any_event_the_file_must_be_still(self, tmp_path: Path) -> None:
        file = observed(tmp_path)
        assert [file.at(seconds) for seconds in (0, 1, 4.9)] == [None] * 3
        assert file.at(5) == "stillness"

    @pytest.mark.parametrize(
        ("name", "content"),
        [(CSV, "a,b\n1,2"), (JSON, '{"customers": ['), (JSON, '{"customers": [{"id": 1},')],
    )
    def test_a_file_that_looks_truncated_must_be_still_for_twice_as_long(
        self, tmp_path: Path, name: str, content: str
    ) -> None:
        file = observed(tmp_path, name, content)
        assert [file.at(seconds) for seconds in (0, 5, 9.9)] == [None] * 3
        assert file.at(10) == "stillness"

    @pytest.mark.parametrize("content", ['{"customers": []}\n \n', '[{"id": "EC1"}]', '{"id": 1}\r\n'])
    def test_a_document_with_its_closing_bracket_does_not_look_truncated(self, tmp_path: Path, content: str) -> None:
        file = observed(tmp_path, JSON, content)
        assert (file.at(0), file.at(5)) == (None, "stillness")

    def test_a_file_that_is_gone_is_forgotten(self, tmp_path: Path) -> None:
        file = observed(tmp_path)
        file.at(0)
        file.settling.forget_all_but([])
        assert file.at(5) is None


@pytest.mark.large
@needs_root
def test_a_file_of_another_user_cannot_be_leased_and_is_proven_by_its_close(shared_folder: Path) -> None:
    file = observed(shared_folder)
    program = "file = Observed(folder / CSV); file.closed_at(0); print(file.at(0), file.at(0.5), file.at(1))"
    assert output_as_another_user(
        program, file.path.parent, "from tests.test_settling import CSV, Observed"
    ).split() == [
        "None",
        "None",
        "close_event",
    ]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("secret\n", encoding="utf-8")
    link = tmp_path / CSV
    link.symlink_to(tmp_path / "elsewhere")
    file = Observed(link)
    assert [file.at(seconds) for seconds in (0, 0.3, 1)] == [None] * 3


def test_the_deepest_and_latest_mount_decides_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = tmp_path / "with blank" / "inbox"
    inbox.mkdir(parents=True)
    escaped = str(inbox).replace(" ", "\\040")
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 254:0 / / rw - ext4 /dev/vda rw\n"
        f"2 1 0:50 / {escaped} rw shared:3 - ext4 /dev/vdb rw\n"
        f"3 2 0:51 / {escaped} rw master:1 - fuse.sshfs host:/x rw\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(mounts, "MOUNT_TABLE", table)
    mounts.file_system_of.cache_clear()
    assert mounts.file_system_of(inbox, 51) == "fuse.sshfs"
    assert mounts.file_system_of(tmp_path, 254) == "ext4"
    assert not mounts.honours_leases(inbox / CSV, 51)
    assert mounts.honours_leases(tmp_path / CSV, 254)
    mounts.file_system_of.cache_clear()


def test_an_unreadable_mount_table_trusts_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "MOUNT_TABLE", tmp_path / "nothing")
    mounts.file_system_of.cache_clear()
    assert not mounts.honours_leases(tmp_path / CSV, 1)
    mounts.file_system_of.cache_clear()
