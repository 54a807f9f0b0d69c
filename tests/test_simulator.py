"""The simulated API keeps what it promises: real pages for who asks rightly, and each trouble as it is described."""

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
STRIKES = ("flaky", "rate-limit-seconds", "html-200", "truncated", "drip", "reset")


@dataclass(frozen=True)
class Got:
    """An answer, read to its end."""

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
    """One connection to the API, kept open as long as the API lets us."""

    def __init__(self, url: str, key: str | None = "demo") -> None:
        parts = urlsplit(url)
        self.path = parts.path
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        self._headers = {"x-api-key": key} if key is not None else {}

    def ask(self, target: str = "", method: str = "GET", **headers: str) -> Got:
        """Ask for something below the collection."""
        sent = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self.connection.request(method, self.path + target, headers=sent)
            response = self.connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Got(response.status, found, response.read())
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise

    def page(self, number: int, per_page: int = 6) -> Got:
        """Ask for a page."""
        return self.ask(f"?page={number}&per_page={per_page}")


def simulated(scenarios: str = "", customers: int = 12, seed: int = 0, **terms: Any) -> Simulator:
    """An API whose clock stands still."""
    return Simulator(World(TODAY, customers, seed), parse(scenarios), Terms(**terms), now=lambda: NOW)


@contextmanager
def client_of(simulator: Simulator) -> Iterator[Client]:
    """A client of an API that runs."""
    with running(simulator) as url:
        client = Client(url)
        yield client
        client.connection.close()


def outcome(client: Client, page: int) -> str:
    """What comes of asking for a page: its status, or how it broke."""
    try:
        return str(client.page(page).status)
    except http.client.IncompleteRead:
        return "incomplete"
    except ConnectionResetError:
        return "reset"


# ── pages ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_page_is_shaped_as_on_reqres() -> None:
    with client_of(simulated()) as client:
        page = client.ask("?page=2").page
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


def test_more_than_a_hundred_on_a_page_are_clamped() -> None:
    with client_of(simulated(customers=250)) as client:
        page = client.page(1, per_page=1000).page
    assert (page["per_page"], page["total_pages"], len(page["data"])) == (100, 3, 100)


def test_one_customer_can_be_asked_for() -> None:
    with client_of(simulated()) as client:
        assert client.ask("/2").page["data"]["first_name"] == "Janet"
        assert client.ask("/13").status == 404


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
def test_who_asks_wrongly_is_told_in_json(method: str, path: str, key: str | None, status: int) -> None:
    simulator = simulated()
    with running(simulator) as url:
        client = Client(url, key)
        client.path = path.replace("²", "%C2%B2")
        got = client.ask(method=method)
        client.connection.close()
    assert got.status == status
    assert set(got.page) == {"error"}
    assert simulator.visits == []


def test_a_page_that_is_as_before_is_not_sent_again() -> None:
    simulator = simulated()
    with client_of(simulator) as client:
        first = client.page(1)
        again = client.ask("?page=1&per_page=6", if_none_match=first.headers["etag"])
        other = client.ask("?page=2&per_page=6", if_none_match=first.headers["etag"])
        weak = client.ask("?page=1&per_page=6", if_none_match=f'"x", W/{first.headers["etag"]}')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (other.status, weak.status) == (200, 304)
    assert [(v.page, v.status, v.body_bytes) for v in simulator.visits][:2] == [(1, 200, len(first.body)), (1, 304, 0)]


def test_a_connection_is_kept_and_takes_requests_ahead() -> None:
    with client_of(simulated()) as client:
        client.page(1)
        used = client.connection.sock
        client.page(2)
        assert client.connection.sock is used
        used.sendall(b"GET /api/users?page=9 HTTP/1.1\r\nX-API-Key: demo\r\n\r\n" * 3)
        received = b""
        while received.count(b'"page":9') < 3:
            received += used.recv(65536)


