"""Load a run directory as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codedistill.errors import UserError
from codedistill.evaluation import with_verdict
from codedistill.recipe.load import read_yaml
from codedistill.report.results import ResultsTable, TableRow
from codedistill.report.text import visible
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import parse_json, read_model, read_rows, read_text
from codedistill.runs.schema import EvaluationSummary, ModelSummary, ResultRow, RunSummary, SampleRow, StepMetrics


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

    @property
    def peak_memory_mb(self) -> float | None:
        return self.summary.training.peak_memory_mb if self.summary.training else None

    @property
    def training_seconds(self) -> float | None:
        return sum(step.seconds or 0.0 for step in self.steps) if self.steps else None

    @property
    def seed(self) -> int | None:
        training = (self.recipe or {}).get("training")
        seed = training.get("seed") if isinstance(training, Mapping) else (self.recipe or {}).get("seed")
        return seed if isinstance(seed, int) else None


def load_run(path: Path) -> Run:
    """Read a finished run.

    Raises:
        UserError: the folder holds no finished run, a file is missing or does not fit its schema, or an evaluation's
            files do not belong to the evaluation in summary.json.
    """
    directory = RunDirectory(path)
    _require_finished_run(directory)
    summary = read_model(directory.summary, RunSummary)
    return Run(
        path=path,
        name=summary.name,
        summary=summary,
        table=ResultsTable(tuple(TableRow.model_validate(dict(model)) for model in summary.models)),
        steps=tuple(read_rows(directory.metrics, StepMetrics)) if directory.metrics.exists() else (),
        recipe=read_yaml(directory.recipe) if directory.recipe.exists() else None,
        environment=_json(directory.environment) if directory.environment.exists() else None,
        evaluations={(model.who, model.benchmark): _evaluated(directory, model) for model in summary.models},
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
