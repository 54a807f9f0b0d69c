"""The entry point: one program in and out of the image, quick to start; its user, and the folders it is given."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import __version__, documents
from service.container import Identity, WorkFolders, choose_identity, hand_over, is_state, list_obstacles
from service.documents import HealthReport
from service.errors import SettingsError
from service.folders import StateFolders
from service.state import State
from tests.required import needs_root
from tests.worlds import ROOT, House

USER = Identity(4321, 8765)


@pytest.fixture
def open_tmp_path() -> Iterator[Path]:
    """A temporary folder that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def folders(tmp_path: Path) -> WorkFolders:
    """The three folders, empty."""
    made = WorkFolders(tmp_path / "inbox", tmp_path / "outbox", tmp_path / "state")
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


def test_a_missing_inbox_has_the_owner_of_its_parent(tmp_path: Path) -> None:
    assert choose_identity({}, tmp_path / "not" / "yet") == choose_identity({}, tmp_path)


@pytest.mark.parametrize("value", ["0", "00", "-1", "me", "4294967295", "²", "1.5", "1 2"])
@pytest.mark.parametrize("name", ["PUID", "PGID"])
def test_an_impossible_id_or_that_of_root_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        choose_identity({name: value}, Path("/"))


@given(puid=st.text(max_size=12) | st.integers(-5, 2**33).map(str), pgid=st.integers(-5, 2**33).map(str))
def test_the_user_is_never_root(puid: str, pgid: str) -> None:
    try:
        user = choose_identity({"PUID": puid, "PGID": pgid}, Path("/"))
    except SettingsError:
        return
    assert 0 < user.uid < 2**32 - 1
    assert 0 < user.gid < 2**32 - 1


def test_a_state_has_its_mark_or_is_new() -> None:
    assert is_state([])
    assert is_state(["lost+found"])
    assert is_state(["state.json", "health.json", "register"])
    assert not is_state(["holiday.jpg"])
    assert not is_state(["etc", "usr"])


@needs_root
def test_root_gives_the_folders_but_no_file_of_a_user(folders: WorkFolders) -> None:
    (folders.inbox / "crm_customers.csv").touch()
    (folders.inbox / "archive").mkdir()
    hand_over(folders, USER)
    assert {owner(folder) for folder in folders.all} == {USER}
    assert owner(folders.inbox / "crm_customers.csv") == owner(folders.inbox / "archive") == Identity(0, 0)


@needs_root
def test_a_folder_of_another_user_stays_with_that_user(folders: WorkFolders) -> None:
    os.chown(folders.inbox, 777, 777)
    hand_over(folders, USER)
    assert owner(folders.inbox) == Identity(777, 777)


@needs_root
def test_all_of_the_state_is_given_and_nothing_outside_it(folders: WorkFolders, tmp_path: Path) -> None:
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
    hand_over(folders, USER)
    assert owner(folders.state / "register" / "customers.parquet") == USER
    assert owner(folders.state / "link") == USER
    assert owner(outside) == owner(outside / "file") == owner(twin) == Identity(0, 0)