def test_the_notes_tell_which_page_was_sent_when() -> None:
    met: list[Visit] = []
    simulator = Simulator(World(TODAY), parse("flaky"), now=lambda: NOW, on_visit=met.append)
    with client_of(simulator) as client:
        while len(simulator.fetched) < 2:
            client.page(1 + len(simulator.fetched))
    assert simulator.fetched == [1, 2]
    assert met == simulator.visits
    assert simulator.asked == Counter(visit.page for visit in met)
    assert met[0].status in (500, 503)


async def converse_once(simulator: Simulator) -> bytes:
    """Ask for a page from the same event loop."""
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

    assert b'"total":12' in asyncio.run(converse_once(simulated()))


def test_a_port_that_is_taken_is_told_to_who_starts_it() -> None:
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
def test_what_is_no_request_is_refused_and_the_next_client_served(sent: bytes) -> None:
    with client_of(simulated()) as client:
        with socket.create_connection((client.connection.host, client.connection.port), timeout=30) as stranger:
            stranger.sendall(sent)
            assert stranger.recv(65536).startswith(b"HTTP/1.1 400 Bad Request")
        assert client.page(1).status == 200


def test_clients_that_go_away_harm_nobody() -> None:
    with client_of(simulated("drip", customers=1000)) as client:
        address = client.connection.host, client.connection.port
        for sent in (b"", b"GET /api/us", b"GET /api/users?page=1 HTTP/1.1\r\nx-api-key: demo\r\n\r\n" * 50):
            with socket.create_connection(address, timeout=30) as stranger:
                stranger.sendall(sent)
        assert client.ask("/1").status == 200


