"""The advice of the runbook: each condition is provoked for real, its steps are followed, and its code disappears.

The commands are those of the runbook, word for word; only the words in capitals are replaced. A step that begins with
"If" may be left out, any other may not.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from service import cli
from service.runbook import CODES, entry_of
from tests.attacks.users import SERVICE_USER, copy, shared_house
from tests.faults.test_deafness import FAULTS, Site, lacking
from tests.required import is_lacking, needs_root
from tests.scripted_api import Answer, Request, four_customers, page, serving
from tests.supervised import Supervise
from tests.worlds import CRM, ECOM, SAMPLE, House, Mount, Works, World, put_in_place, wait_until

Test = TypeVar("Test", bound=Callable[..., None])

# Commands that only look: what they find, and whether they are installed, is for a person.
pytestmark = pytest.mark.large

_LOOKS = ("ls", "lsof", "df", "cat", "sysctl user", "ss", "curl")
_MOST_SECONDS = 30.0
_tried: set[str] = set()


def provokes(*codes: str) -> Callable[[Test], Test]:
    """Marks the test of these codes."""

    def mark(test: Test) -> Test:
        _tried.update(codes)
        return test

    return mark


def test_the_advice_of_every_entry_is_tried() -> None:
    assert _tried == set(CODES)


class Advice:
    """The entry of one code, followed in a world."""

    def __init__(self, code: str, world: World, inside: tuple[str, ...] = ()) -> None:
        """``inside``: how commands begin that must run where the daemon is."""
        entry = entry_of(code)
        assert entry is not None
        self._entry = entry
        self._world = world
        self._inside = inside
        self._followed: set[int] = set()

    def follow(self, number: int, **words: object) -> int:
        """Run the command of a step; it must succeed, unless it only looks. Returns its exit code."""
        step = self._entry.steps[number - 1]
        self._followed.add(number)
        folders = {"INBOX": self._world.inbox, "OUTBOX": self._world.outbox, "STATE": self._world.state}
        command = step.command.removeprefix("sudo ")
        for word, value in (folders | words).items():
            command = re.sub(rf"\b{word}\b", str(value), command)
        if step.verb:
            return self._verb(command.partition("service ")[2].split())
        done = subprocess.run([*self._inside, "sh", "-c", command], capture_output=True, text=True, check=False)
        assert step.command.startswith(_LOOKS) or done.returncode == 0, f"{command}: {done.stderr}"
        return done.returncode

    def _verb(self, arguments: list[str]) -> int:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("inbox", "outbox", "state"):
                patch.setenv(f"SERVICE_{name.upper()}", str(getattr(self._world, name)))
            return cli.main(arguments)

    def act(self, number: int) -> None:
        """What follows in the test is what this step says in words."""
        assert not self._entry.steps[number - 1].command
        self._followed.add(number)

    def is_followed(self) -> bool:
        """Whether every step was followed that does not begin with "If"."""
        needed = {n for n, step in enumerate(self._entry.steps, 1) if not step.text.startswith("If ")}
        return needed <= self._followed != set()


@contextmanager
def advised(code: str, world: World, inside: tuple[str, ...] = ()) -> Iterator[Advice]:
    """Wait for the code in health; follow its advice in the block; wait until it has disappeared."""
    wait_until(lambda: code in world.health()["codes"], _MOST_SECONDS)
    advice = Advice(code, world, inside)
    yield advice
    assert advice.is_followed()
    wait_until(lambda: code not in world.health()["codes"], _MOST_SECONDS)


def reason_of(code: str, world: World) -> str:
    """The text of the reason with this code."""
    health = world.health()
    assert len(health["codes"]) == len(health["reasons"])
    return str(health["reasons"][health["codes"].index(code)])


HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """A process that holds the lock at ``path``, until the block ends or it is killed; its process id."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield holder.pid
        finally:
            holder.kill()


# ---------------------------------------------------------------------------------------------------- the inbox


