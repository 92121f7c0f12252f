"""A run directory as typed values, and its table of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codedistill.errors import UserError
from codedistill.evaluation import with_verdict
from codedistill.recipe.load import read_yaml
from codedistill.report.blocks import Column, Table
from codedistill.report.text import count, interval, known, percent, visible
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import load, parse_json, read_model, read_rows, read_text
from codedistill.runs.schema import EvaluationSummary, ModelSummary, ResultRow, RunSummary, SampleRow, StepMetrics

NAMES = {"teacher": "teacher", "base": "base student", "student": "distilled student"}


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


@dataclass(frozen=True)
class Evaluated:
    """One model on one benchmark.

    Attributes:
        summary: None if the file is missing.
        samples: the first sample of each task that has a verdict.
        results: the verdicts of all samples of each of these tasks, in the file's order.
        shares: the share of passing samples of each of these tasks.
    """

    who: str
    benchmark: str
    summary: EvaluationSummary | None
    samples: Mapping[str, SampleRow]
    results: Mapping[str, tuple[ResultRow, ...]]
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """The contents of a run directory.

    `recipe` and `environment` are None if the file is missing; `steps` is then empty. `evaluations` are by model and
    benchmark. `peak_memory_mb` is of training, `training_seconds` the sum of all steps.
    """

    path: Path
    name: str
    summary: RunSummary
    table: ResultsTable
    steps: tuple[StepMetrics, ...]
    recipe: Mapping[str, Any] | None
    environment: Mapping[str, Any] | None
    evaluations: Mapping[tuple[str, str], Evaluated]
    seed: int | None
    peak_memory_mb: float | None
    training_seconds: float | None


def results_table(summary: Mapping[str, Any]) -> ResultsTable:
    """The table of a summary's `models`.

    Raises:
        UserError: a row does not fit its schema; the message names the row and the key.
    """
    models = summary.get("models")
    if not isinstance(models, list):
        raise UserError("models: must be a list of results")
    return ResultsTable(tuple(load(TableRow, row, f"models[{i}]") for i, row in enumerate(models)))


def load_run(path: Path) -> Run:
    """Read a finished run.

    Raises:
        UserError: the folder holds no finished run, a file is missing or does not fit its schema, or an evaluation's
            files do not belong to the evaluation in summary.json.
    """
    directory = RunDirectory(path)
    _require_finished_run(directory)
    summary = read_model(directory.summary, RunSummary)
    steps = tuple(read_rows(directory.metrics, StepMetrics)) if directory.metrics.exists() else ()
    recipe = read_yaml(directory.recipe) if directory.recipe.exists() else None
    training = (recipe or {}).get("training")
    seed = training.get("seed") if isinstance(training, Mapping) else (recipe or {}).get("seed")
    return Run(
        path=path,
        name=summary.name,
        summary=summary,
        table=ResultsTable(tuple(TableRow.model_validate(dict(model)) for model in summary.models)),
        steps=steps,
        recipe=recipe,
        environment=_json(directory.environment) if directory.environment.exists() else None,
        evaluations={(model.who, model.benchmark): _evaluated(directory, model) for model in summary.models},
        seed=seed if isinstance(seed, int) else None,
        peak_memory_mb=summary.training.peak_memory_mb if summary.training else None,
        training_seconds=sum(step.seconds or 0.0 for step in steps) if steps else None,
    )


def _require_finished_run(directory: RunDirectory) -> None:
    """Raise UserError for a folder without a run's summary: it names the problem and the folder to give instead."""
    path = directory.path
    if not path.is_dir():
        raise UserError(f"{path}: no such run directory; give the folder that holds summary.json")
    if directory.summary.exists():
        values = _json(directory.summary)
        if "models" not in values and "pass@1" in values:
            raise UserError(f"{path}: is one evaluation, not a run; its results are in summary.json and results.jsonl")
        return
    if directory.holds_a_run:
        raise UserError(f"{directory.summary}: missing; the run is not finished, continue it with resume=auto")
    try:
        runs = sorted(below for below in path.iterdir() if RunDirectory(below).holds_a_run)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if runs:
        example = min(runs, key=lambda run: not RunDirectory(run).summary.exists())  # preferably a finished one
        raise UserError(f"{path}: is not a run directory but contains runs; give them, such as {example}")
    raise UserError(f"{path}: is not a run directory; give the folder that holds a run's recipe.yaml and summary.json")


def _json(path: Path) -> dict[str, Any]:
    """A JSON file that holds one object."""
    value = parse_json(read_text(path), str(path))
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a mapping of keys to values")
    return value


def _evaluated(directory: RunDirectory, model: ModelSummary) -> Evaluated:
    """Load one evaluation's files and check them against `model`, its entry in the run's summary."""
    files = directory.evaluation(model.who, model.benchmark)
    summary = read_model(files.summary, EvaluationSummary) if files.summary.exists() else None
    samples = {row.key: row for row in read_rows(files.samples, SampleRow)}
    rows = read_rows(files.results, ResultRow)
    for number, row in enumerate(rows, 1):
        if row.key not in samples:
            raise UserError(f"{files.results}: row {number}: samples.jsonl has no sample {row.sample} of {row.task_id}")
    results: dict[str, list[ResultRow]] = {}
    for row in with_verdict(rows):
        results.setdefault(row.task_id, []).append(row)
    verdicts = [row.passed for rows in results.values() for row in rows]
    for path, what, found, listed in (
        (files.results, "programs", len(verdicts), model.samples),
        (files.results, "correct programs", sum(verdicts), model.correct),
        (files.summary, "sha256", summary and summary.sha256, model.sha256),
    ):
        if found is not None and listed is not None and found != listed:
            message = f"{what}: {visible(str(found))}, but {visible(str(listed))} in {directory.summary}"
            raise UserError(f"{path}: {message}; evaluate again, or put the file back as it was")
    return Evaluated(
        who=model.who,
        benchmark=model.benchmark,
        summary=summary,
        samples={task: samples[rows[0].key] for task, rows in results.items()},
        results={task: tuple(rows) for task, rows in results.items()},
        shares={task: sum(row.passed for row in rows) / len(rows) for task, rows in results.items()},
    )
