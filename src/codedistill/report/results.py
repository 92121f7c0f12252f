"""The results of a run: one row for each model and benchmark, as values and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codedistill.errors import UserError
from codedistill.report.blocks import Column, Table
from codedistill.report.text import count, interval, known, percent
from codedistill.runs.files import load
from codedistill.runs.schema import EvaluationSummary

NAMES = {"teacher": "teacher", "base": "base student", "student": "distilled student"}


class TableRow(EvaluationSummary):
    """One model on one benchmark. `accuracy_loss` is in percent of the teacher's pass@1, None if that is unknown."""

    who: str = "model"
    accuracy_loss: float | None = None

    @property
    def name(self) -> str:
        return NAMES.get(self.who, self.who)

    @property
    def style(self) -> str:
        """The class of the style sheet; a model has the same color in all charts."""
        return self.who if self.who in NAMES else "student"

    @property
    def correct_of_complete(self) -> float | None:
        """Share of correct programs among the complete ones; None if no program is complete."""
        return self.correct / self.complete if self.complete else None

    @property
    def remarks(self) -> list[str]:
        """Programs that the numbers leave out, and completions that were cut off."""
        found = []
        programs, cut_off = self.samples + self.without_verdict, self.truncated - self.context_full
        if self.without_verdict:
            found.append(
                f"{self.without_verdict} of {programs} programs have no verdict and are not counted, because the "
                f"checks of {self.tasks_without_verdict} tasks are broken"
            )
        if cut_off:
            found.append(
                f"{cut_off} of {programs} completions reached the token limit; raise evaluation.max_new_tokens"
            )
        if self.context_full:
            found.append(f"{self.context_full} of {programs} completions filled the model's context")
        return found

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

    @property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.benchmark for row in self.rows))

    def of(self, benchmark: str) -> dict[str, TableRow]:
        """The rows of a benchmark by model: "teacher", "base" and "student"."""
        return {row.who: row for row in self.rows if row.benchmark == benchmark}

    @property
    def remarks(self) -> list[str]:
        """The rows' remarks, each after the names of the models that it is about."""
        names: dict[str, list[str]] = {}
        for row in self.rows:
            where = f" on {row.benchmark}" if len(self.benchmarks) > 1 else ""
            for remark in row.remarks:
                names.setdefault(f"{where}: {remark}.", []).append(row.name)
        return [f"{', '.join(models)}{text}" for text, models in names.items()]

    def table(self) -> Table:
        """The table of a page and of the terminal. The number of tasks is shown only if a benchmark was cut short."""
        partial = any(row.tasks < (row.benchmark_tasks or 0) for row in self.rows)

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
            *map(share, dict.fromkeys(key for row in self.rows for key in row.more_pass_at)),
            Column("accuracy loss", lambda row: known(row.accuracy_loss, "{:.1f}%"), spare=2),
            Column("complete", lambda row: f"{row.complete} of {row.samples}", spare=5),
            Column("correct", lambda row: str(row.correct), spare=6),
            Column("correct/complete", lambda row: known(row.correct_of_complete, "{:.1%}"), spare=8),
        ]
        return Table.of("results", columns, self.rows)


def results_table(summary: Mapping[str, Any]) -> ResultsTable:
    """The table of a summary's `models`.

    Raises:
        UserError: a row does not fit its schema; the message names the row and the key.
    """
    models = summary.get("models")
    if not isinstance(models, list):
        raise UserError("models: must be a list of results")
    return ResultsTable(tuple(load(TableRow, row, f"models[{i}]") for i, row in enumerate(models)))