@provokes("inbox_unusable")
def test_a_missing_inbox_is_created(works: Works) -> None:
    with works.watching():
        works.lose_inbox()
        with advised("inbox_unusable", works) as advice:
            advice.follow(1)
            advice.follow(3)
        works.drop()
        wait_until(works.archived)


def test_a_link_in_place_of_a_folder_is_moved_away(works: Works) -> None:
    with works.watching():
        archive = works.inbox / "archive"
        put_in_place(archive, lambda: archive.symlink_to(works.root))
        with advised("inbox_unusable", works) as advice:
            assert str(archive) in reason_of("inbox_unusable", works)
            advice.follow(1)
            advice.follow(5, FILE=archive)
        works.drop()
        wait_until(works.archived)


@provokes("inbox_taken")
def test_the_other_holder_of_the_inbox_is_ended(works: Works) -> None:
    other = works.root / "other"
    other.mkdir()
    with locked(other / ".lock") as pid, works.watching():
        put_in_place(works.inbox, lambda: other.rename(works.inbox))
        with advised("inbox_taken", works) as advice:
            advice.follow(1)
            advice.follow(2, PID=pid)
        works.drop()
        wait_until(works.archived)


@provokes("inbox_of_another_state")
def test_the_right_inbox_is_put_back(works: Works) -> None:
    foreign = works.root / "foreign"
    foreign.mkdir()
    (foreign / ".lock").write_text("another-state\n", encoding="utf-8")
    with works.watching():
        aside = put_in_place(works.inbox, lambda: foreign.rename(works.inbox))
        with advised("inbox_of_another_state", works) as advice:
            assert advice.follow(1) == 0
            advice.follow(2, FOLDER=aside)
        works.drop()
        wait_until(works.archived)


@provokes("inbox_replaced")
@pytest.mark.parametrize("is_right", [True, False])
def test_a_replaced_inbox_is_used_or_put_back(works: Works, is_right: bool) -> None:
    with works.watching():
        aside = put_in_place(works.inbox, works.inbox.mkdir)
        with advised("inbox_replaced", works) as advice:
            advice.follow(1)
            if is_right:
                advice.act(3)
                works.drop()
            else:
                advice.follow(2, FOLDER=aside)
        wait_until(lambda: works.health()["state"] == "ok")


@provokes("file_events_missing")
@pytest.mark.slow
def test_the_limits_of_inotify_are_raised(house: House) -> None:
    fault = FAULTS["no inotify watch left"]
    if why := lacking(fault, house.root):
        is_lacking(why)
    site = Site(house, fault)
    try:
        inside = ("nsenter", "-t", str(site.daemon.pid), "-U")
        with advised("file_events_missing", house, inside) as advice:
            assert advice.follow(2) == 0
            advice.follow(3)
    finally:
        site.close()


@provokes("file_events_lost")
@pytest.mark.slow
def test_lost_file_events_need_no_action(house: House) -> None:
    fault = FAULTS["an exception in the handler"]
    site = Site(house, fault)
    try:
        fault.begin(site)
        with advised("file_events_lost", house) as advice:
            advice.act(1)
        house.drop()
        wait_until(house.archived)
    finally:
        site.close()


# ------------------------------------------------------------------------------------------- faults and claims


@provokes("batch_postponed", "turn_overdue")
def test_the_cause_of_a_postponed_batch_is_removed_and_the_one_behind_it_gets_its_turn(works: Works) -> None:
    obstacle = works.outbox / ".staging"
    with works.watching(retry_seconds=2, partner_warning_minutes=0.3 / 60):
        obstacle.write_text("no folder can be made here", encoding="utf-8")
        works.drop("_1")
        wait_until(works.claim_files)
        works.drop("_2")
        with advised("turn_overdue", works) as behind:
            behind.act(1)
            with advised("batch_postponed", works) as advice:
                assert str(obstacle) in reason_of("batch_postponed", works)
                assert advice.follow(1, FILE=obstacle) == 0
                advice.act(3)
                obstacle.unlink()
        wait_until(lambda: len(works.archived()) == 2)


