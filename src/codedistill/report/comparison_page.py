"""The page of several runs side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from codedistill.report.blocks import Block, Chart, Column, Grid, Links, Page, Section, Table, Text
from codedistill.report.charts import curve, error_grid
from codedistill.report.comparison import Comparison
from codedistill.report.differences import difference_table, interval_of
from codedistill.report.load import NAMES, Run, TableRow
from codedistill.report.plots import Line, Measured, interval_chart, line_chart
from codedistill.report.recipes import OWN_KEYS, Recipe, RecipeResult
from codedistill.report.render import html, markdown, terminal
from codedistill.report.text import duration, flat, interval, known, percent, points, signed_interval
from codedistill.runs.files import write_json, write_text

CHARTED = ("loss", "forward KL", "reverse KL", "beta")
"""Curves that are drawn for all runs together."""

STYLES = 10
"""Classes run0 to run9 of the style sheet; after them the colors repeat, dashed and pale."""

TERMINAL = ("results", "paired", "seeds")
"""The sections whose tables are also printed on a terminal."""

ABOUT_PAIRS = (
    "Each row compares two students on their shared tasks: a run with the run of the first recipe that has "
    "the same seed. The difference is in pass@1, with its bootstrap interval; there is none (-) if the difference is "
    "the same on every task. Better and worse count the tasks on which the first of the two does better or worse. p is "
    "from McNemar's exact test, or from the sign test if tasks have several samples. p (Holm) is corrected for the "
    "number of recipes and benchmarks, separately for each seed, since another seed repeats the same question."
)

ABOUT_SEEDS = (
    "One row for each recipe that was run with several seeds, over the tasks that all students share, or else "
    "those that its own students share. Mean, standard deviation (deviation) and range are of pass@1, and the "
    "accuracy loss is that of the mean. The difference is between two means, in points of pass@1. Its interval covers "
    "both other seeds and other tasks. With two or three seeds it is wide, since so few runs say little about how much "
    "seeds matter. Training time and peak memory are means."
)

NO_PAIRS = "No two students share a task."

ABOUT_BARS = "A bar is the mean over the runs of its recipe; the table shows each run."


Styles = Sequence[tuple[Recipe, str]]
"""Recipes with their classes of the style sheet."""


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write comparison.html, comparison.md and comparison.json; returns the path of comparison.html.

    Raises:
        UserError: the folder cannot be written.
    """
    page, path = comparison_page(comparison, Path(folder)), Path(folder) / "comparison.html"
    write_json(path.with_suffix(".json"), comparison.to_json())
    write_text(path.with_suffix(".md"), markdown(page))
    write_text(path, html(page))
    return path


def render_comparison(comparison: Comparison) -> str:
    """The headlines, tables and remarks for a terminal; in full if standard output is a file or a pipe."""
    return terminal(comparison_page(comparison), TERMINAL)


def comparison_page(comparison: Comparison, folder: Path | None = None) -> Page:
    """The page; `folder` is where it will be written, for links to the runs' own reports."""
    count = f"{len(comparison.runs)} runs compared"
    recipes = drawn(comparison)
    styles = [(recipe, style(i)) for i, recipe in enumerate(recipes)]
    training, differing = _training(comparison, styles), differing_values(recipes)
    several = len(comparison.results) > 1
    pairs = difference_table(comparison.differences, several)
    seeds = seed_table(comparison.repeated, several)
    paired: list[Block] = [pairs, Text(ABOUT_PAIRS, "note")] if pairs.rows else [Text(NO_PAIRS)]
    paired += [Text(text, "remark") for text in comparison.remarks]
    reports = [(run.name, run.path / "report.html") for run in comparison.runs]
    links = [
        (name, quote(Path(os.path.relpath(path, folder)).as_posix()))
        for name, path in reports
        if folder is not None and path.exists()
    ]
    sections = (
        Section("results", "Results", (results_table(comparison), _intervals(comparison, styles))),
        Section("paired", "Task by task", tuple(paired)),
        Section("seeds", "Over seeds", (seeds, Text(ABOUT_SEEDS, "note")) if seeds.rows else ()),
        Section("curves", "Training", (Grid(training) if training else Text("These runs have no curves in common."),)),
        Section("errors", "Kinds of errors of the students", tuple(_errors(comparison, styles))),
        Section("recipe", "Differences between the recipes", (differing,) if differing.rows else ()),
        Section("files", "Reports of the runs", (Links(tuple(links)),) if links else ()),
    )
    tab = f"{count}: {', '.join(recipe.label for recipe in comparison.recipes)}"
    return Page(count, tab, tuple(Text(text, "headline") for text in comparison.headlines), sections)


def drawn(comparison: Comparison) -> Sequence[Recipe]:
    """The recipes, which have a color and a column each; or the single runs if all are of one recipe."""
    if len(comparison.recipes) > 1:
        return comparison.recipes
    return [Recipe(run.name, (run,)) for run in comparison.recipes[0].runs]


def style(number: int) -> str:
    """Classes of the style sheet; the first twenty are all different."""
    return f"run{number % STYLES}{' again' if number // STYLES % 2 else ''}"


