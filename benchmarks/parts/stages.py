"""The stages of one batch: seconds, CPU seconds and memory of each, by the structured log and by samples."""

from __future__ import annotations

import json
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.figures import Stage, Stages, conditions, memory_of, run_of
from benchmarks.generate import write_messy_pair
from benchmarks.process_tree import Sample
from benchmarks.processes import Ran, measured

Floors = Mapping[str, tuple[float, float]]
"""Stage -> seconds and CPU seconds of the least of it."""
StagedRun = tuple[Ran, list[dict[str, Any]]]
"""A run of the service, and the events of its log."""


def measure_stages(records: int, rounds: int, memory_limit_mb: int = 0) -> Stages:
    """Integrate the messy pair, and divide the run with the median time."""
    settings = {"SERVICE_MEMORY_LIMIT_MB": str(memory_limit_mb)} if memory_limit_mb else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pair = write_messy_pair(folder, records)
        runs = [staged_run(folder, pair, settings) for _ in range(rounds)]
        floors = floors_of(folder, pair)
    ran, events = median_run(runs)
    return Stages(
        conditions=conditions(),
        records=records,
        run=run_of(ran),
        rounds=rounds,
        stages=with_floors(stages_of(ran, events), floors),
        memory=memory_of(ran.samples),
        memory_limit_mb=memory_limit_mb,
    )


def floors_of(folder: Path, pair: Sequence[Path]) -> Floors:
    """The floors of a batch, for the set that ``staged_run`` published last."""
    return printed_floors(["benchmarks.peers.stage_floors", *map(str, pair), str(folder / "outbox")], folder)


def printed_floors(command: Sequence[str], folder: Path) -> Floors:
    """The floors that a module prints as JSON; the folder keeps what it prints."""
    found = folder / "floors.json"
    measured(["-m", *command], stdout=found)
    floors: Floors = json.loads(found.read_text(encoding="utf-8"))
    return floors


def with_floors(stages: Iterable[Stage], floors: Floors) -> list[Stage]:
    """The stages, each with its floor if it has one."""
    return [
        msgspec.structs.replace(stage, floor_seconds=floors[stage.name][0], floor_cpu_seconds=floors[stage.name][1])
        if stage.name in floors
        else stage
        for stage in stages
    ]


def staged_run(folder: Path, pair: Sequence[Path], settings: Mapping[str, str] | None = None) -> StagedRun:
    """Integrate a pair with an outbox in the folder; ``settings`` as in ``staged``."""
    outbox = folder / "outbox"
    shutil.rmtree(outbox, ignore_errors=True)
    return staged(["integrate", *map(str, pair), "--outbox", str(outbox)], settings, folder / "log.jsonl")


def staged(command: Sequence[str], settings: Mapping[str, str] | None, log: Path) -> StagedRun:
    """Run a command of the service, whose log says when each stage of its one batch begins.

    ``settings``: variables of the environment, besides the usual ones.
    """
    ran = measured(["-m", "benchmarks.staged", *command], settings, stdout=log)
    return ran, [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def median_run(runs: Sequence[StagedRun]) -> StagedRun:
    """The run with the median time; of an even number the faster of the two in the middle."""
    return sorted(runs, key=lambda run: run[0].seconds)[(len(runs) - 1) // 2]


def stages_of(ran: Ran, events: Sequence[dict[str, Any]]) -> list[Stage]:
    """The parts of a run: its start, the stages that the log names, and its end behind ``batch.published``.

    CPU seconds and memory between two moments are those of the samples next to them.
    """
    begins = {"start": 0.0}
    for event in events:
        seconds = datetime.fromisoformat(event["timestamp"]).timestamp() - ran.started_at
        if event["event"] == "batch.progressed":
            begins.setdefault(event["stage"], seconds)
        elif event["event"] == "batch.published":
            begins["end"] = seconds
    names, moments = list(begins), [*begins.values(), ran.seconds]
    return [
        Stage(
            name=name,
            seconds=round(moments[number + 1] - moments[number], 3),
            cpu_seconds=round(_cpu_until(ran, moments[number + 1]) - _cpu_until(ran, moments[number]), 2),
            peak_mb=round(_peak_between(ran.samples, moments[number], moments[number + 1])),
        )
        for number, name in enumerate(names)
    ]


def _cpu_until(ran: Ran, seconds: float) -> float:
    """CPU seconds until a moment of the run, on the line between the samples around it."""
    known = [(0.0, 0.0), *((it.seconds, it.cpu_seconds) for it in ran.samples), (ran.seconds, ran.cpu_seconds)]
    after = min(bisect_left(known, (seconds, 0.0)), len(known) - 1)
    (begin, less), (end, more) = known[max(after - 1, 0)], known[after]
    return less + (more - less) * min(1.0, (seconds - begin) / (end - begin)) if end > begin else more


def _peak_between(samples: Sequence[Sample], begin: float, end: float) -> float:
    inside = [sample.mb for sample in samples if begin <= sample.seconds <= end]
    before = [sample.mb for sample in samples if sample.seconds < begin]
    return max(inside, default=before[-1] if before else 0.0)
