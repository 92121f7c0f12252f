"""Several runs as comparison.html and comparison.md."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from codedistill.report.compare import Cells, Comparison
from codedistill.report.html import render
from codedistill.report.plots import Line, Measured, bar_chart, interval_chart, line_chart
from codedistill.report.series import CURVES, series
from codedistill.report.tables import markdown_table
from codedistill.report.taxonomy import Taxonomy, taxonomy
from codedistill.report.text import for_markdown

COLOURS = 6
"""Classes run0 to run5 in the style sheet; a seventh run begins again."""


def comparison_page(comparison: Comparison, folder: Path) -> str:
    """comparison.html; `folder` is where it will lie, for the links to the runs' own reports."""
    return render(
        "comparison.html.j2",
        {
            "title": f"{len(comparison.runs)} runs compared",
            "tables": {name: _table(cells) for name, cells in _tables(comparison).items()},
            "intervals": [_intervals(comparison, benchmark) for benchmark in comparison.benchmarks],
            "charts": _charts(comparison),
            "errors": [_errors(comparison, benchmark) for benchmark in comparison.benchmarks],
            "notes": comparison.notes,
            "reports": [
                (label, quote(Path(os.path.relpath(run.path / "report.html", folder)).as_posix()))
                for label, run in zip(comparison.labels, comparison.runs, strict=True)
                if (run.path / "report.html").exists()
            ],
        },
    )


def comparison_markdown(comparison: Comparison) -> str:
    """comparison.md: the tables of the page."""
    parts = [f"# {len(comparison.runs)} runs compared\n"]
    for title, (header, rows) in _tables(comparison).items():
        if rows:
            parts += [f"## {title}\n", markdown_table(header, rows, TEXT_COLUMNS[title](header))]
        if title == DIFFERENCES and comparison.notes:
            parts += ["".join(f"- {for_markdown(note)}\n" for note in comparison.notes)]
    parts += ["## Kinds of errors\n"]
    for benchmark in comparison.benchmarks:
        parts += [f"### {for_markdown(benchmark)}\n"] if len(comparison.benchmarks) > 1 else []
        parts += [markdown_table(*_taxonomy(comparison, benchmark).cells(), 1)]
    return "\n".join(parts)


RESULTS, DIFFERENCES, SEEDS, RECIPES = "Results", "Task by task", "Over seeds", "What the recipes differ in"

TEXT_COLUMNS: dict[str, Callable[[list[str]], int]] = {
    RESULTS: lambda header: header.index("seed"),
    DIFFERENCES: lambda header: header.index("tasks"),
    SEEDS: lambda header: header.index("runs"),
    RECIPES: lambda header: len(header),
}
"""How many of a table's first columns are text."""


def _tables(comparison: Comparison) -> dict[str, Cells]:
    return {
        RESULTS: comparison.results(),
        DIFFERENCES: comparison.difference_table(),
        SEEDS: comparison.seed_table(),
        RECIPES: comparison.recipe_table(),
    }


def _table(cells: Cells) -> dict[str, Any] | None:
    header, rows = cells
    return {"header": header, "rows": rows} if rows else None


def _style(index: int) -> str:
    return f"run{index % COLOURS}"


def _intervals(comparison: Comparison, benchmark: str) -> dict[str, Any]:
    rows = []
    for i, (label, run) in enumerate(zip(comparison.labels, comparison.runs, strict=True)):
        row = run.table.row("student", benchmark)
        if row is not None:
            rows.append(Measured(label, _style(i), row.pass_at_1, row.low, row.high))
    return {"benchmark": benchmark, "svg": interval_chart(f"pass@1 of the students on {benchmark}", rows)}


def _charts(comparison: Comparison) -> list[dict[str, Any]]:
    """One chart for each curve. Losses of different methods are different quantities, so they share no chart."""
    charts = []
    same = len({run.method for run in comparison.runs}) == 1
    for name in CURVES if same else [name for name in CURVES if name != "loss"]:
        lines = []
        for i, (label, run) in enumerate(zip(comparison.labels, comparison.runs, strict=True)):
            found = series(run.steps, name)
            if found is not None:
                lines.append(Line(label, _style(i), found.points))
        if lines:
            limits = (0.0, 1.0) if name == "beta" else None
            svg = line_chart(f"{name} by step", lines, limits, band=False)
            charts.append({"title": name, "legend": [(line.name, line.style) for line in lines], "svg": svg})
    return charts


def _taxonomy(comparison: Comparison, benchmark: str) -> Taxonomy:
    """The students' errors, by run."""
    rows = [
        (label, row)
        for label, run in zip(comparison.labels, comparison.runs, strict=True)
        if (row := run.table.row("student", benchmark)) is not None
    ]
    return taxonomy([row for _, row in rows], [label for label, _ in rows])


def _errors(comparison: Comparison, benchmark: str) -> dict[str, Any]:
    found = _taxonomy(comparison, benchmark)
    styles = [_style(comparison.labels.index(name)) for name in found.names]
    header, rows = found.cells()
    return {
        "benchmark": benchmark,
        "legend": list(zip(found.names, styles, strict=True)),
        "svg": bar_chart(f"errors of the students on {benchmark}", found.charted(), styles) if found.counts else None,
        "table": {"header": header, "rows": rows},
    }