@provokes("claim_refused", "folder_unwritable", "export_unreadable")
@pytest.mark.slow
@needs_root
def test_folders_and_files_of_another_user_are_given_back() -> None:
    user = f"{SERVICE_USER}:{SERVICE_USER}"
    with shared_house() as house, house.watching():
        os.chown(house.inbox / ".claimed", 0, 0)
        house.drop()
        with advised("claim_refused", house) as advice:
            advice.follow(1)
            advice.follow(2, USER=user)
        wait_until(house.archived)
        for folder in (house.outbox / "batches", house.inbox / "archive"):
            os.chown(folder, 0, 0)
            with advised("folder_unwritable", house) as advice:
                assert f"{folder.parent.name}/{folder.name}" in reason_of("folder_unwritable", house)
                advice.follow(1, FOLDER=folder)
                advice.follow(2, FOLDER=folder, USER=user)
        closed = house.inbox / "crm_customers_2.csv"
        house.attack(copy, SAMPLE / CRM, closed)
        closed.chmod(0)
        house.attack(copy, SAMPLE / ECOM, house.inbox / "ecommerce_customers_2.json")
        with advised("export_unreadable", house) as advice:
            advice.follow(1, FILE=closed.name)
            advice.follow(2, FILE=closed.name)
        wait_until(lambda: len(house.archived()) == 2)


@provokes("claim_unreadable")
def test_the_files_of_a_claim_that_cannot_be_read_are_moved_back(works: Works) -> None:
    with works.watching():
        works.drop()
        wait_until(works.archived)
        folder = works.inbox / ".claimed" / "foreign"
        folder.mkdir()
        for name in (CRM, ECOM):
            shutil.copyfile(SAMPLE / name, folder / name)
        folder.with_suffix(".json").write_text("{", encoding="utf-8")
        with advised("claim_unreadable", works) as advice:
            assert "foreign.json" in reason_of("claim_unreadable", works)
            for number in (1, 2, 3):
                assert advice.follow(number, BATCH="foreign") == 0
        wait_until(lambda: len(works.archived()) == 2)


@provokes("completion_postponed")
def test_what_lies_in_the_way_of_a_published_file_is_moved_away(works: Works) -> None:
    obstacle = works.outbox / "customer_master.csv"
    with works.watching(retry_seconds=0.3):
        obstacle.mkdir()
        (obstacle / "kept").touch()
        works.drop()
        with advised("completion_postponed", works) as advice:
            assert str(obstacle) in reason_of("completion_postponed", works)
            advice.follow(1, FILE=obstacle)
            advice.follow(2, FILE=obstacle)
        wait_until(works.archived)
    assert obstacle.read_bytes() == (SAMPLE / "expected" / "customer_master.csv").read_bytes()


@provokes("disk_low")
@needs_root
def test_folders_of_the_quarantine_are_deleted_from_a_disk_that_runs_low(
    works: Works,
    mount: Mount,
) -> None:
    mount(works.inbox, "size=48m")
    with works.watching(min_free_mb=32):
        works.drop(crm=(SAMPLE / CRM).read_text("utf-8") + "\n" * (24 << 20), ecom="{broken")
        wait_until(works.quarantine)
        with advised("disk_low", works) as advice:
            assert advice.follow(1) == 0
            advice.follow(2, BATCH=works.quarantine()[0].name)


# -------------------------------------------------------------------------------------------------- quarantine


@provokes("batch_quarantined")
def test_a_quarantined_batch_is_mended_and_retried(works: Works) -> None:
    with works.watching():
        works.drop(ecom="{broken")
        with advised("batch_quarantined", works) as advice:
            (folder,) = works.quarantine()
            assert reason_of("batch_quarantined", works) == f"quarantined {folder.name}: UnreadableFile"
            assert advice.follow(1, BATCH=folder.name) == 0
            advice.act(2)
            shutil.copyfile(SAMPLE / ECOM, folder / ECOM)
            assert advice.follow(3, BATCH=folder.name) == 0
        wait_until(works.archived)


