"""Several runs as comparison.html and comparison.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from codedistill.report import captions
from codedistill.report.compare import Cells, Comparison
from codedistill.report.html import render
from codedistill.report.painted import Painted, marks_of, painted, style_by_run
from codedistill.report.plots import Line, Measured, bar_chart, interval_chart, line_chart
from codedistill.report.series import series
from codedistill.report.tables import markdown_table
from codedistill.report.taxonomy import Taxonomy, taxonomy
from codedistill.report.text import for_markdown, percent

CHARTED = ("loss", "forward KL", "reverse KL", "beta")
"""Curves that are drawn for all runs together."""

RESULTS, DIFFERENCES, SEEDS, RECIPES = "Results", "Task by task", "Over seeds", "What the recipes differ in"

CAPTIONS = {DIFFERENCES: captions.MATCHED, SEEDS: captions.SEEDS}


def comparison_page(comparison: Comparison, folder: Path) -> str:
    """comparison.html; `folder` is where it will lie, for the links to the runs' own reports."""
    return render(
        "comparison.html.j2",
        {
            "title": f"{len(comparison.runs)} runs compared",
            "page_title": f"{len(comparison.runs)} runs compared: {', '.join(g.label for g in comparison.groups)}",
            "headlines": comparison.headlines,
            "captions": {"paired": CAPTIONS[DIFFERENCES], "seeds": CAPTIONS[SEEDS]},
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
    parts = [f"# {len(comparison.runs)} runs compared\n", *(f"{for_markdown(t)}\n" for t in comparison.headlines)]
    for title, (header, rows) in _tables(comparison).items():
        if rows:
            parts += [f"## {title}\n", markdown_table(header, rows, TEXT_COLUMNS[title](header))]
            parts += [f"{for_markdown(CAPTIONS[title])}\n"] if title in CAPTIONS else []
        if title == DIFFERENCES and comparison.notes:
            parts += ["".join(f"- {for_markdown(note)}\n" for note in comparison.notes)]
    parts += ["## Kinds of errors\n"]
    for benchmark in comparison.benchmarks:
        parts += [f"### {for_markdown(benchmark)}\n"] if len(comparison.benchmarks) > 1 else []
        parts += [markdown_table(*_taxonomy(comparison, benchmark).cells(), 1)]
    return "\n".join(parts)


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


def _intervals(comparison: Comparison, benchmark: str) -> dict[str, Any]:
    """The students' pass@1, and where their teacher and base student are on the same axis."""
    styles, rows = style_by_run(comparison.groups), []
    for i, (label, run) in enumerate(zip(comparison.labels, comparison.runs, strict=True)):
        row = run.table.row("student", benchmark)
        if row is not None:
            marks = marks_of(run, benchmark)
            rows.append(Measured(label, styles[i], row.pass_at_1, row.low, row.high, marks))
    svg = interval_chart(f"pass@1 of the students on {benchmark}", rows)
    return {"benchmark": benchmark, "svg": svg, "legend": _mark_legend([row.marks for row in rows])}


def _mark_legend(marks: list[Mapping[str, float]]) -> list[tuple[str, str]]:
    """The lines of the chart by name, with their value where it is the same for all runs."""
    found = []
    for style, name in (("teacher", "teacher"), ("base", "base student")):
        shares = {mark[style] for mark in marks if style in mark}
        if shares:
            found.append((f"{name} {percent(*shares)}" if len(shares) == 1 else name, f"mark {style}"))
    return found


def _charts(comparison: Comparison) -> list[dict[str, Any]]:
    """One chart for each curve. Losses of different methods are different quantities, so they share no chart."""
    same_method = len({run.method for run in comparison.runs}) == 1
    charts = []
    for name in CHARTED:
        if name == "loss" and not same_method:
            continue
        lines, legend = [], []
        for paint in painted(comparison.groups, comparison.labels):
            found = [s.points for i in paint.members if (s := series(comparison.runs[i].steps, name)) is not None]
            lines += [Line(paint.label, paint.style, points) for points in found]
            legend += [(paint.label, paint.style)] if found else []
        if lines:
            limits = (0.0, 1.0) if name == "beta" else None
            svg = line_chart(f"{name} by step", lines, limits, band=False)
            charts.append({"title": name, "legend": legend, "svg": svg})
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
    place = {label: i for i, label in enumerate(found.names)}
    bars: list[tuple[Painted, list[int]]] = []
    for paint in painted(comparison.groups, comparison.labels):
        columns = [place[label] for i in paint.members if (label := comparison.labels[i]) in place]
        bars += [(paint, columns)] if columns else []
    charted = {
        kind: [sum(counts[i] for i in columns) / len(columns) for _, columns in bars]
        for kind, counts in found.charted().items()
    }
    styles = [paint.style for paint, _ in bars]
    header, rows = found.cells()
    return {
        "benchmark": benchmark,
        "legend": [(paint.label, paint.style) for paint, _ in bars],
        "svg": bar_chart(f"errors of the students on {benchmark}", charted, styles) if found.counts else None,
        "table": {"header": header, "rows": rows},
        "means": any(len(columns) > 1 for _, columns in bars),
    }
