"""The simulated API: correct pages for a correct request, and each scenario as it is described."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import count, groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import UsageError
from service.simulator import wire
from service.simulator.customers import World
from service.simulator.scenarios import SCENARIOS, Mix, Order, is_customer, parse
from service.simulator.server import Simulator, Terms, Visit, listening, running
from tests.worlds import ROOT, House

TODAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
LISTS = ("clamp", "clamp-echo", "shift", "churn", "lying-total", "lying-total-high", "dup-across-pages")
FAULTS = ("flaky", "rate-limit-seconds", "html-200", "truncated", "drip", "reset")


@dataclass(frozen=True)
class Received:
    """A complete answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def page(self) -> dict[str, Any]:
        """The JSON of the body."""
        assert self.headers["content-type"] == "application/json; charset=utf-8"
        found: dict[str, Any] = json.loads(self.body)
        return found


class Client:
    """One connection to the API, kept open until the API closes it."""

    def __init__(self, url: str, key: str | None = "demo") -> None:
        parts = urlsplit(url)
        self.path = parts.path
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        self._headers = {"x-api-key": key} if key is not None else {}

    def get(self, target: str = "", method: str = "GET", **headers: str) -> Received:
        """Send a request for a path below the collection."""
        sent = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self.connection.request(method, self.path + target, headers=sent)
            response = self.connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Received(response.status, found, response.read())
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise

    def page(self, number: int, per_page: int = 6) -> Received:
        """Request a page."""
        return self.get(f"?page={number}&per_page={per_page}")


def simulated(scenarios: str = "", customers: int = 12, seed: int = 0, **terms: Any) -> Simulator:
    """An API whose clock does not advance."""
    return Simulator(World(TODAY, customers, seed), parse(scenarios), Terms(**terms), now=lambda: NOW)


@contextmanager
def client_of(simulator: Simulator) -> Iterator[Client]:
    """A client of the API while it runs."""
    with running(simulator) as url:
        client = Client(url)
        yield client
        client.connection.close()


def result_of(client: Client, page: int) -> str:
    """The status of the answer to a request for a page, or how the connection failed."""
    try:
        return str(client.page(page).status)
    except http.client.IncompleteRead:
        return "incomplete"
    except ConnectionResetError:
        return "reset"


# ── pages ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_page_is_shaped_as_on_reqres() -> None:
    with client_of(simulated()) as client:
        page = client.get("?page=2").page
    assert {name: page[name] for name in ("page", "per_page", "total", "total_pages")} == {
        "page": 2,
        "per_page": 6,
        "total": 12,
        "total_pages": 2,
    }
    assert [row["id"] for row in page["data"]] == [7, 8, 9, 10, 11, 12]
    assert list(page["data"][0])[:5] == ["id", "email", "first_name", "last_name", "avatar"]
    assert set(page["support"]) == {"url", "text"}


def test_a_page_beyond_the_last_is_empty() -> None:
    with client_of(simulated()) as client:
        assert client.page(3).page["data"] == []
        assert client.page(3).page["total_pages"] == 2


def test_a_page_has_at_most_a_hundred_customers() -> None:
    with client_of(simulated(customers=250)) as client:
        page = client.page(1, per_page=1000).page
    assert (page["per_page"], page["total_pages"], len(page["data"])) == (100, 3, 100)


def test_one_customer_can_be_requested() -> None:
    with client_of(simulated()) as client:
        assert client.get("/2").page["data"]["first_name"] == "Janet"
        assert client.get("/13").status == 404


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/api/users", None, 401),
        ("GET", "/api/users", "wrong", 403),
        ("GET", "/api/user", "demo", 404),
        ("GET", "/", "demo", 404),
        ("POST", "/api/users", "demo", 405),
        ("DELETE", "/api/users/1", "demo", 405),
        *(("GET", f"/api/users?page={page}", "demo", 400) for page in ("0", "-1", "", "two", "1.5", "²", "9" * 40)),
        ("GET", "/api/users?per_page=0", "demo", 400),
    ],
)
def test_a_wrong_request_is_answered_with_an_error_in_json(
    method: str, path: str, key: str | None, status: int
) -> None:
    simulator = simulated()
    with running(simulator) as url:
        client = Client(url, key)
        client.path = path.replace("²", "%C2%B2")
        received = client.get(method=method)
        client.connection.close()
    assert received.status == status
    assert set(received.page) == {"error"}
    assert simulator.visits == []


