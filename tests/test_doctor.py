"""``doctor`` finds what is wrong; its advice, followed to the letter, mends it; and nothing of it stays behind.

Every fault is a real one: modes, mounts, disks, sockets, limits. The command below a finding is run in a shell, and
what that shell exports is the environment of the next examination.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from service import cli, commands
from service.decisions import DecisionStore
from service.doctor import DoctorReport, advice, as_json, as_text, checks, examine
from service.doctor.finding import Check, Finding
from service.folders import StateFolders
from service.register import Register
from tests.attacks.users import SERVICE_USER, SharedHouse, shared_house
from tests.required import is_lacking, needs_leases, needs_root
from tests.warm import SERVER
from tests.worlds import ROOT, House, Works, local_now, wait_until

PROGRAM = f"{sys.executable} -m service"
_CLONE_NEWNS, _CLONE_NEWUSER, _LACKING = 0x20000, 0x10000000, 77
SUDO = 'sudo() { case $1 in -u) shift 2;; esac; "$@"; }\n'
"""Tests that need root are root already."""
FOLDERS = ("inbox", "outbox", "state")


class Clinic:
    """A service in a folder of its own, and the shell in which it is started."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.works = Works(root)
        self.root = root
        self._patch = patch
        for name in [name for name in os.environ if name.upper().startswith("SERVICE_")]:
            patch.delenv(name)
        patch.setenv("PYTHONPATH", str(Path(cli.__file__).parents[1]))
        patch.setenv("SERVICE_COMMAND", PROGRAM)
        self.export(http_port=0)
        patch.chdir(root)

    def export(self, **settings: object) -> None:
        """Export settings."""
        for name, value in settings.items():
            self._patch.setenv(f"SERVICE_{name.upper()}", str(value))

    def examine(self, now: datetime | None = None) -> DoctorReport:
        """Everything ``doctor`` finds now; what it tried is gone."""
        before = self._names()
        report = examine((lambda: now) if now else local_now)
        assert self._names() == before, "nothing stays behind"
        return report

    def finding(self, name: str) -> Finding:
        """What one check finds."""
        return named(self.examine())[name]

    def failing(self, name: str, words: str, status: str = "fail") -> Finding:
        """The finding of a check that must find something, in these words."""
        found = self.finding(name)
        assert (found.status, words in found.found) == (status, True), found
        assert found.hint
        return found

    def follow(self, finding: Finding) -> None:
        """Run the command below a finding in the shell of this service, to the letter."""
        assert finding.command, finding
        exported = exports_of(finding.command, self.root)
        for name in {name for name in (*os.environ, *exported) if name.startswith("SERVICE_")}:
            if name in exported:
                self._patch.setenv(name, exported[name])
            else:
                self._patch.delenv(name)

    def is_mended(self, name: str) -> None:
        """The check passes, and no other fails."""
        report = self.examine()
        assert named(report)[name].status == "pass", named(report)[name]
        assert report.failures == ()

    def _names(self) -> set[Path]:
        return {path for name in FOLDERS for path in (self.root / name).rglob("*")}


def exports_of(command: str, folder: Path) -> dict[str, str]:
    """Run a command in a shell; returns the settings that the shell exports after it."""
    done = subprocess.run(
        ["sh", "-ec", f"{SUDO}{command}\nprintf '\\0'; env -0"],
        cwd=folder,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    exported = [line.partition("=") for line in done.stdout.decode().split("\0")]
    return {name: value for name, _, value in exported if name.startswith("SERVICE_")}


def named(report: DoctorReport) -> dict[str, Finding]:
    """The findings by their names."""
    return {finding.name: finding for finding in report.findings}


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    yield Clinic(tmp_path / "house", monkeypatch)
    commands.configure(commands.DEFAULT)


@pytest.fixture
def used(clinic: Clinic) -> Clinic:
    """A service that has published once."""
    clinic.works.drop()
    assert clinic.works.once().published == 1
    return clinic


@pytest.fixture
def mount() -> Iterator[Callable[[Path, str], None]]:
    """Mounts a tmpfs of a size; skips where we may not."""
    mounted: list[Path] = []

    def tmpfs(folder: Path, size: str) -> None:
        folder.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
        if done.returncode:
            is_lacking(f"needs a file system of its own: {done.stderr.decode().strip()}")
        mounted.append(folder)

    yield tmpfs
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], capture_output=True, check=False)


