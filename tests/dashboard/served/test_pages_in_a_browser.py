"""Every page in Chromium: accessible in both themes, as wide as the screen, and with nothing from elsewhere."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page

from service.dashboard.pages import PAGES
from tests.dashboard.served.browser import Walk
from tests.dashboard.served.crawl import Crawl
from tests.sizes import BROWSER_WIDTHS
from tests.worlds import ROOT

IMAGES = ROOT / "docs" / "images"
IS_DRAWN = os.environ.get("UPDATE_SCREENSHOTS") == "1"
_MOST_IMAGE_BYTES = 150_000
PICTURES = {
    "overview": ("light", "dark"),
    "batch": ("light",),
    "customer": ("light",),
    "duplicates": ("light",),
    "quarantine": ("light",),
    "analytics": ("light",),
}
"""Endpoint -> the themes in which the docs show it."""
NARROW = 360
READ = [page.name for page in PAGES if page.method == "GET"]
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
    """The page as it is now is accessible in both themes and never wider than the screen."""
    page = walk.page
    for width in (*BROWSER_WIDTHS, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="light")
        assert violations(page) == [], f"at {width} pixels, light"
        page.emulate_media(color_scheme="dark")
        # Only colours are others.
        assert violations(page, "color-contrast") == [], f"at {width} pixels, dark"
        is_fitting = page.evaluate("() => document.scrollingElement.scrollWidth <= innerWidth")
        assert is_fitting, f"wider than {width} pixels: {page.evaluate(_TOO_WIDE)[:5]}"


@pytest.mark.parametrize("endpoint", READ)
def test_a_page_is_accessible_in_both_themes_and_fits_narrow_screens(walk: Walk, found: Crawl, endpoint: str) -> None:
    walk.goto(found.address(endpoint))
    assert walk.page.get_by_role("heading", level=1).count() == 1
    judge(walk)


def test_a_walk_notes_what_a_page_must_not_do(walk: Walk) -> None:
    walk.goto("/")
    walk.page.evaluate(
        """() => {
            const frame = document.createElement("p");
            frame.setAttribute("style", "color: red");
            document.body.append(frame);
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