def test_it_ends_while_clients_still_wait() -> None:
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
    """The quality score by the plain reading of its ten; what may stand for a segment is taken as such."""
    says = [
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
    return 10 * says.count(True)


TWELVE = [World(TODAY).customer(index) for index in range(12)]


def test_george_is_as_good_as_a_customer_can_be() -> None:
    george = TWELVE[0]
    assert quality(george) == 100
    assert george["email"] == "george.bluth@reqres.in"
    assert george["avatar"] == "https://reqres.in/img/faces/1-image.jpg"
    assert george["engagement_score"] >= 70
    assert george["last_active_at"] == "2026-02-27T00:00:00Z"
    assert (george["signup_source"], george["region"], george["plan"]) == ("website", "US-West", "premium")


def test_of_the_twelve_eight_are_of_high_three_of_medium_and_one_of_low_quality() -> None:
    def buckets(scores: list[int]) -> list[int]:
        return [sum(s >= 80 for s in scores), sum(50 <= s < 80 for s in scores), sum(s < 50 for s in scores)]

    scores = [quality(row) for row in TWELVE]
    without_place = [not any(row.get(name) for name in ("region", "country", "timezone", "phone")) for row in TWELVE]
    assert buckets(scores) == [8, 3, 1]
    by_address = [score + 10 * lacks for score, lacks in zip(scores, without_place, strict=True)]
    assert buckets(by_address) == [8, 3, 1], "also where the country of the address counts"


def test_the_twelve_are_of_all_kinds() -> None:
    scores = [row.get("engagement_score") for row in TWELVE]
    assert {None if s is None else s >= 70 or (s >= 40 and "medium") for s in scores} == {True, "medium", False, None}
    assert {row.get("signup_source") for row in TWELVE} == {"website", "mobile", "email", None}
    assert {row.get("plan") for row in TWELVE} == {"basic", "premium", "enterprise", None}
    assert {"US", "SG", "DE", "BR", None} <= {row.get("country") for row in TWELVE}
    limit = str(TODAY - timedelta(days=90))
    assert {(row.get("last_active_at") or "")[:10] > limit for row in TWELVE} == {True, False}


def test_a_customer_depends_on_nothing_but_seed_and_number() -> None:
    small, large = World(TODAY, 20, seed=7), World(TODAY, 1_000_000, seed=7)
    assert [small.customer(i) for i in range(20)] == [large.customer(i) for i in range(20)]
    assert large.customer(999_999) != World(TODAY, 1_000_000, seed=8).customer(999_999)
    assert large.customer(999_999)["id"] == 1_000_000


def test_made_up_customers_are_as_varied_as_real_ones() -> None:
    rows = [World(TODAY).customer(index) for index in range(12, 2012)]
    names = "".join(row.get("first_name") or "" for row in rows)
    assert all(any(low <= letter <= high for letter in names) for low, high in ("Az", "Ая", "αω", "את", "ءي", "一龥"))
    untouched = sum(
        quality({"avatar": "", "email": "", "first_name": "", "last_name": ""} | row) == 100 for row in rows
    )
    assert 0.1 < untouched / len(rows) < 0.7
    emails = [row["email"] for row in rows if "@example" in (row.get("email") or "")]
    assert len(set(emails)) == len(emails) > 1000


def test_the_last_page_of_a_million_is_served() -> None:
    with client_of(simulated(customers=1_000_000)) as client:
        page = client.page(10_000, per_page=100).page
    assert (page["total_pages"], page["data"][-1]["id"]) == (10_000, 1_000_000)


# ── strikes ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scenario", STRIKES)
def test_a_strike_depends_on_seed_page_and_try_alone(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "DRIP_EVERY_SECONDS", 0.0)

    def visits(seed: int, connections: int) -> list[tuple[int, int, str, bool]]:
        simulator = simulated(scenario, customers=120, seed=seed)

        def ask_thrice(page: int) -> None:
            client = Client(url)
            for _ in range(3):
                outcome(client, page)
            client.connection.close()

        with running(simulator) as url, ThreadPoolExecutor(connections) as pool:
            list(pool.map(ask_thrice, range(1, 21)))
        return sorted((v.page, v.status, v.send_mode, v.is_page) for v in simulator.visits)

    assert visits(0, connections=8) == visits(0, connections=1)
    assert visits(0, connections=1) != visits(1, connections=1)


@pytest.mark.parametrize(("scenario", "percent"), [("flaky", 20), ("rate-limit-date", 20), ("reset", 15), ("drip", 15)])
def test_a_strike_is_as_frequent_as_is_said_also_on_the_next_try(scenario: str, percent: int) -> None:
    mix = Mix((scenario,), seed=3)
    struck = [[bool(list(mix.struck(page, times))) for times in range(3)] for page in range(2, 4002)]
    for times in range(3):
        assert abs(sum(tries[times] for tries in struck) / 40 - percent) < 2
    twice = sum(tries[1] and tries[2] for tries in struck) / 40
    assert abs(twice - percent**2 / 100) < 1


def test_each_scenario_shows_itself_once_for_certain() -> None:
    for seed in range(20):
        mix = Mix(("shift", "flaky", "reset"), seed)
        assert "flaky" in mix.struck(1, 0)
        assert "reset" in mix.struck(2, 0)


def test_flaky_answers_are_plain_server_errors() -> None:
    with client_of(simulated("flaky", customers=600)) as client:
        answers = [client.page(page) for page in range(1, 101)]
    assert {got.status for got in answers} == {200, 500, 503}
    assert all("retry-after" not in got.headers for got in answers)


@pytest.mark.parametrize(
    ("scenario", "retry_after"),
    [("rate-limit-seconds", "1"), ("rate-limit-far", "86400"), ("rate-limit-junk", "1m0s")],
)
def test_a_rate_limit_says_when_to_come_again(scenario: str, retry_after: str) -> None:
    with client_of(simulated(scenario)) as client:
        refused = client.page(1)
        while client.page(1).status != 200:
            pass
    assert (refused.status, refused.headers["retry-after"]) == (429, retry_after)


def test_a_rate_limit_may_say_it_as_a_date_soon() -> None:
    with client_of(simulated("rate-limit-date")) as client:
        refused = client.page(1)
    assert refused.status == 429
    assert parsedate_to_datetime(refused.headers["retry-after"]) == NOW + timedelta(seconds=2)


def test_html_comes_with_200_and_sometimes_as_json() -> None:
    with client_of(simulated("html-200", customers=1200)) as client:
        answers = [client.page(page) for page in range(1, 201)]
    assert {got.status for got in answers} == {200}
    odd = {(got.headers["content-type"], got.body[:5]) for got in answers if not got.body.startswith(b"{")}
    json_type = "application/json; charset=utf-8"
    assert odd == {("text/html; charset=utf-8", b"<!DOC"), (json_type, b"<!DOC"), (json_type, b"")}


def test_truncated_bodies_end_too_soon_in_both_ways() -> None:
    simulator = simulated("truncated", customers=600)
    with client_of(simulator) as client:
        outcomes = [outcome(client, page) for page in range(1, 101)]
    assert [o == "incomplete" for o in outcomes] == [v.send_mode != "whole" for v in simulator.visits]
    assert {visit.send_mode for visit in simulator.visits} == {"whole", "cut", "unended"}


def test_a_drip_comes_byte_by_byte_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "DRIP_EVERY_SECONDS", 0.001)
    with client_of(simulated("drip")) as client, pytest.raises(http.client.IncompleteRead) as dripped:
        client.page(1)
    assert len(dripped.value.partial) == wire.DRIPS


