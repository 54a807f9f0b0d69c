"""Stopped at any moment, the daemon ends in order and soon, and the next start finishes what was begun.

A chain of stops plays on one house: a pair is dropped, the daemon started and stopped at random moments until the
pair is published, then the next pair dropped. The moments are seeded; what the daemon is doing at that moment is
not. ``STOP_SEED`` chooses other moments.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.generate import write_pair
from tests.faults.conftest import Tally
from tests.faults.promises import broken_promises, litter
from tests.sizes import STOP_CHAINS, STOP_RECORDS, STOPS_IN_A_CHAIN
from tests.worlds import CRM, ECOM, House, slowness, wait_until

SEED = int(os.environ.get("STOP_SEED") or "1")
MOST_SECONDS = {"8": 8.0, "2": 3.5}
"""SERVICE_STOP_SECONDS, as it is by default or so short that work is abandoned -> until the process is gone."""
TIMELESS = (
    "customer_master.csv",
    "duplicate_report.csv",
    "crosswalk.csv",
    "customer_orders.csv",
    "match_evidence.csv",
    "rejects.csv",
    "id_changes.csv",
    "quality_report.json",
    "customer_master.parquet",
    "records.parquet",
)
"""The files of a set that are a function of inputs and state."""


@dataclass(frozen=True)
class Undisturbed:
    """The results of runs that are not stopped, for the pair the first time and again; and how long a run takes."""

    pair: Path
    first: dict[str, str]
    again: dict[str, str]
    seconds: float


class Chain:
    """One house on which the daemon is stopped again and again."""

    def __init__(self, root: Path, pair: Path) -> None:
        self.house = House(root)
        self._pair = pair
        self.drops = 0

    def drop(self) -> None:
        """Drop the pair again, as other files with the same customers: blank lines are no rows."""
        self.drops += 1
        for name in (CRM, ECOM):
            staged = self.house.root / name
            staged.write_bytes((self._pair / name).read_bytes() + b"\n" * self.drops)
            staged.rename(self.house.inbox / name)

    def is_done(self) -> bool:
        """Whether every pair that was dropped is archived."""
        return len(list((self.house.inbox / "archive").glob("*"))) == self.drops

    def sets(self) -> list[dict[str, str]]:
        """The hashes of the timeless files of every published set, oldest first."""
        folders = sorted((self.house.outbox / "batches").glob("*"), key=lambda folder: folder.stat().st_mtime_ns)
        return [{name: _sha256(folder / name) for name in TIMELESS} for folder in folders]

    def finish(self) -> None:
        """Process what is left, undisturbed."""
        done = self.house.run("watch", "--once")
        assert done.code == 0, done.err


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    root = tmp_path_factory.mktemp("undisturbed")
    write_pair(root, STOP_RECORDS)
    chain = Chain(root / "house", root)
    chain.drop()
    started = time.monotonic()
    chain.finish()
    seconds = time.monotonic() - started
    chain.drop()
    chain.finish()
    first, again = chain.sets()
    yield Undisturbed(root, first, again, seconds)
    shutil.rmtree(root)


@dataclass(frozen=True)
class Stopped:
    """How a daemon ended that was asked to."""

    code: int
    seconds: float
    """From the first signal to the end."""
    asked: tuple[int, ...]
    said: str
    """What it wrote last on stdout and stderr."""


def stopped(house: House, moment: float, signals: list[tuple[float, int]], stop_seconds: str) -> Stopped:
    """Start the daemon and ask it to stop at ``moment``; each signal with the seconds to wait before it."""
    with open(house.root / "daemon.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "watch"],
            cwd=house.root,
            env=house.environment(settle_seconds="0.3", stop_seconds=stop_seconds),
            stdout=log,
            stderr=log,
        )
    time.sleep(moment)
    asked_at = time.monotonic()
    for pause, number in signals:
        time.sleep(pause)
        process.send_signal(number)
    code = process.wait(60)
    seconds = time.monotonic() - asked_at
    said = (house.root / "daemon.log").read_text(encoding="utf-8")[-1000:]
    return Stopped(code, seconds, tuple(number for _, number in signals), said)


def had_not_begun(house: House, end: Stopped, before: set[Path]) -> bool:
    """Whether the signal came before the interpreter ran our first line: no handler was installed, nothing was done.

    An interrupt while the interpreter starts ends it with 1 and a message on stderr.
    """
    is_interrupt = end.code == 1 and signal.SIGINT in end.asked and "KeyboardInterrupt" in end.said
    return (-end.code in end.asked or is_interrupt) and set(house.root.rglob("*")) == before


def signals_for(dice: random.Random) -> list[tuple[float, int]]:
    """One signal, or several of an impatient user."""
    number = dice.choice([signal.SIGTERM, signal.SIGINT])
    impatience = dice.choice([0, 0, 1, 2])
    return [(0.0, number), *((dice.uniform(0, 0.6), signal.SIGTERM) for _ in range(impatience))]


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("number", range(STOP_CHAINS))
def test_a_stop_at_any_moment_is_soon_and_leaves_nothing_half_done(
    undisturbed: Undisturbed, tmp_path: Path, number: int, tally: Tally
) -> None:
    dice = random.Random(f"{SEED} {number}")
    chain = Chain(tmp_path / "house", undisturbed.pair)
    ends: list[Stopped] = []
    late: list[Stopped] = []
    for _ in range(STOPS_IN_A_CHAIN):
        if chain.is_done():
            chain.drop()
        before = set(chain.house.root.rglob("*")) | {chain.house.root / "daemon.log"}
        moment = dice.uniform(0.0, undisturbed.seconds)
        stop_seconds = dice.choice(sorted(MOST_SECONDS))
        end = stopped(chain.house, moment, signals_for(dice), stop_seconds)
        assert end.code == 0 or had_not_begun(chain.house, end, before), end
        late += [end] if end.seconds > MOST_SECONDS[stop_seconds] * slowness() else []
        assert list(broken_promises(chain.house, 2 * chain.drops)) == []
        ends.append(end)
    assert len(late) < 2, late  # once, the machine may have been busy
    chain.finish()
    assert list(broken_promises(chain.house, 2 * chain.drops)) == []
    assert litter(chain.house) == []
    assert list((chain.house.inbox / ".claimed").iterdir()) == []
    assert chain.is_done()
    assert chain.sets() == [undisturbed.first, *[undisturbed.again] * (chain.drops - 1)]
    tally("stops", (f"{'ended' if end.code == 0 else 'had not begun'} within {end.seconds:.0f} s" for end in ends))
    shutil.rmtree(chain.house.root)


@pytest.mark.large
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_daemon_stops_at_once(house: House, number: int) -> None:
    daemon = house.watch()
    wait_until(lambda: house.health()["last_scan"])
    started = time.monotonic()
    assert daemon.stop(number) == 0
    assert time.monotonic() - started < MOST_SECONDS["2"] * slowness()


@pytest.mark.large
@pytest.mark.slow
def test_thousands_of_signals_end_it_too(house: House) -> None:
    """A handler that takes a lock can be interrupted by itself, and then waits for ever."""
    for _ in range(3):
        daemon = house.watch()
        for number in [signal.SIGTERM, signal.SIGINT] * 2000:
            if daemon.process.poll() is not None:
                break
            daemon.process.send_signal(number)
        assert daemon.stop() == 0


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
