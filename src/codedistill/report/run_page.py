"""The page of one run: its results, its tasks, and the facts about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from codedistill.report.blocks import Answer, Block, Chart, Code, Facts, Grid, Links, Page, Section, ShownTask, Text
from codedistill.report.charts import (
    SETTINGS,
    constant_setting,
    curve_table,
    error_grid,
    steps_per_point,
    training_charts,
)
from codedistill.report.differences import Difference, chance, difference_table, differences, kept
from codedistill.report.load import ResultsTable, Run, load_run
from codedistill.report.plots import Measured, interval_chart
from codedistill.report.render import html, markdown, paragraph, terminal_table
from codedistill.report.text import UNKNOWN, clipped, count, duration, flat, known, number, percent, points
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import write_text

ABOUT_RESULTS = (
    "pass@1 is the share of tasks that a model solves: its program passes all checks. pass@k, for a larger k, counts "
    "a task as solved if one of k programs is correct; base pass@1 uses EvalPlus's base inputs alone. Accuracy loss is "
    "the share of the teacher's pass@1 that is lost: 40% next to a teacher's 80% is a loss of 50%. A program is "
    "complete if it runs to the end of the checks, even if its answers are wrong; it is correct if they are right."
)

ABOUT_PAIRS = (
    "Two models on the same tasks. The difference is in pass@1, with its bootstrap interval; there is none (-) if the "
    "difference is the same on every task. Better and worse count the tasks on which the first of the two does better "
    "or worse. p is from McNemar's exact test, or from the sign test if tasks have several samples."
)

SHOWN = 5

PROMPT_LIMIT, PROGRAM_LIMIT, MESSAGE_LIMIT = 3000, 4000, 500
"""Characters of a prompt, a program and a message that a page shows; the files have everything."""

KINDS = {
    "fixed": "the distilled student solves what the base student does not",
    "lost": "the distilled student fails where the teacher succeeds",
    "broken": "the distilled student fails where the base student succeeds",
    "fail": "every model fails",
    "pass": "every model passes",
    "beyond": "the distilled student solves what the teacher does not",
}
"""Kinds of tasks by which models solve them, in the order in which they are shown."""


ENVIRONMENT = {
    "python": "Python",
    "platform": "operating system",
    "processor": "processor",
    "cores": "processor cores",
    "memory_gib": "memory",
    "accelerators": "accelerators",
    "git": "git commit",
    "git.commit": "git commit",
    "git.changed": "changes since that commit",
    "fingerprints.data": "SHA-256 of the training data",
    "fingerprints.tokenizer": "SHA-256 of the tokenizer",
}
"""Names of environment.json's keys on a page. Other keys stay as they are, and packages have their own name."""

ABSENT = {"accelerators": "none", "git": "not in a repository"}
"""The meaning of a missing value; a package without one is not installed."""

Fact = tuple[str, str]


def write_report(run_directory: Path) -> Path:
    """Write report.html and report.md into a finished run's directory; returns the path of report.html.

    Raises:
        UserError: a file of the run is missing or malformed, or the page cannot be written.
    """
    run = load_run(Path(run_directory))
    page, path = run_page(run), RunDirectory(run.path).report
    write_text(path.with_suffix(".md"), markdown(page))
    write_text(path, html(page))
    return path


def render_terminal(table: ResultsTable) -> str:
    """The table of results and its remarks, fitted to a terminal; in full if standard output is a file or a pipe."""
    return "".join([terminal_table(table.table()), *map(paragraph, table.remarks)])


