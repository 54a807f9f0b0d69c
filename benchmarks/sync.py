"""How fast the sync reads an API, compared with the usual loop and with dlt.

The API is the simulated one, over loopback with 5 ms latency. Figures are of whole processes, from their start to the
written file, in turn in the same run.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.api_clients import HEADERS, QUIET, need_dlt
from benchmarks.processes import Ran, measured, simulated

PER_PAGE = 100
LATENCY_MS = 5
FLAKY_PAGES = 60

Runner = Callable[[str], Ran]


def report(records: int, rounds: int) -> None:
    """Measure the sync against the loop, and print one table."""
    with tempfile.TemporaryDirectory() as name, _warm_api(records) as url:
        folder = Path(name)
        runners = {
            "loop": client(folder, "requests"),
            "sync, 8 at a time": sync(folder / "8", concurrency=8),
            "sync, 16 at a time": sync(folder / "16", concurrency=16),
            "again, unchanged": sync(folder / "16", concurrency=16, is_again=True),
        }
        print_table(_in_turn(runners, url, rounds), _pages(records))


def report_peers(records: int, rounds: int) -> None:
    """Measure loop, dlt and the sync without faults, the last two with faults as well, and print two tables."""
    need_dlt()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runners = {"dlt": client(folder, "dlt"), "sync": sync(folder / "16", concurrency=16)}
        with _warm_api(records) as url:
            print_table(_in_turn({"loop": client(folder, "requests"), **runners}, url, rounds), _pages(records))
        ran: dict[str, list[Ran]] = {}
        for name_of_client, run in runners.items():
            # Faults depend on the number of earlier requests for a page, so each client gets an API of its own.
            with simulated(FLAKY_PAGES * PER_PAGE, latency_ms=LATENCY_MS, scenario="flaky") as url:
                ran[name_of_client] = [run(url)]
        print("\none request in five fails (the loop ends at the first failure)")
        print_table(ran, FLAKY_PAGES)


def print_table(ran: Mapping[str, list[Ran]], pages: int) -> None:
    """Print the figures of each client, and how many times as fast as the first it was: median, and fastest round.

    Load of the machine slows a client that computes more than one that waits; the fastest rounds had the least load.
    """
    first, rounds = next((name, len(runs)) for name, runs in ran.items())
    print(f"{pages} pages of {PER_PAGE}, {LATENCY_MS} ms each, median and fastest of {rounds} rounds")
    print(f"{'':20}{'pages/s':>16}{'seconds':>14}{'it / ' + first:>14}{'peak MB':>9}")
    of_first = _seconds(ran[first])
    for name, runs in ran.items():
        seconds = _seconds(runs)
        pages_per_second = _both(*(pages / each for each in seconds), digits=1)
        ratio = _both(*(one / other for one, other in zip(of_first, seconds, strict=True)), digits=1)
        peak = max(run.peak_mb for run in runs)
        print(f"{name:20}{pages_per_second:>16}{_both(*seconds, digits=2):>14}{ratio:>14}{peak:9.0f}")


def _seconds(runs: list[Ran]) -> tuple[float, float]:
    return statistics.median(run.seconds for run in runs), min(run.seconds for run in runs)


def _both(median: float, fastest: float, *, digits: int) -> str:
    return f"{median:.{digits}f}, {fastest:.{digits}f}"


def client(folder: Path, name: str) -> Runner:
    """One of ``benchmarks.api_clients``."""
    command = ["-m", "benchmarks.api_clients", name]
    return lambda url: measured([*command, url, str(PER_PAGE), str(folder / f"{name}.json")], QUIET)


def sync(root: Path, *, concurrency: int, is_again: bool = False) -> Runner:
    """``python -m service sync`` in folders of its own; ``is_again``: with the cache of the run before."""

    def run(url: str) -> Ran:
        if not is_again:
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
        return measured(["-m", "service", "sync"], environment(root, url, concurrency))

    return run


def environment(root: Path, url: str, concurrency: int) -> dict[str, str]:
    """The settings of a sync without a rate limit."""
    return {
        "SERVICE_API_URL": url,
        "SERVICE_API_KEY": HEADERS["x-api-key"],
        "SERVICE_API_REQUESTS_PER_SECOND": "0",
        "SERVICE_API_CONCURRENCY": str(concurrency),
        **{f"SERVICE_{folder.upper()}": str(root / folder) for folder in ("inbox", "outbox", "state")},
    }


def _pages(records: int) -> int:
    return -(-records // PER_PAGE)


@contextmanager
def _warm_api(records: int) -> Iterator[str]:
    """The simulated API with all its pages cached, so that no client waits for them."""
    with simulated(records, latency_ms=LATENCY_MS) as url:
        for page in range(1, _pages(records) + 1):
            request = urllib.request.Request(f"{url}?page={page}&per_page={PER_PAGE}", headers=HEADERS)
            with urllib.request.urlopen(request) as response:
                response.read()
        yield url


def _in_turn(runners: Mapping[str, Runner], url: str, rounds: int) -> dict[str, list[Ran]]:
    ran: dict[str, list[Ran]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, run in runners.items():
            ran[name].append(run(url))
    return ran
