"""The sections of the page about the service alone, and their plots."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.figures import Again, Analytics, Bounded, Drops, Latency, Reading, Stage, Stages, Worst, WorstResult
from benchmarks.parts.comparison import SERVICE
from benchmarks.phrases import DISTURBED, IMAGES, MARK, mark, medians, rounds_of, under
from benchmarks.plots import Bar, Line, axis, bars, lines

_HOW_STAGES_ARE_MEASURED = (
    "The stages begin when the structured log says so; CPU seconds and memory are from samples of the process."
)


def stages(it: Stages) -> Iterator[str]:
    """The stages of a batch."""
    yield "## Stages"
    yield ""
    yield from _stage_table(it, f"![Seconds of each stage]({IMAGES}/stages.svg)")
    yield ""
    yield (
        "The floor of a stage is the least of it, done by DuckDB alone ([stage_floors.py]"
        "(../benchmarks/peers/stage_floors.py)): reading the exports, one pass over each text, one number for each "
        "equal value, writing, hashing and syncing the same files. It parses, checks and explains nothing."
    )
    yield ""
    yield f"![Memory over time]({IMAGES}/memory.svg)"


def huge_stages(it: Stages) -> Iterator[str]:
    """The stages of a batch that does not fit into its memory."""
    yield "### Beyond memory"
    yield ""
    yield from _stage_table(it)
    yield ""
    yield (
        f"The service had `SERVICE_MEMORY_LIMIT_MB={it.memory_limit_mb}`, the floors the memory that they took. What "
        "does not fit is written to the disk and read again by each statement that needs it."
    )


def _stage_table(it: Stages, image: str = "") -> Iterator[str]:
    """What was measured and where, an image, and a row for each stage."""
    rate = it.records / it.run.seconds
    yield (
        f"**{it.records:,} records** in {it.run.seconds:.2f} s{mark([it.run], it.conditions.cores)}: "
        f"{rate:,.0f} rows/s; the run with the median time of {rounds_of(it.rounds)}."
    )
    yield _HOW_STAGES_ARE_MEASURED
    yield under(it.conditions)
    yield ""
    if image:
        yield image
        yield ""
    yield from _stage_rows(it.stages, it.run.seconds, it.records)


def _stage_rows(of_run: Sequence[Stage], run_seconds: float, records: int) -> Iterator[str]:
    """A row for each stage of a run."""
    yield "| stage | seconds | share | CPU s | floor s | floor CPU s | CPU / floor | peak MB | rows/s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for stage in of_run:
        share = stage.seconds / run_seconds
        rows = f"{records / stage.seconds:,.0f}" if stage.seconds and stage.name not in ("start", "end") else "–"
        seconds = f"{stage.seconds:.2f} | {share:.0%} | {stage.cpu_seconds:.2f}"
        yield f"| {stage.name} | {seconds} | {_floor(stage)} | {stage.peak_mb:,.0f} | {rows} |"


def _floor(stage: Stage) -> str:
    if stage.floor_seconds is None or stage.floor_cpu_seconds is None:
        return "– | – | –"
    ratio = f"{stage.cpu_seconds / stage.floor_cpu_seconds:.1f}" if stage.floor_cpu_seconds else "–"
    return f"{stage.floor_seconds:.2f} | {stage.floor_cpu_seconds:.2f} | {ratio}"


def stages_plot(it: Stages) -> str:
    """A bar for each stage."""
    rows = [Bar(stage.name, (stage.seconds, stage.cpu_seconds)) for stage in it.stages]
    return bars(f"Stages, {it.records:,} records", rows, ("seconds", "CPU seconds"), "s")


def memory_plot(it: Stages) -> str:
    """Memory of the service over time, with its stages."""
    begins, at = [], 0.0
    for stage in it.stages:
        begins.append((stage.name, at))
        at += stage.seconds
    x = axis([*(point[0] for point in it.memory), at], "seconds")
    y = axis([point[1] for point in it.memory], "MB")
    return lines(f"Memory over time, {it.records:,} records", [Line(SERVICE, it.memory)], x, y, begins)


def latency(it: Latency) -> Iterator[str]:
    """The daemon: latency, start, and what it costs while it waits."""
    yield "## The daemon"
    yield ""
    yield "From the close of the second file until the manifest is in the outbox; the drops come at random moments."
    yield under(it.conditions)
    yield ""
    yield "| | drops | p50 s | p99 s | least | most |"
    yield "|---|---|---|---|---|---|"
    for drop in it.drops:
        disturbed = MARK if drop.others_share > DISTURBED else ""
        seconds = " | ".join(f"{it:.2f}" for it in (drop.p99, drop.least, drop.most))
        yield f"| {drop.name} | {drop.count} | {drop.p50:.2f}{disturbed} | {seconds} |"
    yield ""
    yield "| | |"
    yield "|---|---|"
    start_seconds = statistics.median(it.start_seconds)
    yield f"| from start to ready | {start_seconds:.2f} s, the median of {len(it.start_seconds)} |"
    yield f"| idle for {it.idle_seconds:.0f} s | {it.idle_cpu_share:.2%} of a core, {it.idle_mb:.0f} MB |"
    yield f"| memory after the drops | {it.mb_after_drops:.0f} MB |"
    check_seconds, check_cpu, _ = medians(it.healthcheck)
    yield f"| `healthcheck` | {check_cpu:.2f} CPU s, {check_seconds:.2f} s |"
    if it.stillness_seconds is not None:
        yield ""
        yield _work_of_the_sample(it.drops[0], it.stillness_seconds, it.floors)


def _work_of_the_sample(it: Drops, stillness_seconds: float, floors: Mapping[str, float]) -> str:
    """How much of the latency is work, and the least of it."""
    work_ms, floor_ms = (1000 * seconds for seconds in (it.p50 - stillness_seconds, sum(floors.values())))
    stages = ", ".join(f"{stage} {1000 * seconds:.0f}" for stage, seconds in floors.items())
    return (
        f"Of the p50 of {it.name}, {1000 * stillness_seconds:.0f} ms are the stillness that the settle rule asks for. "
        f"The rest, {work_ms:.0f} ms, is nearly all work. Its floor is {floor_ms:.0f} ms; the service takes "
        f"{work_ms / floor_ms:.1f} times as long. The floor is what DuckDB takes for the least of each stage "
        f"([stage_floors.py](../benchmarks/peers/stage_floors.py)), in milliseconds: {stages}. With eight rows most of "
        "both is not work on rows."
    )


def again(it: Again) -> Iterator[str]:
    """Batches with a register."""
    yield "## A second batch"
    yield ""
    yield (
        f"**{it.records:,} records**, with the register and the set of the batch before, {rounds_of(len(it.first))}. "
        f"In the later export {it.changed_percent} % of the rows are new, as many gone, as many have another number."
    )
    yield under(it.conditions)
    yield ""
    yield "| | seconds | CPU s | peak MB | it / the first |"
    yield "|---|---|---|---|---|"
    for name, runs in (("the first batch", it.first), ("the same pair again", it.same), ("a later export", it.later)):
        seconds, cpu, peak = medians(runs)
        ratio = statistics.median(one.seconds / other.seconds for one, other in zip(runs, it.first, strict=True))
        yield f"| {name} | {seconds:.2f}{mark(runs, it.conditions.cores)} | {cpu:.1f} | {peak:,.0f} | {ratio:.2f} |"


def analytics(it: Analytics) -> Iterator[str]:
    """The analytics job."""
    seconds, cpu, peak = medians(it.runs)
    yield "## Analytics"
    yield ""
    yield (
        f"**{it.customers:,} customers** of the API ({it.input_mb:,.0f} MB) and a master of as many records, in which "
        f"{it.matched:,} of them are found. `watch --once` from start to end, {rounds_of(len(it.runs))}: "
        f"{seconds:.2f} s{mark(it.runs, it.conditions.cores)}, {cpu:.1f} CPU s, {peak:,.0f} MB, "
        f"{it.customers / seconds:,.0f} customers/s."
    )
    yield under(it.conditions)
    yield ""
    yield f"The stages of the run with the median time. {_HOW_STAGES_ARE_MEASURED}"
    yield ""
    yield from _stage_rows(it.stages, sum(stage.seconds for stage in it.stages), it.customers)
    yield ""
    floor_seconds = sum(stage.floor_seconds or 0 for stage in it.stages)
    floor_cpu = sum(stage.floor_cpu_seconds or 0 for stage in it.stages)
    yield (
        f"The floors are {floor_seconds:.2f} s and {floor_cpu:.1f} CPU s together. The service takes "
        f"{seconds / floor_seconds:.1f} times as many seconds and {cpu / floor_cpu:.1f} times as many CPU seconds; its "
        "start, its end and `enrich`, which have no floor, are counted. DuckDB reads the file as one stream, writes "
        "each text once more, finds the addresses in the master, and writes, hashes and syncs the same files "
        "([analytics_floor.py](../benchmarks/peers/analytics_floor.py)). It checks nothing and derives no field."
    )


def worst(it: Worst) -> Iterator[str]:
    """Hard data against ordinary data."""
    yield "## Hard data"
    yield ""
    yield (
        f"As many bytes as the ordinary pair of {it.ordinary.records:,} records ({it.ordinary.input_mb:,.0f} MB), "
        "hard in one way each; the ordinary pair ran in turn with each of them."
    )
    yield under(it.conditions)
    yield ""
    yield f"![Hard pairs]({IMAGES}/worst.svg)"
    yield ""
    yield "| | what | MB | rows | seconds | CPU s | peak MB | it / ordinary, seconds | CPU |"
    yield "|---|---|---|---|---|---|---|---|---|"
    ordinary = medians(it.ordinary.runs)
    for case in (it.ordinary, *it.cases):
        seconds, cpu, peak = medians(case.runs)
        rows = f"{case.records:,}" if case.records else "–"
        yield (
            f"| {case.name} | {_what(case)} | {case.input_mb:,.0f} | {rows} | "
            f"{seconds:.2f}{mark(case.runs, it.conditions.cores)} | {cpu:.1f} | {peak:,.0f} | "
            f"{seconds / ordinary[0]:.2f} | {cpu / ordinary[1]:.2f} |"
        )

    if it.readings:
        yield ""
        yield (
            "Values that only Python can read, in the stage that reads them; each record has four, and their keys for "
            "the comparison. Cores that are busy: CPU seconds of the stage, of all that the cores have meanwhile. The "
            "floor of a value is what its definition takes alone, called in one process for each distinct value "
            "([value_floor.py](../benchmarks/peers/value_floor.py)); what the stage takes beyond it finds these "
            "values, sends them to worker processes, and joins what they return."
        )
        yield ""
        yield "| records | values | seconds | CPU s | CPU µs of a value | floor µs | / floor | cores busy |"
        yield "|---|---|---|---|---|---|---|---|"
        for reading in it.readings:
            yield _reading_row(reading, it.conditions.cores)


def _reading_row(it: Reading, cores: int) -> str:
    seconds = statistics.median(stage.seconds for stage in it.stages)
    cpu = statistics.median(stage.cpu_seconds for stage in it.stages)
    busy = statistics.median(stage.cpu_seconds / (stage.seconds * cores) for stage in it.stages)
    floor = "– | –"
    if it.floor_cpu_seconds is not None:
        floor = f"{it.floor_cpu_seconds / it.values * 1e6:.1f} | {cpu / it.floor_cpu_seconds:.1f}"
    shown = f"{seconds:.2f}{mark(it.runs, cores)} | {cpu:.2f} | {cpu / it.values * 1e6:.1f} | {floor} | {busy:.0%}"
    return f"| {it.records:,} | {it.values:,} | {shown} |"


def _what(case: WorstResult) -> str:
    return case.what if case.outcome == "published" else f"{case.what}: {case.outcome}"


def worst_plot(it: Worst) -> str:
    """A bar for each hard pair."""
    rows = [Bar(case.name, medians(case.runs)[:2]) for case in (it.ordinary, *it.cases)]
    return bars("Hard pairs of as many bytes", rows, ("seconds", "CPU seconds"), "s")


def limits(it: Bounded) -> Iterator[str]:
    """A large pair within memory limits."""
    yield "## Memory limits"
    yield ""
    yield (
        f"The messy pair of **{it.records:,} records** ({' and '.join(f'{mb:,.0f} MB' for mb in it.input_mb)}) within "
        "`SERVICE_MEMORY_LIMIT_MB`. The peak is that of the process tree; the longest times without a report of "
        "progress, and without more rows done, count from the start of the process to its end."
    )
    yield under(it.conditions)
    yield ""
    yield "| limit MB | | seconds | CPU s | peak MB | of the limit | s without a report | s without more rows |"
    yield "|---|---|---|---|---|---|---|---|"
    for bound in it.bounds:
        run = bound.run
        seconds = f"{run.seconds:.1f}{mark([run], it.conditions.cores)} | {run.cpu_seconds:.1f}"
        peak = f"{run.peak_mb:,.0f} | {run.peak_mb / bound.limit_mb:.0%}"
        pauses = f"{bound.silent_seconds:.1f} | {bound.still_seconds:.1f}"
        yield f"| {bound.limit_mb:,} | {bound.outcome} | {seconds} | {peak} | {pauses} |"
