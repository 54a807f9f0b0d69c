"""A single object of any size is read in bounded memory, by the engine and with care.

``FAULTS=all`` gives the engine 5 GB, because by itself it stops at an object of 4 GiB.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sizes import STREAMED_BY_ENGINE_BYTES as ENGINE_BYTES
from tests.sizes import STREAMED_WITH_CARE_BYTES as CAREFUL_BYTES
from tests.worlds import ROOT

IDS = 10_000
SPACE_BYTES = 3 << 30
RESIDENT_BYTES = 1280 << 20
"""The engine may have 1024 MB of it; of address space it takes twice as much."""


def write_one_object(path: Path, size_bytes: int, tail: bytes) -> int:
    """Write ``{"customers": […`` of that many bytes at least; returns how many customers it has."""
    people = (
        f'{{"id": "EC{number:06d}", "name": {{"first": "Zoë", "last": "O\'Brien-{number:06d}"}}, "contact": '
        f'{{"email": "zoe.{number:06d}@example.com", "phone": "+1 555 {number:07d}"}}, "registered": "2023-01-15", '
        f'"tags": ["a, b", {{"deep": [1, 2.5]}}], "orders_count": 3}}'
        for number in range(IDS)
    )
    block = ",\n".join(people).encode()
    blocks = 1
    with open(path, "wb") as file:
        file.write(b'{"customers": [\n' + block)
        while file.seek(0, os.SEEK_CUR) < size_bytes:
            file.write(b",\n" + block)
            blocks += 1
        file.write(tail)
    return blocks * IDS


def read_within_limits(path: Path) -> dict[str, Any]:
    """Read it in a process that has so much address space and no more."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.one_read", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (SPACE_BYTES, SPACE_BYTES)),
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "size_bytes", "tail"),
    [("engine", ENGINE_BYTES, b"\n]}\n"), ("with care", CAREFUL_BYTES, b'\n], "total": 1}\n')],
    ids=["engine", "with care"],
)
def test_one_object_of_any_size_is_read_in_bounded_memory(
    tmp_path: Path, record_property: Callable[[str, object], None], reader: str, size_bytes: int, tail: bytes
) -> None:
    path = tmp_path / "ecommerce_customers.json"
    try:
        customers = write_one_object(path, size_bytes, tail)
        found = read_within_limits(path)
    finally:
        path.unlink(missing_ok=True)
    took = f"{found['seconds']} s, peak {found['peak_bytes'] >> 20} MB"
    record_property(f"one JSON object of {size_bytes >> 20} MB, {reader}", took)
    assert (found["rows"], found["last"], found["ids"]) == (customers, customers, IDS)
    assert (found["rejects"], found["reader"]) == (0, reader)
    assert found["peak_bytes"] < RESIDENT_BYTES
