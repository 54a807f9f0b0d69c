"""The sample below /demo is a service of its own: made by one click, shown by the same pages, and removed again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from service import logs
from service.dashboard import sample
from service.dashboard.site import Site
from service.dashboard.web.app import create_app
from service.settings import Settings
from tests.dashboard.house import text_of, visible
from tests.worlds import House, local_now


def _site(root: Path) -> Site:
    folders: dict[str, Any] = {"inbox": root / "inbox", "outbox": root / "outbox", "state": root / "state"}
    return Site(Settings(**folders), local_now)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service that never ran, whose sample was made by the button; its settings would change the sample."""
    logs.configure()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"CSV_BOM": "true", "ACTIVE_DAYS": "1", "MAX_REJECT_PERCENT": "0"}.items():
            patch.setenv(f"SERVICE_{name}", value)
        site = _site(tmp_path_factory.mktemp("sample"))
        answer = create_app(site).test_client().post("/sample")
    assert (answer.status_code, answer.location) == (303, "/demo/")
    yield site


@pytest.fixture
def client(made: Site) -> FlaskClient:
    return create_app(made).test_client()


@pytest.mark.large
def test_the_empty_overview_offers_it_and_one_click_shows_it(made: Site, client: FlaskClient) -> None:
    shown = text_of(client.get("/demo/"))
    assert "This is the sample, in folders of its own." in shown
    assert "3 of 8 records were duplicates; 5 customers published" in shown
    assert "Customers 5" in shown
    assert "sample_output.json" in shown
    assert "customer_master.csv" in shown


@pytest.mark.large
def test_it_spends_no_id_and_leaves_the_folders_of_the_service_alone(made: Site) -> None:
    root = made.settings.state.parent
    assert [path.name for path in root.iterdir()] == ["state"]
    assert [path.name for path in (root / "state").iterdir()] == ["demo"]


def test_the_page_of_the_service_shows_nothing_of_it(client: FlaskClient) -> None:
    shown = text_of(client.get("/"))
    assert "Open the sample" in shown
    assert "Customers 5" not in shown
    assert (client.get("/api/v1/overview").json or {})["latest"] == []
    assert len((client.get("/demo/api/v1/overview").json or {})["latest"]) == 2


def test_it_cannot_be_changed(client: FlaskClient, made: Site) -> None:
    for path in ("/demo/api/v1/inbox/CRM", "/demo/api/v1/sample/remove"):
        assert client.post(path, data=b"").status_code == 409
    shown = client.get("/demo/").text
    assert "<form" not in shown
    assert "hx-get" not in shown
    assert sample.made_at(made) is not None


@pytest.mark.large
def test_it_leads_back_also_below_a_path_of_a_proxy(client: FlaskClient) -> None:
    assert '<a href="/">Back to your service</a>' in client.get("/demo/").text
    below = client.get("/demo/", base_url="http://localhost/customers/")
    assert '<a href="/customers/">Back to your service</a>' in below.text


def test_its_pages_have_the_guards_of_the_service(made: Site) -> None:
    client = create_app(made, "secret").test_client()
    assert client.get("/demo/").location == "/demo/login"
    assert client.get("/demo/api/v1/overview").status_code == 401
    assert client.get("/demo/", headers={"Host": "evil.example"}).status_code == 400
    # One session for both: who logged in on one is in on the other.
    assert client.post("/login", data={"token": "secret"}).status_code == 303
    assert client.get("/demo/").status_code == 200
    assert client.get("/demo/", headers={"Host": "evil.example"}).status_code == 400


def test_wrong_tokens_count_for_both_together(made: Site) -> None:
    client = create_app(made, "secret").test_client()
    codes = [client.post(f"{at}/login", data={"token": "wrong"}).status_code for at in ("", "/demo") * 5]
    assert codes == [401] * 10
    assert client.post("/demo/login", data={"token": "secret"}).status_code == 429


def test_without_a_sample_the_address_leads_to_the_service(tmp_path: Path) -> None:
    client = create_app(_site(tmp_path)).test_client()
    assert client.get("/demo/").location == "/"
    assert client.get("/demo/api/v1/overview").status_code == 404
    assert "Show me the sample" in visible(client.get("/").text)


def test_it_is_replaced_as_a_whole_and_kept_where_the_new_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = _site(tmp_path)
    client = create_app(site).test_client()
    calls: list[Path] = []

    def run(arguments: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        folder = Path(arguments[-1])
        assert arguments[:-1] == [sys.executable, "-m", "service", "demo", "--keep"]
        (folder / "state").mkdir(parents=True)
        (folder / f"run {len(calls)}").touch()
        calls.append(folder)
        if len(calls) == 4:
            raise subprocess.TimeoutExpired(arguments, 1)
        return subprocess.CompletedProcess(arguments, 0 if len(calls) < 3 else 1)

    monkeypatch.setattr("service.dashboard.sample.subprocess.run", run)
    codes = [client.post("/api/v1/sample").status_code for _ in range(4)]
    assert codes == [200, 200, 503, 503]
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["demo"]
    assert sorted(path.name for path in (tmp_path / "state" / "demo").iterdir()) == ["run 1", "state"]
    assert client.post("/sample/remove").location == "/"
    assert list((tmp_path / "state").iterdir()) == []


def test_it_is_made_once_at_a_time(tmp_path: Path) -> None:
    client = create_app(_site(tmp_path)).test_client()
    with sample._one_at_a_time:
        answer = client.post("/api/v1/sample")
    assert answer.status_code == 409
    assert "being made already" in (answer.json or {})["detail"]


def test_no_setting_changes_it(made: Site) -> None:
    outbox = sample.sample_of(made).settings.outbox
    assert (outbox / "customer_master.csv").read_bytes().startswith(b"unified_id,")
    customers = json.loads((outbox / "sample_output.json").read_text(encoding="utf-8"))["customers"]
    assert "active" in {customer["activity_status"] for customer in customers}


def test_the_verb_makes_it_in_a_new_folder_only(house: House) -> None:
    refused = house.run("demo", "--keep", house.root)
    assert refused.code == 2
    assert "exists already" in refused.err