def test_a_batch_that_a_guard_held_back_is_accepted(works: Works) -> None:
    with works.watching():
        works.drop("_2")
        wait_until(works.archived)
        works.drop("_1")
        with advised("batch_quarantined", works) as advice:
            (folder,) = works.quarantine()
            assert advice.follow(1, BATCH=folder.name) == 0
            assert advice.follow(4, BATCH=folder.name) == 0
        wait_until(lambda: len(works.archived()) == 2)


def test_a_quarantined_batch_that_is_not_needed_is_deleted(works: Works) -> None:
    with works.watching():
        works.drop(ecom="{broken")
        with advised("batch_quarantined", works) as advice:
            (folder,) = works.quarantine()
            assert advice.follow(1, BATCH=folder.name) == 0
            advice.follow(5, BATCH=folder.name)


@provokes("batch_quarantined_by_fault")
def test_a_batch_that_a_fault_stopped_for_good_is_retried(works: Works) -> None:
    with works.watching():
        (works.state / "work").write_text("no folder can be made here", encoding="utf-8")
        works.drop()
        with advised("batch_quarantined_by_fault", works) as advice:
            assert works.health()["state"] == "failing"
            (folder,) = works.quarantine()
            assert advice.follow(1, BATCH=folder.name) == 0
            advice.act(2)
            (works.state / "work").unlink()
            assert advice.follow(3, BATCH=folder.name) == 0
        wait_until(works.archived)


# ------------------------------------------------------------------------------------------------ files that wait


@provokes("export_copied")
@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_copy_is_renamed_or_deleted(works: Works, is_wanted: bool) -> None:
    with works.watching():
        name = "crm_customers (1).csv"
        shutil.copyfile(SAMPLE / ECOM, works.inbox / ECOM)
        shutil.copyfile(SAMPLE / CRM, works.inbox / name)
        with advised("export_copied", works) as advice:
            assert f"rename it to {CRM}" in reason_of("export_copied", works)
            advice.follow(1, FILE=name, NAME=CRM) if is_wanted else advice.follow(2, FILE=name)
        wait_until(lambda: bool(works.archived()) == is_wanted)


@provokes("export_contested")
def test_the_other_versions_of_an_export_are_moved_away(works: Works) -> None:
    with works.watching():
        shutil.copyfile(SAMPLE / CRM, works.inbox / "CRM_CUSTOMERS.CSV")
        works.drop()
        with advised("export_contested", works) as advice:
            advice.follow(1)
            advice.follow(2, FILE="CRM_CUSTOMERS.CSV", FOLDER=works.root)
        wait_until(works.archived)


@provokes("export_unfinished")
def test_the_writer_of_an_export_is_found_and_ended(works: Works) -> None:
    with works.watching(partner_warning_minutes=0.3 / 60):
        with (works.inbox / CRM).open("a") as writer:
            works.drop()
            with advised("export_unfinished", works) as advice:
                advice.follow(1, FILE=CRM)
                writer.close()
        wait_until(works.archived)


@provokes("export_stuck")
def test_an_export_that_is_stuck_is_moved_away(works: Works) -> None:
    with works.watching(stuck_pair_minutes=0.8 / 60):
        with (works.inbox / "crm_customers_1.csv").open("a"):
            works.drop("_1")
            works.drop("_2")
            with advised("export_stuck", works) as advice:
                advice.follow(1, FILE="crm_customers_1.csv")
                advice.follow(3, FILE="crm_customers_1.csv", FOLDER=works.root)
        wait_until(works.archived)


@provokes("partner_missing")
@pytest.mark.parametrize("is_misnamed", [True, False])
def test_the_missing_partner_is_renamed_or_dropped(works: Works, is_misnamed: bool) -> None:
    with works.watching(partner_warning_minutes=0.3 / 60):
        shutil.copyfile(SAMPLE / CRM, works.inbox / "crm_customers_7.csv")
        if is_misnamed:
            shutil.copyfile(SAMPLE / ECOM, works.inbox / "ecommerce_export.json")
        with advised("partner_missing", works) as advice:
            name = reason_of("partner_missing", works).rpartition(" ")[2]
            advice.follow(1)
            if is_misnamed:
                advice.follow(2, FILE="ecommerce_export.json", NAME=name)
            else:
                advice.act(3)
                shutil.copyfile(SAMPLE / ECOM, works.inbox / name)
        wait_until(works.archived)


