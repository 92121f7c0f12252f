"""The page of several runs side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from codedistill.report.blocks import (
    Block,
    Chart,
    Column,
    Grid,
    Heading,
    Links,
    Page,
    Section,
    Table,
    Text,
    plain_table,
    table_of,
)
from codedistill.report.comparison import Comparison
from codedistill.report.curves import curve
from codedistill.report.differences import difference_table
from codedistill.report.error_kinds import Bars, error_grid
from codedistill.report.facts import flat
from codedistill.report.load import Run
from codedistill.report.plots import Line, Measured, interval_chart, line_chart
from codedistill.report.recipes import OWN_KEYS, Recipe, RecipeResult
from codedistill.report.results import known
from codedistill.report.text import duration, interval, percent, points, signed_interval

CHARTED = ("loss", "forward KL", "reverse KL", "beta")
"""Curves that are drawn for all runs together."""

STYLES = 10
"""Classes run0 to run9 of the style sheet; after them the colors repeat, dashed and pale."""

TERMINAL = ("results", "paired", "seeds")
"""The sections whose tables are also printed on a terminal."""

ABOUT_PAIRS = (
    "Each row compares two students on the tasks that both were asked: a run with the run of the first recipe that has "
    "the same seed. The difference is in pass@1, with its bootstrap interval. Better and worse count the tasks on "
    "which the first of the two does better or worse. p is from McNemar's exact test, or from the sign test if tasks "
    "have several samples. p (Holm) is corrected for the number of recipes and benchmarks, separately for each seed, "
    "since another seed repeats the same question."
)

ABOUT_SEEDS = (
    "One row for each recipe that was run with several seeds, over the tasks that all students were asked, or else "
    "those that its own students were asked. Mean, standard deviation (deviation) and range are of pass@1, and the "
    "accuracy loss is that of the mean. The difference is between "
    "two means, in points of pass@1. Its interval covers both other seeds and other tasks. With two or three seeds it "
    "is wide, since so few runs say little about how much seeds matter. Training time and peak memory are means."
)

NO_PAIRS = "No two students were asked the same tasks."

ABOUT_BARS = "A bar is the mean over the runs of its recipe; the table shows each run."


def comparison_page(comparison: Comparison, folder: Path | None = None) -> Page:
    """The page; `folder` is where it will be written, for links to the runs' own reports."""
    count = f"{len(comparison.runs)} runs compared"
    styles = [(recipe, style(i)) for i, recipe in enumerate(drawn(comparison))]
    training = _charts(comparison, styles)
    differing = differing_values(drawn(comparison))
    several = len(comparison.results) > 1
    pairs = difference_table(comparison.differences, several)
    seeds = seed_table(comparison.repeated, several)
    remarks = [Text(text, "remark") for text in comparison.remarks]
    sections = [
        Section("results", "Results", (results_table(comparison), _intervals(comparison, styles))),
        Section(
            "paired",
            "Task by task",
            (*([pairs, Text(ABOUT_PAIRS, "note")] if pairs.rows else [Text(NO_PAIRS)]), *remarks),
        ),
        Section("seeds", "Over seeds", (seeds, Text(ABOUT_SEEDS, "note")) if seeds.rows else ()),
        Section("curves", "Training", (Grid(training) if training else Text("These runs have no curves in common."),)),
        Section("errors", "Kinds of errors of the students", tuple(_errors(comparison, styles))),
        Section("recipe", "Differences between the recipes", (differing,) if differing.rows else ()),
        Section("files", "Reports of the runs", tuple(_reports(comparison.runs, folder))),
    ]
    tab = f"{count}: {', '.join(recipe.label for recipe in comparison.recipes)}"
    return Page(count, tab, tuple(Text(text, "headline") for text in comparison.headlines), tuple(sections))


def drawn(comparison: Comparison) -> Sequence[Recipe]:
    """What has a color and a column of its own: each recipe, or each run if all are of one recipe."""
    if len(comparison.recipes) > 1:
        return comparison.recipes
    return [Recipe(run.name, (run,)) for run in comparison.recipes[0].runs]


def style(number: int) -> str:
    """Classes of the style sheet; the first twenty are all different."""
    return f"run{number % STYLES}{' again' if number // STYLES % 2 else ''}"


def results_table(comparison: Comparison) -> Table:
    """One row for each run and benchmark: the student with its interval, and the models around it."""
    several = len(comparison.results) > 1

    def share(who: str, run: Run, benchmark: str) -> str | None:
        row = run.table.row(who, benchmark)
        return None if row is None else percent(row.pass_at_1)

    def student(run: Run, benchmark: str) -> tuple[str | None, str | None]:
        row = run.table.row("student", benchmark)
        return (None, None) if row is None else (interval(*row.interval), known(row.accuracy_loss, "{:.1f}%"))

    columns: list[Column[tuple[Run, str]]] = [
        Column("run", lambda at: at[0].name, "text"),
        Column("method", lambda at: at[0].method, "text", spare=7),
        Column("benchmark", lambda at: at[1] if several else None, "text"),
        Column("seed", lambda at: known(at[0].seed, "{}"), spare=4),
        Column("teacher", lambda at: share("teacher", *at), spare=5),
        Column("base", lambda at: share("base", *at), spare=6),
        Column("student", lambda at: share("student", *at)),
        Column("95% interval", lambda at: student(*at)[0], spare=1),
        Column("accuracy loss", lambda at: student(*at)[1], spare=2),
    ]
    pairs = [(run, b.benchmark) for b in comparison.results for run in comparison.runs]
    return table_of("results", columns, [(run, name) for run, name in pairs if name in run.table.benchmarks])


