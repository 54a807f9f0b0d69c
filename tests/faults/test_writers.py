"""Writers that pause or come back: what is published is one complete version of a file."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.generate import write_pair
from tests.faults.conftest import Tally
from tests.required import needs_leases
from tests.sizes import WRITERS_WHO_COME_BACK as WRITERS
from tests.worlds import CASES, CRM, ECOM, Daemon, House, wait_until

SETTLE_SECONDS = 0.4
RECORDS = 20_000  # enough that there is time to write while it is worked on
MOST_RETURNS = 3  # a fourth fault would end in quarantine
BEFORE_THE_LAST_CHECK = ("extract", "normalise", "deduplicate", "survive", "identify", "load")
"""Stages of a batch before its files are checked for the last time; a later write is found by ``verify``."""
REDONE = "was written to while it was read"


@pytest.mark.large
@pytest.mark.slow
@needs_leases
@pytest.mark.parametrize("name", [CRM, ECOM])
def test_a_writer_that_pauses_ten_times_the_settle_time_with_the_file_open_is_waited_for(
    house: House, name: str
) -> None:
    house.watch(settle_seconds=str(SETTLE_SECONDS))
    other = CRM if name == ECOM else ECOM
    shutil.copyfile(CASES / "the_sample" / other, house.inbox / other)
    content = (CASES / "the_sample" / name).read_bytes()
    with (house.inbox / name).open("wb") as file:
        # All of it, so that only the open file shows that its writer is not done.
        file.write(content)
        file.flush()
        time.sleep(10 * SETTLE_SECONDS)
        assert (house.inbox / name).exists(), "it was taken early"
        file.write(b"\n")
    wait_until(lambda: house.manifest())
    inputs = {entry["file_name"]: entry for entry in house.manifest()["inputs"]}
    assert inputs[name]["sha256"] == hashlib.sha256(content + b"\n").hexdigest()
    assert inputs[name]["settle_proof"] == "lease"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a pair that is worked on for a while."""
    folder = tmp_path_factory.mktemp("large")
    write_pair(folder, RECORDS)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(WRITERS))
def test_a_writer_that_comes_back_while_its_file_is_worked_on_never_yields_a_mixed_set(
    house: House, large: Path, seed: int, tally: Tally
) -> None:
    dice = random.Random(seed)
    daemon = house.watch(retry_seconds="0.2")
    drop(house, large)
    writes = 0
    returns = dice.randint(1, MOST_RETURNS)
    while redone(house) < returns and is_in_time(house, daemon, dice.uniform(0, 0.3)):
        write_into_the_claim(house, writes)
        writes += 1
        daemon.process.send_signal(signal.SIGCONT)
        wait_until(lambda seen=writes: redone(house) == seen or house.manifest())  # type: ignore[misc]
        assert not house.manifest(), "it was published as if it had not been written to"
    daemon.process.send_signal(signal.SIGCONT)
    assert writes
    wait_until(lambda: list((house.inbox / "archive").glob(f"*/{CRM}")))
    (archived,) = (house.inbox / "archive").glob(f"*/{CRM}")
    published = next(entry for entry in house.manifest()["inputs"] if entry["file_name"] == CRM)
    assert published["sha256"] == hashlib.sha256(archived.read_bytes()).hexdigest()
    assert f"Loaded {len(archived.read_bytes().splitlines()) - 1} records from {CRM}" in house.read(
        "integration_log.txt"
    )
    assert house.read("customer_master.csv").count("@x.org") == writes, "each written row, once"
    assert len(house.batches()) == 1
    assert house.run("verify").code == 0
    tally("writes into a claimed file", ["redone"] * redone(house) + ["written"] * writes)


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("name", [CRM, ECOM])
def test_a_change_that_keeps_size_and_time_is_found_and_the_batch_is_done_again(
    house: House, large: Path, name: str
) -> None:
    daemon = house.watch(retry_seconds="0.2")
    drop(house, large)
    wait_until(lambda: house.health()["stage"] in BEFORE_THE_LAST_CHECK)
    daemon.process.send_signal(signal.SIGSTOP)
    (claimed,) = (house.inbox / ".claimed").glob(f"*/{name}")
    before = claimed.stat()
    with claimed.open("r+b") as file:
        content = file.read()
        file.seek(content.index(b"inactive") if name == CRM else content.index(b"@"))
        file.write(b"INACTIVE" if name == CRM else b"@")
        if name == ECOM:
            file.write(b"z")
    os.utime(claimed, ns=(before.st_atime_ns, before.st_mtime_ns))
    daemon.process.send_signal(signal.SIGCONT)
    wait_until(lambda: list((house.inbox / "archive").glob(f"*/{name}")))
    (archived,) = (house.inbox / "archive").glob(f"*/{name}")
    published = next(entry for entry in house.manifest()["inputs"] if entry["file_name"] == name)
    assert archived.read_bytes() != content
    assert published["sha256"] == hashlib.sha256(archived.read_bytes()).hexdigest()
    assert redone(house) == 1
    assert house.run("verify").code == 0


def drop(house: House, pair: Path) -> None:
    """Rename both files in."""
    for name in (CRM, ECOM):
        shutil.copyfile(pair / name, house.root / name)
        (house.root / name).rename(house.inbox / name)


def is_in_time(house: House, daemon: Daemon, moment: float) -> bool:
    """Stop the daemon a moment after it began the batch; whether it has not checked its files for the last time."""
    wait_until(lambda: house.health()["stage"] in BEFORE_THE_LAST_CHECK)
    time.sleep(moment)
    daemon.process.send_signal(signal.SIGSTOP)
    return house.health()["stage"] in BEFORE_THE_LAST_CHECK


def write_into_the_claim(house: House, number: int) -> None:
    """Append a row, as a writer does that still has the file open."""
    (claimed,) = (house.inbox / ".claimed").glob(f"*/{CRM}")
    with claimed.open("ab") as file:
        file.write(f"N{number},New One{number},n{number}@x.org,,,active\n".encode())


def redone(house: House) -> int:
    """How often a batch was begun again because one of its files had changed."""
    return sum(REDONE in event.get("reason", "") for event in house.log() if event["event"] == "batch.postponed")
