"""report.html: one file that loads nothing, whatever the models wrote into it.

Every value passes `visible` and Jinja2's escaping; the page's own policy forbids scripts and every load from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from codedistill.report import captions
from codedistill.report.facts import about, environment_facts, files, page_title, run_facts
from codedistill.report.load import Answer, Run, Step
from codedistill.report.paired import difference_table, differences
from codedistill.report.plots import Line, Measured, bar_chart, interval_chart, line_chart
from codedistill.report.samples import Shown, shown
from codedistill.report.series import curve_table, series
from codedistill.report.tables import NAMES, ResultsTable, headlines
from codedistill.report.taxonomy import taxonomy
from codedistill.report.text import clipped, visible

PROMPT_LIMIT, SOLUTION_LIMIT, MESSAGE_LIMIT = 3000, 4000, 500
"""Characters of a prompt, a program and a message that a page shows; the files have all of them."""

CHARTS = {
    "Loss": ("loss",),
    "Divergence from the teacher": ("forward KL", "reverse KL"),
    "beta": ("beta",),
    "Learning rate": ("learning rate",),
    "Gradient norm": ("gradient norm",),
    "Response tokens per second": ("tokens per second",),
}
"""Title of a chart and its curves; a chart without curves is left out."""

STYLES = {"forward KL": "forward", "reverse KL": "reverse", "beta": "beta"}
"""Classes of the style sheet; all other curves look like the loss's."""


def report_page(run: Run) -> str:
    """The page of one run."""
    return render("report.html.j2", report_values(run))


def report_values(run: Run) -> dict[str, Any]:
    """What the template shows of a run."""
    return {
        "title": run.name,
        "page_title": page_title(run),
        "about": about(run),
        "headlines": headlines(run.summary),
        "captions": {"results": captions.RESULTS, "paired": captions.PAIRED},
        "results": _results(run.table),
        "intervals": [interval_figure(run.table, benchmark) for benchmark in run.table.benchmarks],
        "paired": _table(difference_table(differences(run))),
        "charts": training_charts(run.steps),
        "curves": _table(curve_table(run.steps)),
        "steps_each": max((s.width for s in [series(run.steps, "loss")] if s), default=1),
        "errors": [_errors(run, benchmark) for benchmark in run.table.benchmarks],
        "samples": [_samples(run, benchmark) for benchmark in run.table.benchmarks],
        "facts": run_facts(run),
        "recipe": None if run.recipe is None else yaml.safe_dump(dict(run.recipe), sort_keys=False, allow_unicode=True),
        "environment": None if run.environment is None else environment_facts(run.environment),
        "files": [(name, quote(name)) for name in files(run)],
    }


def _results(table: ResultsTable) -> dict[str, Any] | None:
    """The table with what the model is at its end: on a narrow screen the numbers come first."""
    header, rows = table.cells()
    last = [i for i, name in enumerate(header) if name in ("parameters", "model")]
    order = [i for i in range(len(header)) if i not in last] + last[::-1]
    return _table(([header[i] for i in order], [[row[i] for i in order] for row in rows]))


def render(template: str, values: dict[str, Any]) -> str:
    """A template with these values; a value that it needs and does not get is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"words": _words, "code": _code}
    return environment.get_template(template).render(values)


def _words(text: str) -> Markup:
    """Text that a narrow screen breaks between its words, and never after a hyphen in one: run names stay whole."""
    return Markup(" ").join(Markup('<span class="word">{}</span>').format(visible(word)) for word in text.split(" "))


def _code(text: str) -> Markup:
    """A program or prompt: each line is an element that knows its indentation, and goes on further in when wrapped."""
    line = Markup('<span class="line" style="--in: {}">{}\n</span>')
    lines = visible(text).removesuffix("\n").split("\n")
    return Markup("").join(line.format(_indentation(text), text) for text in lines)


def _indentation(line: str) -> int:
    """In characters, tabs counted as the style sheet shows them; a very deep one leaves room for the text."""
    spaces = line.expandtabs(4)
    return min(len(spaces) - len(spaces.lstrip(" ")), 16)


def _shown(value: Any) -> Any:
    """Everything that a template prints goes through here before it is escaped."""
    return value if isinstance(value, Markup) else visible(str(value))


def interval_figure(table: ResultsTable, benchmark: str) -> dict[str, Any]:
    rows = [Measured(row.name, style_of(row.who), row.pass_at_1, row.low, row.high) for row in table.of(benchmark)]
    svg = interval_chart(f"pass@1 on {benchmark} with 95% intervals", rows)
    return {"benchmark": benchmark, "svg": svg, "legend": []}


def style_of(who: str) -> str:
    """The class in the style sheet by which a model has the same colour everywhere."""
    return who if who in NAMES else "student"


def training_charts(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The curves that the method has, as titled charts with their legends."""
    charts = []
    for title, names in CHARTS.items():
        found = [s for s in (series(steps, name) for name in names) if s is not None]
        if found:
            lines = [Line(s.name, STYLES.get(s.name, "loss"), s.points) for s in found]
            limits = (0.0, 1.0) if names == ("beta",) else None
            legend = [(line.name, line.style) for line in lines] if len(lines) > 1 else []
            charts.append({"title": title, "legend": legend, "svg": line_chart(f"{title} by step", lines, limits)})
    return charts


def _table(cells: tuple[list[str], list[list[str]]]) -> dict[str, Any] | None:
    header, rows = cells
    return {"header": header, "rows": rows} if rows else None


def _errors(run: Run, benchmark: str) -> dict[str, Any]:
    rows = run.table.of(benchmark)
    found = taxonomy(rows, [row.name for row in rows])
    styles = [style_of(who) for who in found.who]
    header, cells = found.cells()
    chart = bar_chart(f"programs by kind of error on {benchmark}", found.charted(), styles) if found.counts else None
    return {
        "benchmark": benchmark,
        "legend": list(zip(found.names, styles, strict=True)),
        "svg": chart,
        "table": {"header": header, "rows": cells},
    }


def _samples(run: Run, benchmark: str) -> dict[str, Any]:
    return {"benchmark": benchmark, "tasks": [_task(item) for item in shown(run, benchmark)]}


def _task(item: Shown) -> dict[str, Any]:
    return {
        "id": item.task_id,
        "why": item.why,
        "how_many": item.how_many,
        "prompt": clipped(item.prompt, PROMPT_LIMIT),
        "answers": [_answer(who, answer, item.verdicts[who]) for who, answer in item.answers.items()],
    }


def _answer(who: str, answer: Answer, verdicts: tuple[bool, ...]) -> dict[str, Any]:
    return {
        "name": NAMES.get(who, who),
        "style": style_of(who),
        "passed": answer.passed,
        "category": answer.category,
        "message": clipped(answer.message, MESSAGE_LIMIT),
        "solution": clipped(answer.solution.strip("\n"), SOLUTION_LIMIT),
        "samples": f"{sum(verdicts)} of {len(verdicts)} samples pass" if len(verdicts) > 1 else None,
    }
