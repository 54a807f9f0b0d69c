"""A walk through the pages in Debian's Chromium, which fails where a page does what it must not.

It must not ask another origin for anything, break its own content security policy, or raise an error in a script.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request, expect, sync_playwright

from tests.required import is_lacking

_WAIT_MS = 15_000
_ARGUMENTS = (
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"),
    *("--disable-gpu", "--no-first-run", "--force-color-profile=srgb", "--font-render-hinting=none"),
)
_NOTE_BREACHES = """
    document.addEventListener("securitypolicyviolation", (event) =>
        window.noteBreach(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """One headless Chromium, until the block ends; see ``required`` where there is none."""
    program = shutil.which("chromium")
    if program is None:
        is_lacking("needs chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Walk:
    """One user's page, and what it did wrong so far."""

    page: Page
    url: str
    """The origin of the dashboard, without a slash at the end."""
    faults: list[str] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)
    """Parts of console errors that a test causes on purpose, such as the status of a refused action."""

    def goto(self, path: str = "/") -> None:
        """Open a page of the dashboard."""
        self.page.goto(self.url + path, wait_until="load")

    def end(self) -> None:
        """Raises: AssertionError with all faults."""
        assert self.faults == []

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:", "blob:")):
            self.faults.append(f"a request left the origin: {request.url}")

    def _on_console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(part in text for part in self.expected):
            self.faults.append(f"console {kind}: {text}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"a script opened a dialog: {dialog.message}")
        dialog.dismiss()

    def listen(self) -> None:
        """From now on note what goes wrong."""
        context = self.page.context
        context.expose_binding("noteBreach", lambda _, text: self.faults.append(f"the policy forbids {text}"))
        context.add_init_script(_NOTE_BREACHES)
        context.on("request", self._on_request)
        self.page.on("console", lambda message: self._on_console(message.type, message.text))
        self.page.on("dialog", self._on_dialog)
        self.page.on("pageerror", lambda error: self.faults.append(f"error in a script: {error}"))


@contextmanager
def walking(browser: Browser, url: str, **options: Any) -> Iterator[Walk]:
    """A walk in a context of its own; ``options`` are those of Playwright (``color_scheme``, ``viewport``)."""
    context: BrowserContext = browser.new_context(
        **({"viewport": {"width": 1200, "height": 800}, "reduced_motion": "reduce"} | options)
    )
    try:
        context.set_default_timeout(_WAIT_MS)
        expect.set_options(timeout=_WAIT_MS)
        walk = Walk(context.new_page(), url)
        walk.listen()
        yield walk
        walk.end()
    finally:
        context.close()
