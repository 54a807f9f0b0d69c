"""Charts as SVG files: plain, small, and readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _LEFT, _RIGHT, _TOP = 760, 64, 150, 34
_PLOT_HEIGHT, _BOTTOM = 300, 44
_LEAST_LABEL_GAP = 14
_MANY_POWERS = 5
"""With fewer powers of ten on an axis their doubles and halves are marked, too."""
_COLOURS = ("#2f7de1", "#8a94a3", "#b0793a", "#d9534f", "#9b5de5", "#1a9e77", "#d6589f", "#c9a227")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:13px}.less{fill:#59636e}"
    ".grid{stroke:#d1d9e0;stroke-width:1}.line{fill:none;stroke-width:2}.band{stroke:#d1d9e0;stroke-dasharray:3 3}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.less{fill:#9198a1}.grid,.band{stroke:#3d444d}}"
)

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line with its name at its end."""

    name: str
    points: Sequence[Point]
    is_dashed: bool = False


@dataclass(frozen=True)
class Bar:
    """A row of bars: its name, and one value for each series."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Axis:
    """The values from ``least`` to ``most``, on a line or by powers of ten."""

    least: float
    most: float
    title: str
    is_log: bool = False

    def share(self, value: float) -> float:
        """Where a value is, from 0 to 1."""
        if self.is_log:
            return math.log(value / self.least) / math.log(self.most / self.least)
        return (value - self.least) / (self.most - self.least)

    def ticks(self) -> list[float]:
        """Round values along the axis."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
            times = (1, 2, 5) if len(powers) < _MANY_POWERS else (1,)
            values = (float(f"{time}e{power}") for power in powers for time in times)
            return [value for value in values if self.least <= value <= self.most]
        step = 10 ** math.floor(math.log10((self.most - self.least) / 2))
        step *= next(times for times in (1, 2, 5, 10) if (self.most - self.least) / (step * times) <= 6)
        return [step * number for number in range(math.ceil(self.least / step), math.floor(self.most / step) + 1)]


def axis(values: Sequence[float], title: str, *, is_log: bool = False) -> Axis:
    """The axis for these values."""
    if is_log:
        least, most = min(values), max(values)
        return Axis(least / 1.25, most * 1.25, title, is_log=True)
    return Axis(0.0, 1.05 * max(values), title)


def lines(title: str, drawn: Sequence[Line], x: Axis, y: Axis, bands: Sequence[tuple[str, float]] = ()) -> str:
    """A line chart; ``bands``: names along the x axis, each with the value at which it begins."""

    def at(point: Point) -> Point:
        return _x_at(point[0], x), _TOP + _PLOT_HEIGHT * (1 - y.share(point[1]))

    parts = [*_grid(x, y, at), *_bands(bands, x)]
    for number, line in enumerate(drawn):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in map(at, line.points))
        dash = ' stroke-dasharray="5 4"' if line.is_dashed else ""
        parts.append(f'<polyline class="line" stroke="{colour}"{dash} points="{path}"/>')
        if len(line.points) < 12:
            parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>' for px, py in map(at, line.points)]
    parts += _names_of_lines(drawn, at)
    return _svg(title, _TOP + _PLOT_HEIGHT + _BOTTOM, parts)


