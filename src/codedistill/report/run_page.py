"""The page of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

import yaml

from codedistill.report.blocks import Block, Chart, Code, Facts, Grid, Heading, Links, Page, Section, Text
from codedistill.report.curves import curve, curve_table, training_charts
from codedistill.report.differences import difference_table, differences
from codedistill.report.error_kinds import Bars, error_grid
from codedistill.report.facts import about, environment_facts, files, run_facts, tab_title
from codedistill.report.headlines import run_headlines
from codedistill.report.load import Run
from codedistill.report.plots import Measured, interval_chart
from codedistill.report.results import style_of
from codedistill.report.shown_tasks import shown_tasks

ABOUT_RESULTS = (
    "pass@1 is the share of tasks that a model solves: its program passes all checks. pass@k, for a larger k, counts "
    "a task as solved if one of k programs is correct; base pass@1 uses EvalPlus's base inputs alone. Accuracy loss is "
    "the share of the teacher's pass@1 that is lost: 40% next to a teacher's 80% is a loss of 50%. A program is "
    "complete if it runs to the end of the checks, even if its answers are wrong; it is correct if they are right."
)

ABOUT_PAIRS = (
    "Two models on the same tasks. The difference is in pass@1, with its bootstrap interval. Better and worse count "
    "the tasks on which the first of the two does better or worse. p is from McNemar's exact test, or from the sign "
    "test if tasks have several samples."
)


def run_page(run: Run) -> Page:
    """The page. A new table or chart is one more block in one of these sections."""
    pairs = differences(run)
    opening = [Text(about(run), "about")]
    opening += [Text(text, "headline") for text in run_headlines(run.method, run.table, pairs)]
    compared = difference_table(pairs, len(run.table.benchmarks) > 1)
    results = run.table.table().with_last("parameters", "model")
    sections = [
        Section("results", "Results", _or(results.rows, "No model was evaluated.", lambda: [
            results, Text(ABOUT_RESULTS, "note"), Grid(tuple(_intervals(run, name) for name in run.table.benchmarks)),
        ])),
        Section("paired", "Task by task", _or(
            compared.rows, "There is no second model to compare the student with.",
            lambda: [compared, Text(ABOUT_PAIRS, "note")],
        )),
        Section("curves", "Training", _training(run)),
        Section("errors", "Kinds of errors", _for_each_benchmark(run, lambda name: [_errors(run, name)])),
        Section("samples", "Samples", _for_each_benchmark(
            run, lambda name: shown_tasks(run, name) or [Text("No task was asked of all models.")]
        )),
        Section("recipe", "Recipe", (Facts(tuple(run_facts(run))), _recipe(run))),
        Section("environment", "Environment", (
            Text("There is no environment.json.") if run.environment is None
            else Facts(tuple(environment_facts(run.environment))),
        )),
        Section("files", "Files", (Links(tuple((name, quote(name)) for name in files(run))),)),
    ]  # fmt: skip
    return Page(run.name, tab_title(run), tuple(opening), tuple(sections))


def _or(known: object, otherwise: str, blocks: Callable[[], Sequence[Block]]) -> tuple[Block, ...]:
    """The blocks, or a sentence if there is nothing to show."""
    return tuple(blocks()) if known else (Text(otherwise),)


def _for_each_benchmark(run: Run, blocks: Callable[[str], Sequence[Block]]) -> tuple[Block, ...]:
    """The blocks of each benchmark, under its name if there are several."""
    found: list[Block] = []
    for name in run.table.benchmarks:
        found += [Heading(name)] if len(run.table.benchmarks) > 1 else []
        found += blocks(name)
    return tuple(found)


def _intervals(run: Run, benchmark: str) -> Chart:
    rows = [Measured(row.name, style_of(row.who), row.pass_at_1, *row.interval) for row in run.table.of(benchmark)]
    return Chart(f"pass@1 on {benchmark}", interval_chart(f"pass@1 on {benchmark} with 95% intervals", rows))


def _training(run: Run) -> tuple[Block, ...]:
    charts = training_charts(run.steps)
    if not charts:
        return (Text("This run has no metrics."),)
    width = loss.width if (loss := curve(run.steps, "loss")) else 1
    band = f"A point is the mean of {width} steps, and the band around it is their range." if width > 1 else ""
    return (Grid(tuple(charts), note=band), curve_table(run.steps))


def _errors(run: Run, benchmark: str) -> Grid:
    rows = run.table.of(benchmark)
    bars = [Bars(row.name, style_of(row.who), (row,)) for row in rows]
    return error_grid({row.name: row for row in rows}, bars, benchmark, f"programs by kind of error on {benchmark}")


def _recipe(run: Run) -> Block:
    if run.recipe is None:
        return Text("There is no recipe.yaml.")
    text = yaml.safe_dump(dict(run.recipe), sort_keys=False, allow_unicode=True)
    return Code(text, "yaml", "Resolved recipe: every value that was used", folded=True)
