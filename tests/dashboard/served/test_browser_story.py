"""The story of a user in Chromium: exports are uploaded, become a master, are looked into; a broken one is mended.

Once with mouse and scripts, once by keyboard alone, and what can be done without scripts.
"""

from __future__ import annotations

import base64
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import TimeoutError as NotInTime

from benchmarks.generate import write_pair
from service.dashboard import formats
from tests.dashboard.served.browser import Walk, walking
from tests.dashboard.served.processes import Served, Verb, served
from tests.sizes import PAGE_PROGRESS_RECORDS
from tests.worlds import CRM, ECOM, SAMPLE, wait_until

pytestmark = pytest.mark.slow
_MOST_TABS = 150
_LIVE_MS = 60_000
_DROP = """
    ([files]) => {
        const transfer = new DataTransfer();
        for (const [name, content] of files) {
            const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
            transfer.items.add(new File([bytes], name));
        }
        for (const kind of ["dragenter", "dragover", "drop"]) {
            const target = document.querySelector("form[data-upload]");
            target.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }
    }
"""

_TICKED = """
    async (times) => {
        const added = times.map((time) => {
            const element = document.createElement("time");
            element.className = "relative";
            element.dateTime = time;
            document.body.append(element);
            return element;
        });
        await new Promise((done) => setTimeout(done, 2500));
        return added.map((element) => element.textContent);
    }
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Served]:
    """Watcher and dashboard over empty folders."""
    with served(tmp_path / "house") as dashboard:
        yield dashboard


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A shop export that ends in the middle."""
    path = tmp_path / ECOM
    path.write_bytes((SAMPLE / ECOM).read_bytes()[:-40])
    return path


def slot(page: Page, name: str) -> Locator:
    """The file field for the export of this name."""
    return page.get_by_label(name).and_(page.locator("input[type=file]"))


def upload(page: Page, *paths: Path) -> None:
    """Choose the files in their slots, and wait until each has landed."""
    for path in paths:
        slot(page, path.name).set_input_files(path)
        expect(page.get_by_text(f"{path.name} is in the inbox now").first).to_be_visible()


def search(page: Page, text: str) -> None:
    page.get_by_role("link", name="Customers", exact=True).first.click()
    page.get_by_label("Name, e-mail, phone or id").fill(text)
    page.get_by_role("button", name="Search").click()


def published(served: Served, many: int = 1) -> str:
    """The id of the latest batch, once so many were published."""
    wait_until(lambda: len(served.batches()) == many and served.manifest(), 120)
    return str(served.manifest()["batch_id"])


def downloaded(page: Page, link: Locator) -> bytes:
    with page.expect_download() as started:
        link.click()
    return Path(started.value.path()).read_bytes()


def quarantined(served: Served) -> Path:
    """The folder of the one batch in quarantine."""
    wait_until(lambda: (served.inbox / "quarantine").is_dir() and served.quarantine(), 60)
    return served.quarantine()[-1]


@pytest.mark.large
def test_from_two_files_to_the_master_and_from_a_broken_one_to_its_retry(
    browser: Browser, fresh: Served, broken: Path
) -> None:
    with walking(browser, fresh.url) as walk:
        page = walk.page
        walk.goto("/")
        upload(page, SAMPLE / CRM)
        expect(page.get_by_role("heading", name="Drop ecommerce_customers.json to begin")).to_be_visible()
        expect(page.locator("form.filled").get_by_text("crm_customers.csv is here", exact=True)).to_be_visible()
        expect(page.locator("form.filled .slot-result")).to_be_in_viewport()
        upload(page, SAMPLE / ECOM)
        batch = published(fresh)
        open_batch(page, batch)
        assert downloaded(page, page.get_by_role("link", name="Download master")) == (
            (fresh.outbox / "customer_master.csv").read_bytes()
        )
        see_why_they_are_one(page)
        quarantine_and_retry(walk, fresh, broken)


def open_batch(page: Page, batch: str) -> None:
    """From the overview, which shows the batch by itself, to its page."""
    link = page.get_by_role("table").get_by_role("link", name=batch).first
    expect(link).to_be_visible(timeout=_LIVE_MS)
    link.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(batch)


def see_why_they_are_one(page: Page) -> None:
    """Find John Smith, and why CRM005 is he."""
    search(page, "john smi")
    page.get_by_role("row").filter(has_text="John Smith").get_by_role("link", name="CUST001").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("John Smith")
    expect(reason_of_crm005(page)).to_be_visible()