def bars(title: str, rows: Sequence[Bar], series: Sequence[str], unit: str) -> str:
    """Horizontal bars: a row for each name, in it a bar for each series, with its value behind it."""
    thick, gap = 13, 10
    most = max(value for row in rows for value in row.values) or 1.0
    left = 20 + 7 * max(len(row.name) for row in rows)
    width = _WIDTH - left - 70
    parts, y = [], _TOP + 18
    for number, name in enumerate(series):
        x = left + 110 * number
        parts.append(f'<rect x="{x}" y="{_TOP - 9}" width="10" height="10" fill="{_COLOURS[number]}"/>')
        parts.append(f'<text class="less" x="{x + 15}" y="{_TOP}">{escape(name)}</text>')
    for row in rows:
        middle = y + (thick * len(row.values)) / 2 + 4
        parts.append(f'<text x="{left - 8}" y="{middle:.1f}" text-anchor="end">{escape(row.name)}</text>')
        for number, value in enumerate(row.values):
            long, top = width * value / most, y + thick * number
            parts.append(
                f'<rect x="{left}" y="{top}" width="{long:.1f}" height="{thick - 2}" fill="{_COLOURS[number]}"/>'
                f'<text class="less" x="{left + long + 5:.1f}" y="{top + thick - 3}">{_shown(value)} {unit}</text>'
            )
        y += thick * len(row.values) + gap
    return _svg(title, y + 6, parts)


def _x_at(value: float, x: Axis) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * x.share(value)


def _grid(x: Axis, y: Axis, at: Callable[[Point], Point]) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _TOP + _PLOT_HEIGHT
    parts = []
    for value in x.ticks():
        px, _ = at((value, y.least))
        parts.append(f'<path class="grid" d="M{px:.1f} {_TOP}V{bottom}"/>')
        parts.append(f'<text class="less" x="{px:.1f}" y="{bottom + 16}" text-anchor="middle">{_shown(value)}</text>')
    for value in y.ticks():
        _, py = at((x.least, value))
        parts.append(f'<path class="grid" d="M{_LEFT} {py:.1f}H{right}"/>')
        parts.append(f'<text class="less" x="{_LEFT - 6}" y="{py + 4:.1f}" text-anchor="end">{_shown(value)}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text class="less" x="{middle:.0f}" y="{bottom + 34}" text-anchor="middle">{escape(x.title)}</text>')
    parts.append(f'<text class="less" x="{_LEFT}" y="{_TOP - 8}" text-anchor="end">{escape(y.title)}</text>')
    return parts


def _bands(bands: Sequence[tuple[str, float]], x: Axis) -> list[str]:
    """A dashed line where each begins; its name, upright, where there is room."""
    parts = []
    begins = [_x_at(begin, x) for begin in (*(begin for _, begin in bands), x.most)]
    for (name, _), begin, end in zip(bands, begins, begins[1:], strict=False):
        parts.append(f'<path class="band" d="M{begin:.1f} {_TOP}V{_TOP + _PLOT_HEIGHT}"/>')
        if end - begin >= _LEAST_LABEL_GAP:
            px, py = begin + 12, _TOP + _PLOT_HEIGHT - 6
            parts.append(f'<text class="less" transform="translate({px:.1f} {py}) rotate(-90)">{escape(name)}</text>')
    return parts


def _names_of_lines(drawn: Sequence[Line], at: Callable[[Point], Point]) -> list[str]:
    """The names at the ends of the lines, moved apart where they are close."""
    ends = sorted(((at(line.points[-1]), number) for number, line in enumerate(drawn)), key=lambda end: end[0][1])
    parts, lowest = [], float("-inf")
    for (px, py), number in ends:
        lowest = max(py, lowest + _LEAST_LABEL_GAP)
        colour = _COLOURS[number % len(_COLOURS)]
        x = min(px + 8, _WIDTH - _RIGHT + 8)
        parts.append(
            f'<text x="{x:.1f}" y="{lowest + 4:.1f}" style="fill:{colour}">{escape(drawn[number].name)}</text>'
        )
    return parts


def _shown(value: float) -> str:
    """1.2M, 10k, 350, 4.5, 0.25."""
    for bound, letter in ((1e6, "M"), (1e4, "k")):
        if value >= bound:
            return f"{value / (1e6 if letter == 'M' else 1e3):.3g}{letter}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.2g}"


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{_STYLE}</style>\n"
        f'<text class="title" x="{_LEFT - 44}" y="14">{escape(title)}</text>\n{body}\n</svg>\n'
    )
