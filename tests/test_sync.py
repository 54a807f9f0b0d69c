"""One sync against an API with scripted answers: what is retried and when, and what is never written to the inbox."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from service.api.sweep import Incomplete
from service.errors import RateLimitedError, SettingsError, TransientError, UpstreamRejectedError
from service.settings import Settings
from tests.api_house import TODAY, ApiHouse
from tests.scripted_api import Answer, Request, four_customers, page, serving

SERVER_DATE = format_datetime(TODAY, usegmt=True)


def first(answers: list[Answer], then: Any = four_customers, on_page: int = 1) -> Any:
    """These answers to the first requests for a page, then those of ``then``."""

    def answer(request: Request) -> Answer:
        if request.page == on_page and request.nth <= len(answers):
            return answers[request.nth - 1]
        later: Answer = then(request)
        return later

    return answer


def test_every_customer_is_written_to_one_file_with_the_time_of_fetching(tmp_path: Path) -> None:
    with serving(four_customers) as api:
        house = ApiHouse(tmp_path, api.url)
        synced = house.sync()
    assert house.ids() == [1, 2, 3, 4]
    assert {name: value for name, value in house.document().items() if name != "data"} == {
        "fetched_at": "2026-03-01T12:00:00Z",
        "complete": True,
        "customers": 4,
        "pages": 2,
    }
    assert (synced.customers, synced.pages) == (4, 2)
    assert [path.name for path in house.inbox.iterdir()] == ["api_customers.json"]


def test_pages_are_requested_by_number_with_the_key_and_one_beyond_the_last(tmp_path: Path) -> None:
    with serving(four_customers) as api:
        ApiHouse(tmp_path, api.url).sync()
    assert sorted(api.pages) == [1, 2, 3]
    assert {request.headers["x-api-key"] for request in api.requests} == {"demo"}


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425])
def test_a_failed_request_is_retried_after_one_two_and_four_seconds(tmp_path: Path, status: int) -> None:
    with serving(first([Answer(status)] * 3)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.slept == [1, 2, 4]
    assert house.ids() == [1, 2, 3, 4]


def test_a_run_ends_if_the_first_page_fails_four_times(tmp_path: Path) -> None:
    with serving(lambda request: Answer(500)) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(Incomplete, match="status_500"):
            house.sync()
    assert house.clock.slept == [1, 2, 4]
    assert api.pages == [1] * 4
    assert not house.inbox.exists()


def test_a_page_that_failed_with_all_retries_is_requested_again_after_the_others(tmp_path: Path) -> None:
    with serving(first([Answer(500)] * 5, on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.slept == [1, 2, 4, 1]
    assert house.ids() == [1, 2, 3, 4]


BROKEN = {
    "html with status 200": Answer(body=b"<html>maintenance</html>", headers={"content-type": "text/html"}),
    "html with the type of json": Answer(body=b"<html></html>", headers={"content-type": "application/json"}),
    "empty": Answer(headers={"content-type": "application/json"}),
    "cut, with its own length": Answer(body=b'{"page": 1, "per', headers={"content-type": "application/json"}),
    "cut, with the length of the complete body": Answer(
        body=b'{"page": 1', headers={"content-type": "application/json"}, claims_bytes=500
    ),
    "nested too deeply": Answer(body=b"[" * 200_000, headers={"content-type": "application/json"}),
    "another page": page(2, [3, 4], total=4, total_pages=2),
    "no number": Answer(body=b'{"page": NaN}', headers={"content-type": "application/json"}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_an_answer_that_is_not_the_page_is_retried_like_any_fault(tmp_path: Path, broken: Answer) -> None:
    with serving(first([broken] * 3)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.slept == [1, 2, 4]
    assert house.ids() == [1, 2, 3, 4]


def test_an_answer_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    huge = Answer(body=b" " * (3 << 20), headers={"content-type": "application/json"})
    with serving(first([huge])) as api:
        house = ApiHouse(tmp_path, api.url, api_max_response_mb=1)
        synced = house.sync()
    assert synced.figures.bytes < 2 << 20
    assert house.ids() == [1, 2, 3, 4]


LIMITS = {
    "in seconds": ({"retry-after": "7"}, 7.0),
    "as a date": ({"retry-after": format_datetime(TODAY + timedelta(seconds=9), usegmt=True)}, 9.0),
    "as a date by a clock that is an hour ahead": (
        {
            "retry-after": format_datetime(TODAY + timedelta(seconds=3609), usegmt=True),
            "date": format_datetime(TODAY + timedelta(hours=1), usegmt=True),
        },
        9.0,
    ),
    "not at all": ({}, 1.0),
    "in words": ({"retry-after": "soon"}, 1.0),
}


@pytest.mark.parametrize(("headers", "seconds"), LIMITS.values(), ids=LIMITS.keys())
def test_a_rate_limit_pauses_for_as_long_as_it_states(tmp_path: Path, headers: dict[str, str], seconds: float) -> None:
    with serving(first([Answer(429, headers={"date": SERVER_DATE} | headers)], on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url)
        synced = house.sync()
    assert house.clock.slept[0] == seconds
    assert sum(house.clock.slept[1:]) <= 1, "afterwards the requests are only spread out"
    assert synced.figures.rate_limited == 1
    assert synced.figures.retries == 0
    assert house.ids() == [1, 2, 3, 4]


def test_a_rate_limit_does_not_count_as_a_retry(tmp_path: Path) -> None:
    answers = [Answer(429, headers={"retry-after": "3"}), Answer(500)] * 3
    with serving(first(answers)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.slept == [3, 1, 3, 2, 3, 4]


def test_a_fault_that_states_a_pause_pauses_all_requests(tmp_path: Path) -> None:
    with serving(first([Answer(503, headers={"retry-after": "20"})])) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.seconds == 20
    assert house.ids() == [1, 2, 3, 4]


def test_a_pause_beyond_the_longest_ends_the_run_and_the_next_run_does_not_send_too_early(tmp_path: Path) -> None:
    with serving(first([Answer(429, headers={"retry-after": "3600"})], on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(RateLimitedError) as limited:
            house.sync()
        assert limited.value.at >= TODAY + timedelta(seconds=3600)
        requests = len(api.requests)
        house.clock.seconds = 3500
        with pytest.raises(RateLimitedError):
            house.sync()
        assert len(api.requests) == requests
        house.clock.seconds = 3700
        house.sync()
    assert house.ids() == [1, 2, 3, 4]
    assert api.pages.count(1) == 2, "only the page of the overlap is requested again"


def test_the_pause_that_the_last_retry_states_is_kept_too(tmp_path: Path) -> None:
    answers = [Answer(503)] * 3 + [Answer(503, headers={"retry-after": "30"})]
    with serving(first(answers, on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.seconds == 7 + 30
    with serving(first([Answer(503, headers={"retry-after": "3600"})])) as api:
        with pytest.raises(RateLimitedError):
            ApiHouse(tmp_path, api.url).sync()
        assert len(api.requests) == 1


@pytest.mark.parametrize("seconds", ["999999999999", "9" * 400])
def test_an_absurd_pause_does_not_crash(tmp_path: Path, seconds: str) -> None:
    absurd = Answer(429, headers={"retry-after": seconds})
    with serving(lambda request: absurd) as api, pytest.raises(RateLimitedError):
        ApiHouse(tmp_path, api.url).sync()


def test_endless_rate_limits_end_the_run(tmp_path: Path) -> None:
    with serving(lambda request: Answer(429)) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(RateLimitedError):
            house.sync()
    assert len(api.requests) == 11


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 301, 302, 307, 308])
def test_a_rejected_request_is_not_retried(tmp_path: Path, status: int) -> None:
    with serving(lambda request: Answer(status, headers={"location": "https://elsewhere.example/api/users"})) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(UpstreamRejectedError) as rejected:
            house.sync()
    assert api.pages == [1]
    assert house.clock.slept == []
    assert "demo" not in rejected.value.explained()


def test_the_key_is_not_sent_after_a_redirect(tmp_path: Path) -> None:
    with serving(four_customers) as thief:

        def redirected(request: Request) -> Answer:
            return Answer(302, headers={"location": thief.url})

        with serving(redirected) as api, pytest.raises(UpstreamRejectedError, match=r"127\.0\.0\.1"):
            ApiHouse(tmp_path, api.url).sync()
    assert thief.requests == []


def test_a_proxy_in_the_environment_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(four_customers) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def with_etags(request: Request) -> Answer:
    """Four customers, on pages with ETags."""
    answer = four_customers(request)
    etag = f'"{request.page}"'
    if request.headers.get("if-none-match") == etag:
        return Answer(304)
    return Answer(body=answer.body, headers=answer.headers | {"etag": etag})


def test_an_unchanged_api_sends_no_bodies_the_second_time_and_the_file_is_the_same(tmp_path: Path) -> None:
    with serving(with_etags) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
        before = house.delivered.read_bytes()
        house.delivered.unlink()
        synced = house.sync()
    assert synced.figures.bytes == 0
    assert synced.figures.unchanged_pages == 3
    assert house.delivered.read_bytes() == before


def test_stored_pages_of_another_api_are_not_used(tmp_path: Path) -> None:
    with serving(with_etags) as one, serving(four_customers) as other:
        ApiHouse(tmp_path, one.url).sync()
        house = ApiHouse(tmp_path, other.url)
        house.sync()
    assert not any("if-none-match" in request.headers for request in other.requests)


def test_a_resumed_run_requests_only_the_overlap_again(tmp_path: Path) -> None:
    def six(request: Request) -> Answer:
        return page(request.page, {1: [1, 2], 2: [3, 4], 3: [5, 6]}.get(request.page, []), total=6, total_pages=3)

    with serving(first([Answer(500)] * 12, then=six, on_page=3)) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        with pytest.raises(Incomplete, match="1 pages could not be read"):
            house.sync()
        assert not house.delivered.exists()
        requests = len(api.requests)
        house.sync()
    assert api.pages[requests:] == [2, 3, 4]
    assert house.ids() == [1, 2, 3, 4, 5, 6]


def test_an_api_that_changed_since_the_interruption_is_read_from_scratch(tmp_path: Path) -> None:
    customers = [1, 2, 3, 4, 5, 6]

    def answer(request: Request) -> Answer:
        if request.page == 3 and len(customers) == 6:
            return Answer(500)
        ids = customers[2 * request.page - 2 : 2 * request.page]
        return page(request.page, ids, total=len(customers), total_pages=-(-len(customers) // 2))

    with serving(answer) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        with pytest.raises(Incomplete):
            house.sync()
        customers.remove(1)
        house.sync()
    assert house.ids() == [2, 3, 4, 5, 6]


def test_an_api_that_is_down_when_a_run_is_resumed_costs_no_stored_page(tmp_path: Path) -> None:
    is_down = False

    def answer(request: Request) -> Answer:
        if is_down or (request.page == 2 and request.nth <= 12):
            return Answer(500)
        return four_customers(request)

    with serving(answer) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        with pytest.raises(Incomplete, match="1 pages are kept"):
            house.sync()
        is_down = True
        with pytest.raises(Incomplete, match="1 pages are kept"):
            house.sync()
        is_down = False
        requests = len(api.requests)
        house.sync()
    assert api.pages[requests:] == [1, 2, 3]
    assert house.ids() == [1, 2, 3, 4]


@pytest.mark.parametrize("is_clamped", [True, False])
def test_a_list_that_shrank_since_the_interruption_is_read_from_scratch(tmp_path: Path, *, is_clamped: bool) -> None:
    customers = list(range(1, 9))

    def answer(request: Request) -> Answer:
        last = -(-len(customers) // 2)
        if request.page == 4 and last == 4:
            return Answer(500)
        if request.page > last and not is_clamped:
            return Answer(404)
        number = min(request.page, last)
        return page(number, customers[2 * number - 2 : 2 * number], total=len(customers), total_pages=last)

    with serving(answer) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        with pytest.raises(Incomplete):
            house.sync()
        del customers[3:]
        house.sync()
    assert house.ids() == [1, 2, 3]


def test_a_list_is_read_again_if_a_page_disappears_meanwhile(tmp_path: Path) -> None:
    customers = list(range(1, 9))

    def answer(request: Request) -> Answer:
        last = -(-len(customers) // 2)
        answer = page(
            request.page, customers[2 * request.page - 2 : 2 * request.page], total=len(customers), total_pages=last
        )
        if request.page == 2 and request.nth == 1:
            del customers[3:]
        return answer if request.page <= last else Answer(404)

    with serving(answer) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        house.sync()
    assert house.ids() == [1, 2, 3]


@pytest.mark.parametrize("changes", [{"api_key": "another"}, {"api_per_page": 3}])
def test_a_run_with_another_key_or_page_size_is_not_resumed(tmp_path: Path, changes: dict[str, Any]) -> None:
    with serving(first([Answer(500)] * 12, on_page=2)) as api:
        with pytest.raises(Incomplete):
            ApiHouse(tmp_path, api.url, api_concurrency=1).sync()
        requests = len(api.requests)
        ApiHouse(tmp_path, api.url, api_concurrency=1, **changes).sync()
    assert api.pages[requests:] == [1, 2, 3]


def test_an_unpaired_surrogate_becomes_a_question_mark(tmp_path: Path) -> None:
    body = page(1, [1], total=1, total_pages=1).body.replace(b'"A"', b'"Zo\\ud83d"')
    beyond = page(2, [], total=1, total_pages=1)
    with serving(lambda request: replace(four_customers(request), body=body) if request.page == 1 else beyond) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.document()["data"][0]["first_name"] == "Zo?"


def test_a_link_under_the_temporary_name_is_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    with serving(four_customers) as api:
        house = ApiHouse(tmp_path, api.url)
        house.inbox.mkdir()
        (house.inbox / ".api_customers.json.new").symlink_to(precious)
        house.sync()
    assert precious.read_text() == "precious"
    assert house.ids() == [1, 2, 3, 4]
    assert not house.delivered.is_symlink()


def test_a_proxy_in_the_settings_is_used(tmp_path: Path) -> None:
    with serving(four_customers) as proxy:
        house = ApiHouse(
            tmp_path, "http://nowhere.example/api/users", api_proxy=proxy.url, api_allow_http=True, api_concurrency=1
        )
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_a_run_that_was_interrupted_long_ago_is_not_resumed(tmp_path: Path) -> None:
    with serving(first([Answer(500)] * 12, on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        with pytest.raises(Incomplete):
            house.sync()
        house.clock.seconds += 25 * 3600
        requests = len(api.requests)
        house.sync()
    assert api.pages[requests:] == [1, 2, 3]


def test_a_run_ends_at_its_time_limit_and_the_next_resumes_it(tmp_path: Path) -> None:
    with serving(first([Answer(429, headers={"retry-after": "90"})], on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url, sync_minutes=1)
        with pytest.raises(TransientError, match="exceeded its time limit"):
            house.sync()
        requests = len(api.requests)
        with pytest.raises(RateLimitedError):
            house.sync()
        assert len(api.requests) == requests, "the next run does not send too early"
        house.clock.seconds = 90
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_a_file_that_a_user_dropped_is_never_replaced(tmp_path: Path) -> None:
    with serving(four_customers) as api:
        house = ApiHouse(tmp_path, api.url)
        house.inbox.mkdir()
        for name in ("api_customers.json", "API_Customers.csv.gz"):
            (house.inbox / name).write_text("a user's")
            with pytest.raises(TransientError, match="waits in the inbox already"):
                house.sync()
            assert [path.name for path in house.inbox.iterdir()] == [name]
            assert (house.inbox / name).read_text() == "a user's"
            (house.inbox / name).unlink()
        (house.inbox / "api_customers_2026-01-01.json").write_text("another's")
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_a_waiting_file_of_an_earlier_sync_is_replaced(tmp_path: Path) -> None:
    with serving(four_customers) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
        house.clock.seconds = 60
        house.sync()
        assert house.document()["fetched_at"] == "2026-03-01T12:01:00Z"
        house.delivered.write_text("a user's")
        with pytest.raises(TransientError, match="waits in the inbox already"):
            house.sync()
    assert house.delivered.read_text() == "a user's"


def test_a_pause_of_one_api_does_not_hold_for_another(tmp_path: Path) -> None:
    limited = Answer(429, headers={"retry-after": "86400"})
    with serving(lambda request: limited) as api, pytest.raises(RateLimitedError):
        ApiHouse(tmp_path, api.url).sync()
    with serving(four_customers) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_an_incomplete_run_leaves_the_earlier_file_unchanged(tmp_path: Path) -> None:
    with serving(four_customers) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    before = house.delivered.read_bytes()
    with serving(lambda request: page(request.page, [request.page][: 5 - request.page], total=9, total_pages=4)) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(Incomplete, match="customers are missing: 4 customers were received, the API states 9"):
            house.sync()
    assert house.delivered.read_bytes() == before


def test_different_pages_with_the_same_customers_are_a_loop_and_never_complete(tmp_path: Path) -> None:
    with serving(lambda request: page(request.page, [1, 2], total=40, total_pages=20)) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(Incomplete, match="loops"):
            house.sync()
    assert not house.delivered.exists()


def test_a_run_ends_if_the_api_has_too_many_pages(tmp_path: Path) -> None:
    def endless(request: Request) -> Answer:
        return page(request.page, [2 * request.page, 2 * request.page + 1], total=4, total_pages=request.page)

    with serving(endless) as api:
        house = ApiHouse(tmp_path, api.url, api_max_pages=20)
        with pytest.raises(Incomplete, match=r"more pages than SERVICE_API_MAX_PAGES \(20\)"):
            house.sync()
    assert len(api.requests) == 20


@pytest.mark.parametrize("is_echoed", [True, False])
def test_an_api_that_repeats_its_last_page_ends_there(tmp_path: Path, *, is_echoed: bool) -> None:
    def clamped(request: Request) -> Answer:
        number = min(request.page, 2)
        ids = {1: [1, 2], 2: [3, 4]}[number]
        return page(request.page if is_echoed else number, ids, total=4, total_pages=2)

    with serving(clamped) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]
    assert len(api.requests) == 3


def test_an_api_that_has_no_page_beyond_its_last_ends_there(tmp_path: Path) -> None:
    with serving(lambda request: four_customers(request) if request.page <= 2 else Answer(404)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_of_equal_rows_one_is_written(tmp_path: Path) -> None:
    def overlapping(request: Request) -> Answer:
        return page(request.page, {1: [1, 2], 2: [2, 3]}.get(request.page, []), total=3, total_pages=2)

    with serving(overlapping) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.ids() == [1, 2, 3]


def test_rows_are_written_unmodified(tmp_path: Path) -> None:
    rows = [{"id": 1, "name": "Zoë \u2028 <b>", "score": 1.50, "big": 12345678901234567890}, None, "text", {"id": None}]
    with serving(
        lambda request: page(request.page, [], total=4, total_pages=1, data=rows if request.page == 1 else [])
    ) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.document()["data"] == rows


def test_a_damaged_checkpoint_is_replaced(tmp_path: Path) -> None:
    with serving(four_customers) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
        checkpoint = house.settings.state / "sync" / "checkpoint.sqlite"
        checkpoint.write_bytes(b"no database" * 1000)
        house.delivered.unlink()  # the lost checkpoint knew that it is of a sync
        house.sync()
        with sqlite3.connect(checkpoint) as db:
            db.execute("pragma user_version = 99")
        db.close()
        house.delivered.unlink()
        house.sync()
        content = bytearray(checkpoint.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 4096] = b"x" * 4096
        checkpoint.write_bytes(content)
        house.delivered.unlink()
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_an_api_with_wrong_totals_does_not_fill_the_disk(tmp_path: Path) -> None:
    with serving(lambda request: page(request.page, [request.page][: 5 - request.page], total=9, total_pages=4)) as api:
        house = ApiHouse(tmp_path, api.url)
        for _ in range(3):
            with pytest.raises(Incomplete):
                house.sync()
    with sqlite3.connect(house.settings.state / "sync" / "checkpoint.sqlite") as db:
        assert db.execute("select count(*) from pages").fetchone() == (5,)
        assert db.execute("select count(*) from bodies").fetchone() == (5,)
    db.close()


def test_only_one_sync_runs_at_a_time(tmp_path: Path) -> None:
    found: list[Exception] = []

    def answer(request: Request) -> Answer:
        if not found:
            try:
                ApiHouse(tmp_path, "http://127.0.0.1:9/").sync()
            except TransientError as error:
                found.append(error)
        return four_customers(request)

    with serving(answer) as api:
        ApiHouse(tmp_path, api.url).sync()
    assert "another sync is running" in str(found[0])


def test_a_sync_without_an_api_is_refused(tmp_path: Path) -> None:
    house = ApiHouse(tmp_path, "http://127.0.0.1:9/", api_url=None)
    with pytest.raises(SettingsError, match="no API is set"):
        house.sync()


def test_the_log_has_no_key_and_no_customer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(first([Answer(500), Answer(429), BROKEN["empty"]])) as api:
        ApiHouse(tmp_path, api.url, api_key="secret-key").sync()
    logged = capsys.readouterr().out
    assert "request.retried" in logged
    assert "sync.completed" in logged
    assert "secret-key" not in logged
    assert "@" not in logged


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api_url": "ftp://api.example/users"}, "https://"),
        ({"api_url": "api.example/users"}, "https://"),
        ({"api_url": "https://me:secret@api.example/users"}, "SERVICE_API_KEY"),
        ({"api_url": "https://api.example/users?key=secret"}, "SERVICE_API_KEY"),
        ({"api_url": "https://api.example:99999/users"}, "check its host and port"),
        ({"api_url": "http://api.example/users", "api_key": "k"}, "unencrypted"),
        ({"api_url": "http://localhost/users", "api_key": "k", "api_proxy": "http://proxy.example"}, "unencrypted"),
        ({"api_proxy": "localhost:3128"}, "http://"),
        ({"api_key": "two\nlines"}, "no header may"),
        ({"api_key": "schlüssel"}, "no header may"),
        ({"sync_every_minutes": 5}, "SERVICE_API_URL is not"),
    ],
)
def test_settings_that_leak_the_key_or_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/api/users", "http://localhost/api/users"])
def test_the_key_may_be_sent_unencrypted_within_the_machine(url: str) -> None:
    values: dict[str, Any] = {"api_url": url, "api_key": "k"}
    assert Settings(**values).api_url == url


def test_the_key_may_be_sent_unencrypted_if_a_setting_allows_it() -> None:
    values: dict[str, Any] = {"api_url": "http://api.example/users", "api_key": "secret-key", "api_allow_http": True}
    assert "secret-key" not in repr(Settings(**values))


def test_the_file_of_an_empty_api_is_json(tmp_path: Path) -> None:
    with serving(lambda request: page(request.page, [], total=0, total_pages=0)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert json.loads(house.delivered.read_text())["data"] == []
    assert datetime.fromisoformat(house.document()["fetched_at"]) == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_number_that_no_reader_can_hold_is_written_as_null(tmp_path: Path) -> None:
    body = page(1, [1], total=1, total_pages=1).body.replace(b'"A"', b"1e400")
    beyond = page(2, [], total=1, total_pages=1)
    with serving(lambda request: replace(four_customers(request), body=body) if request.page == 1 else beyond) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.document()["data"][0]["first_name"] is None
