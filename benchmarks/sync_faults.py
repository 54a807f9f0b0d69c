"""Each scenario of the simulator, read by three clients: which customers they lose or double.

The clocks are real; dlt waits at most two seconds (``dlt-hurried``), and a client is stopped after a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.api_clients import QUIET, need_dlt
from benchmarks.sync import environment
from service.simulator.customers import World
from service.simulator.scenarios import SCENARIOS, is_customer
from service.simulator.server import Simulator, Terms, running

CUSTOMERS = 60
PER_PAGE = 6
SEED = 1
MOST_SECONDS = 60
CLIENTS = {"loop": "requests", "dlt": "dlt-hurried", "sync": None}
_EXITS = {2: "refuses with a reason", 3: "reports that it is incomplete", 4: "reports when to try again"}


def report() -> None:
    """Run each client against every scenario, and print the results."""
    need_dlt()
    print(f"{CUSTOMERS} customers on pages of {PER_PAGE}, seed {SEED}\n")
    print(f"{'':20}" + "".join(f"{name:32}" for name in CLIENTS))
    for scenario in SCENARIOS:
        with ThreadPoolExecutor() as pool:
            results = pool.map(lambda name, scenario=scenario: result_of(scenario, name), CLIENTS)
            print(f"{scenario:20}" + "".join(f"{result:32}" for result in results), flush=True)


def result_of(scenario: str, name: str) -> str:
    """The result of a client in this scenario, in a few words."""
    now = datetime.now(UTC)
    world = World(now.date(), CUSTOMERS, SEED)
    other = Simulator(world, now=lambda: datetime.now(UTC))
    with tempfile.TemporaryDirectory() as folder, running(other) as elsewhere:
        terms = Terms(elsewhere=elsewhere.removesuffix("/api/users"))
        simulator = Simulator(world, (scenario,), terms, now=lambda: datetime.now(UTC))
        with running(simulator) as url:
            failure, rows = _run(Path(folder), url, CLIENTS[name])
        if other.visits:
            return "sends the key to another host"
        result = failure or _compared(rows, simulator)
        # The API requests a pause of a day: a client that has all customers within a minute ignored it.
        return f"{result}, too early" if (scenario, result) == ("rate-limit-far", "complete") else result


def _run(folder: Path, url: str, client: str | None) -> tuple[str | None, list[object]]:
    """How the client failed, None if it did not; and the rows that it wrote."""
    if client is None:
        command, out = ["service", "sync"], folder / "inbox" / "api_customers.json"
        settings = environment(folder, url, 4) | {
            "SERVICE_API_PER_PAGE": str(PER_PAGE),
            "SERVICE_API_REQUEST_SECONDS": "5",
        }
    else:
        out = folder / "rows.json"
        command, settings = ["benchmarks.api_clients", client, url, str(PER_PAGE), str(out)], QUIET
    try:
        ran = subprocess.run(
            [sys.executable, "-m", *command],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "never ends", []
    if ran.returncode == 0:
        return None, json.loads(out.read_text(encoding="utf-8"))["data"]
    if client is None and ran.returncode in _EXITS:
        return _EXITS[ran.returncode], []
    last = (ran.stderr.strip().splitlines() or ["?"])[-1]
    return f"fails: {last.partition(':')[0].rpartition('.')[2]}", []


def _compared(rows: list[object], simulator: Simulator) -> str:
    """Compare the rows with those of a perfect client."""
    found = Counter(repr(row) for row in rows if is_customer(row))
    truth = Counter(map(repr, simulator.truth(PER_PAGE)))
    lost, doubled = truth - found, found - truth - Counter(map(repr, simulator.departed(PER_PAGE)))
    if not lost and not doubled:
        return "complete"
    counts = (f"{lost.total()} lost" if lost else "", f"{doubled.total()} doubled" if doubled else "")
    return "silent: " + ", ".join(filter(None, counts))
