"""The image and compose as users run them: files are dropped on the host, results are read on the host."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import docker
import pytest
from docker.models.containers import Container

from service import __version__
from service.container import STATE_VOLUME
from tests.container.conftest import SERVICE, ComposeHouse, Containers, give, stop_seconds
from tests.required import needs_root
from tests.worlds import CASES, CRM, ECOM, ROOT, House, heeds_sigterm, slowness, wait_until

pytestmark = [pytest.mark.container, pytest.mark.slow]

EXPECTED = CASES / "the_sample" / "expected"
# The strictest options that a user may run the image with.
LOCKED_DOWN: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "network_mode": "none",
}


def is_the_sample(house: House) -> bool:
    """Whether master and report in the outbox have the bytes of the expected sample."""
    names = ("customer_master.csv", "duplicate_report.csv")
    return all((house.outbox / name).read_bytes() == (EXPECTED / name).read_bytes() for name in names)


def owners(folder: Path) -> set[tuple[int, int]]:
    """Owners of a folder and all its contents."""
    try:
        found = [path.lstat() for path in (folder, *folder.rglob("*"))]
    except FileNotFoundError:  # the service has moved what was listed
        return owners(folder)
    return {(status.st_uid, status.st_gid) for status in found}


def is_alone(house: ComposeHouse) -> bool:
    """Whether the container has one process; while a health check runs it has two."""
    return len(house.container.top()["Processes"]) == 1


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Inbox, outbox and state as folders of the host."""
    built = House(tmp_path / "house")
    built.outbox.mkdir()
    built.state.mkdir()
    return built


@pytest.fixture(scope="module")
def running(make_compose_house: Callable[[], ComposeHouse]) -> ComposeHouse:
    """A clone as git leaves it, after a bare ``docker compose up``, with the sample processed."""
    house = make_compose_house()
    house.compose("up", "--detach", "--build", seconds=600)
    house.drop()
    house.wait_for_batch()
    return house


# ------------------------------------------------------------------------------------------------- end to end


def test_the_sample_dropped_into_the_clone_becomes_the_master_and_the_service_is_healthy(running: ComposeHouse) -> None:
    assert is_the_sample(running)
    wait_until(lambda: running.container.health == "healthy")


def test_files_dropped_while_it_is_stopped_are_processed_after_the_start(
    make_compose_house: Callable[[], ComposeHouse],
) -> None:
    house = make_compose_house()
    house.compose("up", "--detach")
    house.drop()
    house.wait_for_batch(1)
    assert stop_seconds(house) < 10 * slowness()
    assert house.container.wait()["StatusCode"] == 0
    house.drop()
    house.compose("down")  # the container goes, the volume with the register stays
    house.compose("up", "--detach")
    house.wait_for_batch(2)
    assert is_the_sample(house)
    assert '"created"' not in house.read("integration_log.jsonl")


def test_a_renamed_clone_keeps_its_state(make_compose_house: Callable[[], ComposeHouse]) -> None:
    before, after = make_compose_house(), make_compose_house()
    volume = f"{before.project}-state"  # in place of the fixed name, which other tests must not share
    before.compose("up", "--detach")
    before.drop()
    before.wait_for_batch(1)
    before.compose("down")
    for former, renamed in ((before.inbox, after.inbox), (before.outbox, after.outbox)):
        shutil.rmtree(renamed)
        subprocess.run(["cp", "-a", str(former), str(renamed)], check=True)
    after.compose("up", "--detach", STATE_VOLUME=volume)
    after.drop()
    after.wait_for_batch(2)
    assert '"created"' not in after.read("integration_log.jsonl")
    after.compose("down")
    after.compose("up", "--detach")  # with an empty volume: the inbox is that of another state
    wait_until(lambda: b"belongs to another state folder" in after.container.logs())
    log = after.container.logs()
    assert STATE_VOLUME.encode() in log
    assert f"docker compose run --rm {SERVICE} adopt".encode() in log


def test_a_hint_works_as_it_is_printed(make_compose_house: Callable[[], ComposeHouse]) -> None:
    house = make_compose_house()
    house.compose("up", "--detach")
    (house.inbox / ECOM).write_text("{broken", encoding="utf-8")
    shutil.copyfile(CASES / "the_sample" / CRM, house.inbox / CRM)
    wait_until(lambda: [folder for folder in house.inbox.glob("quarantine/*") if (folder / "reason.json").exists()])
    program, compose, *words = shlex.split(house.reason()["retry"])
    assert (program, compose) == ("docker", "compose")
    shutil.copyfile(CASES / "the_sample" / ECOM, house.quarantine()[0] / ECOM)
    house.compose(*words)
    house.wait_for_batch(1)
    assert is_the_sample(house)


