"""Charts as SVG, drawn here: no script, themed by CSS classes, each beside a table with the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_SPARK_WIDTH, _SPARK_HEIGHT = 120, 28
_FLOW_HEIGHT = 28
_PERCENT_PER_LETTER = 2.8
"""Of the width of a page of 300 pixels that a letter takes."""


@dataclass(frozen=True)
class Part:
    """A part of a whole: its name, its count, and the CSS class that colours it (``ok``, ``warn``, ``fail``, …)."""

    name: str
    count: int
    tone: str = "accent"


def spark(values: Sequence[int], label: str) -> Markup:
    """A line of the values, the oldest first, with a dot at the last; nothing for fewer than two."""
    if len(values) < 2:
        return Markup("")
    least, most = min(values), max(values)
    span = (most - least) or 1
    step = (_SPARK_WIDTH - 8) / (len(values) - 1)
    points = [
        (4 + step * number, _SPARK_HEIGHT - 5 - (_SPARK_HEIGHT - 10) * (value - least) / span)
        for number, value in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return Markup(
        '<svg class="spark" width="{}" height="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<polyline points="{}"/><circle cx="{:.1f}" cy="{:.1f}" r="2.5"/></svg>'
    ).format(
        _SPARK_WIDTH,
        _SPARK_HEIGHT,
        _SPARK_WIDTH,
        _SPARK_HEIGHT,
        f"{label}: from {values[0]:,} to {values[-1]:,}",
        line,
        x,
        y,
    )


def bar(count: float, most: float, tone: str = "accent") -> Markup:
    """A horizontal bar, ``count`` of ``most`` long; decoration of a number that stands beside it."""
    share = max(0.0, min(1.0, count / most)) if most else 0.0
    width = f"{100 * share:.2f}"
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="8"/><rect class="{}" width="{}" height="8"/></svg>'
    ).format(f"fill-{tone}", width)


def flow(parts: Sequence[Part], label: str) -> Markup:
    """One horizontal bar that is divided into the parts, in their order; empty parts are left out.

    The count is written into each part that has room for it, on a narrow screen, too.
    """
    whole = sum(part.count for part in parts) or 1
    drawn, left = Markup(""), 0.0
    for part in parts:
        width = 100 * part.count / whole
        if part.count:
            drawn += Markup('<rect class="{}" x="{:.3f}%" width="{:.3f}%" height="{}"><title>{}</title></rect>').format(
                f"fill-{part.tone}", left, width, _FLOW_HEIGHT, f"{part.name}: {part.count:,}"
            )
        if width >= _PERCENT_PER_LETTER * (len(f"{part.count:,}") + 1):
            drawn += Markup('<text class="{}" x="{:.3f}%" y="{}">{:,}</text>').format(
                f"on-{part.tone}", left + width / 2, _FLOW_HEIGHT - 9, part.count
            )
        left += width
    return Markup('<svg class="flow" role="img" aria-label="{}">{}</svg>').format(
        f"{label}: " + ", ".join(f"{part.name} {part.count:,}" for part in parts), drawn
    )


def columns(parts: Sequence[Part], label: str) -> Markup:
    """Vertical columns, one for each part, in their order: for counts over time."""
    most = max((part.count for part in parts), default=0) or 1
    width = 100 / max(len(parts), 1)
    drawn = Markup("").join(
        Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"><title>{}</title></rect>').format(
            f"fill-{part.tone}",
            number * width + width * 0.1,
            40 - 40 * part.count / most,
            width * 0.8,
            40 * part.count / most,
            f"{part.name}: {part.count:,}",
        )
        for number, part in enumerate(parts)
    )
    return Markup(
        '<svg class="columns" viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(escape(label), drawn)
