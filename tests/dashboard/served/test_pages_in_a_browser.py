"""Every page in Chromium: accessible in both themes, as wide as the screen, and with nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect

from service.dashboard.pages import PAGES
from tests.dashboard.house import SCRIPT
from tests.dashboard.served.browser import Walk, walking
from tests.dashboard.served.crawl import Crawl, needs_nothing
from tests.dashboard.served.processes import TOKEN, Served, served
from tests.sizes import BROWSER_WIDTHS

pytestmark = pytest.mark.large

NARROW = 360
PARTS = frozenset({"live"})
"""Parts of pages that scripts ask for."""
READ = [page.name for page in PAGES if page.method == "GET" and page.name not in PARTS]
OF_QUESTIONS = ("review", "review_alike")
"""Pages about questions, which only a set of weighed evidence asks; no page of another set leads to the second."""
ASKED = [page.name for page in PAGES if page.method == "POST"]
FAILED = ("/nothing", "/batches/nothing", "/?nothing=1")
_TOO_WIDE = """
    () => [...document.querySelectorAll("body *")]
        .filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !element.closest(".table, pre"))
        .map((element) => element.outerHTML.slice(0, 120))
"""


@cache
def _axe() -> str:
    return Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def violations(page: Page, *rules: str) -> list[str]:
    """What axe-core finds wrong, one line for each element; ``rules``: only these."""
    # The script is given to the browser by the debugger, which the page's policy does not bind.
    page.evaluate(_axe())
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    found = page.evaluate("(options) => axe.run(document, options)", options)
    return [
        f"{violation['id']}: {node['failureSummary']} at {node['html'][:160]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def judge(walk: Walk) -> None:
    """The page as it is now is accessible in both themes, never wider than the screen, and has one heading."""
    page = walk.page
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    for width in (*BROWSER_WIDTHS, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="light")
        assert violations(page) == [], f"at {width} pixels, light"
        page.emulate_media(color_scheme="dark")
        # Only colours are others.
        assert violations(page, "color-contrast") == [], f"at {width} pixels, dark"
        is_fitting = page.evaluate("() => document.scrollingElement.scrollWidth <= innerWidth")
        assert is_fitting, f"wider than {width} pixels: {page.evaluate(_TOO_WIDE)[:5]}"


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", [it for it in READ if it != "review_alike"])
def test_a_page_is_accessible_in_both_themes_and_fits_narrow_screens(walk: Walk, found: Crawl, endpoint: str) -> None:
    for address in found.endpoints.get(endpoint, [])[:2] or [found.address(endpoint)]:
        walk.goto(address)
        judge(walk)


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", OF_QUESTIONS)
def test_a_page_of_questions_is_so_too(browser: Browser, asking: Served, found_asking: Crawl, endpoint: str) -> None:
    with walking(browser, asking.url) as walk:
        for address in found_asking.endpoints[endpoint][:2]:
            walk.goto(address)
            judge(walk)


@pytest.mark.parametrize("endpoint", ASKED)
def test_a_page_that_is_asked_by_a_form_is_so_too(walk: Walk, found: Crawl, endpoint: str) -> None:
    action = next(page.path for page in PAGES if page.name == endpoint)
    form = found.forms[f"POST {action}"]
    walk.goto(form.page)
    shown = walk.page.locator(f"form[action='{action}']").first
    for text in ("john", "nothing that exists"):
        shown.locator("input[type=search], input[type=text]").first.fill(text)
        shown.get_by_role("button").first.click()
        judge(walk)


@pytest.mark.parametrize("address", FAILED)
def test_an_error_is_so_too(walk: Walk, address: str) -> None:
    walk.expected.add("the server responded with a status of 40")
    walk.goto(address)
    judge(walk)


def test_the_login_is_so_too_and_leads_in(browser: Browser, guarded: Served) -> None:
    with walking(browser, guarded.url) as walk:
        walk.expected.add("the server responded with a status of 401")
        walk.goto("/customers")
        judge(walk)
        for token in ("wrong", TOKEN):
            walk.page.get_by_label("Token").fill(token)
            walk.page.get_by_role("button", name="Log in").click()
            judge(walk)
        expect(walk.page.get_by_role("heading", level=1)).to_have_text("Overview")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that nothing was ever given to."""
    with served(tmp_path_factory.mktemp("empty") / "house") as dashboard:
        yield dashboard


@pytest.mark.parametrize("endpoint", [page.name for page in PAGES if page.name in READ and needs_nothing(page)])
def test_a_page_without_anything_to_show_is_so_too(browser: Browser, empty: Served, endpoint: str) -> None:
    path = next(page.path for page in PAGES if page.name == endpoint)
    with walking(browser, empty.url) as walk:
        walk.goto(path)
        judge(walk)


def test_the_theme_follows_the_system_and_a_choice_that_is_kept(walk: Walk) -> None:
    page = walk.page
    background = "() => getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    walk.goto("/")
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    assert light != dark
    page.get_by_role("button", name="Use the light theme").click()
    assert page.evaluate(background) == light
    walk.goto("/")
    assert page.evaluate(background) == light


def test_hostile_names_are_shown_as_text(walk: Walk, found: Crawl) -> None:
    for address in found.endpoints.get("customers", []) + found.endpoints.get("quarantined_batch", []):
        walk.goto(address)
        assert walk.page.locator("main script:not([src^='/static/'])").count() == 0
    if "customers" in found.endpoints:
        walk.goto("/customers")
        expect(walk.page.get_by_text(re.compile(re.escape(SCRIPT), re.IGNORECASE)).first).to_be_visible()


def test_a_page_of_another_site_can_neither_act_nor_show_the_dashboard(walk: Walk, shown: Served) -> None:
    walk.expected |= {"status of 403", "frame-ancestors", "Cross-Origin"}
    (batch,) = (path.name for path in shown.quarantine())
    retry = f"{shown.url}/quarantine/{batch}/retry"
    walk.page.set_content(f"<form method=post action='{retry}'><button>Win</button></form><iframe src='{shown.url}/'>")
    walk.page.wait_for_timeout(500)
    assert walk.page.frames[1].get_by_role("heading").count() == 0
    with walk.page.expect_response(retry) as refused:
        walk.page.get_by_role("button", name="Win").click()
    assert refused.value.status == 403
    assert (shown.inbox / "quarantine" / batch).is_dir()


def test_a_walk_notes_what_a_page_must_not_do(walk: Walk) -> None:
    walk.goto("/")
    walk.page.evaluate(
        """() => {
            const text = document.createElement("p");
            text.setAttribute("style", "color: red");
            document.body.append(text);
            const script = document.createElement("script");
            script.textContent = "1";
            document.body.append(script);
            const image = new Image();
            image.src = "http://127.0.0.1:9/";
            setTimeout(() => { throw new Error("broken"); });
            setTimeout(() => alert("opened"));
        }"""
    )
    walk.page.wait_for_timeout(300)
    noted = " ".join(walk.faults)
    walk.faults.clear()
    for words in ("forbids style-src-attr", "forbids script-src-elem", "forbids img-src", "broken", "opened"):
        assert words in noted