def run_page(run: Run) -> Page:
    """The page. A new table or chart is one more block in one of these sections."""
    benchmarks = run.table.benchmarks
    pairs = differences(run)
    tab, about = titles(run)
    opening = [Text(about, "about")]
    opening += [Text(text, "headline") for text in run_headlines(run.summary.method, run.table, pairs)]

    results: list[Block] = [Text("No model was evaluated.")]
    errors: list[Block] = []
    samples: list[Block] = []
    if benchmarks:
        table = run.table.table()
        last = ("parameters", "model")
        table = table.pick([*(name for name in table.header if name not in last), *last])
        results = [table, *(Text(remark, "remark") for remark in run.table.remarks), Text(ABOUT_RESULTS, "note")]
    intervals: list[Chart] = []
    for benchmark in benchmarks:
        rows = list(run.table.of(benchmark).values())
        measured = [Measured(row.name, row.who, row.pass_at_1, *row.interval) for row in rows]
        svg = interval_chart(f"pass@1 on {benchmark} with 95% intervals", measured)
        intervals.append(Chart(f"pass@1 on {benchmark}", svg))
        heading = [Text(benchmark, "heading")] if len(benchmarks) > 1 else []
        bars = [(row.name, row.who, [row]) for row in rows]
        title = f"programs by kind of error on {benchmark}"
        errors += [*heading, error_grid({row.name: row for row in rows}, bars, benchmark, title)]
        shown: list[Block] = [*shown_tasks(run, benchmark)]
        samples += [*heading, *(shown or [Text("The models share no task.")])]

    results += [Grid(tuple(intervals))] if intervals else []
    compared = difference_table(pairs, len(benchmarks) > 1)
    paired: list[Block] = [Text("There is no second model to compare the student with.")]
    if compared.rows:
        paired = [compared, Text(ABOUT_PAIRS, "note")]
    training: list[Block] = [Text("This run has no metrics.")]
    if charts := training_charts(run.steps):
        width = steps_per_point(run.steps)
        band = f"A point is the mean of {width} steps, and the band around it is their range." if width > 1 else ""
        training = [Grid(tuple(charts), note=band), curve_table(run.steps)]
    recipe: Block = Text("There is no recipe.yaml.")
    if run.recipe is not None:
        text = yaml.safe_dump(dict(run.recipe), sort_keys=False, allow_unicode=True)
        recipe = Code(text, "yaml", "Resolved recipe: every value that was used", folded=True)
    environment: Block = Text("There is no environment.json.")
    if run.environment is not None:
        environment = Facts(tuple(environment_facts(run.environment)))
    sections = (
        Section("results", "Results", tuple(results)),
        Section("paired", "Task by task", tuple(paired)),
        Section("curves", "Training", tuple(training)),
        Section("errors", "Kinds of errors", tuple(errors)),
        Section("samples", "Samples", tuple(samples)),
        Section("recipe", "Recipe", (Facts(tuple(run_facts(run))), recipe)),
        Section("environment", "Environment", (environment,)),
        Section("files", "Files", (Links(tuple((name, quote(name)) for name in files(run))),)),
    )
    return Page(run.name, tab, tuple(opening), sections)


def run_headlines(method: str, table: ResultsTable, differences: Sequence[Difference]) -> list[str]:
    """A sentence for each benchmark: the change from the base student, and the share of the teacher's accuracy kept."""
    sentences = []
    for benchmark in table.benchmarks:
        rows = table.of(benchmark)
        student, base = rows.get("student"), rows.get("base")
        if student is None:
            continue
        subject = f"{method} on {benchmark}" if len(table.benchmarks) > 1 else method
        end = percent(student.pass_at_1)
        of = f"of {student.tasks} tasks" if student.samples == student.tasks else f"pass@1 on {student.tasks} tasks"
        text = f"{subject}: the student solves {end} {of}"
        if base is not None:
            text = f"{subject}: the student went from {percent(base.pass_at_1)} to {end} {of}"
        change = next((d for d in differences if (d.second, d.benchmark) == ("base", benchmark)), None)
        if change is not None:
            text += f" ({points(change.paired.difference)}, {chance(change.paired)})"
        keeps = kept(student.accuracy_loss)
        sentences.append(f"{text}, and {keeps}." if keeps else f"{text}.")
    return sentences


def kind_of(passed: Mapping[str, bool]) -> str:
    """The kind of a task by who solves it; the student is compared with the base student and teacher if they exist."""
    student = passed.get("student", next(iter(passed.values())))
    base, teacher = passed.get("base", student), passed.get("teacher", student)
    if student:
        return "fixed" if not base else "beyond" if not teacher else "pass"
    return "broken" if base else "lost" if teacher else "fail"


def shown_tasks(run: Run, benchmark: str, limit: int = SHOWN) -> list[ShownTask]:
    """Up to `limit` tasks that all evaluated models share, with each model's program.

    Kinds take turns. Within a kind the benchmark's order decides, but a task whose category for the student was not
    shown yet goes first. The first sample decides, since it is the one that is shown.
    """
    models = {row.who: (row, run.evaluations[row.who, benchmark]) for row in run.table.of(benchmark).values()}
    if not models:
        return []
    _, main = models.get("student") or next(iter(models.values()))
    by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for task in main.samples:
        if all(task in model.samples for _, model in models.values()):
            by_kind[kind_of({who: model.results[task][0].passed for who, (_, model) in models.items()})].append(task)
    counts = {kind: len(tasks) for kind, tasks in by_kind.items()}
    chosen: list[tuple[str, str]] = []
    seen: set[str] = set()
    while len(chosen) < limit and any(by_kind.values()):
        for kind, left in by_kind.items():
            if left and len(chosen) < limit:
                task = next((t for t in left if main.results[t][0].category not in seen), left[0])
                left.remove(task)
                seen.add(main.results[task][0].category)
                chosen.append((task, kind))
    shown = []
    for task, kind in chosen:
        answers = []
        for row, model in models.values():
            results = model.results[task]
            passed = sum(result.passed for result in results)
            answers.append(
                Answer(
                    name=row.name,
                    style=row.who,
                    passed=results[0].passed,
                    verdict="passed" if results[0].passed else results[0].category,
                    remark=f"{passed} of {len(results)} samples pass" if len(results) > 1 else "",
                    message=clipped(results[0].message, MESSAGE_LIMIT),
                    program=clipped(model.samples[task].solution.strip("\n"), PROGRAM_LIMIT),
                )
            )
        note = "The only task of this kind." if counts[kind] == 1 else f"One of {counts[kind]} tasks of this kind."
        prompt = clipped(main.samples[task].prompt, PROMPT_LIMIT)
        shown.append(ShownTask(f"{task}: {KINDS[kind]}", note, prompt, tuple(answers)))
    return shown


