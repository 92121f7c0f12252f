"""Charts with their tables: curves over the optimizer steps, and kinds of errors by model or run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from codedistill.report.blocks import Chart, Grid, Table, Text
from codedistill.report.load import TableRow
from codedistill.report.plots import Line, Point, bar_chart, line_chart
from codedistill.report.text import number
from codedistill.runs.schema import StepMetrics

POINTS = 120
"""The most points of a curve; in a longer run each point is the mean of neighboring steps."""

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
"""Curves that a recipe may hold at one value. Then the value is a fact of the run, and there is no curve."""

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

CHARTED = 8
"""The most bars of a chart; the last one is then for all other kinds together."""

Bar = tuple[str, str, Sequence[TableRow]]
"""Name, class of the style sheet, and the rows over which the bar is a mean."""


def steps_per_point(steps: Sequence[StepMetrics]) -> int:
    """How many neighboring steps are one point of a curve."""
    return -(-len(steps) // POINTS)


def curve(steps: Sequence[StepMetrics], name: str) -> tuple[Point, ...]:
    """The points of this curve; none if no step has a value, or if it is a setting that never changes."""
    values = [(step.step, CURVES[name](step)) for step in steps]
    if all(value is None for _, value in values) or constant_setting(steps, name) is not None:
        return ()
    width, points = steps_per_point(steps), []
    for start in range(0, len(values), width):
        part = values[start : start + width]
        at, found = sum(step for step, _ in part) / len(part), [value for _, value in part if value is not None]
        spread = (sum(found) / len(found), min(found), max(found)) if found else (None, None, None)
        points.append(Point(at, *spread))
    return tuple(points)


def constant_setting(steps: Sequence[StepMetrics], name: str) -> float | None:
    """The value of a setting that is the same in all of at least two steps; None for all other curves."""
    values = {CURVES[name](step) for step in steps}
    return values.pop() if name in SETTINGS and len(values) == 1 and len(steps) > 1 else None


def training_charts(steps: Sequence[StepMetrics]) -> list[Chart]:
    """The curves that a run's method has."""
    charts = []
    for title, names in CHARTS.items():
        lines = [Line(name, STYLES.get(name, "loss"), points) for name in names if (points := curve(steps, name))]
        if lines:
            svg = line_chart(f"{title} by step", lines, (0.0, 1.0) if names == ("beta",) else None)
            charts.append(Chart(title, svg, tuple((line.name, line.style) for line in lines if len(lines) > 1)))
    return charts


def curve_table(steps: Sequence[StepMetrics]) -> Table:
    """The values at five steps, evenly spread from the first to the last; no rows without steps."""
    chosen = [steps[i] for i in sorted({round(i * (len(steps) - 1) / 4) for i in range(5)})] if steps else []
    names = [name for name in CURVES if curve(steps, name)]
    rows = [[str(step.step), *(number(CURVES[name](step)) for name in names)] for step in chosen]
    return Table.plain("values at five steps", ["step", *names], rows, texts=0)


def error_bars(kinds: Sequence[str], bars: Sequence[Bar]) -> dict[str, list[float]]:
    """For each kind the number of programs as a mean over each bar's rows. Rare kinds are counted together."""
    groups = {kind: [kind] for kind in kinds}
    if len(kinds) > CHARTED:
        rest = list(kinds[CHARTED - 1 :])
        groups = {kind: [kind] for kind in kinds[: CHARTED - 1]} | {f"{len(rest)} other kinds": rest}
    return {
        name: [sum(row.categories.get(kind, 0) for row in rows for kind in group) / len(rows) for _, _, rows in bars]
        for name, group in groups.items()
    }


def error_grid(
    columns: Mapping[str, TableRow], bars: Sequence[Bar], benchmark: str, title: str, note: str = ""
) -> Grid:
    """A chart and a table of the kinds of errors, side by side if the table is narrow.

    The table has a column for each model or run, with the correct programs in the first row and all in the last. The
    kinds are ordered by their highest count in any column.
    """
    rows = list(columns.values())
    counts = {kind: [row.categories.get(kind, 0) for row in rows] for row in rows for kind in row.categories}
    kinds = sorted(counts, key=lambda kind: (-max(counts[kind]), -sum(counts[kind]), kind))
    lines = [["passed", *(str(row.correct) for row in rows)]]
    lines += [[kind, *map(str, counts[kind])] for kind in kinds]
    lines += [["all programs", *(str(row.samples) for row in rows)]]
    table = Table.plain(f"programs by kind of error on {benchmark}", ["", *columns], lines)
    chart: Chart | Text = Text("No program failed.")
    if kinds:
        svg = bar_chart(title, error_bars(kinds, bars), [style for _, style, _ in bars])
        chart = Chart("", svg, tuple((name, style) for name, style, _ in bars))
    return Grid((chart, table), "beside" if len(table.columns) <= 5 else "below", note)
