"""A disk that is full and has room again later: the daemon reports it, waits, and continues by itself."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.promises import broken_promises, litter
from tests.faults.starts import drop_changed
from tests.worlds import CRM, ECOM, Daemon, House, Mount, wait_until

SMALL, LARGE = "size=1m", "size=8m"
NO_SPACE = os.strerror(errno.ENOSPC)
PACE = {"retry_seconds": "1", "settle_seconds": "0.3", "min_free_mb": "0"}


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("full", ["outbox", "inbox", "state"])
def test_a_full_disk_is_reported_and_survived_without_a_restart(house: House, mount: Mount, full: str) -> None:
    (house.root / full).mkdir(exist_ok=True)
    mount(house.root / full, SMALL)
    daemon = house.watch(**PACE)
    house.drop()
    wait_until(lambda: len(archived(house)) == 1)
    former = house.manifest()

    drop_when_full(house, house.root / full)
    wait_until(lambda: is_reported(house, full))
    assert list(broken_promises(house, 4)) == []
    assert house.manifest() == former, "the published set is still the former one"
    mount(house.root / full, LARGE)
    wait_until(lambda: len(archived(house)) == 2)
    wait_until(lambda: house.health()["state"] == "ok" and house.health()["last_batch"] == house.batches()[-1])
    assert list(broken_promises(house, 4)) == []
    assert house.manifest()["former_manifest_sha256"]
    end(daemon)
    assert litter(house) == []


def drop_when_full(house: House, folder: Path) -> None:
    """Fill the disk of ``folder``, then let a pair appear in the inbox."""
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


def is_reported(house: House, full: str) -> bool:
    """Whether health reports it; or the log, where health itself has no room.

    A batch must have been tried twice by then; a refused claim is logged once.
    """
    event, tries = ("claim.refused", 1) if full == "inbox" else ("batch.postponed", 2)
    logged = [entry for entry in house.log() if entry["event"] == event and NO_SPACE in entry["reason"]]
    if full == "state":
        return len(logged) >= tries and any(event["event"] == "health.unwritten" for event in house.log())
    health = house.health()
    return len(logged) >= tries and health["state"] == "failing" and NO_SPACE in " ".join(health["reasons"])


def archived(house: House) -> list[Path]:
    return sorted((house.inbox / "archive").glob("*"))


def end(daemon: Daemon) -> None:
    assert daemon.process.poll() is None, "it was never restarted"
    assert daemon.stop() == 0