# ---------------------------------------------------------------------------------------------------- nothing wrong


def test_a_service_that_has_worked_passes_every_check_but_that_it_does_not_run(used: Clinic) -> None:
    found = named(used.examine())
    assert {name: it for name, it in found.items() if it.status != "pass" and name != "file systems"} == {
        "watcher": found["watcher"]
    }
    assert found["watcher"].command == f"{PROGRAM} watch"
    assert "belong together" in found["belonging"].found
    for name in (".claimed", "archive", "quarantine"):
        assert f"inbox/{name}" in found["inbox renames"].found
    assert "outbox/batches" in found["outbox renames"].found


def test_before_the_first_start_no_folder_is_made(clinic: Clinic) -> None:
    clinic.works.inbox.rmdir()
    report = clinic.examine()
    assert report.failures == ()
    assert sorted(clinic.root.iterdir()) == []
    assert "the service makes it" in named(report)["state"].found


def test_a_watcher_that_works_is_found_and_not_disturbed(used: Clinic) -> None:
    with used.works.watching():
        assert examine(local_now).failures == ()
        used.works.drop("_2", crm="customer_id,full_name,email\nC1,Ann Lee,ann@x.com\n")
        wait_until(lambda: len(used.works.archived()) == 2)
        used.works.waits_to_be(lambda it: it["state"] == "ok" and it["busy_since"] is None)
        found = named(examine(local_now))["watcher"]
    assert (found.status, found.found) == ("pass", "a watcher works with state, and is ok")
    assert used.works.verified().findings == []


def test_the_command_prints_lines_or_one_typed_document(house: House) -> None:
    text = house.run("doctor", http_port="0", min_free_mb="1")
    assert text.code == 0
    lines = text.out.splitlines()
    assert [line[:20].split()[0] for line in lines if line[:4].strip()][:19] != []
    assert lines[0].startswith("pass  versions        program ")
    assert "environment" in next(line for line in lines if "SERVICE_MIN_FREE_MB" in line)
    assert lines[-1].startswith("The service can work here: 23 checks, none failed")
    printed = house.run("doctor", "--json", http_port="0")
    report = msgspec.json.decode(printed.out, type=DoctorReport)
    assert (printed.code, report.failures, len(report.findings)) == (0, (), 23)
    assert {row.name: row.origin for row in report.settings}["http_port"] == "environment"
    assert printed.err == ""


def test_the_page_for_operators_shows_what_doctor_prints(used: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    section = (ROOT / "docs/operating.md").read_text(encoding="utf-8").partition("\n## Doctor\n")[2]
    shown = section.partition("```text\n")[2].partition("```")[0]
    shutil.rmtree(used.works.state)
    monkeypatch.delenv("SERVICE_COMMAND")
    monkeypatch.delenv("SERVICE_HTTP_PORT")
    used.export(memory_limit_mb=2048)
    assert _comparable(as_text(used.examine())) == _comparable(shown)


def _comparable(text: str) -> list[str]:
    """The lines without what differs from machine to machine: what a passed check found, ids and numbers."""
    lines = [re.sub(r"\d{8}T\d{6}Z-\w{6}|\d+", "N", line) for line in text.rstrip().splitlines()]
    return [line[:20].rstrip() if line.startswith("pass") else line for line in lines]


# ---------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("variable", "value", "step"),
    [
        ("SERVICE_KEEP_BATCHS", "3", "did you mean SERVICE_KEEP_BATCHES?"),
        ("SERVICE_THREADS", "QZJX", "see docs/settings.md"),
        ("TZ", "Europe/Berln", "did you mean Europe/Berlin?"),
    ],
)
def test_a_wrong_setting_is_a_finding_with_its_way_out(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str,
    step: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, value)
    assert cli.main(["doctor"]) == 2
    printed = capsys.readouterr()
    assert (f"hint: {step}" in printed.out, "QZJX" in printed.out, printed.err) == (True, False, "")
    assert [it.name for it in clinic.examine().failures] == ["settings"]
    monkeypatch.delenv(variable)
    monkeypatch.setenv(*{"SERVICE_KEEP_BATCHS": ("SERVICE_KEEP_BATCHES", "3")}.get(variable, ("TZ", "Europe/Berlin")))
    assert clinic.examine().failures == ()