def reason_of_crm005(page: Page) -> Locator:
    """The line of the customer's page that says why the record CRM005 is of this customer."""
    return page.get_by_role("row").filter(has_text="CRM005").filter(has_text=re.compile("phone", re.IGNORECASE)).first


def quarantine_and_retry(walk: Walk, served: Served, broken: Path) -> None:
    """Upload a broken export, read why it is in quarantine, correct it there, and retry."""
    page = walk.page
    page.get_by_role("link", name="Overview", exact=True).first.click()
    upload(page, SAMPLE / CRM, broken)
    folder = quarantined(served)
    page.get_by_role("link", name="See what to do").click(timeout=_LIVE_MS)
    expect(page.get_by_role("heading", level=1)).to_contain_text(folder.name)
    expect(page.get_by_text(re.compile(r"ends|truncated|not complete")).first).to_be_visible()
    (folder / ECOM).write_bytes((SAMPLE / ECOM).read_bytes())
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text(re.compile("moved back")).first).to_be_visible()
    batch = published(served, 2)
    page.get_by_role("link", name="Overview", exact=True).first.click()
    open_batch(page, batch)


@pytest.mark.large
def test_files_that_are_dropped_on_the_page_are_uploaded(browser: Browser, fresh: Served) -> None:
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in (SAMPLE / CRM, SAMPLE / ECOM)]
    with walking(browser, fresh.url) as walk:
        walk.goto("/")
        walk.page.evaluate(_DROP, [files])
        published(fresh)
        expect(walk.page.get_by_text(re.compile("5 customers")).first).to_be_visible(timeout=_LIVE_MS)


@pytest.mark.large
def test_the_progress_of_a_batch_is_seen_live(browser: Browser, fresh: Served, tmp_path: Path) -> None:
    pair = write_pair(tmp_path, PAGE_PROGRESS_RECORDS)
    with walking(browser, fresh.url) as walk:
        page = walk.page
        walk.goto("/")
        upload(page, *pair)
        bar = page.get_by_role("progressbar", name="Progress of the batch")
        expect(bar).to_be_visible(timeout=_LIVE_MS)
        expect(page.get_by_text(re.compile(r"Stage \d+ of \d+")).first).to_be_visible()
        values = "(bars) => bars.map((it) => it.value)"  # none when the batch has ended
        first = bar.evaluate_all(values)
        wait_until(lambda: bar.evaluate_all(values) != first, 60)
        batch = published(fresh)
        open_batch(page, batch)


@pytest.mark.large
def test_an_open_page_says_that_the_dashboard_does_not_answer_until_it_does(browser: Browser, fresh: Served) -> None:
    with walking(browser, fresh.url) as walk:
        walk.expected = {"htmx:error", "ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"}
        walk.goto("/")
        banner = walk.page.get_by_role("alert")
        state = walk.page.locator("#state")
        colour = "(it) => getComputedStyle(it).borderLeftColor"
        green = state.evaluate(colour)
        expect(banner).to_have_count(0)
        fresh.dashboard.process.kill()
        since = r"No answer from the dashboard since \d\d:\d\d:\d\d\. Is it running\?"
        expect(banner).to_have_text(re.compile(since))
        assert state.evaluate(colour) != green
        fresh.dashboard.process.wait()
        again = Verb(fresh.root, "dashboard", http_port=str(fresh.port))
        try:
            expect(banner).to_have_count(0, timeout=_LIVE_MS)
            assert state.evaluate(colour) == green
        finally:
            again.end()


@pytest.mark.large
def test_a_dashboard_that_hangs_is_seen_too(browser: Browser, fresh: Served) -> None:
    with walking(browser, fresh.url) as walk:
        walk.goto("/")
        banner = walk.page.get_by_role("alert")
        fresh.dashboard.process.send_signal(signal.SIGSTOP)
        try:
            expect(banner).to_contain_text("No answer from the dashboard since", timeout=_LIVE_MS)
        finally:
            fresh.dashboard.process.send_signal(signal.SIGCONT)
        expect(banner).to_have_count(0)


@pytest.mark.large
def test_times_go_on_in_the_words_of_the_server(walk: Walk) -> None:
    walk.goto("/")
    now = datetime.now(UTC)
    thens = [now - timedelta(seconds=seconds) for seconds in (90, 5400, 130_000, 1e9, -9000)]
    shown = walk.page.evaluate(_TICKED, [then.isoformat() for then in thens])
    assert shown == [formats.ago(then, now) for then in thens]


# ---------------------------------------------------------------------------------------------------------- keyboard


