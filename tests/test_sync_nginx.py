"""Syncs from a real nginx: its rate limit, and what it may answer beyond the last page."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.api.clock import SystemClock
from service.jobs.sync import Synced, sync
from tests.api_house import ApiHouse
from tests.nginx_server import nginx_serving, write_pages
from tests.sizes import NGINX_REQUESTS_PER_SECOND, NGINX_TRIALS

PAGES = 60
CONCURRENCIES = (1, 4, 64)


def _now() -> datetime:
    return datetime.now(UTC)


async def _sync(house: ApiHouse) -> Synced:
    return await sync(house.settings, SystemClock(_now))


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 403, 503])
def test_a_limit_without_a_stated_pause_costs_at_most_two_fifths_more_than_its_own_time(
    tmp_path: Path, status: int, record_property: Callable[[str, object], None]
) -> None:
    """503 is the default of nginx. 403 needs ``Retry-After`` to be a limit; it states less than the limiter needs."""
    own_seconds = PAGES / NGINX_REQUESTS_PER_SECOND
    # All pages must arrive in each trial. Only lateness is allowed, except in the last trial: a busy machine is late
    # now and then. The law in test_rate.py is tighter, and its time is virtual.
    for trial in range(NGINX_TRIALS):
        results = read_limited(tmp_path / str(trial), status)
        for at, found in zip(CONCURRENCIES, results, strict=True):
            what = f"nginx, {NGINX_REQUESTS_PER_SECOND} a second, {status}, concurrency {at}"
            record_property(what, f"{found.seconds} s, limiter {own_seconds} s, refused {found.figures.rate_limited}")
        if all(found.seconds <= 1.4 * own_seconds for found in results):
            return
    pytest.fail(f"late for the {NGINX_TRIALS}th time: {[found.seconds for found in results]} of {own_seconds} s")


def read_limited(folder: Path, status: int) -> list[Synced]:
    """Read all pages at each concurrency, all of them at once, from an nginx that limits each by this status."""
    write_pages(folder / "pages", PAGES)
    rate = f"{NGINX_REQUESTS_PER_SECOND}r/s"
    http = f"limit_req_zone $http_x_api_key zone=each:1m rate={rate}; limit_req_status {status};"
    header = 'add_header Retry-After "0.2" always;' if status == 403 else ""
    with nginx_serving(folder, http, f"location /api/users {{ limit_req zone=each; {header} PAGE }}") as url:
        houses = [
            ApiHouse(
                folder / str(at),
                f"{url}/api/users",
                api_key=f"key{at}",
                api_concurrency=at,
                sync_minutes=10,
                api_requests_per_second=10,
            )
            for at in CONCURRENCIES
        ]

        async def all_at_once() -> list[Synced]:
            return await asyncio.gather(*map(_sync, houses))

        results = asyncio.run(all_at_once())
    for house in houses:
        assert len(house.ids()) == 2 * PAGES
    return results


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        yield silent.getsockname()[1]


BEYOND = {
    "204": "return 204;",
    "500": "return 500;",
    "503 with a pause": "add_header Retry-After 86400 always; return 503;",
    "403": "return 403;",
    "401": "return 401;",
    "429 for a day": "add_header Retry-After 86400 always; return 429;",
    "404": "return 404;",
    "a closed connection": "return 444;",
    "a redirect": "return 302 https://elsewhere.example/users;",
    "a redirect to nowhere": "return 302 http://[;",
    "a hang": "proxy_pass http://127.0.0.1:SILENT;",
    "html": "default_type text/html; return 200 '<html></html>';",
    "an empty body": "default_type application/json; return 200;",
    "an empty list": "default_type application/json; return 200 '{\"data\": []}';",
    "total 0": (
        "default_type application/json;"
        ' return 200 \'{"page": 3, "per_page": 2, "total": 0, "total_pages": 0, "data": []}\';'
    ),
    "an error of the API": 'default_type application/json; return 200 \'{"error": "no such page"}\';',
    "page 1 again": "rewrite ^ /pages/1.json break;",
}


@pytest.mark.slow
@pytest.mark.parametrize("answer", BEYOND.values(), ids=BEYOND.keys())
def test_a_run_that_has_everyone_is_complete_whatever_the_page_beyond_answers(
    tmp_path: Path, answer: str, silent_port: int
) -> None:
    write_pages(tmp_path / "pages", 2)
    location = f"location /api/users {{ if ($arg_page = 3) {{ {answer.replace('SILENT', str(silent_port))} }} PAGE }}"
    if "default_type" in answer:
        answer_type, answer = answer.split(";", 1)
        location = (
            f"location /api/users {{ if ($arg_page = 3) {{ rewrite ^ /beyond last; }} PAGE }}"
            f" location /beyond {{ {answer_type}; {answer} }}"
        )
    with nginx_serving(tmp_path, "", f"root {tmp_path}; {location}") as url:
        house = ApiHouse(tmp_path / "house", f"{url}/api/users", api_request_seconds=0.5)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]