def test_an_unchanged_page_is_not_sent_again() -> None:
    simulator = simulated()
    with client_of(simulator) as client:
        first = client.page(1)
        again = client.get("?page=1&per_page=6", if_none_match=first.headers["etag"])
        other = client.get("?page=2&per_page=6", if_none_match=first.headers["etag"])
        weak = client.get("?page=1&per_page=6", if_none_match=f'"x", W/{first.headers["etag"]}')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (other.status, weak.status) == (200, 304)
    assert [(v.page, v.status, v.body_bytes) for v in simulator.visits][:2] == [(1, 200, len(first.body)), (1, 304, 0)]


def test_a_connection_stays_open_and_accepts_pipelined_requests() -> None:
    with client_of(simulated()) as client:
        client.page(1)
        used = client.connection.sock
        client.page(2)
        assert client.connection.sock is used
        used.sendall(b"GET /api/users?page=9 HTTP/1.1\r\nX-API-Key: demo\r\n\r\n" * 3)
        received = b""
        while received.count(b'"page":9') < 3:
            received += used.recv(65536)


def test_every_request_for_a_page_is_recorded() -> None:
    recorded: list[Visit] = []
    simulator = Simulator(World(TODAY), parse("flaky"), now=lambda: NOW, on_visit=recorded.append)
    with client_of(simulator) as client:
        while len(simulator.fetched) < 2:
            client.page(1 + len(simulator.fetched))
    assert simulator.fetched == [1, 2]
    assert recorded == simulator.visits
    assert simulator.requests == Counter(visit.page for visit in recorded)
    assert recorded[0].status in (500, 503)


async def request_once(simulator: Simulator) -> bytes:
    """Request a page in the same event loop."""
    import asyncio

    async with listening(simulator) as url:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"GET /api/users HTTP/1.1\r\nx-api-key: demo\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


def test_it_can_share_an_event_loop() -> None:
    import asyncio

    assert b'"total":12' in asyncio.run(request_once(simulated()))


def test_a_port_in_use_raises_an_error_in_the_thread_that_starts_it() -> None:
    with running(simulated()) as url, pytest.raises(OSError), running(simulated(), port=urlsplit(url).port or 0):
        raise AssertionError


# ── clients that misbehave ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"GET /api/users\r\n\r\n",
        b"GET /api/users HTTP/2\r\n\r\n",
        b"GET /api/users HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET //[ HTTP/1.1\r\nx-api-key: demo\r\n\r\n",
        b"POST /api/users HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/users HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /" + b"x" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_a_malformed_request_is_refused_and_the_next_client_is_served(sent: bytes) -> None:
    with client_of(simulated()) as client:
        with socket.create_connection((client.connection.host, client.connection.port), timeout=30) as connection:
            connection.sendall(sent)
            assert connection.recv(65536).startswith(b"HTTP/1.1 400 Bad Request")
        assert client.page(1).status == 200


def test_clients_that_disconnect_do_not_affect_others() -> None:
    with client_of(simulated("drip", customers=1000)) as client:
        address = client.connection.host, client.connection.port
        for sent in (b"", b"GET /api/us", b"GET /api/users?page=1 HTTP/1.1\r\nx-api-key: demo\r\n\r\n" * 50):
            with socket.create_connection(address, timeout=30) as connection:
                connection.sendall(sent)
        assert client.get("/1").status == 200


def test_it_stops_while_clients_wait() -> None:
    simulator = simulated("drip", customers=1000)
    with running(simulator) as url:
        parts = urlsplit(url)
        silent = socket.create_connection((parts.hostname, parts.port))
        dripped = socket.create_connection((parts.hostname, parts.port))
        dripped.sendall(b"GET /api/users?page=1 HTTP/1.1\r\nx-api-key: demo\r\n\r\n")
        dripped.recv(1)
    assert simulator.visits[0].send_mode == "dripped"
    silent.close()
    dripped.close()


# ── customers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def quality(row: dict[str, Any]) -> int:
    """The quality score: ten points for each of ten members; every member that may give a segment counts."""
    found = [
        isinstance(row["id"], int),
        bool(row["first_name"]),
        bool(row["last_name"]),
        "@" in str(row["email"]),
        bool(row["avatar"]),
        isinstance(row.get("engagement_score"), int),
        str(row.get("last_active_at")).startswith("20"),
        row.get("signup_source") in ("website", "mobile", "email"),
        any(row.get(name) for name in ("region", "country", "timezone", "phone")),
        bool(row.get("plan") or row.get("total_spent")),
    ]
    return 10 * found.count(True)


