"""The results of a run as a typed table, and as text. Also the sentence that says what the run achieved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from codedistill.errors import UserError
from codedistill.report.text import count, for_markdown, interval, percent, points, visible

MISSING = "-"

FIRST_OUT = ("model", "correct/complete", "parameters", "correct", "complete", "tasks")
"""Columns that a narrow terminal does without, in this order: those that can be worked out from others go early."""

LAST_OUT = ("accuracy loss", "95% interval")
"""Columns that only a very narrow one does without, after all others but the names and pass@1."""

MORE = re.compile(r"(base_)?pass@[1-9][0-9]*")
"""A summary's keys of pass@k, and of the same on EvalPlus's base inputs alone."""

NAMES = {"teacher": "teacher", "base": "base student", "student": "distilled student"}


@dataclass(frozen=True)
class ResultRow:
    """One model on one benchmark. `accuracy_loss` is in percent of the teacher's pass@1; None is unknown.

    `tasks` are those with samples, `benchmark_tasks` all that the benchmark has. `more` holds pass@k for other k, and
    the same on EvalPlus's base inputs, by the summary's key.
    """

    who: str
    model: str
    parameters: int | None
    benchmark: str
    tasks: int
    samples: int
    pass_at_1: float
    low: float | None
    high: float | None
    accuracy_loss: float | None
    complete: int | None
    correct: int | None
    categories: Mapping[str, int]
    benchmark_tasks: int | None = None
    more: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return NAMES.get(self.who, self.who)

    @property
    def correct_of_complete(self) -> float | None:
        """Share of the programs that run to their end which are right; None when none does."""
        return self.correct / self.complete if self.complete and self.correct is not None else None

    def to_json(self) -> dict[str, Any]:
        """The values by the names that they have in a summary."""
        values = asdict(self)
        low, high, more = values.pop("low"), values.pop("high"), values.pop("more")
        values |= {"pass@1": values.pop("pass_at_1"), **more, "interval": None if None in (low, high) else [low, high]}
        return values | {"correct_of_complete": self.correct_of_complete}


@dataclass(frozen=True)
class ResultsTable:
    """Rows in the summary's order: by model, then by benchmark."""

    rows: tuple[ResultRow, ...]

    @property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.benchmark for row in self.rows))

    def row(self, who: str, benchmark: str) -> ResultRow | None:
        return next((row for row in self.rows if (row.who, row.benchmark) == (who, benchmark)), None)

    def of(self, benchmark: str) -> tuple[ResultRow, ...]:
        return tuple(row for row in self.rows if row.benchmark == benchmark)

    def to_json(self) -> dict[str, Any]:
        return {"models": [row.to_json() for row in self.rows]}

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of text.

        Left out are columns that no row fills, the name of a single benchmark, and the tasks where all have samples.
        """
        more = list(dict.fromkeys(key for row in self.rows for key in row.more))
        header = ["", "model", "benchmark", "parameters", "tasks", "pass@1", "95% interval"]
        header += [*(key.replace("_", " ") for key in more), "accuracy loss", "complete", "correct", "correct/complete"]
        rows = [_cells(row, more) for row in self.rows]
        if all(row.tasks >= (row.benchmark_tasks or 0) for row in self.rows):
            header, rows = without("tasks", header, rows)
        for name in [name for i, name in enumerate(header) if not any(row[i] for row in rows)]:
            header, rows = without(name, header, rows)
        if len(self.benchmarks) < 2:
            header, rows = without("benchmark", header, rows)
        return header, [[cell or MISSING for cell in row] for row in rows]


def without(name: str, header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The table without a column."""
    kept = [i for i, column in enumerate(header) if column != name]
    return [header[i] for i in kept], [[row[i] for i in kept] for row in rows]


def results_table(summary: Mapping[str, Any]) -> ResultsTable:
    """The table of a summary's `models`.

    Raises:
        UserError: a row lacks its pass@1 or a value has the wrong type.
    """
    models = summary.get("models")
    if not isinstance(models, list) or not all(isinstance(row, Mapping) for row in models):
        raise UserError("models: must be a list of results")
    return ResultsTable(tuple(_row(row, f"models[{i}]") for i, row in enumerate(models)))


def headlines(summary: Mapping[str, Any]) -> list[str]:
    """One sentence a benchmark: from where to where the student went, and what that is of the teacher's accuracy."""
    table = results_table(summary)
    method = str(summary.get("method") or "run")
    several = len(table.benchmarks) > 1
    sentences = []
    for benchmark in table.benchmarks:
        text = _headline(summary, table, benchmark)
        if text:
            sentences.append(f"{method}{f' on {benchmark}' if several else ''}: {text}")
    return sentences


def markdown(table: ResultsTable) -> str:
    """The table in GitHub's markdown."""
    header, rows = table.cells()
    return markdown_table(header, rows, text_columns=sum(name in ("", "model", "benchmark") for name in header))


