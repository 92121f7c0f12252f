"""The results of a run: one row for each model and benchmark, as values and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from codedistill.errors import UserError
from codedistill.report.blocks import Column, Table, table_of
from codedistill.report.text import count, interval, percent
from codedistill.runs.files import load
from codedistill.runs.schema import EvaluationSummary, ModelSummary

NAMES = {"teacher": "teacher", "base": "base student", "student": "distilled student"}


def style_of(who: str) -> str:
    """The class of the style sheet that gives a model the same color everywhere."""
    return who if who in NAMES else "student"


class TableRow(EvaluationSummary):
    """One model on one benchmark. `accuracy_loss` is in percent of the teacher's pass@1, None if that is unknown."""

    who: str = "model"
    accuracy_loss: float | None = None

    @property
    def name(self) -> str:
        return NAMES.get(self.who, self.who)

    @property
    def correct_of_complete(self) -> float | None:
        """Share of correct programs among the complete ones; None if no program is complete."""
        return self.correct / self.complete if self.complete else None

    def to_json(self) -> dict[str, Any]:
        """The values under the names that they have in a summary."""
        names = ("who", "model", "parameters", "benchmark", "tasks", "samples", "accuracy_loss")
        counts = ("complete", "correct", "categories", "benchmark_tasks")
        return {
            **{name: getattr(self, name) for name in (*names, *counts)},
            **{"pass@1": self.pass_at_1, **self.more_pass_at},
            **{"interval": list(self.interval), "correct_of_complete": self.correct_of_complete},
        }


@dataclass(frozen=True)
class ResultsTable:
    """Rows in the summary's order: by model, then by benchmark."""

    rows: tuple[TableRow, ...]

    @classmethod
    def of_models(cls, models: Iterable[ModelSummary]) -> ResultsTable:
        """The table of a run's models."""
        return cls(tuple(TableRow.model_validate(dict(model)) for model in models))

    @property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.benchmark for row in self.rows))

    def row(self, who: str, benchmark: str) -> TableRow | None:
        return next((row for row in self.of(benchmark) if row.who == who), None)

    def of(self, benchmark: str) -> tuple[TableRow, ...]:
        return tuple(row for row in self.rows if row.benchmark == benchmark)

    def to_json(self) -> dict[str, Any]:
        return {"models": [row.to_json() for row in self.rows]}

    def table(self) -> Table:
        """The table of a page and of the terminal. The number of tasks is shown only if a benchmark was cut short."""
        partial = any(row.tasks < (row.benchmark_tasks or 0) for row in self.rows)
        more = list(dict.fromkeys(key for row in self.rows for key in row.more_pass_at))

        def tasks(row: TableRow) -> str | None:
            return f"{row.tasks} of {row.benchmark_tasks}" if partial and row.benchmark_tasks is not None else None

        def share(key: str) -> Column[TableRow]:
            return Column(key.replace("_", " "), lambda row: known(row.more_pass_at.get(key), "{:.1%}"), spare=3)

        columns: list[Column[TableRow]] = [
            Column("", lambda row: row.name, "text"),
            Column("model", lambda row: row.model, "path", spare=9),
            Column("benchmark", lambda row: row.benchmark if len(self.benchmarks) > 1 else None, "text"),
            Column("parameters", lambda row: None if row.parameters is None else count(row.parameters), spare=7),
            Column("tasks", tasks, spare=4),
            Column("pass@1", lambda row: percent(row.pass_at_1)),
            Column("95% interval", lambda row: interval(*row.interval), spare=1),
            *map(share, more),
            Column("accuracy loss", lambda row: known(row.accuracy_loss, "{:.1f}%"), spare=2),
            Column("complete", lambda row: f"{row.complete} of {row.samples}", spare=5),
            Column("correct", lambda row: str(row.correct), spare=6),
            Column("correct/complete", lambda row: known(row.correct_of_complete, "{:.1%}"), spare=8),
        ]
        return table_of("results", columns, self.rows)


def known(value: float | None, form: str) -> str | None:
    """The value in a format string; None if it is unknown."""
    return None if value is None else form.format(value)


def results_table(summary: Mapping[str, Any]) -> ResultsTable:
    """The table of a summary's `models`.

    Raises:
        UserError: a row does not fit its schema; the message names the row and the key.
    """
    models = summary.get("models")
    if not isinstance(models, list):
        raise UserError("models: must be a list of results")
    return ResultsTable(tuple(load(TableRow, row, f"models[{i}]") for i, row in enumerate(models)))
