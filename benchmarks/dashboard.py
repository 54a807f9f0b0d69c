"""The dashboard over a large set, through HTTP: milliseconds of its pages and searches, its memory, what readers cost.

A batch and its readers share the machine, so that batches with and without them run in turn and are compared as pairs.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.generate import write_pair
from benchmarks.process_tree import others_seconds
from benchmarks.processes import measured

REQUESTS = 50
READERS = 50
SECONDS_BETWEEN_PAGES = 30.0
_START_SECONDS = 60.0
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Asked:
    """A request to the dashboard; with ``form`` a POST."""

    path: str
    form: dict[str, str] | None = None


Choose = Callable[[random.Random], Asked]
"""The next request of a kind."""


class Dashboard:
    """A running ``python -m service dashboard``."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._port = port

    def ask(self, asked: Asked) -> bytes:
        """The body of the answer; any status but 200 ends the benchmark."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            if asked.form is None:
                connection.request("GET", asked.path)
            else:
                connection.request("POST", asked.path, urlencode(asked.form), _FORM)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{asked.path} answered {answer.status}")
            return body
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        """A view as the API has it."""
        return json.loads(self.ask(Asked(f"/api/v1{path}")))

    def cpu_ms(self) -> float:
        """Milliseconds that the process has computed so far."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e6

    def peak_mb(self) -> float:
        """Its peak of memory so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def report(records: int, rounds: int) -> None:
    """Measure and print: the pages in one table, then the batches beside readers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crm, ecom = write_pair(folder, records)
        integrate = ["-m", "service", "integrate", str(crm), str(ecom), "--outbox"]
        measured([*integrate, str(folder / "outbox")])
        with running(folder) as dashboard:
            largest = dashboard.json("/duplicates")["largest"][0]
            whole = dashboard.json("/customers?limit=1")
            print(f"{whole['whole']} customers of {records} records, {REQUESTS} requests each, {os.cpu_count()} cores")
            kinds = _kinds(dashboard, whole["whole"], whole["shown"]["batch_id"], largest["unified_id"])
            print(f"{'':34}{'p50 ms':>10}{'p95 ms':>10}{'CPU ms':>10}")
            for title, choose in kinds.items():
                _print_times(dashboard, title, choose)
            print(f"peak memory of the dashboard: {dashboard.peak_mb():.0f} MB")
            ratios = [
                _slowdown(dashboard, list(kinds.values()), [*integrate, str(folder / "again")]) for _ in range(rounds)
            ]
            print(f"a batch beside {READERS} readers / alone: {statistics.median(ratios):.3f}, {rounds} pairs")
            print(f"peak memory of the dashboard then: {dashboard.peak_mb():.0f} MB")


@contextmanager
def running(folder: Path) -> Iterator[Dashboard]:
    """A dashboard over the set in ``folder/outbox``, until the block ends."""
    environment = {
        "SERVICE_INBOX": str(folder / "inbox"),
        "SERVICE_OUTBOX": str(folder / "outbox"),
        "SERVICE_STATE": str(folder / "outbox" / ".state"),
        "SERVICE_HTTP_PORT": "0",
    }
    log = folder / "dashboard.jsonl"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "dashboard"],
            stdout=out,
            stderr=subprocess.DEVNULL,
            env=os.environ | environment,
        )
    try:
        yield Dashboard(process, _port(process, log))
    finally:
        process.terminate()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            if '"dashboard.started"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.05)
    raise SystemExit("the dashboard does not start")


def _print_times(dashboard: Dashboard, title: str, choose: Choose) -> None:
    random_ = random.Random(title)
    dashboard.ask(choose(random_))
    seconds: list[float] = []
    computed = dashboard.cpu_ms()
    for _ in range(REQUESTS):
        asked = choose(random_)
        started = time.perf_counter()
        dashboard.ask(asked)
        seconds.append(time.perf_counter() - started)
    computed = (dashboard.cpu_ms() - computed) / REQUESTS
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    print(f"{title:34}{1000 * statistics.median(seconds):10.0f}{1000 * p95:10.0f}{computed:10.0f}")