def results_table(comparison: Comparison) -> Table:
    """One row for each run and benchmark: the student with its interval, and the models around it."""
    Item = tuple[Run, str, dict[str, TableRow]]

    def of(who: str, text: Callable[[TableRow], str | None]) -> Callable[[Item], str | None]:
        return lambda item: text(item[2][who]) if who in item[2] else None

    columns: list[Column[Item]] = [
        Column("run", lambda item: item[0].name, "text"),
        Column("method", lambda item: item[0].summary.method, "text", spare=7),
        Column("benchmark", lambda item: item[1] if len(comparison.results) > 1 else None, "text"),
        Column("seed", lambda item: known(item[0].seed, "{}"), spare=4),
        Column("teacher", of("teacher", lambda row: percent(row.pass_at_1)), spare=5),
        Column("base", of("base", lambda row: percent(row.pass_at_1)), spare=6),
        Column("student", of("student", lambda row: percent(row.pass_at_1))),
        Column("95% interval", of("student", lambda row: interval(*row.interval)), spare=1),
        Column("accuracy loss", of("student", lambda row: known(row.accuracy_loss, "{:.1f}%")), spare=2),
    ]
    names = [result.benchmark for result in comparison.results]
    found = [(run, name, run.table.of(name)) for name in names for run in comparison.runs]
    return Table.of("results", columns, [item for item in found if item[2]])


def seed_table(repeated: Sequence[RecipeResult], benchmarks: bool) -> Table:
    """The recipes with several runs; `benchmarks` adds a column with the benchmark."""
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
        Column("95% interval", lambda r: signed_interval(interval_of(r.difference)) if r.difference else None, spare=1),
        Column("training", lambda r: None if r.seconds is None else duration(r.seconds), spare=7),
        Column("peak memory", lambda r: known(r.peak_memory_mb, "{:,.0f} MB"), spare=8),
    ]
    return Table.of("means over seeds", columns, repeated)


def differing_values(recipes: Sequence[Recipe]) -> Table:
    """The recipe keys whose values differ between the recipes; no rows if a run has no recipe file."""
    files = {run.name: dict(flat(run.recipe)) for one in recipes for run in one.runs if run.recipe is not None}
    keys = dict.fromkeys(key for values in files.values() for key in values if key not in OWN_KEYS)
    rows = []
    if len(files) == sum(len(recipe.runs) for recipe in recipes):
        for key in keys:
            found = [dict.fromkeys(files[run.name].get(key, "-") for run in recipe.runs) for recipe in recipes]
            cells = [", ".join(values) for values in found]  # only the seed has several values in a recipe
            rows += [[key, *cells]] if len(set(cells)) > 1 else []
    header = ["", *(recipe.label for recipe in recipes)]
    return Table.plain("differences between the recipes", header, rows, texts=len(header))


def _intervals(comparison: Comparison, styles: Styles) -> Grid:
    """The students' pass@1, with the teacher and the base student as lines on the same axis."""
    by_run, charts = {run.name: name for recipe, name in styles for run in recipe.runs}, []
    for benchmark in (result.benchmark for result in comparison.results):
        rows, legend = [], []
        for run in comparison.runs:
            found = run.table.of(benchmark)
            if (student := found.get("student")) is not None:
                marks = {who: row.pass_at_1 for who, row in found.items() if who != "student"}
                rows.append(Measured(run.name, by_run[run.name], student.pass_at_1, *student.interval, marks))
        for who in ("teacher", "base"):
            shares = {row.marks[who] for row in rows if who in row.marks}
            if shares:
                value = f" {percent(*shares)}" if len(shares) == 1 else ""
                legend.append((f"{NAMES[who]}{value}", f"mark {who}"))
        svg = interval_chart(f"pass@1 of the students on {benchmark}", rows)
        charts.append(Chart(f"pass@1 on {benchmark}", svg, tuple(legend)))
    return Grid(tuple(charts))


def _training(comparison: Comparison, styles: Styles) -> tuple[Chart, ...]:
    """One chart for each curve. Losses of different methods are different quantities, so they share no chart."""
    same_method = len({run.summary.method for run in comparison.runs}) == 1
    charts = []
    for name in CHARTED if same_method else CHARTED[1:]:
        lines, legend = [], []
        for recipe, class_name in styles:
            found = [points for run in recipe.runs if (points := curve(run.steps, name))]
            lines += [Line(recipe.label, class_name, points) for points in found]
            legend += [(recipe.label, class_name)] if found else []
        if lines:
            svg = line_chart(f"{name} by step", lines, (0.0, 1.0) if name == "beta" else None, band=False)
            charts.append(Chart(name, svg, tuple(legend)))
    return tuple(charts)


def _errors(comparison: Comparison, styles: Styles) -> list[Block]:
    """The kinds of errors on each benchmark, under its name if there are several."""
    blocks: list[Block] = []
    for benchmark in (result.benchmark for result in comparison.results):
        tables = {run.name: run.table.of(benchmark) for run in comparison.runs}
        columns = {name: rows["student"] for name, rows in tables.items() if "student" in rows}
        bars = [
            (recipe.label, name, found)
            for recipe, name in styles
            if (found := [columns[run.name] for run in recipe.runs if run.name in columns])
        ]
        blocks += [Text(benchmark, "heading")] if len(comparison.results) > 1 else []
        note = ABOUT_BARS if any(len(rows) > 1 for _, _, rows in bars) else ""
        blocks.append(error_grid(columns, bars, benchmark, f"errors of the students on {benchmark}", note))
    return blocks