class Keyboard:
    """A user who has no mouse: moves by Tab, acts by Enter and Space, types."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def reach(self, target: Locator) -> None:
        """Press Tab until the target has the focus, which must be seen."""
        for _ in range(_MOST_TABS):
            if target.count() and target.first.evaluate("(it) => it === document.activeElement"):
                is_seen = target.first.evaluate(
                    "(it) => getComputedStyle(it).outlineStyle !== 'none' || it.matches('.skip')"
                )
                assert is_seen, "the focus cannot be seen"
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {target}")

    def follow(self, target: Locator) -> None:
        """Go to a link or button and press Enter."""
        self.reach(target)
        self.page.keyboard.press("Enter")

    def write(self, target: Locator, text: str) -> None:
        """Go to a field, and type."""
        self.reach(target)
        self.page.keyboard.type(text)

    def choose_file(self, target: Locator, path: Path) -> None:
        """Go to a file field and press Space: what opens then is the file dialog of the desktop."""
        with suppress(NotInTime):
            self._choose(target, path, 5_000)
            return
        self._choose(target, path, 15_000)  # on a busy machine Chromium may lose a key

    def _choose(self, target: Locator, path: Path, timeout_ms: int) -> None:
        self.reach(target)
        with self.page.expect_file_chooser(timeout=timeout_ms) as dialog:
            self.page.keyboard.press("Space")
        dialog.value.set_files(path)


@pytest.mark.large
def test_the_story_by_keyboard_alone(browser: Browser, fresh: Served, broken: Path) -> None:
    with walking(browser, fresh.url) as walk:
        page, keys = walk.page, Keyboard(walk.page)
        walk.goto("/")
        keys.follow(page.get_by_role("link", name="Skip to content"))
        for path in (SAMPLE / CRM, SAMPLE / ECOM):
            keys.choose_file(slot(page, path.name), path)
            expect(page.get_by_text(f"{path.name} is in the inbox now").first).to_be_visible()
        batch = published(fresh)
        link = page.get_by_role("table").get_by_role("link", name=batch)
        expect(link.first).to_be_visible(timeout=_LIVE_MS)
        keys.follow(link)
        expect(page.get_by_role("heading", level=1)).to_contain_text(batch)
        with page.expect_download() as started:
            keys.follow(page.get_by_role("link", name="Download master"))
        assert Path(started.value.path()).read_bytes() == (fresh.outbox / "customer_master.csv").read_bytes()
        keys.follow(page.get_by_role("link", name="Customers", exact=True))
        keys.write(page.get_by_label("Name, e-mail, phone or id"), "john smith")
        page.keyboard.press("Enter")
        keys.follow(page.get_by_role("row").filter(has_text="John Smith").get_by_role("link", name="CUST001"))
        expect(reason_of_crm005(page)).to_be_visible()
        keys.follow(page.get_by_role("link", name="Overview", exact=True))
        for path in (SAMPLE / CRM, broken):
            keys.choose_file(slot(page, path.name), path)
            expect(page.get_by_text(f"{path.name} is in the inbox now").first).to_be_visible()
        folder = quarantined(fresh)
        what_to_do = page.get_by_role("link", name="See what to do")
        expect(what_to_do).to_be_visible(timeout=_LIVE_MS)
        keys.follow(what_to_do)
        (folder / ECOM).write_bytes((SAMPLE / ECOM).read_bytes())
        expect(page.get_by_role("heading", level=1)).to_contain_text(folder.name)
        keys.follow(page.get_by_role("button", name="Retry"))
        published(fresh, 2)


# ----------------------------------------------------------------------------------------------------- without scripts


@pytest.mark.large
def test_without_scripts_upload_lists_search_and_downloads_work(browser: Browser, fresh: Served) -> None:
    with walking(browser, fresh.url, java_script_enabled=False) as walk:
        page = walk.page
        walk.goto("/")
        for source, name in (("CRM", CRM), ("ECOM", ECOM)):
            slot(page, name).set_input_files(SAMPLE / name)
            page.get_by_role("button", name=f"Upload {source}").click()
            expect(page.get_by_text(f"{name} is in the inbox now").first).to_be_visible()
        batch = published(fresh)
        walk.goto("/")
        open_batch(page, batch)
        assert downloaded(page, page.get_by_role("link", name="Download master")) == (
            (fresh.outbox / "customer_master.csv").read_bytes()
        )
        see_why_they_are_one(page)
        for name in ("Batches", "Duplicates", "Quarantine", "Analytics"):
            page.get_by_role("link", name=name, exact=True).first.click()
            expect(page.get_by_role("heading", level=1)).to_contain_text(name)