@provokes("more")
def test_the_cause_of_many_reasons_is_removed(works: Works) -> None:
    with works.watching():
        for number in range(102):
            (works.inbox / f"crm_customers_{number} (1).csv").touch()
        with advised("more", works) as advice:
            wait_until(lambda: reason_of("more", works) == "and 2 more")
            advice.follow(1)
            for path in works.inbox.glob("* (1).csv"):
                path.unlink()


# ------------------------------------------------------------------------------------------------------ instances


@contextmanager
def second_instance(works: Works) -> Iterator[Callable[[], list[str]]]:
    """One more instance on these folders, until the block ends; the codes of its report while it stands by."""
    watcher = works.watcher()
    thread = threading.Thread(target=watcher.run)
    thread.start()

    def codes() -> list[str]:
        with suppress(StopIteration, FileNotFoundError, ValueError):
            report = next(works.state.glob("health.standby-*.json"))
            return [str(code) for code in re.findall(r"stands_by|lock_held", report.read_text(encoding="utf-8"))]
        return []

    try:
        yield codes
    finally:
        watcher.stop()
        thread.join(20)


@provokes("stands_by")
def test_one_of_two_instances_is_stopped(works: Works) -> None:
    first = works.watching()
    first.__enter__()
    with second_instance(works) as codes:
        wait_until(lambda: codes() == ["stands_by"], _MOST_SECONDS)
        advice = Advice("stands_by", works)
        advice.follow(2)
        first.__exit__(None, None, None)
        wait_until(lambda: codes() == [], _MOST_SECONDS)
        works.drop()
        wait_until(works.archived)


@provokes("lock_held")
def test_a_process_that_holds_the_lock_without_being_an_instance_is_ended(works: Works) -> None:
    with locked(works.inbox / ".lock") as pid, second_instance(works) as codes:
        wait_until(lambda: codes() == ["lock_held"], _MOST_SECONDS)
        (report,) = works.state.glob("health.standby-*.json")
        assert f"process {pid} " in report.read_text(encoding="utf-8")
        advice = Advice("lock_held", works)
        advice.follow(1, PID=pid)
        assert advice.is_followed()
        wait_until(lambda: codes() == [], _MOST_SECONDS)
        works.drop()
        wait_until(works.archived)


# ------------------------------------------------------------------------------------------------------- the sync


class Api:
    """An API whose answers a test changes."""

    def __init__(self) -> None:
        self.answer: Callable[[Request], Answer] = four_customers

    def __call__(self, request: Request) -> Answer:
        """The answer to a request; only with the right key."""
        return Answer(401) if request.headers.get("x-api-key") != "right" else self.answer(request)


def too_few(request: Request) -> Answer:
    """Four customers on two pages, of an API that states a total of five."""
    ids = {1: [1, 2], 2: [3, 4]}.get(request.page, [])
    return page(request.page, ids, total=5, total_pages=2)


def settings_for(url: str, **more: str) -> dict[str, str]:
    """Settings to sync from this API."""
    return {"api_url": url, "api_key": "right", "api_requests_per_second": "0", "settle_seconds": "0.2"} | more


