"""The entry point of the image, as far as it can be tried without one: who we become, what is given away."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.container import Folders, Identity, choose_identity, hand_over, is_state, list_obstacles
from service.errors import SettingsError
from tests.worlds import ROOT

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users, which only root can")
SOMEBODY = Identity(4321, 8765)


@pytest.fixture
def open_tmp_path() -> Iterator[Path]:
    """A temporary folder that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """The three folders, empty."""
    made = Folders(tmp_path / "inbox", tmp_path / "outbox", tmp_path / "state")
    for folder in made.all:
        folder.mkdir()
    return made


@needs_root
@pytest.mark.parametrize(
    ("puid", "pgid", "owner", "becomes"),
    [
        ("", "", (0, 0), "1000:1000"),
        ("", "", (4321, 8765), "4321:8765"),
        ("", "", (4321, 0), "4321:4321"),
        ("2345", "3456", (0, 0), "2345:3456"),
        ("2345", "", (4321, 8765), "2345:2345"),
        ("", "3456", (4321, 8765), "4321:3456"),
        ("", "3456", (0, 0), "1000:3456"),
        (" 2345 ", " ", (0, 0), "2345:2345"),
    ],
)
def test_the_user_is_the_given_one_or_the_owner_of_the_inbox(
    tmp_path: Path, puid: str, pgid: str, owner: tuple[int, int], becomes: str
) -> None:
    os.chown(tmp_path, *owner)
    assert str(choose_identity({"PUID": puid, "PGID": pgid}, tmp_path)) == becomes


def test_an_inbox_that_the_service_will_make_counts_as_its_parents(tmp_path: Path) -> None:
    assert choose_identity({}, tmp_path / "not" / "yet") == choose_identity({}, tmp_path)


@pytest.mark.parametrize("value", ["0", "00", "-1", "me", "4294967295", "²", "1.5", "1 2"])
@pytest.mark.parametrize("name", ["PUID", "PGID"])
def test_an_id_that_is_none_or_roots_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        choose_identity({name: value}, Path("/"))


@given(puid=st.text(max_size=12) | st.integers(-5, 2**33).map(str), pgid=st.integers(-5, 2**33).map(str))
def test_nobody_ever_becomes_root(puid: str, pgid: str) -> None:
    try:
        somebody = choose_identity({"PUID": puid, "PGID": pgid}, Path("/"))
    except SettingsError:
        return
    assert 0 < somebody.uid < 2**32 - 1
    assert 0 < somebody.gid < 2**32 - 1


def test_a_state_is_known_by_its_mark_or_is_new() -> None:
    assert is_state([])
    assert is_state(["lost+found"])
    assert is_state(["state.json", "health.json", "register"])
    assert not is_state(["holiday.jpg"])
    assert not is_state(["etc", "usr"])


@needs_root
def test_root_gives_the_folders_but_no_file_of_a_user(folders: Folders) -> None:
    (folders.inbox / "crm_customers.csv").touch()
    (folders.inbox / "archive").mkdir()
    hand_over(folders, SOMEBODY)
    assert {owner(folder) for folder in folders.all} == {SOMEBODY}
    assert owner(folders.inbox / "crm_customers.csv") == owner(folders.inbox / "archive") == Identity(0, 0)


@needs_root
def test_a_folder_of_another_user_is_not_taken_from_him(folders: Folders) -> None:
    os.chown(folders.inbox, 777, 777)
    hand_over(folders, SOMEBODY)
    assert owner(folders.inbox) == Identity(777, 777)


@needs_root
def test_all_of_the_state_is_given_and_nothing_beyond_it(folders: Folders, tmp_path: Path) -> None:
    outside, twin = tmp_path / "outside", tmp_path / "twin"
    outside.mkdir()
    (outside / "file").touch()
    twin.touch()
    (folders.state / "state.json").touch()
    (folders.state / "register").mkdir()
    (folders.state / "register" / "customers.parquet").touch()
    (folders.state / "link").symlink_to(outside)
    (folders.state / "file_link").symlink_to(outside / "file")
    (folders.state / "twin").hardlink_to(twin)
    hand_over(folders, SOMEBODY)
    assert owner(folders.state / "register" / "customers.parquet") == SOMEBODY
    assert owner(folders.state / "link") == SOMEBODY
    assert owner(outside) == owner(outside / "file") == owner(twin) == Identity(0, 0)


@needs_root
def test_a_folder_that_is_a_link_is_not_followed(folders: Folders, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for folder in folders.all:
        folder.rmdir()
        folder.symlink_to(outside)
    hand_over(folders, SOMEBODY)
    assert owner(outside) == Identity(0, 0)


@needs_root
def test_after_the_drop_there_is_no_way_back_and_the_obstacles_are_told(open_tmp_path: Path) -> None:
    folders = Folders(*(open_tmp_path / name for name in ("inbox", "outbox", "state")))
    for folder in folders.all:
        folder.mkdir()
    os.chown(folders.inbox, 4321, 8765)
    os.chown(folders.state, 4321, 8765)
    program = (
        "import os, sys; from pathlib import Path; from service import container\n"
        "container.drop_to(container.Identity(4321, 8765))\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())\n"
        "folders = container.Folders(*map(Path, sys.argv[1:]))\n"
        "for error in container.list_obstacles(folders, began_as_root=True): print(error.message)\n"
        "os.setuid(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, folders.all)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "(4321, 4321, 4321) (8765, 8765, 8765) []",
        f"user 4321:8765 may not write {folders.outbox}",
    ]
    assert "PermissionError" in done.stderr


def test_folders_that_can_be_worked_in_are_no_obstacle(folders: Folders) -> None:
    folders.outbox.rmdir()  # the service makes what is missing
    assert list_obstacles(folders, began_as_root=False) == []


def owner(path: Path) -> Identity:
    """Whom a path itself belongs to, be it a link."""
    status = path.lstat()
    return Identity(status.st_uid, status.st_gid)
