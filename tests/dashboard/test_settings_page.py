"""The page of settings, ``/readyz`` and ``/healthz``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.dashboard.site import Site
from service.dashboard.web.app import create_app
from service.settings import Settings
from tests.dashboard.house import DashboardHouse, text_of
from tests.worlds import local_now


def test_every_setting_is_shown_with_its_value_and_origin(
    shared_house: DashboardHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_KEEP_BATCHES", "7")
    shown = text_of(shared_house.client(keep_batches=7).get("/settings"))
    for name in Settings.model_fields:
        assert f"SERVICE_{name.upper()} " in shown
    assert "SERVICE_KEEP_BATCHES 7 environment" in shown


def test_a_secret_is_shown_as_set_or_unset_only(shared_house: DashboardHouse) -> None:
    client = shared_house.client(api_key="QZJXQZJX", token="QZJXQZJX")
    for path in ("/settings", "/api/v1/settings"):
        answer = client.get(path)
        assert "QZJX" not in answer.text
    rows = {it["name"]: it["value"] for it in client.get("/api/v1/settings").json["settings"]}  # type: ignore[index]
    assert (rows["api_key"], rows["token"], rows["api_proxy"]) == ("set", "set", "unset")


def test_ready_is_what_every_check_says(own_house: DashboardHouse) -> None:
    client = own_house.client()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    failed = {it["name"] for it in answer.json["checks"] if not it["is_ok"]}  # type: ignore[index]
    assert "lock" in failed
    assert client.get("/healthz").json == {"state": "ok"}


def test_a_house_without_any_folder_answers(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    folders: dict[str, Any] = {name: nothing / name for name in ("inbox", "outbox", "state")}
    client = create_app(Site(Settings(**folders), local_now)).test_client()
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    assert client.get("/metrics").status_code == 200
    assert not (tmp_path / "nothing").exists(), "a reader creates nothing"


def test_probes_come_under_any_host_name_and_pages_do_not(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    headers = {"Host": "10-0-0-7.pod.example"}
    assert client.get("/healthz", headers=headers).status_code == 200
    assert client.get("/readyz", headers=headers).status_code == 503
    assert client.get("/settings", headers=headers).status_code == 400
    assert (
        shared_house.client(http_names=("10-0-0-7.pod.example",)).get("/settings", headers=headers).status_code == 200
    )
