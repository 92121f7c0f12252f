"""Curves over the optimiser steps, thinned so that a chart of ten thousand steps stays small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codedistill.report.load import Step
from codedistill.report.text import number

POINTS = 120
"""A curve has at most this many points; each is the mean of as many steps as that takes."""

CURVES: dict[str, Callable[[Step], float | None]] = {
    "loss": lambda step: step.loss,
    "forward KL": lambda step: step.forward_kl,
    "reverse KL": lambda step: step.reverse_kl,
    "beta": lambda step: step.beta,
    "learning rate": lambda step: step.lr,
    "gradient norm": lambda step: step.grad_norm,
    "tokens per second": lambda step: step.tokens_per_second,
}

SETTINGS = ("beta", "learning rate")
"""Curves that a recipe may hold at one value: a fact then, and no curve."""


@dataclass(frozen=True)
class Point:
    """Mean, lowest and highest value of some neighbouring steps; None where none of them has a finite value."""

    step: float
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Series:
    """One curve. `width` is the number of steps in each point but perhaps the last."""

    name: str
    points: tuple[Point, ...]
    width: int


def series(steps: Sequence[Step], name: str) -> Series | None:
    """The curve called `name`; None where no step has a value of it, and where a setting never changes."""
    pick = CURVES[name]
    values = [(step.step, pick(step)) for step in steps]
    if all(value is None for _, value in values) or held(steps, name) is not None:
        return None
    width = -(-len(values) // POINTS)
    parts = [values[start : start + width] for start in range(0, len(values), width)]
    return Series(name, tuple(_point(part) for part in parts), width)


def held(steps: Sequence[Step], name: str) -> float | None:
    """The value of a setting that is the same in every step, of at least two; None for all other curves."""
    values = {CURVES[name](step) for step in steps}
    return values.pop() if name in SETTINGS and len(values) == 1 and len(steps) > 1 else None


def _point(part: Sequence[tuple[int, float | None]]) -> Point:
    at = sum(step for step, _ in part) / len(part)
    found = [value for _, value in part if value is not None]
    if not found:
        return Point(at, None, None, None)
    return Point(at, sum(found) / len(found), min(found), max(found))


def curve_table(steps: Sequence[Step]) -> tuple[list[str], list[list[str]]]:
    """The values at five steps, evenly spread from the first to the last, as text; no rows where there are no steps."""
    if not steps:
        return ["step"], []
    chosen = sorted({round(i * (len(steps) - 1) / 4) for i in range(5)})
    kept = [name for name in CURVES if series(steps, name) is not None]
    rows = [[str(steps[i].step), *(number(CURVES[name](steps[i])) for name in kept)] for i in chosen]
    return ["step", *kept], rows