def test_resets_come_before_the_answer_and_in_the_midst_of_it() -> None:
    simulator = simulated("reset", customers=600)
    with client_of(simulator) as client:
        outcomes = [outcome(client, page) for page in range(1, 101)]
    assert [o != "200" for o in outcomes] == [v.send_mode != "whole" for v in simulator.visits]
    assert {visit.send_mode for visit in simulator.visits} == {"whole", "reset", "reset_amid"}


def test_slow_answers_take_their_time() -> None:
    delays = [Mix(("slow",), 0).delay_seconds(page, 0) for page in range(1, 100)]
    assert 0 <= min(delays) < 0.1 < 0.2 < max(delays) < 0.3
    assert Mix(("flaky",), 0).delay_seconds(1, 0) == 0


def test_a_redirect_names_another_host() -> None:
    simulator = simulated("redirect", elsewhere="http://other.example:81")
    with client_of(simulator) as client:
        got = client.page(2)
    assert (got.status, got.headers["location"]) == (302, "http://other.example:81/api/users?page=2&per_page=6")
    assert simulator.truth() == []


# ── lists ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def sweep(client: Client, per_page: int) -> list[dict[str, Any]]:
    """Every page until one is empty, or shows what the one before it showed."""
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
    """Their ids, as text; rows without one as a whole."""
    return {str(row.get("id") or json.dumps(row)) for row in rows if is_customer(row)}


@pytest.mark.parametrize("customers", [0, 1, 12, 100])
@pytest.mark.parametrize("scenario", [*LISTS, "malformed-records", "loop", "shift,dup-across-pages,clamp-echo"])
def test_a_patient_client_ends_with_the_truth(scenario: str, customers: int) -> None:
    simulator = simulated(scenario, customers)
    with client_of(simulator) as client:
        for _ in range(4):
            swept = rows_of(sweep(client, 5))
    assert ids_of(swept) == ids_of(simulator.truth(5))
    if scenario in LISTS:
        left = len(simulator.departed(5))
        assert len(simulator.truth(5)) == customers + (scenario == "churn") * 2 - left


def test_a_loop_shows_the_same_rows_for_ever_under_new_numbers() -> None:
    simulator = simulated("loop", customers=40)
    with client_of(simulator) as client:
        pages = [client.page(number, 10).page for number in range(1, 7)]
    assert [page["page"] for page in pages] == [1, 2, 3, 4, 5, 6]
    assert pages[0]["data"] != pages[1]["data"]
    assert all(page["data"] == pages[1]["data"] for page in pages[2:])
    assert all(page["total_pages"] > page["page"] for page in pages)
    assert len(simulator.truth(10)) == 20


