"""Scheduled syncs of the daemon, and the whole way of their data: API, inbox, export. And syncs that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.simulator.customers import World
from service.simulator.server import Simulator, Terms, Visit, running
from tests.scripted_api import Answer, serving
from tests.worlds import House, wait_until

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def simulator(customers: int = 12, *scenarios: str, on_visit: Any = lambda visit: None) -> Simulator:
    return Simulator(World(TODAY.date(), customers), scenarios, Terms(), now=lambda: TODAY, on_visit=on_visit)


def settings_for(url: str) -> dict[str, str]:
    """Settings to sync from this API without a rate limit."""
    return {"api_url": url, "api_key": "demo", "api_per_page": "6", "api_requests_per_second": "0"}


def exported(house: House) -> dict[str, Any]:
    """The published export; empty before the first."""
    try:
        found: dict[str, Any] = json.loads(house.read("sample_output.json"))
    except FileNotFoundError:
        return {}
    return found


@pytest.mark.slow
def test_the_daemon_makes_the_export_of_a_synced_file(house: House) -> None:
    house.watch()
    with running(simulator()) as url:
        done = house.run("sync", **settings_for(url))
    assert done.code == 0, done.err
    wait_until(lambda: exported(house))
    assert exported(house)["metadata"]["total_customers"] == 12
    completed = next(event for event in done.events if event["event"] == "sync.completed")
    assert {name: completed[name] for name in ("customers", "pages", "requests", "retries")} == {
        "customers": 12,
        "pages": 2,
        "requests": 3,
        "retries": 0,
    }


@pytest.mark.large
@pytest.mark.slow
def test_the_daemon_syncs_by_schedule_and_reports_a_failed_sync(house: House) -> None:
    every = {"sync_every_minutes": "0.02"}
    with running(simulator()) as url:
        house.watch(**settings_for(url) | every)
        wait_until(lambda: exported(house))
    wait_until(lambda: any("the last sync failed" in reason for reason in house.health()["reasons"]))
    assert house.health()["state"] == "degraded"


@pytest.mark.large
def test_a_restarted_daemon_does_not_sync_before_it_is_due(house: House) -> None:
    api = simulator()
    with running(api) as url:
        settings = settings_for(url) | {"sync_every_minutes": "60"}
        daemon = house.watch(**settings)
        wait_until(lambda: exported(house))
        daemon.stop()
        before = len(api.visits)
        daemon = house.watch(**settings)
        house.drop()
        wait_until(house.manifest)
        assert daemon.stop() == 0
        assert len(api.visits) == before


@pytest.mark.large
def test_a_daemon_that_is_stopped_during_a_sync_ends(house: House) -> None:
    with running(simulator(3000, "slow")) as url:
        daemon = house.watch(**settings_for(url) | {"sync_every_minutes": "60", "api_concurrency": "1"})
        wait_until(lambda: any(event["event"] == "sync.started" for event in house.log()))
        assert daemon.stop(seconds=20) == 0
    assert not list(house.inbox.glob("api*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(401), 2),
        (Answer(302, headers={"location": "https://elsewhere.example"}), 2),
        (Answer(429, headers={"retry-after": "86400"}), 4),
        (Answer(200, b"<html>", {"content-type": "application/json"}), 3),
    ],
    ids=["wrong key", "moved", "limited for long", "never a page"],
)
def test_the_exit_code_says_how_a_sync_ended(house: House, answer: Answer, code: int) -> None:
    (house.inbox / "api_customers.json").write_text("the earlier export")
    with serving(lambda request: answer) as api:
        done = house.run("sync", **settings_for(api.url))
    assert done.code == code
    assert "hint:" in done.err
    assert (house.inbox / "api_customers.json").read_text() == "the earlier export"


def test_a_sync_without_an_api_names_the_missing_setting(house: House) -> None:
    done = house.run("sync")
    assert done.code == 2
    assert "SERVICE_API_URL" in done.err


@pytest.mark.large
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sync_reports_it(house: House, number: int) -> None:
    with running(simulator(3000, "slow")) as url:
        process = start_sync(house, url)
        wait_until(lambda: b"sync.started" in (house.root / "sync.log").read_bytes())
        process.send_signal(number)
        assert process.wait(60) == 130
    assert b"Interrupted" in (house.root / "sync.log").read_bytes()


PAGES = 5


@pytest.mark.slow
@pytest.mark.parametrize("boundary", range(1, PAGES + 2))
def test_a_sync_killed_at_a_page_resumes_and_requests_only_the_overlap_again(house: House, boundary: int) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def kill(visit: Visit) -> None:
        # The thread of the server waits for this call, so this page is never sent.
        if started and len(api.visits) == boundary:
            os.kill(started.pop().pid, signal.SIGKILL)

    undisturbed = House(house.root / "undisturbed")
    with running(simulator(6 * PAGES)) as url:
        undisturbed.run("sync", **settings_for(url))
    api = simulator(6 * PAGES, on_visit=kill)
    with running(api) as url:
        process = start_sync(house, url, api_concurrency="1", is_held=True)
        started.append(process)
        (house.root / "go").touch()
        assert process.wait(60) == -signal.SIGKILL
        assert not (house.inbox / "api_customers.json").exists()
        before = api.fetched[:-1]
        assert house.run("sync", **settings_for(url) | {"api_concurrency": "1"}).code == 0
    twice = [page for page in before if page in api.fetched[len(before) + 1 :]]
    assert len(twice) <= 1, f"requested again: {twice}"
    assert rows(house) == rows(undisturbed)


def rows(house: House) -> list[Any]:
    """The rows in the file of the sync."""
    found: list[Any] = json.loads((house.inbox / "api_customers.json").read_text())["data"]
    return found


def start_sync(house: House, url: str, *, is_held: bool = False, **settings: str) -> subprocess.Popen[bytes]:
    """A sync in a process of its own; ``is_held``: it starts once a file ``go`` exists."""
    held = ["sh", "-c", 'while [ ! -e go ]; do sleep 0.05; done; exec "$@"', "sh"] if is_held else []
    with open(house.root / "sync.log", "wb") as log:
        return subprocess.Popen(
            [*held, sys.executable, "-m", "service", "sync"],
            cwd=house.root,
            env=house.environment(**settings_for(url) | settings),
            stdout=log,
            stderr=log,
        )


def test_the_key_may_be_in_a_file(house: House, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("demo\n")
    with running(simulator()) as url:
        settings = settings_for(url) | {"api_key": "", "api_key_file": str(tmp_path / "key")}
        assert house.run("sync", **settings).code == 0
