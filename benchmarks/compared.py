"""The section of the page that compares the service with other programs, and its plots."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from operator import attrgetter

from benchmarks.figures import Comparison, Competitor, Run
from benchmarks.parts.comparison import SERVICE
from benchmarks.peers import FLOOR, FULL_FLOOR, PEERS
from benchmarks.phrases import IMAGES, mark, medians, rounds_of, under
from benchmarks.plots import Line, axis, lines


def section(comparisons: dict[int, Comparison]) -> Iterator[str]:
    """The lines of the section."""
    main = main_comparison(comparisons)
    yield "## Against other programs"
    yield ""
    yield from _table(main)
    yield ""
    yield from (f"- **{peer.name}**: {peer.what}." for peer in PEERS)
    yield ""
    yield "None of them keeps ids from batch to batch, writes why records were merged, or publishes all or nothing."
    yield "All match by the same literal rule; they differ in the values that they can read, and so in the customers."
    yield ""
    yield f"![Memory over time]({IMAGES}/memory-peers.svg)"
    if len(comparisons) > 1:
        yield ""
        yield "### By size"
        yield ""
        yield f"![Seconds by number of records]({IMAGES}/scaling.svg)"
        for records in sorted(comparisons):
            if records != main.records:
                yield ""
                yield from _table(comparisons[records])


def main_comparison(comparisons: dict[int, Comparison]) -> Comparison:
    """The one with the most programs; of those the largest."""
    return max(comparisons.values(), key=lambda it: (sum(bool(peer.runs) for peer in it.competitors), it.records))


def _table(it: Comparison) -> Iterator[str]:
    service, floor, full_floor = (it.of(name) for name in (SERVICE, FLOOR.name, FULL_FLOOR.name))
    times = rounds_of(len(service.runs) if service else 0)
    yield f"**{it.records:,} records**, {it.input_mb:,.0f} MB in, {it.published_mb:,.0f} MB published; {times}."
    if it.memory_limit_mb:
        yield f"With `SERVICE_MEMORY_LIMIT_MB={it.memory_limit_mb}`."
    yield under(it.conditions)
    yield ""
    ratios_by = "/ floor | / full floor | / service | CPU / full floor | CPU / service"
    yield f"| | seconds | CPU s | peak MB | {ratios_by} | customers |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for competitor in it.competitors:
        if not competitor.runs:
            yield f"| {competitor.name} | {competitor.note} | | | | | | | | |"
            continue
        seconds, cpu, peak = medians(competitor.runs)
        note = f" ({competitor.note} in a later round)" if competitor.note else ""
        customers = f"{competitor.customers:,}" if competitor.customers is not None else "–"
        ratios = [_ratio(competitor, other, _seconds) for other in (floor, full_floor, service)]
        ratios += [_ratio(competitor, other, _cpu_seconds) for other in (full_floor, service)]
        seconds_marked = f"{seconds:,.2f}{mark(competitor.runs, it.conditions.cores)}"
        yield (
            f"| {competitor.name}{note} | {seconds_marked} | {cpu:,.1f} | {peak:,.0f} | {' | '.join(ratios)} "
            f"| {customers} |"
        )


_seconds = attrgetter("seconds")
_cpu_seconds = attrgetter("cpu_seconds")


def _ratio(one: Competitor, other: Competitor | None, figure: Callable[[Run], float]) -> str:
    """The median of the ratios of rounds that ran in turn."""
    if other is None:
        return "–"
    in_turn = zip(one.runs, other.runs, strict=False)
    ratio = statistics.median(figure(first) / max(figure(second), 0.001) for first, second in in_turn)
    return f"{ratio:.1f}" if ratio >= 0.95 else f"{ratio:.2f}"


def scaling_plot(comparisons: dict[int, Comparison]) -> str:
    """Seconds by number of records, both by powers of ten."""
    drawn = []
    for name in (SERVICE, *(peer.name for peer in PEERS)):
        found = ((records, comparisons[records].of(name)) for records in sorted(comparisons))
        points = [(float(records), medians(it.runs)[0]) for records, it in found if it is not None]
        if len(points) > 1:
            drawn.append(Line(name, points, is_dashed=name in (FLOOR.name, FULL_FLOOR.name)))
    everything = [point for line in drawn for point in line.points]
    x = axis([records for records, _ in everything], "records", is_log=True)
    y = axis([seconds for _, seconds in everything], "seconds", is_log=True)
    return lines("Seconds by number of records, whole processes", drawn, x, y)


def memory_plot(comparisons: dict[int, Comparison]) -> str:
    """Memory of every program over its time."""
    it = main_comparison(comparisons)
    drawn = [Line(peer.name, peer.memory) for peer in it.competitors if len(peer.memory) > 1]
    everything = [point for line in drawn for point in line.points]
    x = axis([seconds for seconds, _ in everything], "seconds", is_log=True)
    y = axis([mb for _, mb in everything], "MB")
    return lines(f"Memory over time, {it.records:,} records", drawn, x, y)
