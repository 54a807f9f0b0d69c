"""Fixtures of the dashboard's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from service import logs
from tests.dashboard.crowd import Crowd, build_crowd
from tests.dashboard.doubts import DoubtfulHouse, build_doubts
from tests.dashboard.house import DashboardHouse, build_house


@pytest.fixture(scope="session")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> DashboardHouse:
    """The service with a past, for tests that only look; not to be changed."""
    logs.configure()
    return build_house(tmp_path_factory.mktemp("dashboard") / "house")


@pytest.fixture
def own_house(shared_house: DashboardHouse, tmp_path: Path) -> DashboardHouse:
    """A copy of it, for a test that changes it."""
    return shared_house.copy(tmp_path / "house")


@pytest.fixture
def own_crowd(tmp_path: Path) -> Crowd:
    """The same set, for a test that changes it."""
    return build_crowd(tmp_path / "crowd")


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """A set with customers of every kind; not to be changed."""
    return build_crowd(tmp_path_factory.mktemp("crowd"))


@pytest.fixture(scope="session")
def shared_doubts(tmp_path_factory: pytest.TempPathFactory) -> DoubtfulHouse:
    """A service whose newest set asks questions; not to be changed."""
    logs.configure()
    return build_doubts(tmp_path_factory.mktemp("doubts") / "house")


@pytest.fixture
def own_doubts(shared_doubts: DoubtfulHouse, tmp_path: Path) -> DoubtfulHouse:
    """A copy of it, for a test that changes it."""
    return shared_doubts.copy(tmp_path / "doubts")