def titles(run: Run) -> tuple[str, str]:
    """The title of a browser's tab, and the line below the page's title: method, models, seed, time and folder."""
    paths, sizes = [], []
    for who in ("teacher", "student"):
        spec = (run.recipe or {}).get(who)
        if isinstance(spec, Mapping) and spec.get("path") is not None:
            paths.append(str(spec["path"]))
            sizes.append(f"{'from' if who == 'teacher' else 'to'} {spec['path']}")
            parameters = [row.parameters for row in run.table.rows if row.who == who and row.parameters is not None]
            if parameters:
                sizes[-1] += f" ({count(parameters[0])} parameters)"
    tab = f"{run.name}: {run.summary.method}{', ' if paths else ''}{' to '.join(paths)}"
    seed = f", seed {run.seed}" if run.seed is not None else ""
    try:
        time = datetime.fromisoformat(run.summary.finished or "").astimezone(UTC)
        finished = f" Finished {time:%Y-%m-%d %H:%M} UTC."
    except ValueError:
        finished = ""
    return tab, f"{' '.join([run.summary.method, *sizes])}{seed}.{finished} Folder: {run.path}"


def run_facts(run: Run) -> list[Fact]:
    """Method, seed, steps and time, and the prompts and sandbox of each benchmark."""
    training, seconds = run.summary.training, run.summary.seconds
    settings = {name: constant_setting(run.steps, name) for name in SETTINGS}  # one that changes has a curve instead
    facts: list[tuple[str, Any]] = [
        ("method", run.summary.method),
        ("seed", run.seed),
        ("steps", training.steps if training else run.steps[-1].step if run.steps else None),
        ("training examples", training and training.examples),
        ("truncated examples", training and training.cut),
        ("dropped examples", training and training.dropped),
        ("unfinished responses", (training and training.unfinished) or None),
        *((name, None if value is None else f"{number(value)} at every step") for name, value in settings.items()),
        ("training time", None if run.training_seconds is None else duration(run.training_seconds)),
        ("peak memory of training", known(run.peak_memory_mb, "{:,.0f} MB")),
        ("whole run", None if seconds is None else duration(seconds)),
    ]
    for benchmark in run.table.benchmarks:
        found = next(e.summary for e in run.evaluations.values() if e.benchmark == benchmark)
        if found is not None:
            prompt = [found.prompt_form, found.template and f"template {found.template}"]
            facts += [
                (f"{benchmark}: prompt", ", ".join(filter(None, prompt))),
                (f"{benchmark}: sandbox", found.sandbox),
                (f"{benchmark}: isolation", found.isolation),
                (f"{benchmark}: programs with broken checks", found.without_verdict or None),
                (f"{benchmark}: inputs left out", found.inputs_left_out or None),
                (f"{benchmark}: SHA-256 of the data", found.sha256),
            ]
    return [(name, str(value)) for name, value in facts if value is not None and value != ""]


def environment_facts(environment: Mapping[str, Any]) -> list[Fact]:
    """environment.json in words."""
    facts = []
    for key, value in flat(environment):
        if value == UNKNOWN:
            value = "not installed" if key.startswith("packages.") else ABSENT.get(key, value)
        elif key == "memory_gib":
            value = f"{value} GiB"
        name = ENVIRONMENT.get(key, key.removeprefix("packages."))
        facts.append((name, {"True": "yes", "False": "no"}.get(value, value)))
    return facts


def files(run: Run) -> list[str]:
    """Files and folders of the run that exist, relative to it, in the order in which a run writes them."""
    directory = RunDirectory(run.path)
    paths = [directory.recipe, directory.environment, directory.metrics, directory.model]
    for evaluated in run.evaluations.values():
        folder = directory.evaluation(evaluated.who, evaluated.benchmark)
        paths += [folder.samples, folder.results, folder.summary]
    found = [path for path in (*paths, directory.summary) if path.exists()]
    return [path.relative_to(run.path).as_posix() + ("/" if path.is_dir() else "") for path in found]