TWELVE = [World(TODAY).customer(index) for index in range(12)]


def test_george_has_the_highest_quality() -> None:
    george = TWELVE[0]
    assert quality(george) == 100
    assert george["email"] == "george.bluth@reqres.in"
    assert george["avatar"] == "https://reqres.in/img/faces/1-image.jpg"
    assert george["engagement_score"] >= 70
    assert george["last_active_at"] == "2026-02-27T00:00:00Z"
    assert (george["signup_source"], george["region"], george["plan"]) == ("website", "US-West", "premium")


def test_eight_of_the_twelve_are_of_high_quality_three_of_medium_and_one_of_low() -> None:
    def buckets(scores: list[int]) -> list[int]:
        return [sum(s >= 80 for s in scores), sum(50 <= s < 80 for s in scores), sum(s < 50 for s in scores)]

    scores = [quality(row) for row in TWELVE]
    without_region = [not any(row.get(name) for name in ("region", "country", "timezone", "phone")) for row in TWELVE]
    assert buckets(scores) == [8, 3, 1]
    by_address = [score + 10 * lacks for score, lacks in zip(scores, without_region, strict=True)]
    assert buckets(by_address) == [8, 3, 1], "also if the country domain of the address counts"


def test_the_twelve_have_all_levels_channels_and_tiers() -> None:
    scores = [row.get("engagement_score") for row in TWELVE]
    assert {None if s is None else s >= 70 or (s >= 40 and "medium") for s in scores} == {True, "medium", False, None}
    assert {row.get("signup_source") for row in TWELVE} == {"website", "mobile", "email", None}
    assert {row.get("plan") for row in TWELVE} == {"basic", "premium", "enterprise", None}
    assert {"US", "SG", "DE", "BR", None} <= {row.get("country") for row in TWELVE}
    limit = str(TODAY - timedelta(days=90))
    assert {(row.get("last_active_at") or "")[:10] > limit for row in TWELVE} == {True, False}


def test_a_customer_depends_on_seed_and_number_only() -> None:
    small, large = World(TODAY, 20, seed=7), World(TODAY, 1_000_000, seed=7)
    assert [small.customer(i) for i in range(20)] == [large.customer(i) for i in range(20)]
    assert large.customer(999_999) != World(TODAY, 1_000_000, seed=8).customer(999_999)
    assert large.customer(999_999)["id"] == 1_000_000


def test_made_up_customers_are_varied() -> None:
    rows = [World(TODAY).customer(index) for index in range(12, 2012)]
    names = "".join(row.get("first_name") or "" for row in rows)
    assert all(any(low <= letter <= high for letter in names) for low, high in ("Az", "Ая", "αω", "את", "ءي", "一龥"))
    complete = sum(quality({"avatar": "", "email": "", "first_name": "", "last_name": ""} | row) == 100 for row in rows)
    assert 0.1 < complete / len(rows) < 0.7
    emails = [row["email"] for row in rows if "@example" in (row.get("email") or "")]
    assert len(set(emails)) == len(emails) > 1000


def test_the_last_page_of_a_million_is_served() -> None:
    with client_of(simulated(customers=1_000_000)) as client:
        page = client.page(10_000, per_page=100).page
    assert (page["total_pages"], page["data"][-1]["id"]) == (10_000, 1_000_000)


# ── faults ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.large
@pytest.mark.parametrize("scenario", FAULTS)
def test_a_fault_depends_on_seed_page_and_attempt_only(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "DRIP_EVERY_SECONDS", 0.0)

    def visits(seed: int, connections: int) -> list[tuple[int, int, str, bool]]:
        simulator = simulated(scenario, customers=120, seed=seed)

        def request_thrice(page: int) -> None:
            client = Client(url)
            for _ in range(3):
                result_of(client, page)
            client.connection.close()

        with running(simulator) as url, ThreadPoolExecutor(connections) as pool:
            list(pool.map(request_thrice, range(1, 21)))
        return sorted((v.page, v.status, v.send_mode, v.is_page) for v in simulator.visits)

    assert visits(0, connections=8) == visits(0, connections=1)
    assert visits(0, connections=1) != visits(1, connections=1)


