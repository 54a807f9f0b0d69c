"""The whole service against its peers: processes on the same pair, in turn."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import Comparison, Competitor, conditions, memory_of, run_of
from benchmarks.generate import write_messy_pair
from benchmarks.peers import FULL_FLOOR, PEERS, Peer
from benchmarks.peers.full_floor import plan_of
from benchmarks.process_tree import memory_mb
from benchmarks.processes import Failed, Limits, run_measured

SERVICE = "service"
_WARM_UP_RECORDS = 200
_MOST_SECONDS = 1800.0
"""A peer that takes longer on one pair is stopped, and its row says so."""
_MOST_OF_MEMORY = 0.85


def compare(records: int, rounds: int, peers: Sequence[Peer] = PEERS, memory_limit_mb: int = 0) -> Comparison:
    """Measure the service and the peers on the messy pair.

    ``memory_limit_mb``: of the service; 0 is what it takes by itself.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        turns = _Turns(folder, records, memory_limit_mb)
        absent = {peer.name: why for peer in peers if (why := turns.why_absent(peer))}
        competitors = {SERVICE: Competitor(SERVICE)}
        competitors |= {peer.name: Competitor(peer.name, note=absent.get(peer.name, "")) for peer in peers}
        for number in range(rounds):
            turns.service(competitors[SERVICE])
            for peer in peers:
                if not competitors[peer.name].note:
                    turns.peer(peer, competitors[peer.name])
            print(f"{records:,} records: round {number + 1} of {rounds} is done", flush=True)
        return Comparison(
            conditions=conditions(),
            records=records,
            input_mb=turns.input_mb,
            published_mb=turns.published_mb,
            competitors=list(competitors.values()),
            memory_limit_mb=memory_limit_mb,
        )


class _Turns:
    """Runs one program after the other on one pair."""

    def __init__(self, folder: Path, records: int, memory_limit_mb: int) -> None:
        self._folder = folder
        self._given = {"SERVICE_MEMORY_LIMIT_MB": str(memory_limit_mb)} if memory_limit_mb else {}
        self._out = folder / "out"
        small = folder / "small"
        small.mkdir()
        self._small = write_messy_pair(small, _WARM_UP_RECORDS)
        self._pair = write_messy_pair(folder, records)
        self._plan = folder / "plan.json"
        self._limits = Limits(_MOST_SECONDS, _MOST_OF_MEMORY * memory_mb())
        self.input_mb = round(sum(path.stat().st_size for path in self._pair) / 1e6, 1)
        self.published_mb = 0.0
        self._publish(self._pair)
        published = [path for path in (self._out / "batches").rglob("*") if path.is_file()]
        self.published_mb = round(sum(path.stat().st_size for path in published) / 1e6, 1)
        self._plan.write_bytes(msgspec.json.encode(plan_of(self._out, *self._pair)))

    def why_absent(self, peer: Peer) -> str:
        """Why a peer cannot run, found by a small pair, which also brings its modules into memory; empty if it can."""
        python = python_of(peer)
        if python is None:
            return "not installed"
        if peer.is_floor:  # the plan of the full floor is for the whole pair
            return ""
        try:
            self._run(peer, python, self._small)
        except Failed as failed:
            return f"does not run: {failed}"
        return ""

    def service(self, into: Competitor) -> None:
        """One run of the service; a failure ends the benchmark."""
        log = self._publish(self._pair, into)
        into.customers = published_in(log)["customers"]

    def peer(self, peer: Peer, into: Competitor) -> None:
        """One run of a peer; after a failure its note says why there will be no other."""
        python = python_of(peer)
        assert python is not None, "only peers that ran on the small pair"
        try:
            printed = self._run(peer, python, self._pair, into)
        except Failed as failed:
            into.note = str(failed)
            return
        into.customers = None if peer.is_floor else int(printed.splitlines()[-1])

    def _publish(self, pair: tuple[Path, Path], into: Competitor | None = None) -> Path:
        log = self._folder / "service.jsonl"
        shutil.rmtree(self._out, ignore_errors=True)
        command = [sys.executable, "-m", "service", "integrate", *map(str, pair), "--outbox", str(self._out)]
        try:
            self._measure(command, log, into, self._given)
        except Failed as failed:
            raise SystemExit(f"the service: {failed}") from None
        return log

    def _run(self, peer: Peer, python: str, pair: tuple[Path, Path], into: Competitor | None = None) -> str:
        printed = self._folder / "printed.txt"
        shutil.rmtree(self._out, ignore_errors=True)
        self._out.mkdir()
        command = [python, "-m", f"benchmarks.peers.{peer.module}", *map(str, pair), str(self._out)]
        self._measure([*command, str(self._plan)] if peer is FULL_FLOOR else command, printed, into)
        return printed.read_text(encoding="utf-8")

    def _measure(
        self,
        command: Sequence[str],
        stdout: Path,
        into: Competitor | None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        os.sync()  # what the former run wrote would be written out during this one
        ran = run_measured(command, environment, stdout=stdout, limits=self._limits)
        if into is not None:
            into.runs = [*into.runs, run_of(ran)]
            into.memory = memory_of(ran.samples)


def published_in(log: Path) -> dict[str, int]:
    """The canonical event of the batch, from what the service printed."""
    events = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    found: dict[str, int] = next(event for event in events if event["event"] == "batch.published")
    return found


def python_of(peer: Peer) -> str | None:
    """The Python that has what a peer needs; None if it is not installed."""
    if not peer.requirements:
        return sys.executable
    python = Path(os.environ.get("PEERS_PYTHON") or Path(sys.prefix) / "others" / "bin" / "python")
    return str(python) if python.exists() else None