def seed_table(repeated: Sequence[RecipeResult], benchmarks: bool) -> Table:
    """The recipes that were run with several seeds; `benchmarks` says whether the benchmark is named."""
    first = repeated[0].label if repeated else ""
    columns: list[Column[RecipeResult]] = [
        Column("recipe", lambda r: r.label, "text"),
        Column("benchmark", lambda r: r.benchmark if benchmarks else None, "text"),
        Column("runs", lambda r: str(len(r.runs)), spare=5),
        Column("seeds", lambda r: ", ".join("-" if run.seed is None else str(run.seed) for run in r.runs), spare=3),
        Column("mean", lambda r: percent(r.mean)),
        Column("deviation", lambda r: f"{r.deviation * 100:.1f} points", spare=4),
        Column("range", lambda r: interval(min(r.pass_at_1), max(r.pass_at_1)), spare=6),
        Column("accuracy loss", lambda r: known(r.accuracy_loss, "{:.1f}%"), spare=2),
        Column(f"difference to {first}", lambda r: points(r.difference.difference) if r.difference else None),
        Column("95% interval", lambda r: signed_interval(*r.difference.interval) if r.difference else None, spare=1),
        Column("training", lambda r: None if r.seconds is None else duration(r.seconds), spare=7),
        Column("peak memory", lambda r: known(r.peak_memory_mb, "{:,.0f} MB"), spare=8),
    ]
    return table_of("means over seeds", columns, repeated)


def differing_values(recipes: Sequence[Recipe]) -> Table:
    """The values of the recipe files that are not the same everywhere; no rows if a run has no recipe file."""
    files = {run.name: dict(flat(run.recipe)) for one in recipes for run in one.runs if run.recipe is not None}
    keys = dict.fromkeys(key for values in files.values() for key in values if key not in OWN_KEYS)
    rows = []
    if len(files) == sum(len(recipe.runs) for recipe in recipes):
        for key in keys:
            found = [dict.fromkeys(files[run.name].get(key, "-") for run in recipe.runs) for recipe in recipes]
            cells = [", ".join(values) for values in found]  # only the seed has several values in a recipe
            rows += [[key, *cells]] if len(set(cells)) > 1 else []
    header = ["", *(recipe.label for recipe in recipes)]
    return plain_table("differences between the recipes", header, rows, texts=len(header))


Styles = Sequence[tuple[Recipe, str]]


def _intervals(comparison: Comparison, styles: Styles) -> Grid:
    """The students' pass@1, with the teacher and the base student as lines on the same axis."""
    by_run, charts = {run.name: name for recipe, name in styles for run in recipe.runs}, []
    for benchmark in (result.benchmark for result in comparison.results):
        rows = []
        for run in comparison.runs:
            shares = {row.who: row.pass_at_1 for row in run.table.of(benchmark) if row.who in ("teacher", "base")}
            if (row := run.table.row("student", benchmark)) is not None:
                rows.append(Measured(run.name, by_run[run.name], row.pass_at_1, *row.interval, shares))
        svg = interval_chart(f"pass@1 of the students on {benchmark}", rows)
        charts.append(Chart(f"pass@1 on {benchmark}", svg, tuple(_mark_legend([row.marks for row in rows]))))
    return Grid(tuple(charts))


def _mark_legend(marks: Sequence[Mapping[str, float]]) -> list[tuple[str, str]]:
    """The lines of the chart by name, with their value if it is the same for all runs."""
    found = []
    for who, name in (("teacher", "teacher"), ("base", "base student")):
        shares = {mark[who] for mark in marks if who in mark}
        if shares:
            found.append((f"{name} {percent(*shares)}" if len(shares) == 1 else name, f"mark {who}"))
    return found


def _charts(comparison: Comparison, styles: Styles) -> tuple[Chart, ...]:
    """One chart for each curve. Losses of different methods are different quantities, so they share no chart."""
    same_method = len({run.method for run in comparison.runs}) == 1
    charts = []
    for name in CHARTED if same_method else CHARTED[1:]:
        lines, legend = [], []
        for recipe, class_name in styles:
            found = [c.points for run in recipe.runs if (c := curve(run.steps, name)) is not None]
            lines += [Line(recipe.label, class_name, points) for points in found]
            legend += [(recipe.label, class_name)] if found else []
        if lines:
            svg = line_chart(f"{name} by step", lines, (0.0, 1.0) if name == "beta" else None, band=False)
            charts.append(Chart(name, svg, tuple(legend)))
    return tuple(charts)


def _errors(comparison: Comparison, styles: Styles) -> list[Block]:
    blocks: list[Block] = []
    for benchmark in (result.benchmark for result in comparison.results):
        rows = [(run.name, run.table.row("student", benchmark)) for run in comparison.runs]
        columns = {name: row for name, row in rows if row is not None}
        bars = [
            Bars(recipe.label, name, found)
            for recipe, name in styles
            if (found := tuple(columns[run.name] for run in recipe.runs if run.name in columns))
        ]
        blocks += [Heading(benchmark)] if len(comparison.results) > 1 else []
        note = ABOUT_BARS if any(len(bar.rows) > 1 for bar in bars) else ""
        blocks.append(error_grid(columns, bars, benchmark, f"errors of the students on {benchmark}", note))
    return blocks


def _reports(runs: Sequence[Run], folder: Path | None) -> list[Block]:
    paths = {run.name: run.path / "report.html" for run in runs}
    found = [
        (name, quote(Path(os.path.relpath(path, folder)).as_posix()))
        for name, path in paths.items()
        if folder is not None and path.exists()
    ]
    return [Links(tuple(found))] if found else []