@needs_root
def test_a_folder_that_is_a_link_is_not_followed(folders: WorkFolders, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for folder in folders.all:
        folder.rmdir()
        folder.symlink_to(outside)
    hand_over(folders, USER)
    assert owner(outside) == Identity(0, 0)


@needs_root
def test_dropped_privileges_cannot_be_regained_and_obstacles_are_listed(open_tmp_path: Path) -> None:
    folders = WorkFolders(*(open_tmp_path / name for name in ("inbox", "outbox", "state")))
    for folder in folders.all:
        folder.mkdir()
    os.chown(folders.inbox, 4321, 8765)
    os.chown(folders.state, 4321, 8765)
    program = (
        "import os; from service import container\n"
        "container.drop_to(container.Identity(4321, 8765))\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())\n"
        "folders = container.WorkFolders.of(os.environ)\n"
        "for error in container.list_obstacles(folders, began_as_root=True): print(error.message)\n"
        "os.setuid(0)"
    )
    done = run_python(program, **{f"SERVICE_{folder.name.upper()}": str(folder) for folder in folders.all})
    assert done.stdout.splitlines() == [
        "(4321, 4321, 4321) (8765, 8765, 8765) []",
        f"user 4321:8765 may not write {folders.outbox}",
    ]
    assert "PermissionError" in done.stderr


def run_python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, with this environment only."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_console_script_is_the_program() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((name, value),) = project["scripts"].items()
    script = EntryPoint(name, value, "console_scripts")
    assert callable(script.load())
    # What an installer writes into the script.
    done = run_python(
        f"import sys; from {script.module} import {script.attr}; sys.argv = [{name!r}, '--version']\n"
        f"sys.exit({script.attr}())"
    )
    assert (done.returncode, done.stdout) == (0, f"{project['name']} {__version__}\n")
    assert project["version"] == __version__


def test_a_root_user_outside_the_image_stays_root() -> None:
    program = (
        "import os; from service import __main__, cli\n"
        "cli.main = lambda given: print(given, os.getresuid()) or 0\n"
        "__main__.main(['demo'])"
    )
    assert run_python(program, PUID="1000").stdout == f"['demo'] {os.getresuid()}\n"


@needs_root
def test_in_the_image_root_is_dropped_before_anything_but_the_standard_library_is_imported() -> None:
    program = (
        "import os, sys; from service import __main__, container\n"
        "def drop_to(user): print(user, *sorted(heavy())); sys.exit(0)\n"
        "def heavy(): return {name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names\n"
        "container.drop_to = drop_to\n"
        "__main__.main(['demo'])"
    )
    before = set(run_python("import sys; print(*{name.partition('.')[0] for name in sys.modules})").stdout.split())
    user, *imported = run_python(program, PUID="4321", IS_CUSTOMER_INTEGRATION_IMAGE="1").stdout.split()
    assert user == "4321:4321"
    assert set(imported) - before - {"__mp_main__"} == {"service"}


HEAVY = {"pydantic", "pydantic_settings", "structlog", "duckdb", "numpy", "aiohttp", "tqdm", "asyncio", "watchdog"}


def test_the_health_check_loads_nothing_heavy(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.take()
    documents.write(StateFolders(tmp_path).health, HealthReport(written_at=datetime.now(UTC).isoformat()))
    program = (
        "import sys; from service import __main__; code = __main__.main(['healthcheck'])\nprint(code, *sys.modules)"
    )
    done = run_python(program, SERVICE_STATE=str(tmp_path))
    state.release()
    code, *loaded = done.stdout.split()
    assert (code, done.stderr) == ("0", "ok\n")
    assert not HEAVY & set(loaded)
    assert not {"hashlib", "service.settings", "service.logs", "service.simulator", "service.engine"} & set(loaded)


def test_only_its_own_verb_loads_the_simulator() -> None:
    program = (
        "import sys; from service import cli\n"
        "for verb in cli.VERBS:\n"
        "    if verb.name != 'simulate-api': cli.parser_for([verb.name]).format_help()\n"
        "print(*sys.modules)"
    )
    loaded = set(run_python(program).stdout.split())
    assert "service.cli" in loaded
    assert not (HEAVY | {"service.simulator"}) & loaded


def test_usable_folders_are_no_obstacle(folders: WorkFolders) -> None:
    folders.outbox.rmdir()  # the service makes what is missing
    assert list_obstacles(folders, began_as_root=False) == []


def owner(path: Path) -> Identity:
    """Owner of a path; of the link itself, if it is one."""
    status = path.lstat()
    return Identity(status.st_uid, status.st_gid)


def test_hints_begin_as_the_program_was_started(house: House) -> None:
    (house.root / "bin").mkdir()
    (house.root / "bin" / "python").symlink_to(sys.executable)
    environment = house.environment()

    def usage(program: str, **settings: str) -> str:
        command = [program, "-m", "service", "--help"]
        return subprocess.check_output(command, cwd=house.root, env=environment | settings, text=True).split(" [-h]")[0]

    assert usage("bin/python") == "usage: bin/python -m service"
    assert usage(sys.executable) == f"usage: {sys.executable} -m service"
    assert usage(sys.executable, SERVICE_COMMAND="typed here") == "usage: typed here"


def test_integrate_counts_one_in_the_singular(house: House) -> None:
    crm, ecom = house.root / "crm.csv", house.root / "ecom.json"
    crm.write_text("customer_id,full_name,email\nC1,Ann Lee,ann@x.com\n", encoding="utf-8")
    ecom.write_text('[{"id": "E1", "name": "Ann Lee", "contact": {"email": "ann@x.com"}}]', encoding="utf-8")
    done = house.run("integrate", crm, ecom, "--outbox", house.root / "results")
    assert done.err.startswith("2 records, 1 duplicate, 1 customer: see "), done.err