def test_a_file_with_settings_that_is_no_toml_is_a_finding(clinic: Clinic) -> None:
    (clinic.root / "service.toml").write_text("threads = \n", encoding="utf-8")
    assert "correct the file or remove it" in clinic.failing("settings", "service.toml cannot be read").hint
    (clinic.root / "service.toml").unlink()
    clinic.is_mended("settings")


def test_a_variable_that_is_no_setting_is_named(clinic: Clinic) -> None:
    clinic.export(account_name="x")
    found = clinic.failing("settings", "SERVICE_ACCOUNT_NAME", "warn")
    clinic.follow(found)
    clinic.is_mended("settings")


def test_no_report_has_a_secret(clinic: Clinic) -> None:
    clinic.export(api_key="QZJXQZJX", token="QZJXQZJX", api_proxy="http://me:QZJXQZJX@host:1")
    report = clinic.examine()
    assert {row.name for row in report.settings if row.value == "set"} == {"api_key", "token", "api_proxy"}
    assert "QZJX" not in as_text(report) + as_json(report)


# ---------------------------------------------------------------------------------------------- folders, users, modes


def doctor_of(house: SharedHouse, **settings: str) -> tuple[int, Mapping[str, Finding]]:
    """What the user of the service finds."""
    done = house.service("doctor", "--json", http_port="0", command=PROGRAM, **settings)
    return done.code, named(msgspec.json.decode(done.out, type=DoctorReport))


def follow(house: SharedHouse, found: Finding) -> None:
    """Run the command below a finding as the person at the machine, who may become root."""
    assert found.command, found
    subprocess.run(["sh", "-ec", SUDO + found.command], cwd=house.root, check=True, timeout=60)


@pytest.mark.large
@needs_root
@pytest.mark.parametrize(
    ("path", "owner", "mode"),
    [
        ("inbox", SERVICE_USER, 0o500),
        ("inbox", 0, 0o755),
        ("outbox/batches", 0, 0o755),
        ("state", 0, 0o700),
        ("state/register", SERVICE_USER, 0o000),
    ],
)
def test_a_folder_that_the_user_may_not_write_is_given_back(path: str, owner: int, mode: int) -> None:
    with shared_house() as house:
        assert house.once().code == 0
        house.drop()
        os.chown(house.root / path, owner, owner)
        (house.root / path).chmod(mode)
        code, found = doctor_of(house)
        failed = [it for it in found.values() if it.status == "fail"]
        assert code == 1
        assert {it.command for it in failed} == {failed[0].command}, "one cause, one command"
        follow(house, failed[0])
        assert doctor_of(house)[0] == 0
        assert house.once().code == 0
        assert len(house.batches()) == 1


@needs_root
def test_a_folder_above_that_the_user_may_not_pass_is_opened() -> None:
    with shared_house() as house:
        (house.root / "closed" / "state").mkdir(parents=True)
        os.chown(house.root / "closed/state", SERVICE_USER, SERVICE_USER)
        (house.root / "closed").chmod(0o700)
        code, found = doctor_of(house, state="closed/state")
        failed = [it for it in found.values() if it.status == "fail"]
        assert (code, {it.command for it in failed}) == (1, {"sudo chmod a+x closed"})
        follow(house, failed[0])
        assert doctor_of(house, state="closed/state")[0] == 0


