"""The dashboard of compose: the same page as on a machine, behind a token, beside a watcher without a network."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.container.conftest import SERVICE, ComposeHouse
from tests.worlds import CASES, CRM, ECOM, wait_until

pytestmark = [pytest.mark.container, pytest.mark.slow]

SAMPLE = CASES / "the_sample"


@pytest.fixture(scope="module")
def started(make_compose_house: Callable[[], ComposeHouse]) -> Iterator[ComposeHouse]:
    """A clone after ``docker compose up``, as in the README."""
    house = make_compose_house()
    house.compose("up", "--detach", "--build", seconds=600)
    client = _Client(house)
    wait_until(lambda: b"ok" in _unless_refused(client, "/healthz"), seconds=60)
    yield house
    house.down()


class _Client:
    """What a person does with the printed address, by HTTP."""

    def __init__(self, house: ComposeHouse) -> None:
        published = house.compose("port", "dashboard", "8080").stdout.strip()
        assert published.startswith("127.0.0.1:"), "only this machine reaches the page"
        self.url = f"http://{published}"
        self._house = house

    @property
    def token(self) -> str:
        """The token of the login address, which the first start prints."""
        found = re.search(r"/login\?token=(\S+)", self._house.compose("logs", "--no-log-prefix", "dashboard").stdout)
        assert found is not None
        return found[1]

    def get(self, path: str, *, with_token: bool = True) -> bytes:
        """The body of an answer. Raises: HTTPError."""
        return self._send(urllib.request.Request(f"{self.url}{path}"), with_token=with_token)

    def upload(self, source: str, content: bytes) -> None:
        """Upload a file, as the API does."""
        headers = {"Content-Type": "application/octet-stream"}
        self._send(urllib.request.Request(f"{self.url}/api/v1/inbox/{source}", content, headers, method="POST"))

    def act(self, path: str) -> None:
        """Carry out an action of the API."""
        headers = {"Content-Type": "application/json"}
        self._send(urllib.request.Request(f"{self.url}/api/v1{path}", b"{}", headers))

    def view(self, path: str) -> Any:
        """A view of the API."""
        return json.loads(self.get(f"/api/v1{path}"))

    def _send(self, request: urllib.request.Request, *, with_token: bool = True) -> bytes:
        if with_token:
            request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            body = answer.read()
        assert isinstance(body, bytes)
        return body


def test_two_uploaded_files_become_the_master_on_the_page(started: ComposeHouse) -> None:
    client = _Client(started)
    with pytest.raises(HTTPError, match="401"):
        client.get("/api/v1/overview", with_token=False)
    client.upload("CRM", (SAMPLE / CRM).read_bytes())
    client.upload("ECOM", (SAMPLE / ECOM).read_bytes())
    started.wait_for_batch()
    wait_until(lambda: bool(client.view("/batches")["batches"]), seconds=20)
    batch_id = started.batches()[-1]
    master = client.get(f"/batches/{batch_id}/files/customer_master.csv")
    assert master == (started.outbox / "customer_master.csv").read_bytes()
    assert b"John Smith" in client.get("/customers/CUST001")
    assert client.view("/customers/CUST001")["unified_id"] == "CUST001"
    assert b'"is_ready":true' in client.get("/readyz", with_token=False)


def test_the_sample_can_be_made_in_the_read_only_container(started: ComposeHouse) -> None:
    client = _Client(started)
    before = client.view("/batches")
    client.act("/sample")
    assert client.view("/batches") == before  # the page of the service is still its own
    assert b"John Smith" in client.get("/demo/customers/CUST001")


def test_a_killed_dashboard_leaves_the_watcher_alone_and_comes_back(started: ComposeHouse) -> None:
    watcher = started.container.attrs["State"]["Pid"]
    started.compose("kill", "--signal", "KILL", "dashboard")
    assert started.container.attrs["State"]["Pid"] == watcher
    started.compose("up", "--detach")
    client = _Client(started)
    wait_until(lambda: b"ok" in _unless_refused(client, "/healthz"), seconds=60)
    assert started.container.attrs["HostConfig"]["NetworkMode"] == "none"
    assert started.container.name == f"{started.project}-{SERVICE}-1"


def _unless_refused(client: _Client, path: str) -> bytes:
    """The answer; empty while the port refuses connections."""
    try:
        return client.get(path, with_token=False)
    except OSError:
        return b""