@pytest.mark.parametrize(("scenario", "percent"), [("flaky", 20), ("rate-limit-date", 20), ("reset", 15), ("drip", 15)])
def test_a_fault_is_as_frequent_as_described_also_at_the_next_attempt(scenario: str, percent: int) -> None:
    mix = Mix((scenario,), seed=3)
    failed = [[bool(list(mix.failing(page, earlier))) for earlier in range(3)] for page in range(2, 4002)]
    for earlier in range(3):
        assert abs(sum(attempts[earlier] for attempts in failed) / 40 - percent) < 2
    twice = sum(attempts[1] and attempts[2] for attempts in failed) / 40
    assert abs(twice - percent**2 / 100) < 1


def test_each_scenario_fails_at_least_one_request() -> None:
    for seed in range(20):
        mix = Mix(("shift", "flaky", "reset"), seed)
        assert "flaky" in mix.failing(1, 0)
        assert "reset" in mix.failing(2, 0)


def test_flaky_answers_are_server_errors_without_a_pause() -> None:
    with client_of(simulated("flaky", customers=600)) as client:
        answers = [client.page(page) for page in range(1, 101)]
    assert {answer.status for answer in answers} == {200, 500, 503}
    assert all("retry-after" not in answer.headers for answer in answers)


@pytest.mark.parametrize(
    ("scenario", "retry_after"),
    [("rate-limit-seconds", "1"), ("rate-limit-far", "86400"), ("rate-limit-junk", "1m0s")],
)
def test_a_rate_limit_states_the_pause(scenario: str, retry_after: str) -> None:
    with client_of(simulated(scenario)) as client:
        refused = client.page(1)
        while client.page(1).status != 200:
            pass
    assert (refused.status, refused.headers["retry-after"]) == (429, retry_after)


def test_a_rate_limit_may_state_the_pause_as_a_date() -> None:
    with client_of(simulated("rate-limit-date")) as client:
        refused = client.page(1)
    assert refused.status == 429
    assert parsedate_to_datetime(refused.headers["retry-after"]) == NOW + timedelta(seconds=2)


def test_html_has_status_200_and_sometimes_the_type_of_json() -> None:
    with client_of(simulated("html-200", customers=1200)) as client:
        answers = [client.page(page) for page in range(1, 201)]
    assert {answer.status for answer in answers} == {200}
    odd = {(answer.headers["content-type"], answer.body[:5]) for answer in answers if not answer.body.startswith(b"{")}
    json_type = "application/json; charset=utf-8"
    assert odd == {("text/html; charset=utf-8", b"<!DOC"), (json_type, b"<!DOC"), (json_type, b"")}


def test_truncated_bodies_are_cut_or_chunked_without_an_end() -> None:
    simulator = simulated("truncated", customers=600)
    with client_of(simulator) as client:
        results = [result_of(client, page) for page in range(1, 101)]
    assert [result == "incomplete" for result in results] == [v.send_mode != "whole" for v in simulator.visits]
    assert {visit.send_mode for visit in simulator.visits} == {"whole", "cut", "unended"}


def test_a_drip_is_sent_byte_by_byte_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "DRIP_EVERY_SECONDS", 0.001)
    with client_of(simulated("drip")) as client, pytest.raises(http.client.IncompleteRead) as dripped:
        client.page(1)
    assert len(dripped.value.partial) == wire.DRIPS


def test_resets_occur_before_the_answer_and_in_the_middle_of_it() -> None:
    simulator = simulated("reset", customers=600)
    with client_of(simulator) as client:
        results = [result_of(client, page) for page in range(1, 101)]
    assert [result != "200" for result in results] == [v.send_mode != "whole" for v in simulator.visits]
    assert {visit.send_mode for visit in simulator.visits} == {"whole", "reset", "reset_amid"}


def test_slow_answers_are_delayed() -> None:
    delays = [Mix(("slow",), 0).delay_seconds(page, 0) for page in range(1, 100)]
    assert 0 <= min(delays) < 0.1 < 0.2 < max(delays) < 0.3
    assert Mix(("flaky",), 0).delay_seconds(1, 0) == 0


def test_a_redirect_names_another_host() -> None:
    simulator = simulated("redirect", elsewhere="http://other.example:81")
    with client_of(simulator) as client:
        received = client.page(2)
    assert (received.status, received.headers["location"]) == (
        302,
        "http://other.example:81/api/users?page=2&per_page=6",
    )
    assert simulator.truth() == []


