"""The report: measure parts, record their figures, and write the page with its plots."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks import figures as recorded
from benchmarks.figures import Figures
from benchmarks.page import page_of, plots_of
from benchmarks.parts.again import measure_again
from benchmarks.parts.analytics import measure_analytics
from benchmarks.parts.comparison import compare
from benchmarks.parts.latency import measure_latency
from benchmarks.parts.limits import RECORDS, measure_limits
from benchmarks.parts.stages import measure_stages
from benchmarks.parts.worst import measure_worst
from benchmarks.peers import PEERS

DOCS = Path(__file__).resolve().parents[1] / "docs"
SMALLER = (10_000, 100_000)
HUGE = 10_000_000
_HUGE_LIMIT_MB = 1536

Options = argparse.Namespace
Measure = Callable[[Figures, Options], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the report."""
    parser.add_argument("--parts", type=_parts, default=tuple(PARTS), help=f"of {','.join(PARTS)}; all if not given")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--drops", type=int, default=200, help="how often each pair is dropped into the inbox")
    parser.add_argument(
        "--huge", action="store_true", help="10 million records as well, the floors and the service only"
    )
    parser.add_argument("--docs", type=Path, default=DOCS, help="where page, plots and figures are written")


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(filter(None, text.split(",")))
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    return parts


def report(options: Options) -> None:
    """Measure the parts one after the other; each is recorded, and the page written, as soon as it is done."""
    for name in options.parts:
        print(f"measuring: {name}", flush=True)
        _measured(PARTS[name], options)
    if options.huge:
        _measured(_huge, options)


def _measured(measure: Measure, options: Options) -> None:
    figures = recorded.load(figures_path(options.docs))
    measure(figures, options)
    figures.comparisons = dict(sorted(figures.comparisons.items()))
    recorded.save(figures, figures_path(options.docs))
    render(options.docs)


def render(docs: Path = DOCS) -> None:
    """Write the page and its plots from the recorded figures."""
    figures = recorded.load(figures_path(docs))
    images = docs / "images" / "performance"
    images.mkdir(parents=True, exist_ok=True)
    for name, svg in plots_of(figures).items():
        (images / name).write_text(svg, encoding="utf-8")
    page_path(docs).write_text(page_of(figures), encoding="utf-8")


def figures_path(docs: Path) -> Path:
    """Where the figures are recorded."""
    return docs / "performance.json"


def page_path(docs: Path) -> Path:
    """Where the page is."""
    return docs / "performance.md"


def _peers(figures: Figures, options: Options) -> None:
    figures.comparisons[options.records] = compare(options.records, options.rounds)


def _scaling(figures: Figures, options: Options) -> None:
    for records in SMALLER:
        if records < options.records:
            figures.comparisons[records] = compare(records, options.rounds)


def _huge(figures: Figures, options: Options) -> None:
    figures.comparisons[HUGE] = compare(HUGE, 1, [peer for peer in PEERS if peer.is_floor], _HUGE_LIMIT_MB)
    figures.huge_stages = measure_stages(HUGE, 1, _HUGE_LIMIT_MB)


def _stages(figures: Figures, options: Options) -> None:
    figures.stages = measure_stages(options.records, options.rounds)


def _latency(figures: Figures, options: Options) -> None:
    figures.latency = measure_latency(options.drops)


def _again(figures: Figures, options: Options) -> None:
    figures.again = measure_again(options.records, options.rounds)


def _analytics(figures: Figures, options: Options) -> None:
    figures.analytics = measure_analytics(options.records, options.rounds)


def _worst(figures: Figures, options: Options) -> None:
    figures.worst = measure_worst(options.records, options.rounds)


def _limits(figures: Figures, options: Options) -> None:
    figures.limits = measure_limits(RECORDS)


PARTS: dict[str, Measure] = {
    "peers": _peers,
    "scaling": _scaling,
    "stages": _stages,
    "latency": _latency,
    "again": _again,
    "analytics": _analytics,
    "worst": _worst,
    "limits": _limits,
}
