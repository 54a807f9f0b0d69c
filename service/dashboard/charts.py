"""Charts as SVG, drawn here: no script, themed by CSS classes, each beside a table with the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_SPARK_WIDTH, _SPARK_HEIGHT = 120, 28
_FLOW_HEIGHT = 28
_PERCENT_PER_LETTER = 2.8
"""Of the width of a page of 300 pixels that a letter takes."""
_NODE_WIDTH, _NODE_HEIGHT, _ROW_HEIGHT = 168, 36, 52
_LETTER_WIDTH = 6.5
_MOST_LABEL = 18


@dataclass(frozen=True)
class Part:
    """A part of a whole: its name, its count, and the CSS class that colours it (``ok``, ``warn``, ``fail``, …)."""

    name: str
    count: int
    tone: str = "accent"


@dataclass(frozen=True)
class GraphNode:
    """A node of a graph: its key, its name, and what kind of thing it is."""

    key: int
    name: str
    kind: str
    is_root: bool = False


@dataclass(frozen=True)
class GraphEdge:
    """An edge between the nodes with these keys, away from the root, and what is written on it."""

    one: int
    other: int
    label: str


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


def graph(nodes: Sequence[GraphNode], edges: Sequence[GraphEdge], label: str) -> Markup:
    """A tree from left to right: the root first, then the nodes behind it in their order; always laid out the same."""
    gap = 44 + _LETTER_WIDTH * max((len(edge.label) for edge in edges), default=0)
    corners = _corners(nodes, edges, gap)
    width = max((x for x, _ in corners.values()), default=0) + _NODE_WIDTH
    height = max((y for _, y in corners.values()), default=0) + _NODE_HEIGHT
    drawn = Markup("").join(_edge(corners[it.one], corners[it.other], it.label) for it in edges)
    drawn += Markup("").join(_node(corners[it.key], it) for it in nodes)
    return Markup(
        '<svg class="graph" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">{3}</svg>'
    ).format(round(width + 2), round(height + 2), label, drawn)


def _corners(nodes: Sequence[GraphNode], edges: Sequence[GraphEdge], gap: float) -> dict[int, tuple[float, float]]:
    """The top left corner of each node. A leaf has a row of its own; a node stands in the middle of those behind it."""
    behind: dict[int, list[int]] = {node.key: [] for node in nodes}
    for edge in edges:
        behind[edge.one].append(edge.other)
    inner = {edge.other for edge in edges}
    column: dict[int, int] = {}
    order: list[int] = []
    waiting = [(node.key, 0) for node in reversed(nodes) if node.key not in inner]
    while waiting:
        key, depth = waiting.pop()
        column[key] = depth
        order.append(key)
        waiting += [(other, depth + 1) for other in reversed(behind[key])]
    row: dict[int, float] = {}
    leaves = [key for key in order if not behind[key]]
    row.update({key: float(number) for number, key in enumerate(leaves)})
    for key in reversed(order):
        if behind[key]:
            row[key] = (row[behind[key][0]] + row[behind[key][-1]]) / 2
    return {key: (1 + column[key] * (_NODE_WIDTH + gap), 1 + row[key] * _ROW_HEIGHT) for key in order}


def _node(corner: tuple[float, float], node: GraphNode) -> Markup:
    x, y = corner
    shown = node.name if len(node.name) <= _MOST_LABEL else f"{node.name[: _MOST_LABEL - 1]}…"
    return Markup(
        '<g class="{}"><title>{}</title><rect x="{:.1f}" y="{:.1f}" width="{}" height="{}" rx="6"/>'
        '<text class="kind" x="{:.1f}" y="{:.1f}">{}</text><text x="{:.1f}" y="{:.1f}">{}</text></g>'
    ).format(
        "node root" if node.is_root else "node",
        f"{node.kind}: {node.name}",
        x,
        y,
        _NODE_WIDTH,
        _NODE_HEIGHT,
        x + 10,
        y + 14,
        f"{node.kind} · kept" if node.is_root else node.kind,
        x + 10,
        y + 29,
        shown,
    )


def _edge(one: tuple[float, float], other: tuple[float, float], label: str) -> Markup:
    begin, end = (one[0] + _NODE_WIDTH, one[1] + _NODE_HEIGHT / 2), (other[0], other[1] + _NODE_HEIGHT / 2)
    bend = begin[0] + 16
    return Markup(
        '<path class="edge" d="M{:.1f} {:.1f}H{:.1f}V{:.1f}H{:.1f}"/>'
        '<text class="reason" x="{:.1f}" y="{:.1f}">{}</text>'
    ).format(begin[0], begin[1], bend, end[1], end[0], bend + 6, end[1] - 5, label)
