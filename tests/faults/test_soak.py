"""Many batches in one daemon: its memory, threads and files stay as after the first few.

A feeder keeps some pairs waiting, so that batches follow each other at once; the kernel's figures are read while the
daemon is idle.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from tests.required import needs
from tests.sizes import SOAK_BATCHES as BATCHES
from tests.sizes import SOAK_WARM_UP as WARM_UP
from tests.worlds import CASES, CRM, ECOM, House, wait_until

WAITING = 10
KEPT = 10
LAPS = 4
# Two idle moments may differ by this much: the allocator returns memory at any time.
SLACK_MB = 16.0

pytestmark = needs(Path("/proc/self/fd").is_dir(), "counts by /proc")


@dataclass(frozen=True)
class Size:
    """The memory, threads and open files of a process."""

    rss_mb: float
    descriptors: int
    threads: int
    inotify_instances: int

    @classmethod
    def of(cls, pid: int) -> Size:
        """The counts of the kernel for this process."""
        process = Path(f"/proc/{pid}")
        fields = dict(line.split(":", 1) for line in (process / "status").read_text("utf-8").splitlines())
        opened = list(_links(process / "fd"))
        return cls(
            rss_mb=int(fields["VmRSS"].split()[0]) / 1024,
            descriptors=len(opened),
            threads=int(fields["Threads"]),
            inotify_instances=opened.count("anon_inode:inotify"),
        )


def _links(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        try:
            yield str(path.readlink())
        except FileNotFoundError:  # closed in between
            continue


@dataclass
class Feeder:
    """Drops pairs with rising suffixes and customers that come and go."""

    house: House
    dropped: int = 0
    latest: str = ""
    published: int = 0

    def feed(self, until: int) -> None:
        """Keep some pairs waiting until ``until`` are published."""
        deadline = time.monotonic() + 60 + 10 * (until - self.published)
        while self.published < until:
            while self.dropped < min(until, self.published + WAITING):
                self._drop()
            self._count()
            time.sleep(0.02)
            assert time.monotonic() < deadline, f"{self.published} of {until} published"

    def _drop(self) -> None:
        # Numbers rise: a pair below the highest published number is refused as outdated.
        for name in (ECOM, CRM):
            stem, _, kind = name.partition(".")
            staged = self.house.root / f"staged.{kind}"
            shutil.copyfile(CASES / "the_sample" / name, staged)
            if name == CRM:
                with staged.open("a", encoding="utf-8") as file:
                    file.write(f"N{self.dropped},New Customer{self.dropped},n{self.dropped}@x.org,,,active\n")
            staged.rename(self.house.inbox / f"{stem}_{self.dropped}.{kind}")
        self.dropped += 1

    def _count(self) -> None:
        """Old sets are pruned, so the number of batches is read from the input names of the latest."""
        manifest = self.house.manifest()
        if manifest and manifest["batch_id"] != self.latest:
            self.latest = manifest["batch_id"]
            self.published = int(Path(manifest["inputs"][0]["file_name"]).stem.rpartition("_")[2]) + 1


def idle_size(house: House, pid: int) -> Size:
    """The size once nothing waits and no batch is in work."""
    wait_until(lambda: not house.health()["waiting"] and house.health()["busy_since"] is None)
    time.sleep(0.3)
    return Size.of(pid)


@pytest.mark.large
@pytest.mark.slow
def test_a_daemon_does_not_grow_with_its_batches(house: House, record_property: Callable[[str, object], None]) -> None:
    daemon = house.watch(rescan_seconds="0.5", keep_batches=str(KEPT))
    feeder = Feeder(house)
    feeder.feed(WARM_UP)
    sizes = {WARM_UP: idle_size(house, daemon.process.pid)}
    begun = time.monotonic()
    for lap in range(1, LAPS + 1):
        batches = WARM_UP + (BATCHES - WARM_UP) * lap // LAPS
        feeder.feed(batches)
        sizes[batches] = idle_size(house, daemon.process.pid)
    seconds = time.monotonic() - begun
    figures: dict[str, object] = {"batches": BATCHES, "batches per second": round((BATCHES - WARM_UP) / seconds, 2)}
    figures |= {f"after {batches}": str(asdict(size)) for batches, size in sizes.items()}
    for name, figure in figures.items():
        record_property(f"soak, {name}", figure)
    warm, *later = sizes.values()
    for size in later:
        assert (size.descriptors, size.threads, size.inotify_instances) == (warm.descriptors, warm.threads, 1), sizes
    assert later[-1].rss_mb - min(warm.rss_mb, later[0].rss_mb) <= SLACK_MB, sizes
    assert daemon.stop() == 0
    assert len(house.batches()) == KEPT, "retention kept pace"
    assert list((house.inbox / "quarantine").iterdir()) == []
