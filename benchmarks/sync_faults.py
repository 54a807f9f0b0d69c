"""What becomes of the customers when the API misbehaves: each scenario of the simulator, read by three clients.

The clocks are real; dlt waits two seconds at most (``dlt-hurried``), and what has not ended after a minute is ended.
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
_EXITS = {2: "refuses, says why", 3: "says incomplete", 4: "says when to come again"}


def report() -> None:
    """Play every scenario to each client, and print what it ended with."""
    need_dlt()
    print(f"{CUSTOMERS} customers on pages of {PER_PAGE}, seed {SEED}\n")
    print(f"{'':20}" + "".join(f"{name:32}" for name in CLIENTS))
    for scenario in SCENARIOS:
        with ThreadPoolExecutor() as together:
            ends = together.map(lambda name, scenario=scenario: end_of(scenario, name), CLIENTS)
            print(f"{scenario:20}" + "".join(f"{end:32}" for end in ends), flush=True)


def end_of(scenario: str, name: str) -> str:
    """What the client makes of this scenario, in few words."""
    now = datetime.now(UTC)
    world = World(now.date(), CUSTOMERS, SEED)
    other = Simulator(world, now=lambda: datetime.now(UTC))
    with tempfile.TemporaryDirectory() as folder, running(other) as elsewhere:
        terms = Terms(elsewhere=elsewhere.removesuffix("/api/users"))
        simulator = Simulator(world, (scenario,), terms, now=lambda: datetime.now(UTC))
        with running(simulator) as url:
            end, rows = _run(Path(folder), url, CLIENTS[name])
        if other.visits:
            return "gives the key to another host"
        end = end or _compared(rows, simulator)
        # Asked to come again after a day: whoever has everything within a minute did not listen.
        return f"{end}, came too early" if (scenario, end) == ("rate-limit-far", "complete") else end


def _run(folder: Path, url: str, client: str | None) -> tuple[str | None, list[object]]:
    """How it failed, if it did; and the rows it wrote."""
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
        return "no end", []
    if ran.returncode == 0:
        return None, json.loads(out.read_text(encoding="utf-8"))["data"]
    if client is None and ran.returncode in _EXITS:
        return _EXITS[ran.returncode], []
    last = (ran.stderr.strip().splitlines() or ["?"])[-1]
    return f"dies: {last.partition(':')[0].rpartition('.')[2]}", []


def _compared(rows: list[object], simulator: Simulator) -> str:
    """The rows against what a perfect client ends with."""
    found = Counter(repr(row) for row in rows if is_customer(row))
    truth = Counter(map(repr, simulator.truth(PER_PAGE)))
    lost, over = truth - found, found - truth - Counter(map(repr, simulator.departed(PER_PAGE)))
    if not lost and not over:
        return "complete"
    said = (f"{lost.total()} lost" if lost else "", f"{over.total()} doubled" if over else "")
    return "silent: " + ", ".join(filter(None, said))