# ── lists ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def sweep(client: Client, per_page: int) -> list[dict[str, Any]]:
    """Every page until one is empty, or has the rows of the page before."""
    pages: list[dict[str, Any]] = []
    for number in count(1):
        page = client.page(number, per_page).page
        if not page["data"] or (pages and page["data"] == pages[-1]["data"]):
            return pages
        pages.append(page)
    raise AssertionError


def rows_of(pages: list[dict[str, Any]]) -> list[Any]:
    """All rows, in order."""
    return [row for page in pages for row in page["data"]]


def ids_of(rows: list[Any]) -> set[str]:
    """Their ids as text; of rows without an id, the whole row."""
    return {str(row.get("id") or json.dumps(row)) for row in rows if is_customer(row)}


@pytest.mark.large
@pytest.mark.parametrize("customers", [0, 1, 12, 100])
@pytest.mark.parametrize("scenario", [*LISTS, "malformed-records", "loop", "shift,dup-across-pages,clamp-echo"])
def test_a_client_that_reads_again_ends_with_the_truth(scenario: str, customers: int) -> None:
    simulator = simulated(scenario, customers)
    with client_of(simulator) as client:
        for _ in range(4):
            swept = rows_of(sweep(client, 5))
    assert ids_of(swept) == ids_of(simulator.truth(5))
    if scenario in LISTS:
        left = len(simulator.departed(5))
        assert len(simulator.truth(5)) == customers + (scenario == "churn") * 2 - left


def test_a_loop_repeats_the_same_rows_under_new_numbers() -> None:
    simulator = simulated("loop", customers=40)
    with client_of(simulator) as client:
        pages = [client.page(number, 10).page for number in range(1, 7)]
    assert [page["page"] for page in pages] == [1, 2, 3, 4, 5, 6]
    assert pages[0]["data"] != pages[1]["data"]
    assert all(page["data"] == pages[1]["data"] for page in pages[2:])
    assert all(page["total_pages"] > page["page"] for page in pages)
    assert len(simulator.truth(10)) == 20


@pytest.mark.parametrize(("scenario", "stated_number"), [("clamp", 2), ("clamp-echo", 3)])
def test_a_clamped_page_is_the_last_one(scenario: str, stated_number: int) -> None:
    with client_of(simulated(scenario)) as client:
        last, beyond = client.page(2).page, client.page(3).page
    assert beyond["data"] == last["data"]
    assert beyond["page"] == stated_number