def markdown_table(header: list[str], rows: list[list[str]], text_columns: int) -> str:
    """A markdown table; the first `text_columns` columns are text, the others are aligned as numbers."""
    rule = [("---" if i < text_columns else "---:") for i in range(len(header))]
    body = [[for_markdown(cell) for cell in row] for row in rows]
    lines = [[for_markdown(cell) for cell in header], rule, *body]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def render_terminal(table: ResultsTable) -> str:
    """The table for a terminal, fitted to its width; the whole table where standard output is a file or a pipe."""
    from codedistill.report.terminal import render

    header, rows = table.cells()
    more = [name for name in header[::-1] if name not in ("", "benchmark", "pass@1", *FIRST_OUT, *LAST_OUT)]
    first_out = (*FIRST_OUT, *more, *LAST_OUT)
    return render(header, rows, sum(name in ("", "model", "benchmark") for name in header), first_out)


def _headline(summary: Mapping[str, Any], table: ResultsTable, benchmark: str) -> str | None:
    student, base = table.row("student", benchmark), table.row("base", benchmark)
    if student is None:
        return None
    of = f"of {student.tasks} tasks" if student.samples == student.tasks else f"pass@1 on {student.tasks} tasks"
    end = percent(student.pass_at_1)
    text = f"the student solves {end} {of}"
    if base is not None:
        text = f"the student went from {percent(base.pass_at_1)} to {end} {of}"
    pairs = summary.get("paired")
    paired = pairs.get(benchmark) if isinstance(pairs, Mapping) else None
    if base is not None and isinstance(paired, Mapping):
        text += f" ({_paired(paired)})"
    if student.accuracy_loss is not None:
        kept = 100 - student.accuracy_loss
        text += f", and {'keeps' if kept <= 100 else 'reaches'} {kept:.0f}% of the teacher's accuracy"
    return text


def _paired(paired: Mapping[str, Any]) -> str:
    try:
        low, high = (float(x) for x in paired["interval"])
        text = f"{points(float(paired['difference']))}, 95% interval {low * 100:.1f} to {high * 100:.1f}"
    except (KeyError, TypeError, ValueError):
        raise UserError("paired: needs difference and interval as numbers") from None
    return text + (", so this may be chance" if low <= 0 <= high else "")


def _cells(row: ResultRow, more: Sequence[str]) -> list[str]:
    return [
        visible(row.name),
        visible(row.model),
        visible(row.benchmark),
        count(row.parameters) if row.parameters is not None else "",
        "" if row.benchmark_tasks is None else f"{row.tasks} of {row.benchmark_tasks}",
        percent(row.pass_at_1),
        interval(row.low, row.high) if row.low is not None and row.high is not None else "",
        *(percent(row.more[key]) if key in row.more else "" for key in more),
        f"{row.accuracy_loss:.1f}%" if row.accuracy_loss is not None else "",
        f"{row.complete} of {row.samples}" if row.complete is not None else "",
        str(row.correct) if row.correct is not None else "",
        percent(row.correct_of_complete) if row.correct_of_complete is not None else "",
    ]


def _row(row: Mapping[str, Any], where: str) -> ResultRow:
    passed = _number(row, "pass@1", where)
    if passed is None:
        raise UserError(f"{where}: pass@1 is missing")
    ends = row.get("interval") or (None, None)
    categories = row.get("categories") or {}
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        raise UserError(f"{where}: interval must be two numbers")
    if not isinstance(categories, Mapping) or not all(isinstance(n, int) for n in categories.values()):
        raise UserError(f"{where}: categories must be counts by name")
    low, high = (_number({"interval": end}, "interval", where) for end in ends)
    samples = _integer(row, "samples", where) or 0
    return ResultRow(
        who=str(row.get("who") or "model"),
        model=str(row.get("model") or ""),
        parameters=_integer(row, "parameters", where),
        benchmark=str(row.get("benchmark") or ""),
        tasks=_integer(row, "tasks", where) or samples,
        samples=samples,
        pass_at_1=passed,
        low=low,
        high=high,
        accuracy_loss=_number(row, "accuracy_loss", where),
        complete=_integer(row, "complete", where),
        correct=_integer(row, "correct", where),
        categories={str(name): n for name, n in categories.items()},
        benchmark_tasks=_integer(row, "benchmark_tasks", where),
        more=_more(row, where),
    )


def _more(row: Mapping[str, Any], where: str) -> dict[str, float]:
    found = {key: _number(row, key, where) for key in row if MORE.fullmatch(str(key)) and key != "pass@1"}
    return {key: value for key, value in found.items() if value is not None}


def _number(row: Mapping[str, Any], key: str, where: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}: {key} must be a number")
    return float(value)


def _integer(row: Mapping[str, Any], key: str, where: str) -> int | None:
    value = _number(row, key, where)
    if value is not None and value != int(value):
        raise UserError(f"{where}: {key} must be an integer")
    return None if value is None else int(value)
