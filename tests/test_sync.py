"""One sync against an API whose answers are written down: what is tried again, when, and what is never delivered."""

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
from tests.scripted_api import Answer, Asked, of_four, page, serving

SERVER_DATE = format_datetime(TODAY, usegmt=True)


def first(answers: list[Answer], then: Any = of_four, on_page: int = 1) -> Any:
    """These answers to the first requests for a page, then as always."""

    def answer(asked: Asked) -> Answer:
        if asked.page == on_page and asked.nth <= len(answers):
            return answers[asked.nth - 1]
        told: Answer = then(asked)
        return told

    return answer


def test_every_customer_is_delivered_in_one_file_with_the_time_of_fetching(tmp_path: Path) -> None:
    with serving(of_four) as api:
        house = ApiHouse(tmp_path, api.url)
        synced = house.sync()
    assert house.ids() == [1, 2, 3, 4]
    assert {name: it for name, it in house.document().items() if name != "data"} == {
        "fetched_at": "2026-03-01T12:00:00Z",
        "complete": True,
        "customers": 4,
        "pages": 2,
    }
    assert (synced.customers, synced.pages) == (4, 2)
    assert [path.name for path in house.inbox.iterdir()] == ["api_customers.json"]


def test_the_pages_are_asked_for_by_number_with_the_key_and_one_beyond_the_last(tmp_path: Path) -> None:
    with serving(of_four) as api:
        ApiHouse(tmp_path, api.url).sync()
    assert sorted(api.pages) == [1, 2, 3]
    assert {asked.headers["x-api-key"] for asked in api.asked} == {"demo"}


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425])
def test_what_fails_is_tried_again_after_one_two_and_four_seconds(tmp_path: Path, status: int) -> None:
    with serving(first([Answer(status)] * 3)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.slept == [1, 2, 4]
    assert house.ids() == [1, 2, 3, 4]


def test_a_page_that_fails_four_times_in_a_row_ends_the_run_where_it_is_the_first(tmp_path: Path) -> None:
    with serving(lambda asked: Answer(500)) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(Incomplete, match="status_500"):
            house.sync()
    assert house.clock.slept == [1, 2, 4]
    assert api.pages == [1] * 4
    assert not house.inbox.exists()


def test_a_page_that_failed_with_all_its_tries_is_asked_for_again_behind_the_others(tmp_path: Path) -> None:
    with serving(first([Answer(500)] * 5, on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.slept == [1, 2, 4, 1]
    assert house.ids() == [1, 2, 3, 4]


BROKEN = {
    "html with status 200": Answer(body=b"<html>maintenance</html>", headers={"content-type": "text/html"}),
    "html that says it is json": Answer(body=b"<html></html>", headers={"content-type": "application/json"}),
    "empty": Answer(headers={"content-type": "application/json"}),
    "cut, with the right length": Answer(body=b'{"page": 1, "per', headers={"content-type": "application/json"}),
    "cut, with the length of the whole": Answer(
        body=b'{"page": 1', headers={"content-type": "application/json"}, claims_bytes=500
    ),
    "another shape": Answer(body=b'{"users": []}', headers={"content-type": "application/json"}),
    "rows that are no list": page(1, [], total=4, total_pages=2, data={}),
    "another page": page(2, [3, 4], total=4, total_pages=2),
    "no number": Answer(body=b'{"page": NaN}', headers={"content-type": "application/json"}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_an_answer_that_is_not_the_page_is_tried_again_like_any_fault(tmp_path: Path, broken: Answer) -> None:
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
def test_a_rate_limit_is_waited_for_as_long_as_it_says(tmp_path: Path, headers: dict[str, str], seconds: float) -> None:
    with serving(first([Answer(429, headers={"date": SERVER_DATE} | headers)], on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url)
        synced = house.sync()
    assert house.clock.slept == [seconds]
    assert synced.figures.rate_limited == 1
    assert synced.figures.retries == 0
    assert house.ids() == [1, 2, 3, 4]


def test_a_rate_limit_does_not_use_up_the_tries_of_a_fault(tmp_path: Path) -> None:
    answers = [Answer(429, headers={"retry-after": "3"}), Answer(500)] * 3
    with serving(first(answers)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.slept == [3, 1, 3, 2, 3, 4]


def test_a_fault_that_says_for_how_long_holds_everybody_up(tmp_path: Path) -> None:
    with serving(first([Answer(503, headers={"retry-after": "20"})])) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.seconds == 20
    assert house.ids() == [1, 2, 3, 4]


def test_a_pause_beyond_the_longest_ends_the_run_and_the_next_one_does_not_come_too_early(tmp_path: Path) -> None:
    with serving(first([Answer(429, headers={"retry-after": "3600"})], on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(RateLimitedError) as limited:
            house.sync()
        assert limited.value.at >= TODAY + timedelta(seconds=3600)
        asked = len(api.asked)
        house.clock.seconds = 3500
        with pytest.raises(RateLimitedError):
            house.sync()
        assert len(api.asked) == asked
        house.clock.seconds = 3700
        house.sync()
    assert house.ids() == [1, 2, 3, 4]
    assert api.pages.count(1) == 2, "only the page of the overlap is asked for again"


def test_a_fault_with_all_its_tries_used_up_is_still_left_alone_for_as_long_as_it_says(tmp_path: Path) -> None:
    answers = [Answer(503)] * 3 + [Answer(503, headers={"retry-after": "30"})]
    with serving(first(answers, on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.clock.seconds == 7 + 30
    with serving(first([Answer(503, headers={"retry-after": "3600"})])) as api:
        with pytest.raises(RateLimitedError):
            ApiHouse(tmp_path, api.url).sync()
        assert len(api.asked) == 1


@pytest.mark.parametrize("seconds", ["999999999999", "9" * 400])
def test_a_pause_that_nobody_can_mean_is_no_crash(tmp_path: Path, seconds: str) -> None:
    absurd = Answer(429, headers={"retry-after": seconds})
    with serving(lambda asked: absurd) as api, pytest.raises(RateLimitedError):
        ApiHouse(tmp_path, api.url).sync()


def test_the_longest_pause_counts_where_several_were_asked_for_before_the_run_was_over(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.page == 1:
            return page(1, [1, 2], total=6, total_pages=3)
        return Answer(429, headers={"retry-after": "100" if asked.page == 2 else "61"})

    with serving(answer) as api:
        house = ApiHouse(tmp_path, api.url, sync_minutes=1, api_concurrency=2)
        with pytest.raises(TransientError, match="exceeded its time limit"):
            house.sync()
        house.clock.seconds = 99
        with pytest.raises(RateLimitedError):
            house.sync()


def test_limits_without_end_end_the_run(tmp_path: Path) -> None:
    with serving(lambda asked: Answer(429)) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(RateLimitedError):
            house.sync()
    assert len(api.asked) == 11


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 301, 302, 307, 308])
def test_what_will_never_be_answered_is_not_asked_again(tmp_path: Path, status: int) -> None:
    with serving(lambda asked: Answer(status, headers={"location": "https://elsewhere.example/api/users"})) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(UpstreamRejectedError) as rejected:
            house.sync()
    assert api.pages == [1]
    assert house.clock.slept == []
    assert "demo" not in rejected.value.explained()


def test_the_key_does_not_follow_a_redirect(tmp_path: Path) -> None:
    with serving(of_four) as thief:

        def redirected(asked: Asked) -> Answer:
            return Answer(302, headers={"location": thief.url})

        with serving(redirected) as api, pytest.raises(UpstreamRejectedError, match=r"127\.0\.0\.1"):
            ApiHouse(tmp_path, api.url).sync()
    assert thief.asked == []


def test_a_proxy_of_the_environment_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(of_four) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def with_etags(asked: Asked) -> Answer:
    """Four customers, whose pages have ETags."""
    told = of_four(asked)
    etag = f'"{asked.page}"'
    if asked.headers.get("if-none-match") == etag:
        return Answer(304)
    return Answer(body=told.body, headers=told.headers | {"etag": etag})


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


def test_pages_of_another_api_are_not_taken_for_this_one_s(tmp_path: Path) -> None:
    with serving(with_etags) as one, serving(of_four) as other:
        ApiHouse(tmp_path, one.url).sync()
        house = ApiHouse(tmp_path, other.url)
        house.sync()
    assert not any("if-none-match" in asked.headers for asked in other.asked)


def test_a_run_goes_on_after_a_fault_and_asks_again_for_the_overlap_only(tmp_path: Path) -> None:
    def six(asked: Asked) -> Answer:
        return page(asked.page, {1: [1, 2], 2: [3, 4], 3: [5, 6]}.get(asked.page, []), total=6, total_pages=3)

    with serving(first([Answer(500)] * 12, then=six, on_page=3)) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        with pytest.raises(Incomplete, match="1 pages could not be read"):
            house.sync()
        assert not house.delivered.exists()
        begun = len(api.asked)
        house.sync()
    assert api.pages[begun:] == [2, 3, 4]
    assert house.ids() == [1, 2, 3, 4, 5, 6]


def test_an_api_that_changed_since_the_run_was_broken_off_is_read_anew(tmp_path: Path) -> None:
    customers = [1, 2, 3, 4, 5, 6]

    def answer(asked: Asked) -> Answer:
        if asked.page == 3 and len(customers) == 6:
            return Answer(500)
        ids = customers[2 * asked.page - 2 : 2 * asked.page]
        return page(asked.page, ids, total=len(customers), total_pages=-(-len(customers) // 2))

    with serving(answer) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        with pytest.raises(Incomplete):
            house.sync()
        customers.remove(1)
        house.sync()
    assert house.ids() == [2, 3, 4, 5, 6]


def test_an_api_that_is_down_when_a_run_is_gone_on_with_costs_no_page_that_is_kept(tmp_path: Path) -> None:
    is_down = False

    def answer(asked: Asked) -> Answer:
        if is_down or (asked.page == 2 and asked.nth <= 12):
            return Answer(500)
        return of_four(asked)

    with serving(answer) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        with pytest.raises(Incomplete, match="1 pages are kept"):
            house.sync()
        is_down = True
        with pytest.raises(Incomplete, match="1 pages are kept"):
            house.sync()
        is_down = False
        begun = len(api.asked)
        house.sync()
    assert api.pages[begun:] == [1, 2, 3]
    assert house.ids() == [1, 2, 3, 4]


@pytest.mark.parametrize("is_clamped", [True, False])
def test_a_list_that_shrank_since_the_run_was_broken_off_is_read_anew(tmp_path: Path, *, is_clamped: bool) -> None:
    customers = list(range(1, 9))

    def answer(asked: Asked) -> Answer:
        last = -(-len(customers) // 2)
        if asked.page == 4 and last == 4:
            return Answer(500)
        if asked.page > last and not is_clamped:
            return Answer(404)
        number = min(asked.page, last)
        return page(number, customers[2 * number - 2 : 2 * number], total=len(customers), total_pages=last)

    with serving(answer) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        with pytest.raises(Incomplete):
            house.sync()
        del customers[3:]
        house.sync()
    assert house.ids() == [1, 2, 3]


def test_a_page_that_goes_while_the_list_is_read_makes_it_read_anew(tmp_path: Path) -> None:
    customers = list(range(1, 9))

    def answer(asked: Asked) -> Answer:
        last = -(-len(customers) // 2)
        told = page(asked.page, customers[2 * asked.page - 2 : 2 * asked.page], total=len(customers), total_pages=last)
        if asked.page == 2 and asked.nth == 1:
            del customers[3:]
        return told if asked.page <= last else Answer(404)

    with serving(answer) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        house.sync()
    assert house.ids() == [1, 2, 3]


@pytest.mark.parametrize("changes", [{"api_key": "another"}, {"api_per_page": 3}])
def test_a_run_is_not_gone_on_with_by_whoever_may_see_other_pages(tmp_path: Path, changes: dict[str, Any]) -> None:
    with serving(first([Answer(500)] * 12, on_page=2)) as api:
        with pytest.raises(Incomplete):
            ApiHouse(tmp_path, api.url, api_concurrency=1).sync()
        begun = len(api.asked)
        ApiHouse(tmp_path, api.url, api_concurrency=1, **changes).sync()
    assert api.pages[begun:] == [1, 2, 3]


def test_half_a_character_costs_a_question_mark_and_not_the_sync(tmp_path: Path) -> None:
    body = page(1, [1], total=1, total_pages=1).body.replace(b'"A"', b'"Zo\\ud83d"')
    beyond = page(2, [], total=1, total_pages=1)
    with serving(lambda asked: replace(of_four(asked), body=body) if asked.page == 1 else beyond) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.document()["data"][0]["first_name"] == "Zo?"


def test_what_lies_under_the_name_of_a_file_in_the_making_is_not_written_into(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    with serving(of_four) as api:
        house = ApiHouse(tmp_path, api.url)
        house.inbox.mkdir()
        (house.inbox / ".api_customers.json.new").symlink_to(precious)
        house.sync()
    assert precious.read_text() == "precious"
    assert house.ids() == [1, 2, 3, 4]
    assert not house.delivered.is_symlink()


def test_a_proxy_is_used_where_one_is_set(tmp_path: Path) -> None:
    with serving(of_four) as proxy:
        house = ApiHouse(
            tmp_path, "http://nowhere.example/api/users", api_proxy=proxy.url, api_allow_http=True, api_concurrency=1
        )
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_a_run_that_was_broken_off_long_ago_is_begun_anew(tmp_path: Path) -> None:
    with serving(first([Answer(500)] * 12, on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        with pytest.raises(Incomplete):
            house.sync()
        house.clock.seconds += 25 * 3600
        begun = len(api.asked)
        house.sync()
    assert api.pages[begun:] == [1, 2, 3]


def test_a_run_takes_no_longer_than_it_may_and_goes_on_with_the_next(tmp_path: Path) -> None:
    with serving(first([Answer(429, headers={"retry-after": "90"})], on_page=2)) as api:
        house = ApiHouse(tmp_path, api.url, sync_minutes=1)
        with pytest.raises(TransientError, match="exceeded its time limit"):
            house.sync()
        asked = len(api.asked)
        with pytest.raises(RateLimitedError):
            house.sync()
        assert len(api.asked) == asked, "nor does the next one come too early"
        house.clock.seconds = 90
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_a_file_that_somebody_dropped_is_never_replaced(tmp_path: Path) -> None:
    with serving(of_four) as api:
        house = ApiHouse(tmp_path, api.url)
        house.inbox.mkdir()
        for name in ("api_customers.json", "API_Customers.csv.gz"):
            (house.inbox / name).write_text("somebody's")
            with pytest.raises(TransientError, match="waits in the inbox already"):
                house.sync()
            assert [path.name for path in house.inbox.iterdir()] == [name]
            assert (house.inbox / name).read_text() == "somebody's"
            (house.inbox / name).unlink()
        (house.inbox / "api_customers_2026-01-01.json").write_text("another's")
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_a_file_of_a_sync_that_nobody_took_is_replaced_by_that_of_the_next(tmp_path: Path) -> None:
    with serving(of_four) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
        house.clock.seconds = 60
        house.sync()
        assert house.document()["fetched_at"] == "2026-03-01T12:01:00Z"
        house.delivered.write_text("somebody's")
        with pytest.raises(TransientError, match="waits in the inbox already"):
            house.sync()
    assert house.delivered.read_text() == "somebody's"


def test_another_api_is_not_left_alone_because_one_asked_for_it(tmp_path: Path) -> None:
    limited = Answer(429, headers={"retry-after": "86400"})
    with serving(lambda asked: limited) as api, pytest.raises(RateLimitedError):
        ApiHouse(tmp_path, api.url).sync()
    with serving(of_four) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_what_could_not_be_had_leaves_the_former_file_as_it_was(tmp_path: Path) -> None:
    with serving(of_four) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    before = house.delivered.read_bytes()
    with serving(lambda asked: page(asked.page, [asked.page][: 5 - asked.page], total=9, total_pages=4)) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(Incomplete, match="customers are missing: 4 customers were received, the API states 9"):
            house.sync()
    assert house.delivered.read_bytes() == before


def test_different_pages_with_the_same_customers_are_a_loop_and_never_the_whole(tmp_path: Path) -> None:
    with serving(lambda asked: page(asked.page, [1, 2], total=40, total_pages=20)) as api:
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(Incomplete, match="loops"):
            house.sync()
    assert not house.delivered.exists()


def test_an_api_without_end_is_left(tmp_path: Path) -> None:
    def endless(asked: Asked) -> Answer:
        return page(asked.page, [2 * asked.page, 2 * asked.page + 1], total=4, total_pages=asked.page)

    with serving(endless) as api:
        house = ApiHouse(tmp_path, api.url, api_max_pages=20)
        with pytest.raises(Incomplete, match=r"more pages than SERVICE_API_MAX_PAGES \(20\)"):
            house.sync()
    assert len(api.asked) == 20


@pytest.mark.parametrize("is_echoed", [True, False])
def test_an_api_that_repeats_its_last_page_for_ever_ends_there(tmp_path: Path, *, is_echoed: bool) -> None:
    def clamped(asked: Asked) -> Answer:
        number = min(asked.page, 2)
        ids = {1: [1, 2], 2: [3, 4]}[number]
        return page(asked.page if is_echoed else number, ids, total=4, total_pages=2)

    with serving(clamped) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]
    assert len(api.asked) == 3


def test_an_api_that_has_no_page_beyond_its_last_ends_there(tmp_path: Path) -> None:
    with serving(lambda asked: of_four(asked) if asked.page <= 2 else Answer(404)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_a_row_that_came_twice_in_the_same_words_is_delivered_once(tmp_path: Path) -> None:
    def overlapping(asked: Asked) -> Answer:
        return page(asked.page, {1: [1, 2], 2: [2, 3]}.get(asked.page, []), total=3, total_pages=2)

    with serving(overlapping) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.ids() == [1, 2, 3]


def test_rows_are_delivered_as_they_came(tmp_path: Path) -> None:
    rows = [{"id": 1, "name": "Zoë \u2028 <b>", "score": 1.50, "big": 12345678901234567890}, None, "text", {"id": None}]
    with serving(
        lambda asked: page(asked.page, [], total=4, total_pages=1, data=rows if asked.page == 1 else [])
    ) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.document()["data"] == rows


def test_a_damaged_checkpoint_is_begun_anew(tmp_path: Path) -> None:
    with serving(of_four) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
        checkpoint = house.settings.state / "sync" / "checkpoint.sqlite"
        checkpoint.write_bytes(b"no database" * 1000)
        house.delivered.unlink()  # whose it is stood in the checkpoint
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


def test_an_api_that_never_adds_up_does_not_fill_the_disk(tmp_path: Path) -> None:
    with serving(lambda asked: page(asked.page, [asked.page][: 5 - asked.page], total=9, total_pages=4)) as api:
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

    def answer(asked: Asked) -> Answer:
        if not found:
            try:
                ApiHouse(tmp_path, "http://127.0.0.1:9/").sync()
            except TransientError as error:
                found.append(error)
        return of_four(asked)

    with serving(answer) as api:
        ApiHouse(tmp_path, api.url).sync()
    assert "another sync is running" in str(found[0])


def test_without_an_api_there_is_nothing_to_sync(tmp_path: Path) -> None:
    house = ApiHouse(tmp_path, "http://127.0.0.1:9/", api_url=None)
    with pytest.raises(SettingsError, match="no API is set"):
        house.sync()


def test_no_address_key_or_name_stands_in_what_a_run_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(first([Answer(500), Answer(429), BROKEN["another shape"]])) as api:
        ApiHouse(tmp_path, api.url, api_key="secret-key").sync()
    told = capsys.readouterr().out
    assert "request.retried" in told
    assert "sync.completed" in told
    assert "secret-key" not in told
    assert "@" not in told


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"api_url": "ftp://api.example/users"}, "https://"),
        ({"api_url": "api.example/users"}, "https://"),
        ({"api_url": "https://me:secret@api.example/users"}, "SERVICE_API_KEY"),
        ({"api_url": "https://api.example/users?key=secret"}, "SERVICE_API_KEY"),
        ({"api_url": "https://api.example:99999/users"}, "Port out of range"),
        ({"api_url": "http://api.example/users", "api_key": "k"}, "unencrypted"),
        ({"api_url": "http://localhost/users", "api_key": "k", "api_proxy": "http://proxy.example"}, "unencrypted"),
        ({"api_proxy": "localhost:3128"}, "http://"),
        ({"api_key": "two\nlines"}, "no header may"),
        ({"api_key": "schlüssel"}, "no header may"),
        ({"sync_every_minutes": 5}, "SERVICE_API_URL is not"),
    ],
)
def test_settings_that_would_leak_the_key_or_lead_nowhere_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Settings(**changes)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/api/users", "http://localhost/api/users"])
def test_the_key_may_go_unencrypted_within_the_machine(url: str) -> None:
    wanted: dict[str, Any] = {"api_url": url, "api_key": "k"}
    assert Settings(**wanted).api_url == url


def test_the_key_may_go_unencrypted_where_that_was_said() -> None:
    wanted: dict[str, Any] = {"api_url": "http://api.example/users", "api_key": "secret-key", "api_allow_http": True}
    assert "secret-key" not in repr(Settings(**wanted))


def test_the_document_is_json_whatever_was_fetched(tmp_path: Path) -> None:
    with serving(lambda asked: page(asked.page, [], total=0, total_pages=0)) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert json.loads(house.delivered.read_text())["data"] == []
    assert datetime.fromisoformat(house.document()["fetched_at"]) == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_number_too_large_for_any_reader_is_delivered_as_null(tmp_path: Path) -> None:
    body = page(1, [1], total=1, total_pages=1).body.replace(b'"A"', b"1e400")
    beyond = page(2, [], total=1, total_pages=1)
    with serving(lambda asked: replace(of_four(asked), body=body) if asked.page == 1 else beyond) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.document()["data"][0]["first_name"] is None
