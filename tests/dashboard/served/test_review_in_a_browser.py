"""The review in Chromium: fifty questions are answered by keyboard alone, and the next batch follows the answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from service.decisions import Decision, DecisionStore
from tests.dashboard.doubts import DoubtfulHouse, doubtful_pair
from tests.dashboard.served.browser import Walk, walking
from tests.dashboard.served.processes import Served, served
from tests.dashboard.served.test_pages_in_a_browser import judge
from tests.worlds import CRM, ECOM, wait_until

pytestmark = pytest.mark.slow
PEOPLE = 60
QUESTIONS = 50
_MOST_SECONDS = 300.0
"""For all of them; on an idle machine they take some fifteen."""


@pytest.fixture
def answering(shared_doubts: DoubtfulHouse, tmp_path: Path) -> Iterator[Served]:
    """A dashboard whose questions may be answered."""
    house = shared_doubts.copy(tmp_path / "house")
    with served(house.root, is_watched=False, matching="safe") as dashboard:
        yield dashboard


@pytest.fixture
def reviewing(browser: Browser, answering: Served) -> Iterator[Walk]:
    """A walk that begins at the first question."""
    with walking(browser, answering.url) as walk:
        walk.goto("/review")
        at_question(walk.page, 1)
        yield walk


def decisions(served: Served) -> list[Decision]:
    """Those in force."""
    return DecisionStore(served.state).in_force()


def at_question(page: Page, position: int) -> None:
    """The page asks this question, and its keys work."""
    expect(page.locator(f"html[data-keys-ready] [data-question='{position}']")).to_be_visible()


def drop(served: Served) -> None:
    """Copy both exports into the inbox."""
    for name, text in zip((CRM, ECOM), doubtful_pair(PEOPLE), strict=True):
        (served.inbox / name).write_text(text, encoding="utf-8")


def published(served: Served, former: str = "") -> str:
    """The id of the latest batch, once there is one behind ``former``."""
    wait_until(lambda: served.manifest().get("batch_id", former) != former, 120)
    return str(served.manifest()["batch_id"])


@pytest.mark.large
def test_fifty_questions_are_answered_by_keyboard_alone_and_the_next_batch_follows_them(
    browser: Browser, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    root = tmp_path / "house"
    root.mkdir()
    (root / "service.toml").write_text('matching = "safe"\n', encoding="utf-8")
    with served(root) as service:
        drop(service)
        first = published(service)
        asked = service.rows("review_queue.csv", first)
        assert len(asked) >= QUESTIONS
        with walking(browser, service.url) as walk:
            walk.goto("/review")
            began = time.monotonic()
            for position in range(1, QUESTIONS + 1):
                at_question(walk.page, position)
                walk.page.keyboard.press("s" if position % 2 else "d")
            expect(walk.page.get_by_text(f"{QUESTIONS} of {len(asked)} questions are answered")).to_be_visible()
            seconds = time.monotonic() - began
        record_property("seconds_for_50_questions", round(seconds, 1))
        assert seconds < _MOST_SECONDS
        pairs = [(row["left_id"], row["right_id"]) for row in asked[:QUESTIONS]]
        kinds = ["same" if number % 2 == 0 else "different" for number in range(QUESTIONS)]
        made = [(it.left.source_id, it.right.source_id, it.kind) for it in decisions(service)]
        assert made == [(*pair, kind) for pair, kind in zip(pairs, kinds, strict=True)]
        drop(service)
        batch = published(service, first)
        assert [row["outcome"] for row in service.rows("decisions.csv", batch)] == ["applied"] * QUESTIONS
        customers = {row["source_id"]: row["unified_id"] for row in service.rows("crosswalk.csv", batch)}
        assert [customers[left] == customers[right] for left, right in pairs] == [kind == "same" for kind in kinds]


@pytest.mark.large
def test_each_key_does_what_its_button_does(reviewing: Walk, answering: Served) -> None:
    page = reviewing.page
    for key, position in (("k", 2), ("n", 3), ("p", 2), ("s", 3), ("d", 4), ("u", 3), ("k", 4)):
        page.keyboard.press(key)
        at_question(page, position)
    assert [(it.number, it.kind, it.left.source_id) for it in decisions(answering)] == [(1, "same", "C0001")]
    keys = page.get_by_text("the same customer", exact=True)
    expect(keys).to_be_hidden()
    page.keyboard.press("?")
    expect(keys).to_be_visible()
    judge(reviewing)
    page.keyboard.press("?")
    expect(keys).to_be_hidden()


@pytest.mark.large
def test_keys_do_nothing_while_a_person_types_and_when_they_are_off(reviewing: Walk, answering: Served) -> None:
    page = reviewing.page
    at_question(page, 1)
    note = page.get_by_label("Note, if you want to say why")
    note.click()
    page.keyboard.type("sdknup?")
    expect(note).to_have_value("sdknup?")
    page.keyboard.press("Enter")
    for held in ("Control+s", "Alt+d", "Meta+s"):
        page.locator("h1").click()
        page.keyboard.press(held)
    page.keyboard.press("?")
    page.get_by_role("button", name="Turn the keys off").click()
    expect(page.locator("[data-key-hint]:visible")).to_have_count(0)
    for key in ("s", "d", "k", "n", "?"):
        page.keyboard.press(key)
    page.reload()
    at_question(page, 1)
    page.keyboard.press("s")
    at_question(page, 1)
    assert decisions(answering) == []
    page.locator("summary", has_text="Keys").click()
    page.get_by_role("button", name="Turn the keys on").click()
    note.click()
    page.keyboard.type("twins")
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    at_question(page, 2)
    assert [(it.kind, it.note) for it in decisions(answering)] == [("different", "twins")]


@pytest.mark.large
def test_a_key_that_is_held_down_answers_one_question(reviewing: Walk, answering: Served) -> None:
    page = reviewing.page
    at_question(page, 1)
    for _ in range(8):  # of these all but the first are repeats
        page.keyboard.down("s")
    page.keyboard.up("s")
    at_question(page, 2)
    page.wait_for_timeout(500)
    assert len(decisions(answering)) == 1


@pytest.mark.large
def test_the_name_of_who_decides_is_remembered(reviewing: Walk, answering: Served) -> None:
    page = reviewing.page
    page.get_by_label("Your name").fill("Kim")
    page.get_by_role("button", name="Same customer").click()
    at_question(page, 2)
    page.keyboard.press("d")
    at_question(page, 3)
    assert [it.decided_by for it in decisions(answering)] == ["Kim", "Kim"]


@pytest.mark.large
def test_without_scripts_questions_are_answered_alone_and_together_and_taken_back(
    browser: Browser, answering: Served
) -> None:
    with walking(browser, answering.url, java_script_enabled=False) as walk:
        page = walk.page
        walk.goto("/review")
        expect(page.locator("kbd:visible")).to_have_count(0)
        page.get_by_role("button", name="Different customers").click()
        page.get_by_role("link", name="Skip", exact=True).click()
        expect(page.get_by_role("heading", name="Question 3")).to_be_visible()
        page.get_by_role("link", name="Answer them together").click()
        expect(page.get_by_role("heading", name=f"Answer all {PEOPLE - 1}")).to_be_visible()
        page.get_by_role("button", name="All are the same customer").click()
        expect(page.get_by_text(f"All {PEOPLE} questions are answered.")).to_be_visible()
        assert len(decisions(answering)) == PEOPLE
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("heading", name="Question 2:")).to_be_visible()
        assert [it.kind for it in decisions(answering)] == ["different"]


@pytest.mark.large
def test_of_two_tabs_the_later_one_is_refused_and_says_why(reviewing: Walk, answering: Served) -> None:
    reviewing.expected.add("the server responded with a status of 409")
    other = reviewing.page.context.new_page()
    other.goto(f"{answering.url}/review")
    reviewing.page.get_by_role("button", name="Same customer").click()
    at_question(reviewing.page, 2)
    other.get_by_role("button", name="Different customers").click()
    expect(other.get_by_role("heading", level=1)).to_have_text("This contradicts decision 1")
    assert [it.kind for it in decisions(answering)] == ["same"]


@pytest.mark.large
def test_every_state_of_the_page_is_accessible_and_fits_narrow_screens(reviewing: Walk, answering: Served) -> None:
    page = reviewing.page
    judge(reviewing)
    page.get_by_role("link", name="Answer them together").click()
    judge(reviewing)
    page.get_by_role("button", name="All are different customers").click()
    expect(page.get_by_text(f"All {PEOPLE} questions are answered.")).to_be_visible()
    judge(reviewing)
    page.get_by_role("link", name="Look at the answers").click()
    judge(reviewing)