@pytest.mark.parametrize(("scenario", "called"), [("clamp", 2), ("clamp-echo", 3)])
def test_a_clamped_page_is_the_last_one(scenario: str, called: int) -> None:
    with client_of(simulated(scenario)) as client:
        last, beyond = client.page(2).page, client.page(3).page
    assert beyond["data"] == last["data"]
    assert beyond["page"] == called


@pytest.mark.parametrize("customers", [12, 600])
def test_a_shift_hides_a_customer_from_the_first_look(customers: int) -> None:
    simulator = simulated("shift", customers)
    with client_of(simulator) as client:
        first = [client.page(number).page for number in range(1, customers // 6 + 1)]
        ids = [row["id"] for row in rows_of(first)]
    assert {page["total"] for page in first} == {customers}
    assert len(set(ids)) < len(ids) == customers
    assert set(ids) < {row["id"] for row in simulator.truth()}


def test_churn_changes_who_there_is_and_the_total_with_it() -> None:
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


def test_the_last_customer_of_a_page_stands_on_the_next_again() -> None:
    with client_of(simulated("dup-across-pages", customers=18)) as client:
        pages = [[row["id"] for row in client.page(number).page["data"]] for number in (1, 2, 3, 4)]
        assert client.page(1).page["total"] == 18
    assert [page[0] for page in pages[:3]] == [1, 6, 12]
    assert [len(page) for page in pages] == [6, 7, 7, 0]


def test_every_sixth_row_is_malformed_in_its_way() -> None:
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
def test_the_order_is_that_of_a_plain_list(customers: int, changes: list[tuple[str, int]]) -> None:
    order, plain = Order(customers), list(range(customers))
    for new, (how, place) in enumerate(changes, start=100):
        if how == "joined":
            order, plain = order.joined(new), [new, *plain]
        elif plain:
            position = place % len(plain)
            customer = plain.pop(position)
            order, plain = getattr(order, how)(position), [customer][: how == "moved"] + plain
        assert [order.at(position) for position in range(len(order))] == plain


def test_mixed_scenarios_all_take_part() -> None:
    simulator = simulated("flaky, dup-across-pages,reset", customers=120)
    with client_of(simulator) as client:
        outcomes = Counter(outcome(client, page) for page in range(1, 21))
        while client.page(3).status != 200:
            pass
        assert len(client.page(3, per_page=10).page["data"]) == 11
    assert outcomes["200"] and outcomes["500"] + outcomes["503"] and outcomes["reset"] + outcomes["incomplete"]


def test_a_scenario_nobody_knows_is_refused_with_the_list() -> None:
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
def test_a_signal_ends_it_in_good_order_whoever_is_still_connected(tmp_path: Path, number: int) -> None:
    with verb(tmp_path, "--scenario", "drip", "--api-key", "k") as (process, url):
        client, dripped = Client(url, "k"), socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
        dripped.sendall(b"GET /api/users HTTP/1.1\r\nx-api-key: k\r\n\r\n")
        dripped.recv(1)
        assert client.ask("/1").status == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        client.connection.close()
        dripped.close()
    assert (process.returncode, err) == (0, "")
    (started,) = [json.loads(line) for line in out.splitlines()]
    assert (started["event"], started["customers"], started["scenarios"]) == ("simulator.started", 12, ["drip"])


def test_its_options_are_those_of_the_api(tmp_path: Path) -> None:
    with verb(tmp_path, "--customers", "30", "--seed", "5", "--per-page", "10", "--latency-ms", "1") as (_, url):
        client = Client(url)
        page = client.ask().page
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


def test_the_scenarios_stand_in_the_help_and_in_the_docs(house: House) -> None:
    told = " ".join(house.run("simulate-api", "--help").out.split())
    assert all(text in told for text in SCENARIOS.values())
    assert scenario_table() in (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
