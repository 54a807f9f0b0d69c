"""The pictures of the docs, drawn by Chromium: ``make screenshots`` writes them, other runs only draw them.

They show a service with made-up batches, in which the sample's John Smith is a customer; of the review, one whose set
asks questions.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from benchmarks.generate import write_pair
from service import logs
from service.simulator.customers import World as ApiWorld
from tests.dashboard.served.browser import walking
from tests.dashboard.served.crawl import ask
from tests.dashboard.served.processes import Served, served
from tests.worlds import CRM, ECOM, ROOT, SAMPLE, Works

pytestmark = pytest.mark.large

IMAGES = ROOT / "docs" / "images"
IS_ASKED = os.environ.get("UPDATE_SCREENSHOTS") == "1"
RECORDS = 3000
"""Of the first batch; each later one has more."""
BATCHES = 5
MOST_BYTES = 150_000
Theme = Literal["light", "dark"]
PICTURES: tuple[tuple[str, Theme], ...] = (
    ("overview", "light"),
    ("overview", "dark"),
    ("batch", "light"),
    ("customer", "light"),
    ("duplicates", "light"),
    ("review", "light"),
    ("quarantine", "light"),
    ("analytics", "light"),
)


def _write_exports(folder: Path, records: int, seed: int) -> None:
    """Made-up exports, and the records of the sample in them."""
    folder.mkdir()
    write_pair(folder, records, seed)
    crm = (SAMPLE / CRM).read_text(encoding="utf-8").partition("\n")[2]
    with open(folder / CRM, "a", encoding="utf-8") as file:
        file.write(crm + "CRM900,One cell,too,many,2024-01-01,active,here\n" * 3)
    ecom = json.loads((folder / ECOM).read_text(encoding="utf-8"))
    sample = json.loads((SAMPLE / ECOM).read_text(encoding="utf-8"))["customers"]
    ids = {row["id"] for row in sample}
    ecom["customers"] = [row for row in ecom["customers"] if row["id"] not in ids] + sample
    (folder / ECOM).write_text(json.dumps(ecom, indent=1), encoding="utf-8")


@pytest.fixture(scope="module")
def pictured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The service that the pictures show; where none is asked for, that of the other tests."""
    if not IS_ASKED:
        yield request.getfixturevalue("shown")
        return
    folder = tmp_path_factory.mktemp("pictured")
    _integrate(Works(folder / "house"), folder)
    with served(folder / "house") as dashboard:
        yield dashboard


def _integrate(works: Works, folder: Path) -> None:
    """Let the watcher make several masters, of which one is quarantined, and an analytics export."""
    logs.configure()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.inbox.settling.LEASE_STILL_SECONDS", 0.05)
        for number in range(BATCHES):
            exports = folder / str(number)
            _write_exports(exports, RECORDS + RECORDS // 20 * number, seed=1)
            for name in (CRM, ECOM):
                shutil.move(exports / name, works.inbox / name)
            if number == 1:
                broken = works.inbox / ECOM
                broken.write_bytes(broken.read_bytes()[:-400])
            works.once()
        rows = [ApiWorld(today=date(2026, 11, 26)).customer(index) for index in range(RECORDS // 10)]
        text = json.dumps({"fetched_at": "2026-11-26T12:00:00Z", "data": rows})
        (works.inbox / "api_customers.json").write_text(text, encoding="utf-8")
        works.once()


def address(shown: Served, endpoint: str) -> str:
    """Where the picture of an endpoint is taken."""
    if endpoint == "customer":
        with open(shown.outbox / "customer_master.csv", encoding="utf-8", newline="") as file:
            (john,) = (row["unified_id"] for row in csv.DictReader(file) if row["email"] == "john.smith@email.com")
        return f"/customers/{john}"
    if endpoint == "batch":
        return f"/batches/{shown.batches_of('integration')[-1]}"
    return {"overview": "/"}.get(endpoint, f"/{endpoint}")


@pytest.mark.parametrize(("endpoint", "theme"), PICTURES)
def test_a_picture_of_the_docs_is_drawn_and_small(
    request: pytest.FixtureRequest, browser: Browser, endpoint: str, theme: Theme, tmp_path: Path
) -> None:
    service: Served = request.getfixturevalue("asking" if endpoint == "review" else "pictured")
    path = address(service, endpoint)
    assert ask(service.url, path).status == 200
    with walking(browser, service.url, color_scheme=theme) as walk:
        walk.goto(path)
        name = f"{endpoint}.png" if theme == "light" else f"{endpoint}-{theme}.png"
        image = (IMAGES if IS_ASKED else tmp_path) / name
        image.parent.mkdir(parents=True, exist_ok=True)
        walk.page.screenshot(path=image, animations="disabled")
        assert image.stat().st_size < MOST_BYTES