@pytest.mark.large
@needs_root
def test_a_folder_that_the_user_may_not_make_is_made() -> None:
    with shared_house() as house:
        os.chown(house.root, 0, 0)
        code, found = doctor_of(house)
        assert (code, found["state"].status) == (1, "fail")
        assert "may not be" not in found["state"].found
        follow(house, found["state"])
        assert doctor_of(house)[0] == 0
        house.drop()
        assert house.once().code == 0


@needs_root
def test_root_is_advised_to_be_the_user_of_the_service(used: Clinic) -> None:
    os.chown(used.works.state, SERVICE_USER, SERVICE_USER)
    found = used.failing("user", f"the state belongs to user {SERVICE_USER}", "warn")
    assert found.command == f"sudo -u '#{SERVICE_USER}' {PROGRAM} doctor"


@pytest.mark.parametrize(("name", "mode"), [("state", 0o755), ("inbox", 0o777), ("outbox", 0o757)])
def test_a_folder_that_is_too_open_is_closed(used: Clinic, name: str, mode: int) -> None:
    (used.root / name).chmod(mode)
    used.follow(used.failing("modes", name, "warn"))
    used.is_mended("modes")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_in_the_way_of_a_folder_is_moved_away(clinic: Clinic, name: str) -> None:
    shutil.rmtree(clinic.root / name, ignore_errors=True)
    (clinic.root / name).write_text("precious", encoding="utf-8")
    found = clinic.failing(name, "is a file and no folder")
    clinic.follow(found)
    clinic.is_mended(name)
    assert (clinic.root / f"{name}.old").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("name", ["inbox/archive", "inbox/.claimed", "outbox/batches", "outbox/.staging", "state"])
def test_a_planted_link_is_removed_and_what_it_leads_to_stays(used: Clinic, name: str) -> None:
    folder, target = used.root / name, used.root / "elsewhere"
    shutil.rmtree(folder, ignore_errors=True)
    if name == "state":
        folder.symlink_to(used.root / "nowhere")
        found = used.failing("state", "is a link to nothing")
    else:
        target.mkdir()
        (target / "precious").touch()
        folder.symlink_to(target)
        found = used.failing("links", f"{name} must be a real folder")
    used.follow(found)
    assert not folder.is_symlink()
    assert list(target.glob("*")) == ([target / "precious"] if name != "state" else [])
    assert used.finding("links").status == "pass"


@pytest.mark.large
def test_a_lock_that_is_no_file_is_removed(used: Clinic) -> None:
    lock = used.works.inbox / ".lock"
    lock.unlink()
    lock.mkdir()
    used.follow(used.failing("links", "inbox/.lock must be a regular file"))
    used.is_mended("links")
    used.works.drop("_2")
    assert used.works.once().published == 1


def test_a_doctor_that_was_killed_leaves_nothing_for_long(used: Clinic) -> None:
    for folder in ("inbox", "inbox/.claimed", "inbox/archive", "outbox/batches", "state"):
        for name, age_seconds in ((".doctor.old", 3600), (".doctor.old.new", 3600), (".doctor.of-another", 0)):
            (used.root / folder / name).write_bytes(b"x")
            os.utime(used.root / folder / name, (time.time() - age_seconds,) * 2)
    examine(local_now)
    left = {path.name for name in FOLDERS for path in (used.root / name).rglob(".doctor*")}
    assert left == {".doctor.of-another"}, "one that works at the same time keeps its own"


