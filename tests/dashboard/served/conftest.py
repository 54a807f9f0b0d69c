"""Fixtures: a dashboard that is looked at, and one browser for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.dashboard.doubts import DoubtfulHouse
from tests.dashboard.house import DashboardHouse
from tests.dashboard.served.browser import Walk, chromium, walking
from tests.dashboard.served.crawl import Crawl, application, crawled
from tests.dashboard.served.processes import TOKEN, Served, served


@pytest.fixture(scope="session")
def shown(shared_house: DashboardHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Watcher and dashboard of a service with a past, for tests that only look."""
    house = shared_house.copy(tmp_path_factory.mktemp("served") / "house")
    with served(house.root) as dashboard:
        yield dashboard


@pytest.fixture(scope="session")
def asking(shared_doubts: DoubtfulHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Watcher and dashboard of a service whose newest set asks questions, for tests that only look."""
    house = shared_doubts.copy(tmp_path_factory.mktemp("asking") / "house")
    with served(house.root, matching="safe") as dashboard:
        yield dashboard


@pytest.fixture(scope="session")
def found_asking(asking: Served) -> Crawl:
    """All addresses of that dashboard."""
    return crawled(asking.url, application(asking.root))


@pytest.fixture(scope="session")
def guarded(shown: Served) -> Iterator[Served]:
    """A second dashboard of the same service, which needs a token."""
    with served(shown.root, is_watched=False, token=TOKEN) as dashboard:
        yield dashboard


@pytest.fixture(scope="session")
def found(shown: Served) -> Crawl:
    """All addresses of that dashboard."""
    return crawled(shown.url, application(shown.root))


# Not for the session: while Playwright runs, an event loop does, and other tests of this worker could not start one.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture
def walk(browser: Browser, shown: Served) -> Iterator[Walk]:
    """A walk through the service with a past; fails at its end if a page did what it must not."""
    with walking(browser, shown.url) as begun:
        yield begun