def sync_by_hand(advice: Advice, number: int, settings: dict[str, str]) -> int:
    """Follow a step whose command is ``sync``, with the settings of the service."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(f"SERVICE_{name.upper()}", value)
        return advice.follow(number)


@provokes("sync_failed")
@pytest.mark.slow
def test_a_sync_by_hand_ends_the_reason_of_a_failed_one(house: House) -> None:
    api = Api()
    api.answer = too_few
    with serving(api) as served:
        settings = settings_for(served.url, sync_every_minutes="60")
        house.watch(**settings)
        with advised("sync_failed", house) as advice:
            assert sync_by_hand(advice, 1, settings) == 3, "it says what is wrong"
            api.answer = four_customers
            assert sync_by_hand(advice, 1, settings) == 0


@provokes("sync_rejected")
@pytest.mark.slow
def test_a_rejected_setting_is_corrected(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Api()) as served:
        wrong = settings_for(served.url, sync_every_minutes="60", api_key="wrong")
        daemon = house.watch(**wrong)
        with advised("sync_rejected", house) as advice:
            assert sync_by_hand(advice, 1, wrong) == 2
            assert "SERVICE_API_KEY" in capsys.readouterr().err
            advice.act(2)
            assert daemon.stop() == 0
            house.watch(**wrong | {"api_key": "right"})
        wait_until(lambda: (house.outbox / "sample_output.json").exists())
        assert house.health()["codes"] == []


@provokes("sync_limited")
@pytest.mark.slow
def test_a_limited_sync_continues_by_itself(house: House) -> None:
    api = Api()
    api.answer = lambda request: Answer(429, headers={"retry-after": "2"})
    with serving(api) as served:
        house.watch(**settings_for(served.url, sync_every_minutes="60", api_longest_wait_seconds="1"))
        with advised("sync_limited", house) as advice:
            api.answer = four_customers
            advice.act(1)
        wait_until(lambda: (house.outbox / "sample_output.json").exists())


# --------------------------------------------------------------------------------------- what others must notice


@provokes("watcher_silent")
@pytest.mark.slow
def test_a_silent_watcher_is_ended_and_started_again(house: House) -> None:
    advice = Advice("watcher_silent", house)
    daemon = house.watch()
    assert advice.follow(1) == 0
    daemon.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: advice.follow(1) == 1, 10)
    advice.act(2)
    advice.follow(3, PID=daemon.process.pid)
    assert daemon.stop(seconds=20) == -signal.SIGKILL
    house.watch()
    assert advice.follow(1) == 0


@pytest.mark.slow
def test_a_start_that_is_refused_because_the_state_is_lost_is_mended_by_adopt(house: House) -> None:
    advice = Advice("watcher_silent", house)
    house.drop()
    assert house.run("watch", "--once").code == 0
    shutil.rmtree(house.state)
    (house.inbox / ".lock").write_text("", encoding="utf-8")
    daemon = house.watch()
    wait_until(lambda: daemon.process.poll() is not None, 20)
    assert daemon.stop() == 2
    assert advice.follow(1) == 1
    advice.act(2)
    assert "StateBehindOutbox" in (house.root / "daemon.log").read_text(encoding="utf-8")
    assert advice.follow(4) == 0
    house.watch()
    assert advice.follow(1) == 0


@provokes("dashboard_unreachable")
def test_a_dashboard_that_hangs_is_ended_and_comes_back(house: House, supervised: Supervise) -> None:
    """The verb itself is tried with the pages; here any server at a port of its own."""
    run = supervised(("sleep", "600"), {"dashboard": SERVER_AT_A_FREE_PORT})
    port = wait_for_port(house)
    advice = Advice("dashboard_unreachable", house)
    words = {"8080": port, "healthz": ""}
    assert advice.follow(1, **words) == 0
    os.kill(run.pids()["dashboard"], signal.SIGSTOP)
    advice.follow(2, **words)
    advice.follow(3, PID=run.pids()["dashboard"])
    (house.root / "port").unlink()
    port = wait_for_port(house)
    assert advice.follow(1, **words | {"8080": port}) == 0
    assert advice.is_followed()


SERVER_AT_A_FREE_PORT = (
    sys.executable,
    "-c",
    "import http.server, pathlib\n"
    "server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
    "pathlib.Path('port.new').write_text(str(server.server_port))\n"
    "pathlib.Path('port.new').rename('port')\n"
    "server.serve_forever()",
)


def wait_for_port(house: House) -> int:
    """The port at which the server beside the house listens."""
    wait_until((house.root / "port").exists, 20)
    return int((house.root / "port").read_text(encoding="utf-8"))
