"""The lock file can be read by other users, and so it can be locked by them."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from tests.attacks.users import SharedHouse
from tests.required import needs_root
from tests.worlds import wait_until

pytestmark = [pytest.mark.large, needs_root]


def hold(path: Path, how: int, ready: Path) -> None:
    """Runs as the attacker: lock the file, as a process that may only read it."""
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, how)
    ready.touch()
    time.sleep(30)


@pytest.mark.parametrize("how", [fcntl.LOCK_SH, fcntl.LOCK_EX])
def test_a_process_that_only_reads_the_lock_is_named(shared: SharedHouse, how: int) -> None:
    assert shared.once().code == 0
    ready = shared.inbox / ".ready"
    with shared.attacking(hold, shared.inbox / ".lock", how, ready) as attacker:
        wait_until(ready.exists, 20)
        refused = shared.once()
        assert refused.code == 3
        assert f"process {attacker.pid}" in refused.err
        with shared.standing_by():
            shared.health_is("ok", f"process {attacker.pid}", "health.standby-*.json")
    shared.drop()
    assert shared.once().code == 0
    assert len(shared.batches()) == 1


def test_another_instance_is_called_an_instance(shared: SharedHouse) -> None:
    with shared.watching():
        assert "another instance" in shared.once().err