@pytest.mark.parametrize("customers", [12, 600])
def test_a_shift_hides_a_customer_from_the_first_reading(customers: int) -> None:
    simulator = simulated("shift", customers)
    with client_of(simulator) as client:
        first = [client.page(number).page for number in range(1, customers // 6 + 1)]
        ids = [row["id"] for row in rows_of(first)]
    assert {page["total"] for page in first} == {customers}
    assert len(set(ids)) < len(ids) == customers
    assert set(ids) < {row["id"] for row in simulator.truth()}


def test_churn_changes_the_customers_and_the_total() -> None:
    simulator = simulated("churn", customers=600)
    with client_of(simulator) as client:
        totals = [client.page(number).page["total"] for number in range(1, 101)]
    assert [total for total, _ in groupby(totals)] == [600, 601, 600, 601]
    assert [row["id"] for row in simulator.truth()[:2]] == [602, 601]
    assert len(simulator.departed()) == 1


@pytest.mark.parametrize("customers", [12, 600])
def test_a_lying_total_is_too_low_or_too_high(customers: int) -> None:
    with client_of(simulated("lying-total", customers)) as client:
        low = client.page(1).page
        assert client.page(low["total_pages"] + 1).page["data"]
    with client_of(simulated("lying-total-high", customers)) as client:
        high = client.page(1).page
        assert not client.page(high["total_pages"]).page["data"]
    assert low["total"] < customers < high["total"]


def test_the_last_customer_of_a_page_is_repeated_on_the_next() -> None:
    with client_of(simulated("dup-across-pages", customers=18)) as client:
        pages = [[row["id"] for row in client.page(number).page["data"]] for number in (1, 2, 3, 4)]
        assert client.page(1).page["total"] == 18
    assert [page[0] for page in pages[:3]] == [1, 6, 12]
    assert [len(page) for page in pages] == [6, 7, 7, 0]


def test_every_sixth_row_is_malformed() -> None:
    simulator = simulated("malformed-records", customers=72)
    with client_of(simulator) as client:
        rows = rows_of(sweep(client, 100))
    malformed = [row for index, row in enumerate(rows) if row != World(TODAY, 72).customer(index)]
    assert len(malformed) == 12
    assert {type(row) for row in malformed} == {type(None), dict, str, list, int}
    assert [row for row in rows if is_customer(row)] == simulator.truth()
    assert len(simulator.truth()) == 72 - 5


change = st.tuples(st.sampled_from(["moved", "without", "joined"]), st.integers(0, 99))


@given(customers=st.integers(0, 12), changes=st.lists(change, max_size=8))
def test_the_order_equals_that_of_a_plain_list(customers: int, changes: list[tuple[str, int]]) -> None:
    order, plain = Order(customers), list(range(customers))
    for new, (how, number) in enumerate(changes, start=100):
        if how == "joined":
            order, plain = order.joined(new), [new, *plain]
        elif plain:
            position = number % len(plain)
            customer = plain.pop(position)
            order, plain = getattr(order, how)(position), [customer][: how == "moved"] + plain
        assert [order.at(position) for position in range(len(order))] == plain


def test_combined_scenarios_all_occur() -> None:
    simulator = simulated("flaky, dup-across-pages,reset", customers=120)
    with client_of(simulator) as client:
        results = Counter(result_of(client, page) for page in range(1, 21))
        while client.page(3).status != 200:
            pass
        assert len(client.page(3, per_page=10).page["data"]) == 11
    assert results["200"] and results["500"] + results["503"] and results["reset"] + results["incomplete"]


def test_an_unknown_scenario_is_refused_with_the_list_of_all() -> None:
    with pytest.raises(UsageError) as refused:
        parse("flaky,flakey")
    assert 'no scenario "flakey"' in refused.value.message
    assert all(name in refused.value.hint for name in SCENARIOS)


# ── the verb ───────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def verb(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``simulate-api`` as a process, and the URL it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "simulate-api", "--port", "0", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr and process.stdout
    try:
        yield process, process.stderr.readline().split()[-1]
    finally:
        process.kill()
        process.wait(60)
        process.stdout.close()
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_code_0_while_clients_are_connected(tmp_path: Path, number: int) -> None:
    with verb(tmp_path, "--scenario", "drip", "--api-key", "k") as (process, url):
        client, dripped = Client(url, "k"), socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
        dripped.sendall(b"GET /api/users HTTP/1.1\r\nx-api-key: k\r\n\r\n")
        dripped.recv(1)
        assert client.get("/1").status == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        client.connection.close()
        dripped.close()
    assert (process.returncode, err) == (0, "")
    (started,) = [json.loads(line) for line in out.splitlines()]
    assert (started["event"], started["customers"], started["scenarios"]) == ("simulator.started", 12, ["drip"])


def test_its_options_apply_to_the_api(tmp_path: Path) -> None:
    with verb(tmp_path, "--customers", "30", "--seed", "5", "--per-page", "10", "--latency-ms", "1") as (_, url):
        client = Client(url)
        page = client.get().page
        client.connection.close()
    today = datetime.now(UTC).date()
    assert (page["per_page"], page["total"]) == (10, 30)
    assert page["data"][0] in [World(day).customer(0) for day in (today, today - timedelta(days=1))]


def test_a_wrong_use_of_the_verb_ends_with_2(house: House) -> None:
    unknown = house.run("simulate-api", "--scenario", "flaky,nonsense")
    assert (unknown.code, unknown.out) == (2, "")
    assert "rate-limit-date" in unknown.err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = house.run("simulate-api", "--port", str(port))
    assert refused.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in refused.err
    assert house.run("simulate-api", "--port", "65536").code == 2


def scenario_table() -> str:
    """The rows of the table of scenarios, from the code."""
    return "".join(f"| `{name}` | {text} |\n" for name, text in SCENARIOS.items())


def test_the_scenarios_are_listed_in_the_help_and_in_the_docs(house: House) -> None:
    printed = " ".join(house.run("simulate-api", "--help").out.split())
    assert all(text in printed for text in SCENARIOS.values())
    assert scenario_table() in (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")


@pytest.mark.large
def test_no_other_verb_loads_it() -> None:
    program = "import sys, service.cli, service.jobs.sync, service.watch.daemon; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "service.api.client" in loaded.stdout.split()
    assert not [name for name in loaded.stdout.split() if name.startswith("service.simulator")]