def _kinds(dashboard: Dashboard, customers: int, batch_id: str, largest: str) -> dict[str, Choose]:
    """Title -> requests of this kind, whose values are those of customers all over the set."""
    pages = -(-customers // 50)
    random_ = random.Random(1)
    sample = [
        row
        for _ in range(10)
        for row in dashboard.json(f"/customers?page={random_.randrange(1, pages + 1)}")["rows"][:20]
        if row["phone"] and row["full_name"]
    ]

    def search(words: Callable[[random.Random, dict[str, Any]], str], **others: str) -> Choose:
        return lambda it: Asked("/customers/search", {"text": words(it, it.choice(sample)), **others})

    def page(path: str) -> Choose:
        return lambda _: Asked(path)

    filters = ("source=only:CRM", "source=CRM%2BECOM", "status=active", "min_records=2", "missing=phone")
    return {
        "overview": page("/"),
        "batches": page("/batches"),
        "batch": page(f"/batches/{batch_id}"),
        "customers": page("/customers"),
        "customers, any page": lambda it: Asked(f"/customers?page={it.randrange(1, pages + 1)}"),
        "customers, last page": page(f"/customers?page={pages}"),
        "customers, a filter": lambda it: Asked(f"/customers?{it.choice(filters)}"),
        "customers, filters, any page": lambda it: Asked(
            f"/customers?min_records=2&page={it.randrange(1, max(2, pages // 5))}"
        ),
        "search: a frequent name": search(lambda it, row: "smith"),
        "search: a frequent name, any page": lambda it: Asked(
            "/customers/search", {"text": "smith", "page": str(it.randrange(1, max(2, pages // 20)))}
        ),
        "search: part of a name": search(lambda it, row: row["full_name"].split()[-1][-6:]),
        "search: a whole name": search(lambda it, row: row["full_name"].upper()),
        "search: e-mail": search(lambda it, row: row["email"]),
        "search: phone": search(lambda it, row: f"({row['phone'][:3]}) {row['phone'][3:]}"),
        "search: part of a number": search(lambda it, row: row["phone"][-5:]),
        "search: unified id": search(lambda it, row: row["unified_id"]),
        "search: id of a source": search(lambda it, row: f"EC{it.randrange(customers // 3)}"),
        "search: found nowhere": search(lambda it, row: f"nowhere{it.random()}"),
        "search: in merged records": search(lambda it, row: row["full_name"].split()[0], within="merged"),
        "a customer": lambda it: Asked(f"/customers/{it.choice(sample)['unified_id']}"),
        "the largest customer": page(f"/customers/{largest}"),
        "duplicates": page("/duplicates"),
        "quarantine": page("/quarantine"),
        "analytics": page("/analytics"),
    }


def _slowdown(dashboard: Dashboard, kinds: list[Choose], integrate: list[str]) -> float:
    """Seconds of a batch beside readers, over those of the same batch alone."""

    def seconds(title: str) -> float:
        shutil.rmtree(Path(integrate[-1]), ignore_errors=True)
        before = _others_seconds(dashboard)
        found = measured(integrate).seconds
        others = _others_seconds(dashboard) - before
        print(f"{title:16}{found:6.1f} s; other processes computed {others:.1f} s meanwhile")
        return found

    alone = seconds("alone")
    with _reading(dashboard, kinds):
        beside = seconds("beside readers")
    return beside / alone


def _others_seconds(dashboard: Dashboard) -> float:
    """As ``others_seconds``, without what the dashboard has computed: a pair with many says little."""
    return others_seconds() - dashboard.cpu_ms() / 1000


@contextmanager
def _reading(dashboard: Dashboard, kinds: list[Choose]) -> Iterator[None]:
    """Readers who open a page every 30 seconds, each at a time of its own, until the block ends."""
    ends = threading.Event()

    def read(number: int) -> None:
        random_ = random.Random(number)
        ends.wait(SECONDS_BETWEEN_PAGES * number / READERS)
        while not ends.is_set():
            dashboard.ask(random_.choice(kinds)(random_))
            ends.wait(SECONDS_BETWEEN_PAGES)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()
