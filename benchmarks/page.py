"""The page ``docs/performance.md`` and its plots, made of the recorded figures alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks import compared, generate, sections
from benchmarks.figures import Figures
from benchmarks.phrases import DISTURBED, MARK

_HEAD = f"""\
# Performance

Written by `make bench` from [performance.json](performance.json), not by hand. Figures are of whole processes, from
start to end, with everything that a batch needs: hashes, evidence, register, logs, fsync. Compare ratios, and figures
of one table: its programs ran in turn on the same files. CPU seconds are user and system time, children included; the
peak is that of the process tree. Seconds and ratios are medians over the rounds. {MARK} marks figures of which a run
was disturbed: other processes used more than {DISTURBED:.0%} of the machine meanwhile; then CPU seconds say more.
"""
_TAIL = """\
## Measure it yourself

`make bench` measures every part but the largest size, which takes about an hour on two cores.

- `make bench ARGS="--parts latency,worst --drops 50"` measures these and keeps the recorded figures of the others.
- `make bench ARGS="--records 100000 --rounds 1"` is a quick look.
- `make bench ARGS=--huge` adds 10 million records, of the floors and the service, and its stages, once.
- `python -m benchmarks --help` lists all options; `python -m benchmarks render` writes the page.

The other programs are installed beside the service, from `requirements/peers.txt`; the row of one that cannot be
installed says so. The code is in [benchmarks](../benchmarks).
"""


def page_of(figures: Figures) -> str:
    """The page, as Markdown."""
    parts: Iterable[tuple[Any, Callable[[Any], Iterator[str]]]] = (
        (figures.comparisons, compared.section),
        (figures.stages, sections.stages),
        (figures.huge_stages, sections.huge_stages),
        (figures.latency, sections.latency),
        (figures.again, sections.again),
        (figures.analytics, sections.analytics),
        (figures.worst, sections.worst),
        (figures.limits, sections.limits),
    )
    measured = ["".join(f"{line}\n" for line in section(part)) for part, section in parts if part]
    return "\n".join([_HEAD, *measured, _data(), _TAIL])


def _data() -> str:
    """The data in words: as the module that makes them has it."""
    assert generate.__doc__ is not None, "Python was started without docstrings"
    return f"## The data\n\n{generate.__doc__.replace('``', '`')}"


def plots_of(figures: Figures) -> dict[str, str]:
    """File name -> SVG."""
    plots: dict[str, str] = {}
    if figures.comparisons:
        plots["memory-peers.svg"] = compared.memory_plot(figures.comparisons)
    if len(figures.comparisons) > 1:
        plots["scaling.svg"] = compared.scaling_plot(figures.comparisons)
    if figures.stages is not None:
        plots["stages.svg"] = sections.stages_plot(figures.stages)
        plots["memory.svg"] = sections.memory_plot(figures.stages)
    if figures.worst is not None:
        plots["worst.svg"] = sections.worst_plot(figures.worst)
    return plots
