"""The analytics page: the latest export, those before it, and the runs of the sync."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from service import commands
from service.api.clock import SystemClock
from service.errors import ServiceError
from service.jobs.sync import sync
from service.jobs.sync_runs import read_runs
from service.simulator.customers import World
from service.simulator.server import Simulator, running
from tests.dashboard.house import DashboardHouse, tags_of, text_of
from tests.worlds import local_now


def test_the_page_shows_the_counts_of_the_latest_export(shared_house: DashboardHouse) -> None:
    report = json.loads((shared_house.set_of(shared_house.export) / "analytics_report.json").read_text())
    shown = text_of(shared_house.client().get("/analytics"))
    assert f"{report['customers']} customers were exported" in shown
    assert f"{report['data_quality']['high']} of them with data of high quality" in shown
    for tier, count in report["customer_tier"].items():
        assert f"{tier} {count} " in shown


def test_the_api_gives_every_count_of_the_report(shared_house: DashboardHouse) -> None:
    report = json.loads((shared_house.set_of(shared_house.export) / "analytics_report.json").read_text())
    (export,) = shared_house.client().get("/api/v1/analytics").json["exports"]  # type: ignore[index]
    assert (export["batch_id"], export["customers"]) == (shared_house.export, report["customers"])
    assert export["master"] == shared_house.masters[-1]
    for field in export["fields"]:
        assert {it["value"]: it["customers"] for it in field["values"]} == report[field["field"]]


@pytest.mark.large
def test_an_export_whose_report_is_damaged_or_gone_is_left_out(own_house: DashboardHouse) -> None:
    path = own_house.set_of(own_house.export) / "analytics_report.json"
    path.chmod(0o600)
    for content in (b'{"customers": "many"}', b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(content)
        assert "No analytics export yet" in text_of(own_house.client().get("/analytics"))
    path.unlink()
    assert "No analytics export yet" in text_of(own_house.client().get("/analytics"))


def test_the_empty_page_says_which_settings_a_sync_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_prefix", "make it")
    empty = DashboardHouse(tmp_path)
    assert "Set SERVICE_API_URL" in text_of(empty.client().get("/analytics"))
    with_api = text_of(empty.client(api_url="https://api.example/users").get("/syncs"))
    assert "Start a sync with make it sync" in with_api


def test_every_sync_is_written_down_with_its_end_and_figures(tmp_path: Path) -> None:
    house = DashboardHouse(tmp_path)
    clock = SystemClock(local_now)
    simulator = Simulator(World(local_now().date()), (), now=local_now)
    with running(simulator) as url:
        right = house.settings(api_url=url, api_key=SecretStr(simulator.terms.api_key), api_per_page=6)
        asyncio.run(sync(right, clock))
        wrong = right.model_copy(update={"api_key": SecretStr("other")})
        with pytest.raises(ServiceError):
            asyncio.run(sync(wrong, clock))
    rejected, completed = read_runs(house.works.state)
    assert (completed.end, completed.customers, completed.pages) == ("completed", 12, 2)
    assert (rejected.end, rejected.customers) == ("rejected", None)
    assert rejected.message and "other" not in rejected.message
    answer = house.client().get("/syncs")
    assert "The last sync did not complete" in text_of(answer)
    assert tags_of(answer.text).count("tr") == 1 + 2
    runs = house.client().get("/api/v1/syncs?limit=1").json["runs"]  # type: ignore[index]
    assert [run["end"] for run in runs] == ["rejected"]


def test_a_damaged_report_of_runs_is_replaced_by_the_next_sync(tmp_path: Path) -> None:
    house = DashboardHouse(tmp_path)
    path = house.works.state / "sync" / "runs.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    simulator = Simulator(World(local_now().date()), (), now=local_now)
    with running(simulator) as url:
        given = house.settings(api_url=url, api_key=SecretStr(simulator.terms.api_key))
        asyncio.run(sync(given, SystemClock(local_now)))
    assert [run.end for run in read_runs(house.works.state)] == ["completed"]
