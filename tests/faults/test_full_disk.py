"""A disk that is really full, and has room again later: the daemon says so, waits, and goes on by itself."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.promises import broken_promises, litter
from tests.faults.starts import drop_changed
from tests.worlds import CRM, ECOM, Daemon, House, wait_until

SMALL, LARGE = "size=1m", "size=8m"
NO_SPACE = os.strerror(errno.ENOSPC)
PACE = {"retry_seconds": "1", "settle_seconds": "0.3", "min_free_mb": "0"}

Mount = Callable[[Path, str], None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mount a tmpfs, or change the size of one that is mounted; skips where we may not."""
    mounted: list[Path] = []

    def tmpfs(folder: Path, size: str) -> None:
        options = f"remount,{size}" if folder in mounted else size
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)

    yield tmpfs
    for folder in dict.fromkeys(mounted):
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.parametrize("place", ["outbox", "inbox", "state"])
def test_a_full_disk_is_told_and_survived_without_a_restart(house: House, mount: Mount, place: str) -> None:
    (house.root / place).mkdir(exist_ok=True)
    mount(house.root / place, SMALL)
    daemon = house.watch(**PACE)
    house.drop()
    wait_until(lambda: len(archived(house)) == 1)
    former = house.manifest()

    drop_when_full(house, house.root / place)
    wait_until(lambda: is_told(house, place))
    assert list(broken_promises(house, 4)) == []
    assert house.manifest() == former, "the published set is still the one before"
    mount(house.root / place, LARGE)
    wait_until(lambda: len(archived(house)) == 2)
    wait_until(lambda: house.health()["state"] == "ok" and house.health()["last_batch"] == house.batches()[-1])
    assert list(broken_promises(house, 4)) == []
    assert house.manifest()["former_manifest_sha256"]
    end(daemon)
    assert litter(house) == []


def drop_when_full(house: House, folder: Path) -> None:
    """Use up all room in ``folder``, and only then let a pair appear in the inbox."""
    beside = House.__new__(House)
    beside.inbox = house.inbox / ".arriving"
    beside.inbox.mkdir()
    drop_changed(beside)
    with suppress(OSError), (folder / ".ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass
    for name in (CRM, ECOM):
        (beside.inbox / name).rename(house.inbox / name)
    beside.inbox.rmdir()


def is_told(house: House, place: str) -> bool:
    """Whether health, or the log where health itself has no room, says what is the matter.

    A batch must have been tried twice by then; a claim that is refused again is no news.
    """
    event, tries = ("claim.refused", 1) if place == "inbox" else ("batch.postponed", 2)
    told = [entry for entry in house.log() if entry["event"] == event and NO_SPACE in entry["reason"]]
    if place == "state":
        return len(told) >= tries and any(event["event"] == "health.unwritten" for event in house.log())
    health = house.health()
    return len(told) >= tries and health["state"] == "failing" and NO_SPACE in " ".join(health["reasons"])


def archived(house: House) -> list[Path]:
    return sorted((house.inbox / "archive").glob("*"))


def end(daemon: Daemon) -> None:
    assert daemon.process.poll() is None, "it was never restarted"
    assert daemon.stop() == 0