def test_the_state_volume_has_a_fixed_name() -> None:
    assert f"name: ${{STATE_VOLUME:-{STATE_VOLUME}}}" in (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def test_a_dollar_in_single_quotes_in_the_env_file_stays(make_compose_house: Callable[[], ComposeHouse]) -> None:
    house = make_compose_house()
    (house.root / ".env").write_text("SERVICE_API_KEY='a$b$$c'\n", encoding="utf-8")
    house.compose("up", "--detach")
    environment = house.container.attrs["Config"]["Env"]
    assert "SERVICE_API_KEY=a$b$$c" in environment


def test_the_docker_run_line_works_in_a_fresh_clone(make_compose_house: Callable[[], ComposeHouse]) -> None:
    """The lines of the page, but for the name of the image and the end of the run."""
    house = make_compose_house()
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```sh\n(docker build [^`]*)```", page)
    assert "mkdir -p inbox outbox state" in lines
    script = lines.replace("docker run ", f"docker run --rm --name {house.project} ").rstrip() + " watch --once\n"
    script = script.replace("-t customer-integration .", f"-t {house.project} .")
    script = re.sub(r"customer-integration watch", f"{house.project} watch", script)
    house.drop()
    done = subprocess.run(["sh", "-eu", "-c", script], cwd=house.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert is_the_sample(house)
    subprocess.run(["docker", "image", "rm", house.project], capture_output=True, check=False)


def test_a_stop_in_its_first_moments_ends_with_exit_code_0(containers: Containers, house: House) -> None:
    for pause in (0.0, 0.2, 0.4):
        container = containers.start(house=house)
        wait_until(lambda: _heeds_sigterm(container))  # noqa: B023  # it ends within the loop
        time.sleep(pause)
        container.stop(timeout=30)
        assert container.wait()["StatusCode"] == 0


def _heeds_sigterm(container: Container) -> bool:
    container.reload()
    pid = container.attrs["State"]["Pid"]
    if "python" not in str(Path(f"/proc/{pid}/exe").readlink()):
        return False  # the runtime, which catches the signal as well, before it becomes our program
    return heeds_sigterm(pid)


# --------------------------------------------------------------------------------------------------- its user


def test_the_service_is_one_process_without_root_and_without_capabilities(running: ComposeHouse) -> None:
    wait_until(lambda: is_alone(running))
    status = _status(running, "1")
    assert "0" not in status["Uid"] + status["Gid"]
    assert status["Groups"] == []
    for rights in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[rights][0], 16) == 0, rights
    assert status["NoNewPrivs"] == ["1"]


def _status(house: ComposeHouse, process: str) -> dict[str, list[str]]:
    code, out = house.execute("cat", f"/proc/{process}/status")
    assert code == 0, out
    return {name: value.split() for name, _, value in (line.partition(":") for line in out.splitlines())}


def test_health_checks_leave_no_process_and_drop_root(running: ComposeHouse) -> None:
    # The user that a verb runs as after the entry point; docker exec begins as root, as health checks do.
    program = (
        "import os; from service import __main__, cli\n"
        "cli.main = lambda given: print(os.getresuid(), os.getresgid(), os.getgroups()) or 0\n"
        "__main__.main(['healthcheck'])"
    )
    code, out = running.execute("python", "-c", program)
    owner = running.inbox.stat()
    assert (code, out.strip()) == (0, f"{(owner.st_uid,) * 3} {(owner.st_gid,) * 3} []")
    for _ in range(3):
        assert running.execute("python", "-m", "service", "healthcheck") == (0, "ok\n")
    wait_until(lambda: is_alone(running))


@needs_root
def test_a_clone_of_root_is_given_to_1000_but_not_its_files(
    make_compose_house: Callable[[], ComposeHouse],
) -> None:
    house = make_compose_house()
    (house.inbox / ".gitkeep").touch()
    give(house.root, 0, 0)
    house.compose("up", "--detach")
    house.drop()
    house.wait_for_batch()
    assert is_the_sample(house)
    assert owners(house.outbox) == {(1000, 1000)}
    assert (house.inbox.stat().st_uid, (house.inbox / ".gitkeep").stat().st_uid, house.root.stat().st_uid) == (
        1000,
        0,
        0,
    )
    archived = house.inbox / "archive" / house.batches()[0]
    assert (archived.stat().st_uid, (archived / CRM).stat().st_uid) == (1000, 0)


@needs_root
def test_the_results_belong_to_the_owner_of_the_clone(make_compose_house: Callable[[], ComposeHouse]) -> None:
    house = make_compose_house()
    give(house.root, 4321, 8765)
    house.compose("up", "--detach")
    house.drop()
    give(house.inbox, 4321, 8765)
    house.wait_for_batch()
    assert is_the_sample(house)
    assert owners(house.outbox) == owners(house.inbox) == {(4321, 8765)}
    assert _status(house, "1")["Uid"] == ["4321"] * 4


@needs_root
def test_puid_and_pgid_choose_the_user(make_compose_house: Callable[[], ComposeHouse]) -> None:
    house = make_compose_house()
    give(house.root, 0, 0)
    house.compose("up", "--detach", PUID="2345", PGID="3456")
    house.drop()
    house.wait_for_batch()
    assert is_the_sample(house)
    assert owners(house.outbox) == {(2345, 3456)}
    assert (_status(house, "1")["Uid"], _status(house, "1")["Gid"]) == (["2345"] * 4, ["3456"] * 4)


@needs_root
def test_the_state_follows_when_the_user_changes(containers: Containers, house: House) -> None:
    for uid in (1000, 4321):
        house.drop()
        give(house.inbox, uid, uid)
        give(house.outbox, uid, uid)
        assert containers.run("watch", "--once", house=house)[0] == 0
        assert owners(house.state) == {(uid, uid)}
    assert len(house.batches()) == 2


@needs_root
def test_a_locked_down_container_with_any_user_processes_a_batch(containers: Containers, house: House) -> None:
    house.drop()
    give(house.root, 12345, 54321)
    zone = ZoneInfo("Asia/Kathmandu")
    code, out, _ = containers.run(
        "watch", "--once", house=house, user="12345:54321", environment={"TZ": zone.key}, **LOCKED_DOWN
    )
    assert code == 0, out
    assert is_the_sample(house)
    assert owners(house.outbox) == {(12345, 54321)}
    written = datetime.strptime(house.read("integration_log.txt")[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
    assert abs(datetime.now(zone) - written) < timedelta(minutes=2)


@needs_root
def test_a_verb_that_docker_exec_begins_as_root_leaves_no_files_of_root(containers: Containers, house: House) -> None:
    house.drop()
    (house.inbox / CRM).write_text("wrong,columns\n1,2\n", encoding="utf-8")
    give(house.root, 1000, 1000)
    container = containers.start(house=house)
    quarantine = house.inbox / "quarantine"
    wait_until(lambda: list(quarantine.glob("*/reason.json")))
    batch = next(quarantine.iterdir()).name
    code, out = container.exec_run(["python", "-m", "service", "retry", "--accept", batch])
    assert code == 0, out
    wait_until(lambda: list(quarantine.glob("*/reason.json")))
    assert owners(house.root) == {(1000, 1000)}


# ------------------------------------------------------------------------------------------------- messages


@needs_root
@pytest.mark.parametrize("name", ["inbox", "outbox", "state"])
def test_a_folder_that_the_given_user_may_not_write_is_reported(
    containers: Containers, house: House, name: str
) -> None:
    give(house.root, 12345, 54321)
    give(house.root / name, 0, 0)
    code, out, err = containers.run(house=house, user="12345:54321", **LOCKED_DOWN)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"SettingsError: user 12345:54321 may not write /data/{name}",
        "  found: it belongs to 0:0, mode 755",
        f"  hint:  on the host, for the folder that is mounted at /data/{name}: sudo chown -R 12345:54321 FOLDER; or"
        " start the container without --user: it then finds a user and gives root's folders to it",
    ]


@pytest.mark.parametrize(("name", "value"), [("PUID", "0"), ("PGID", "staff")])
def test_an_impossible_id_or_that_of_root_is_refused(containers: Containers, name: str, value: str) -> None:
    code, out, err = containers.run(environment={name: value})
    assert (code, out) == (2, "")
    assert err.startswith(f"SettingsError: {name} ")


def test_without_the_capabilities_to_drop_root_it_does_not_run(containers: Containers, house: House) -> None:
    code, out, err = containers.run(house=house, **LOCKED_DOWN)
    assert (code, out) == (2, "")
    assert "cannot drop root privileges" in err
    assert "SETUID" in err


def test_a_read_only_container_with_nothing_mounted_reports_what_to_mount(containers: Containers) -> None:
    code, _, err = containers.run(user="1000:1000", **LOCKED_DOWN)
    assert code == 2
    assert err.count("nothing is mounted at") == 3


@needs_root
def test_a_folder_of_root_with_foreign_folders_in_it_is_not_given_away(containers: Containers, house: House) -> None:
    give(house.root, 0, 0)
    (house.outbox / "etc").mkdir()
    code, _, err = containers.run(house=house)
    assert code == 2
    assert "may not write /data/outbox" in err
    assert owners(house.outbox) == {(0, 0)}


@needs_root
def test_a_folder_that_is_not_our_state_keeps_its_owners(containers: Containers, house: House) -> None:
    give(house.root, 1000, 1000)
    (house.state / "thesis.txt").touch()
    (house.state / "photos").mkdir()
    give(house.state, 777, 777)
    code, _, err = containers.run(house=house)
    assert code == 2
    assert "may not write /data/state" in err
    assert owners(house.state) == {(777, 777)}


def test_a_misspelt_setting_in_the_env_file_stops_the_start(make_compose_house: Callable[[], ComposeHouse]) -> None:
    house = make_compose_house()
    (house.root / ".env").write_text("SERVICE_DEFAULT_REGON=GB\n", encoding="utf-8")
    house.compose("up", "--detach")
    wait_until(lambda: b"did you mean SERVICE_DEFAULT_REGION?" in house.container.logs())


# ----------------------------------------------------------------------------------------------- other verbs


def test_help_names_the_verbs(containers: Containers) -> None:
    code, out, err = containers.run("--help", **LOCKED_DOWN, user="12345:54321")
    assert (code, err) == (0, "")
    for verb in ("watch", "integrate", "retry", "healthcheck", "demo"):
        assert verb in out


@needs_root
def test_integrate_keeps_its_own_state_beside_its_results(containers: Containers, house: House, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name in (CRM, ECOM):
        (work / name).write_bytes((CASES / "the_sample" / name).read_bytes())
    give(work, 12345, 54321)
    give(house.root, 12345, 54321)
    code, _, err = containers.run(
        *("integrate", CRM, ECOM, "--outbox", "results"),
        **LOCKED_DOWN,
        house=house,
        user="12345:54321",
        working_dir="/work",
        volumes={str(work): {"bind": "/work", "mode": "rw"}},
    )
    assert code == 0, err
    master = (work / "results" / "customer_master.csv").read_bytes()
    assert master == (EXPECTED / "customer_master.csv").read_bytes()
    assert (work / "results" / ".state" / "state.json").exists()
    assert list(house.state.iterdir()) == []


def test_the_demo_runs_under_compose(running: ComposeHouse) -> None:
    shown = running.compose("run", "--rm", "customer-integration", "demo")
    assert (EXPECTED / "customer_master.csv").read_text(encoding="utf-8") in shown.stdout


def test_a_sync_from_the_simulator_of_compose_becomes_an_export(
    make_compose_house: Callable[[], ComposeHouse],
) -> None:
    house = make_compose_house()
    house.compose("--profile", "simulator", "up", "--detach", "--build", seconds=600)
    api = ("-e", "SERVICE_API_URL=http://127.0.0.1:9000/api/users", "-e", "SERVICE_API_KEY=demo")
    house.compose("exec", "-T", *api, SERVICE, "python", "-m", "service", "sync")
    wait_until(lambda: (house.outbox / "analytics_manifest.json").exists())
    export = json.loads(house.read("sample_output.json"))
    assert export["metadata"]["total_customers"] == 12
    house.compose("--profile", "simulator", "down", "--timeout", "5")


# ------------------------------------------------------------------------------------------------- the image


def test_nothing_is_written_outside_the_mounted_folders(containers: Containers, house: House) -> None:
    house.drop()
    container = containers.start("watch", "--once", house=house, environment={"SERVICE_SETTLE_SECONDS": "0.5"})
    assert container.wait(timeout=180)["StatusCode"] == 0
    assert is_the_sample(house)
    assert not container.diff()


def test_the_image_has_labels_entry_point_and_health_check(engine: docker.DockerClient, image: str) -> None:
    config = engine.images.get(image).attrs["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["version"] == __version__
    assert labels["licenses"] == "MIT"
    assert labels["title"] and labels["description"]
    assert config["Entrypoint"] == ["python", "-m", "service"]
    assert config["Cmd"] == ["watch"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "service", "healthcheck"]


def test_the_image_contains_nothing_it_does_not_need(
    engine: docker.DockerClient, image: str, containers: Containers
) -> None:
    assert engine.images.get(image).attrs["Size"] < 400_000_000
    program = (
        "import pathlib\n"
        "print([str(p) for p in pathlib.Path('/root').rglob('*') if p.name in ('pip', '.cache')])\n"
        "print([str(p) for p in pathlib.Path('/opt/venv').rglob('*') if p.name in ('pip', 'tests', 'pytest')])\n"
        "print(sorted(p.name for p in pathlib.Path('/app').iterdir()))\n"
        "print([str(p) for p in pathlib.Path('/app').rglob('*') if p.stat().st_mode & 0o022])\n"
        "compiled = {p.name.split('.')[0] for p in pathlib.Path('/app').rglob('*.pyc')}\n"
        "print([str(p) for p in pathlib.Path('/app').rglob('*.py') if p.stem not in compiled])"
    )
    code, out, err = containers.run("-c", program, entrypoint="python")
    assert code == 0, err
    assert out.splitlines() == ["[]", "[]", "['LICENSE', 'sbom.cdx.json', 'service']", "[]", "[]"]
