"""A house that two users share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.users import SharedHouse, shared_house


@pytest.fixture
def shared() -> Iterator[SharedHouse]:
    with shared_house() as house:
        yield house
