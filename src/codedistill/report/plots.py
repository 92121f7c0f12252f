"""Inline SVG, drawn from the data.

Colors are classes of the page's style sheet, so that a chart follows dark mode and print. A chart is drawn for
a width of 380 pixels and never shrinks below 300, which keeps its text readable on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from markupsafe import Markup, escape

from codedistill.report.text import number, percent, visible

WIDTH = 380
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 10, 36

LONGEST, CHARACTER = 26, 6.4
"""Characters of a row's name before it is cut, and the pixels of one character."""


@dataclass(frozen=True)
class Point:
    """Mean, lowest and highest value of some neighboring steps; None if none of them has a finite value."""

    step: float
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Line:
    """One curve of a chart; `style` is its class in the style sheet."""

    name: str
    style: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Measured:
    """One row of an interval chart: a share and its confidence interval. `marks` are other models' shares."""

    name: str
    style: str
    share: float
    low: float
    high: float
    marks: Mapping[str, float] = field(default_factory=dict)


def line_chart(
    title: str, lines: Sequence[Line], limits: tuple[float, float] | None = None, band: bool = True
) -> Markup:
    """Curves over the steps; a value that is not finite is a gap, and a value between gaps is a dot.

    Args:
        limits: bounds of the vertical axis; by default from 0 (or the lowest value if negative) to the highest value.
        band: show the range of the steps behind each point.
    """
    height = 210
    points = [point for line in lines for point in line.points]
    values = [v for point in points for v in (point.mean, *((point.low, point.high) if band else ())) if v is not None]
    low, high = limits or (min(0.0, *values), max(values)) if values else (0.0, 1.0)
    first, last = min(point.step for point in points), max(point.step for point in points)
    across = _scale(first, last, LEFT, WIDTH - RIGHT)
    up = _scale(low, high, height - BOTTOM, TOP)
    parts = []
    for tick in ticks(low, high, 4):
        rule = Markup('<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>')
        parts += [rule.format(LEFT, WIDTH - RIGHT, up(tick)), _text(LEFT - 6, up(tick) + 4, number(tick), "end")]
    for tick in ticks(first, last, 5, least=1):
        parts.append(_text(across(tick), height - BOTTOM + 15, number(tick), "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, height - 5, "optimizer step", "middle"))
    for line in lines:
        bands, curves = [], []
        for missing, group in groupby(line.points, key=lambda point: point.mean is None):
            if missing:
                continue
            part = list(group)
            at = [f"{across(p.step):.1f},{up(p.mean):.1f}" for p in part if p.mean is not None]
            if len(at) == 1:
                dot = Markup('<circle class="fill {2}" cx="{0}" cy="{1}" r="2"/>')
                curves.append(dot.format(*at[0].split(","), line.style))
            else:
                path = Markup('<polyline class="curve stroke {}" points="{}"/>')
                curves.append(path.format(line.style, " ".join(at)))
            if band and any(p.low != p.high for p in part):
                outline = [f"{across(p.step):.1f},{up(p.high):.1f}" for p in part if p.high is not None]
                outline += [f"{across(p.step):.1f},{up(p.low):.1f}" for p in reversed(part) if p.low is not None]
                area = Markup('<polygon class="band fill {}" points="{}"/>')
                bands.append(area.format(line.style, " ".join(outline)))
        parts += bands + curves
    return _svg(title, height, parts)


def interval_chart(title: str, rows: Sequence[Measured]) -> Markup:
    """Shares with their confidence intervals on one axis from 0 to 100%."""
    left, row_height = _room(row.name for row in rows), 30
    height = TOP + row_height * len(rows) + 24
    across = _scale(0, 1, left, WIDTH - 50)
    bottom = height - 24
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = across(tick)
        parts.append(Markup('<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(x, TOP, bottom))
        parts.append(_text(x, height - 8, f"{tick:.0%}", "middle"))
    for i, row in enumerate(rows):
        y = TOP + row_height * (i + 0.5)
        parts.append(_text(left - 10, y + 4, row.name, "end"))
        for style, share in row.marks.items():  # as high as the row: marks at one place make one line
            line = Markup('<line class="mark {0}" x1="{1:.1f}" x2="{1:.1f}" y1="{2}" y2="{3}"/>')
            parts.append(line.format(style, across(share), TOP + row_height * i, TOP + row_height * (i + 1)))
        whisker = Markup('<line class="whisker stroke {3}" x1="{0:.1f}" x2="{1:.1f}" y1="{2}" y2="{2}"/>')
        parts.append(whisker.format(across(row.low), across(row.high), y, row.style))
        dot = Markup('<circle class="fill {}" cx="{:.1f}" cy="{}" r="5"/>')
        parts.append(dot.format(row.style, across(row.share), y))
        parts.append(_text(WIDTH - 4, y + 4, percent(row.share), "end", "value"))
    return _svg(title, height, parts)


def bar_chart(title: str, groups: Mapping[str, Sequence[float]], styles: Sequence[str]) -> Markup:
    """Counts or mean counts as horizontal bars: a group of bars for each name, a bar for each style."""
    left, bar, gap = _room(groups), 11, 12
    group = bar * len(styles) + gap
    height = TOP + group * len(groups)
    highest = max((n for counts in groups.values() for n in counts), default=1)
    across = _scale(0, max(highest, 1), left, WIDTH - 40)
    parts = []
    for i, (name, counts) in enumerate(groups.items()):
        top = TOP + group * i
        parts.append(_text(left - 8, top + bar * len(styles) / 2 + 4, name, "end"))
        for j, (style, n) in enumerate(zip(styles, counts, strict=True)):
            y, end = top + bar * j, across(n)
            rect = Markup('<rect class="fill {4}" x="{0}" y="{1}" width="{2:.1f}" height="{3}" rx="1.5"/>')
            parts.append(rect.format(left, y + 0.75, max(end - left, 1 if n else 0), bar - 1.5, style))
            parts.append(_text(end + 4, y + bar - 2, f"{n:.4g}", "start", "small"))
    return _svg(title, height, parts)


def ticks(low: float, high: float, about: int, least: float = 0) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) within [low, high], about `about` of them.

    They are at least `least` apart, so there may be fewer; 1 keeps the ticks of steps whole.
    """
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(least, next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """A linear map from values to pixels; a range of zero length maps to the middle."""
    extent = high - low
    return lambda value: start + (min(max((value - low) / extent, 0.0), 1.0) if extent > 0 else 0.5) * (end - start)


def _text(x: float, y: float, text: str, anchor: str, style: str = "label") -> Markup:
    """A text at a place; a long one is cut to the characters that there is room for."""
    shown = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    element = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return element.format(style, x, y, anchor, visible(shown))


def _room(names: Iterable[str]) -> float:
    """Pixels left of a chart for its longest name."""
    longest = max((len(visible(name)) for name in names), default=0)
    return 14 + CHARACTER * min(max(longest, 6), LONGEST)


def _svg(title: str, height: float, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg role="img" aria-label="{0}" viewBox="0 0 {1} {2:.0f}">{3}</svg>').format(
        visible(title), WIDTH, height, escape(Markup("").join(parts))
    )
