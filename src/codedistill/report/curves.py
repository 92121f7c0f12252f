"""Curves over the optimizer steps, thinned so that a chart of ten thousand steps stays small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codedistill.report.blocks import Chart, Table, plain_table
from codedistill.report.plots import Line, Point, line_chart
from codedistill.report.text import number
from codedistill.runs.schema import StepMetrics

POINTS = 120
"""The most points that a curve has; each is the mean of as many neighboring steps as that takes."""

CURVES: dict[str, Callable[[StepMetrics], float | None]] = {
    "loss": lambda step: step.loss,
    "forward KL": lambda step: step.forward_kl,
    "reverse KL": lambda step: step.reverse_kl,
    "beta": lambda step: step.beta,
    "learning rate": lambda step: step.lr,
    "gradient norm": lambda step: step.grad_norm,
    "tokens per second": lambda step: step.tokens_per_second,
}

SETTINGS = ("beta", "learning rate")
"""Curves that a recipe may hold at one value: then they are a fact, and there is no curve."""

CHARTS = {
    "Loss": ("loss",),
    "Divergence from the teacher": ("forward KL", "reverse KL"),
    "beta": ("beta",),
    "Learning rate": ("learning rate",),
    "Gradient norm": ("gradient norm",),
    "Response tokens per second": ("tokens per second",),
}
"""Titles of a run's charts and their curves; a chart without curves is left out."""

STYLES = {"forward KL": "forward", "reverse KL": "reverse", "beta": "beta"}
"""Classes of the style sheet; all other curves have the class of the loss."""


@dataclass(frozen=True)
class Curve:
    """One curve. `width` is the number of steps behind each point, except perhaps the last."""

    name: str
    points: tuple[Point, ...]
    width: int


def curve(steps: Sequence[StepMetrics], name: str) -> Curve | None:
    """The curve of this name; None if no step has a value, or if it is a setting that never changes."""
    pick = CURVES[name]
    values = [(step.step, pick(step)) for step in steps]
    if all(value is None for _, value in values) or constant_setting(steps, name) is not None:
        return None
    width = -(-len(values) // POINTS)
    parts = [values[start : start + width] for start in range(0, len(values), width)]
    return Curve(name, tuple(_point(part) for part in parts), width)


def constant_setting(steps: Sequence[StepMetrics], name: str) -> float | None:
    """The value of a setting that is the same in all of at least two steps; None for all other curves."""
    values = {CURVES[name](step) for step in steps}
    return values.pop() if name in SETTINGS and len(values) == 1 and len(steps) > 1 else None


def _point(part: Sequence[tuple[int, float | None]]) -> Point:
    at = sum(step for step, _ in part) / len(part)
    found = [value for _, value in part if value is not None]
    if not found:
        return Point(at, None, None, None)
    return Point(at, sum(found) / len(found), min(found), max(found))


def training_charts(steps: Sequence[StepMetrics]) -> list[Chart]:
    """The curves that a run's method has."""
    charts = []
    for title, names in CHARTS.items():
        found = [c for c in (curve(steps, name) for name in names) if c is not None]
        if found:
            lines = [Line(c.name, STYLES.get(c.name, "loss"), c.points) for c in found]
            svg = line_chart(f"{title} by step", lines, (0.0, 1.0) if names == ("beta",) else None)
            charts.append(Chart(title, svg, tuple((line.name, line.style) for line in lines if len(lines) > 1)))
    return charts


def curve_table(steps: Sequence[StepMetrics]) -> Table:
    """The values at five steps, evenly spread from the first to the last; no rows without steps."""
    chosen = [steps[i] for i in sorted({round(i * (len(steps) - 1) / 4) for i in range(5)})] if steps else []
    names = [name for name in CURVES if curve(steps, name) is not None]
    rows = [[str(step.step), *(number(CURVES[name](step)) for name in names)] for step in chosen]
    return plain_table("values at five steps", ["step", *names], rows, texts=0)
