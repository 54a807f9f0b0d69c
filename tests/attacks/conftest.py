"""A house that two users share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.users import SharedHouse


@pytest.fixture
def shared() -> Iterator[SharedHouse]:
    # Not under tmp_path, which other users may not enter.
    house = SharedHouse(Path(tempfile.mkdtemp(prefix="attack-")))
    yield house
    house.close()