def test_locks_that_the_file_system_does_not_have_are_reported(used: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, state = fcntl.flock, used.works.state

    def refused(descriptor: int, operation: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(state):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", refused)
    assert "give SERVICE_STATE a folder on a local disk" in used.failing("locks", "cannot be locked").hint
    used.export(state=used.root / "another")
    monkeypatch.setattr(fcntl, "flock", flock)
    assert used.finding("locks").status == "pass"


# -------------------------------------------------------------------------------------------------------- mounts, disks

Mount = Callable[[Path, str], None]


@pytest.mark.parametrize("name", ["inbox/archive", "inbox/.claimed", "outbox/batches", "outbox/.staging"])
def test_a_folder_that_is_a_mount_of_its_own_is_found_by_a_rename(used: Clinic, mount: Mount, name: str) -> None:
    mount(used.root / name, "1m")
    check = f"{name.partition('/')[0]} renames"
    found = used.failing(check, f"{name} is on another file system than the folder above it")
    used.follow(found)
    assert used.finding(check).status == "pass"


def test_inbox_and_outbox_may_be_different_mounts(clinic: Clinic, mount: Mount) -> None:
    clinic.export(min_free_mb=1)
    mount(clinic.works.inbox, "4m")
    mount(clinic.works.outbox, "4m")
    clinic.works.drop()
    assert clinic.works.once().published == 1
    report = clinic.examine()
    assert (report.failures, named(report)["file systems"].found.count("tmpfs")) == ((), 2)


def test_a_full_disk_fails_and_passes_once_there_is_room(clinic: Clinic, mount: Mount) -> None:
    clinic.export(min_free_mb=2)
    mount(clinic.works.outbox, "4m")
    ballast = clinic.works.outbox / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(5 << 20))
    full = clinic.failing("outbox", "No space left")
    assert "remove files that are not needed from the disk of outbox" in full.hint
    scarce = clinic.failing("free space", "only 0 MB free for outbox", "warn")
    assert "free 2 MB on the disk of outbox" in scarce.hint
    os.truncate(ballast, 2 << 20)
    clinic.is_mended("free space")


def test_a_disk_that_is_smaller_than_the_limit_gets_a_limit_that_fits(clinic: Clinic, mount: Mount) -> None:
    mount(clinic.works.outbox, "64m")
    clinic.follow(clinic.failing("free space", "its disk has 64 MB in all", "warn"))
    clinic.is_mended("free space")


def test_a_state_in_memory_is_lost_at_the_next_start(clinic: Clinic, mount: Mount) -> None:
    clinic.export(min_free_mb=1)
    mount(clinic.works.state, "4m")
    found = clinic.failing("file systems", "every id is lost when the machine restarts", "warn")
    assert "give SERVICE_STATE a folder on a local disk" in found.hint


def test_a_disk_that_is_mounted_read_only_is_mounted_for_writing(clinic: Clinic, mount: Mount) -> None:
    clinic.export(min_free_mb=1)
    mount(clinic.works.outbox, "4m")
    subprocess.run(["mount", "-o", "remount,ro", clinic.works.outbox], check=True)
    clinic.follow(clinic.failing("outbox", "Read-only file system"))
    clinic.is_mended("outbox")


# ------------------------------------------------------------------------------------------------------------- machine


def test_more_memory_than_there_is_is_taken_back(clinic: Clinic) -> None:
    clinic.export(memory_limit_mb=10**9)
    clinic.follow(clinic.failing("memory", "the kernel may kill the service"))
    clinic.is_mended("memory")


def _limited_group(limit_mb: str) -> None:
    """The kernel's files of a cgroup as a container shows them, in a mount namespace of its own."""
    os.environ["SERVICE_MEMORY_LIMIT_MB"] = limit_mb
    if ctypes.CDLL(None).unshare(_CLONE_NEWNS) != 0:
        os._exit(_LACKING)
    for command in (
        "mount --make-rprivate /",
        "mount -t tmpfs tmpfs /sys/fs/cgroup",
        "echo 0::/ > /sys/fs/cgroup/own",
        f"mount --bind /sys/fs/cgroup/own /proc/{os.getpid()}/cgroup",
        "echo 1073741824 > /sys/fs/cgroup/memory.max",
    ):
        if subprocess.run(["sh", "-c", command], check=False).returncode:
            os._exit(_LACKING)


def _no_events(limit: str) -> None:
    """A user namespace without file events: no other program loses its own."""
    user = os.geteuid()
    if ctypes.CDLL(None).unshare(_CLONE_NEWUSER) != 0:
        os._exit(_LACKING)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    for table in ("uid_map", "gid_map"):
        Path("/proc/self", table).write_text(f"0 {user} 1", encoding="ascii")
    Path(f"/proc/sys/user/max_inotify_{limit}").write_text("0", encoding="ascii")


def _examine_twice(root: Path, name: str, prepare: Callable[..., None], arguments: tuple[str, ...]) -> None:
    """Examine, run the command below the finding, examine again; leaves both findings in ``root/both``."""
    os.chdir(root)
    os.environ.update({"SERVICE_HTTP_PORT": "0", "SERVICE_COMMAND": PROGRAM})
    prepare(*arguments)
    first = named(examine(local_now))[name]
    os.environ.update(exports_of(first.command, root))
    second = named(examine(local_now))[name]
    (root / "both").write_bytes(msgspec.json.encode([first, second]))


def examined_twice(root: Path, name: str, prepare: Callable[..., None], *arguments: str) -> list[Finding]:
    """What one check finds in a process of its own, before and after its own advice."""
    process = SERVER.Process(target=_examine_twice, args=(root, name, prepare, arguments))
    process.start()
    process.join(60)
    if process.exitcode == _LACKING:
        is_lacking("needs namespaces")
    assert process.exitcode == 0
    return msgspec.json.decode((root / "both").read_bytes(), type=list[Finding])


@needs_root
def test_more_memory_than_the_container_allows_is_taken_back(house: House) -> None:
    first, second = examined_twice(house.root, "memory", _limited_group, "1024")
    found = "SERVICE_MEMORY_LIMIT_MB=1024, its cgroup allows 1,024 MB: the kernel may kill the service in a large batch"
    assert (first.status, first.found) == ("fail", found)
    assert (second.status, second.found) == ("pass", "SERVICE_MEMORY_LIMIT_MB=512, its cgroup allows 1,024 MB")


@needs_root
def test_half_of_what_the_container_allows_is_for_a_batch(house: House) -> None:
    first, _ = examined_twice(house.root, "memory", _limited_group, "0")
    assert (first.status, first.found) == ("pass", "a batch takes up to 512 MB, its cgroup allows 1,024 MB")


@pytest.mark.parametrize(("number", "status"), [(100, "fail"), (512, "warn")])
def test_too_few_open_files_are_raised_in_the_shell_that_starts_the_service(
    clinic: Clinic, number: int, status: str
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1024:
        is_lacking("needs a hard limit of 1,024 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        found = clinic.finding("open files")
        limit = subprocess.check_output(["sh", "-ec", f"{found.command}; ulimit -S -n"], text=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), hard))
        clinic.is_mended("open files")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found.status == status


@pytest.mark.large
def test_a_wrong_clock_is_found_by_the_calendar_and_by_the_last_batch(used: Clinic) -> None:
    for now, status in (
        (datetime(1970, 1, 1, tzinfo=UTC), "fail"),
        (datetime(2106, 2, 7, tzinfo=UTC), "fail"),
        (local_now() - timedelta(minutes=5), "warn"),
        (local_now(), "pass"),
    ):
        found = named(used.examine(now))["clock"]
        assert found.status == status
        assert ("timedatectl set-ntp true" in found.command) == (status != "pass")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that a process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_a_taken_port_is_named_with_its_process_and_a_free_one(clinic: Clinic, taken: int) -> None:
    clinic.export(http_port=taken)
    found = clinic.failing("port", f"port {taken} of 127.0.0.1 is used by process {os.getpid()}")
    clinic.follow(found)
    clinic.is_mended("port")


def test_in_a_container_what_is_mended_on_the_host_is_described(
    used: Clinic, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setenv("IS_CUSTOMER_INTEGRATION_IMAGE", "1")
    used.export(http_port=taken)
    used.works.state.chmod(0o755)
    found = named(used.examine())
    assert re.match(r"write SERVICE_HTTP_PORT=\d+ into \.env beside docker-compose\.yml", found["port"].hint)
    assert found["modes"].hint.endswith(
        "on the host, with the path of the folder that is mounted there: chmod 700 state"
    )
    assert (found["port"].command, found["modes"].command) == ("", "")
    assert found["watcher"].command == "docker compose up -d"


def test_an_address_of_another_machine_is_replaced(clinic: Clinic) -> None:
    for host, words in (("192.0.2.1", "is no address of this machine"), ("no.such.host.invalid", "is no address")):
        clinic.export(http_host=host)
        clinic.follow(clinic.failing("port", words))
        clinic.is_mended("port")


@needs_root
def test_a_port_that_only_root_may_use_is_replaced() -> None:
    with shared_house() as house:
        first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
        if first < 100:
            is_lacking("needs ports that only root may use")
        done = house.service("doctor", "--json", http_port="99", command=PROGRAM)
        found = named(msgspec.json.decode(done.out, type=DoctorReport))["port"]
        assert (done.code, found.found) == (1, f"user {SERVICE_USER}:{SERVICE_USER} may not listen on port 99")
        port = found.command.removeprefix("export SERVICE_HTTP_PORT=")
        assert house.service("doctor", http_port=port).code == 0


def test_a_port_that_our_own_dashboard_uses_is_right(clinic: Clinic) -> None:
    program = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
    dashboard = subprocess.Popen(
        [sys.executable, "-c", f"{program}time.sleep(60)", "-m", "service", "dashboard"], stdout=subprocess.PIPE
    )
    try:
        assert dashboard.stdout is not None
        clinic.export(http_port=int(dashboard.stdout.readline()))
        found = clinic.finding("port")
        assert (found.status, "used by our own dashboard" in found.found) == ("pass", True)
    finally:
        dashboard.kill()
        dashboard.communicate()


# --------------------------------------------------------------------------------------------------- events and leases


@needs_leases
def test_files_prove_by_a_lease_where_there_are_leases(clinic: Clinic) -> None:
    found = clinic.finding("file events")
    assert (found.status, found.found.startswith("file events arrive; files prove by lease")) == ("pass", True)


def test_without_leases_files_prove_by_their_close_event(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.inbox.mounts.LEASE_FILE_SYSTEMS", frozenset[str]())
    assert "files prove by close_event" in clinic.finding("file events").found


@pytest.mark.parametrize("limit", ["instances", "watches"])
def test_a_limit_of_the_kernel_that_keeps_events_away_is_raised(house: House, limit: str) -> None:
    first, second = examined_twice(house.root, "file events", _no_events, limit)
    assert (first.status, f"inotify {limit} is reached): the inbox is only scanned" in first.found) == ("warn", True)
    assert first.command.startswith(f"sysctl -w user.max_inotify_{limit}=")
    assert (second.status, second.found.partition(";")[0]) == ("pass", "file events arrive")


# --------------------------------------------------------------------------------------------------- the service itself


def test_a_lost_state_is_adopted(used: Clinic) -> None:
    shutil.rmtree(used.works.state)
    found = used.failing("belonging", "is older than the outbox")
    assert found.command == f"{PROGRAM} adopt"
    used.follow(found)
    used.is_mended("belonging")
    assert used.works.once().published == 0, "it starts"


@pytest.mark.large
def test_a_register_that_lost_a_file_is_rebuilt_from_the_newest_set(used: Clinic) -> None:
    register = Register(used.works.state)
    published = register.published()
    assert published is not None
    before = used.works.read("customer_master.csv")
    assert used.finding("register").found == f"the register of batch {published.batch_id} has all of its files"
    (register.folder / published.batch_id / "records.parquet").unlink()
    used.follow(used.failing("register", "has lost records.parquet"))
    used.is_mended("register")
    used.works.drop()
    assert used.works.once().published == 1
    assert used.works.read("customer_master.csv") == before


@pytest.mark.large
def test_a_log_of_identities_that_was_lost_is_rebuilt_from_the_sets(used: Clinic) -> None:
    log = StateFolders(used.works.state).register_events
    before = [path.name for path in log.iterdir()]
    shutil.rmtree(log)
    used.follow(used.failing("register", "its log of identities is lost", "warn"))
    used.is_mended("register")
    assert [path.name for path in log.iterdir()] == before


def test_a_register_of_a_former_version_is_none_that_lost_a_file(used: Clinic) -> None:
    published = Register(used.works.state).published()
    assert published is not None
    (used.works.state / "register" / published.batch_id / "aliases.parquet").unlink()
    assert "is of a former version" in used.finding("register").found
    used.is_mended("register")


@pytest.mark.large
def test_damaged_decisions_are_made_again_from_the_newest_set(used: Clinic) -> None:
    assert cli.main(["decide", "same", "CUST001", "CUST002", "--note", "one firm"]) == 0
    used.works.drop()
    assert used.works.once().published == 1
    store = DecisionStore(used.works.state)
    before = store.in_force()
    assert used.finding("decisions").found == "decisions in force: 1"
    store.path.write_bytes(b"x" * 9000)
    assert cli.main(["decisions", "list"]) == cli.TRANSIENT
    used.follow(used.failing("decisions", "the store of decisions is damaged"))
    used.is_mended("decisions")
    assert store.in_force() == before


def test_an_inbox_of_a_state_that_is_lost_for_good_begins_again_where_nothing_was_published(clinic: Clinic) -> None:
    clinic.works.once()
    shutil.rmtree(clinic.works.state)
    clinic.follow(clinic.failing("belonging", "inbox belongs to another state than state"))
    clinic.is_mended("belonging")
    clinic.works.drop()
    assert clinic.works.once().published == 1


@pytest.mark.large
def test_a_watcher_that_does_not_run_is_started(clinic: Clinic) -> None:
    found = clinic.failing("watcher", "no watcher works with state", "warn")
    with subprocess.Popen(["sh", "-c", f"exec {found.command}"], cwd=clinic.root, stdout=subprocess.DEVNULL) as daemon:
        wait_until((clinic.works.state / "health.json").exists)
        again = named(examine(local_now))["watcher"]
        daemon.terminate()
    assert (again.status, daemon.returncode) == ("pass", 0)


def test_a_check_that_takes_minutes_does_not_make_the_heartbeat_look_ahead(used: Clinic) -> None:
    """The cluster's takes up to two minutes, and the watcher is looked at after it."""
    late = iter([local_now() - timedelta(minutes=2)])
    with used.works.watching():
        found = named(examine(lambda: next(late, None) or local_now()))["watcher"]
    assert found.status == "pass", found


def test_a_watcher_that_is_not_well_is_reported_with_the_reason(used: Clinic) -> None:
    with used.works.watching():
        used.works.drop("_2", ecom="{broken")
        wait_until(used.works.quarantine)
        used.works.waits_to_be(lambda it: it["state"] == "degraded")
        found = named(examine(local_now))["watcher"]
    assert (found.status, "quarantined" in found.found, found.command) == ("warn", True, f"{PROGRAM} healthcheck")


def test_a_check_that_raises_is_a_finding_without_a_customer(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Finding:
        raise ValueError("Ann Lee, ann@x.com")

    monkeypatch.setattr(checks, "CHECKS", (Check("broken", broken), *checks.CHECKS))
    report = clinic.examine()
    assert named(report)["broken"].found == "the check itself failed (ValueError)"
    assert "Ann" not in as_json(report)
    assert len(report.findings) == 24, "the others are made all the same"


def test_where_the_mode_allows_writing_no_other_mode_is_advised(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    refused = PermissionError(errno.EPERM, "Operation not permitted", str(inbox))
    given = advice.mend(refused, inbox, [inbox])
    assert given.command == f"lsattr -d {inbox} && findmnt -T {inbox}"
    assert "chattr -i -a" in given.hint
    assert advice.give_access([inbox], [inbox]) == given


def test_advice_that_mends_several_findings_is_printed_once() -> None:
    names = ("inbox", "inbox renames", "locks")
    findings = tuple(
        Finding(name=name, status="fail", found="refused", hint="look", command="lsattr -d inbox") for name in names
    )
    lines = as_text(DoctorReport(program_version="1", examined_at="now", findings=findings)).splitlines()
    assert [line.strip() for line in lines if "hint:" in line or "run: " in line] == [
        "hint: look",
        "run:  lsattr -d inbox",
        "hint: as for inbox, above",
        "hint: as for inbox, above",
    ]
