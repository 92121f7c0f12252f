"""A run directory as typed values. Reads files only; every file that is missing or broken is named in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from codedistill.errors import UserError
from codedistill.evaluation.summary import check_saved
from codedistill.report.folder import require_finished_run, require_summary_of_a_run
from codedistill.report.tables import ResultRow, ResultsTable, results_table
from codedistill.report.text import visible
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import numbered_rows


@dataclass(frozen=True)
class Step:
    """One optimiser step, which took `seconds` for `tokens`; None where there is no such quantity or it is not finite.

    `lr` is the learning rate, `grad_norm` the norm of the gradient before it was cut.
    """

    step: int
    loss: float | None = None
    forward_kl: float | None = None
    reverse_kl: float | None = None
    beta: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    tokens: float | None = None
    seconds: float | None = None

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.seconds if self.tokens is not None and self.seconds else None


@dataclass(frozen=True)
class Answer:
    """One model's program for one task, and its verdict."""

    task_id: str
    prompt: str
    solution: str
    passed: bool
    category: str
    message: str


@dataclass(frozen=True)
class Evaluated:
    """One model on one benchmark. By task, in the file's order: `answers` is the first sample, `verdicts` are all."""

    who: str
    benchmark: str
    sha256: str | None
    prompt_form: str | None
    template: str | None
    sandbox: str | None
    answers: Mapping[str, Answer]
    verdicts: Mapping[str, tuple[bool, ...]]

    @property
    def shares(self) -> dict[str, float]:
        """Share of passing samples by task."""
        return {task: sum(passed) / len(passed) for task, passed in self.verdicts.items()}


@dataclass(frozen=True)
class Run:
    """What a run directory holds. Where a file is missing, `recipe` and `environment` are None and `steps` is empty."""

    path: Path
    name: str
    method: str
    seconds: float | None
    summary: Mapping[str, Any]
    table: ResultsTable
    steps: tuple[Step, ...]
    recipe: Mapping[str, Any] | None
    environment: Mapping[str, Any] | None
    evaluations: tuple[Evaluated, ...]

    def evaluated(self, who: str, benchmark: str) -> Evaluated | None:
        """One model's results on one benchmark, if the run has them."""
        return next((e for e in self.evaluations if (e.who, e.benchmark) == (who, benchmark)), None)

    @property
    def peak_memory_mb(self) -> float | None:
        """Of training, if the run tells it."""
        value = _section(self.summary, "training").get("peak_memory_mb")
        return float(value) if isinstance(value, int | float) else None

    @property
    def finished(self) -> datetime | None:
        """When the run's evaluation was done, in UTC, if the run tells it."""
        try:
            return datetime.fromisoformat(str(self.summary.get("finished"))).astimezone(UTC)
        except ValueError:
            return None

    @property
    def training_seconds(self) -> float | None:
        """The sum of all steps' seconds, if the run tells them."""
        return sum(step.seconds or 0.0 for step in self.steps) if self.steps else None

    @property
    def seed(self) -> int | None:
        seed = _section(self.recipe, "training").get("seed", (self.recipe or {}).get("seed"))
        return seed if isinstance(seed, int) else None


def load_run(path: Path) -> Run:
    """Read a finished run.

    Raises:
        UserError: the folder holds no finished run, results of a model that summary.json lists are missing, a file is
            malformed, a summary's counts do not obey the identities of the taxonomy, or an evaluation's files are not
            of the evaluation that summary.json tells of.
    """
    require_finished_run(path)
    directory = RunDirectory(path)
    summary = _object(directory.summary)
    require_summary_of_a_run(summary, path)
    try:
        table = results_table(summary)
    except UserError as error:
        raise UserError(f"{directory.summary}: {error}") from None
    for number, row in enumerate(summary["models"]):
        _check_counts(row, f"{directory.summary}: models[{number}]")
    seconds = summary.get("seconds")
    return Run(
        path=path,
        name=str(summary.get("name") or path.name),
        method=str(summary.get("method") or "unknown"),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        summary=summary,
        table=table,
        steps=_steps(directory.metrics),
        recipe=_object(directory.recipe) if directory.recipe.exists() else None,
        environment=_object(directory.environment) if directory.environment.exists() else None,
        evaluations=tuple(
            _evaluated(directory, row, told.get("sha256"))
            for row, told in zip(table.rows, summary["models"], strict=True)
        ),
    )


def _object(path: Path) -> dict[str, Any]:
    """A JSON or YAML file that holds one mapping."""
    try:
        text = path.read_text(encoding="utf-8")
        value = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {error.lineno}: not valid JSON: {error.msg}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {getattr(error, 'problem', None) or 'cannot be parsed'}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a mapping of keys to values")
    return value


def _check_counts(row: Mapping[str, Any], where: str) -> None:
    try:
        check_saved(row)
    except ValueError as error:
        raise UserError(f"{where}: {error}; evaluate again, or put the file back as it was") from None


def _section(values: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    found = (values or {}).get(key)
    return found if isinstance(found, Mapping) else {}


def _steps(path: Path) -> tuple[Step, ...]:
    if not path.exists():
        return ()
    steps = []
    for number, row in numbered_rows(path):
        if not isinstance(row.get("step"), int):
            raise UserError(f"{path}: line {number}: step must be an integer")
        values = {key: _finite(row.get(key), f"{path}: line {number}: {key}") for key in _CURVES}
        steps.append(Step(step=row["step"], **values))
    return tuple(steps)


_CURVES = ("loss", "forward_kl", "reverse_kl", "beta", "lr", "grad_norm", "tokens", "seconds")


def _finite(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}: must be a number or null")
    return float(value) if math.isfinite(value) else None


def _evaluated(directory: RunDirectory, told: ResultRow, sha256: Any) -> Evaluated:
    """One evaluation's files. The run's summary tells of it `told`, and that the benchmark's data have this SHA-256."""
    folder = directory.evaluation(told.who, told.benchmark).path
    about = _object(folder / "summary.json") if (folder / "summary.json").exists() else {}
    _check_counts(about, str(folder / "summary.json"))
    samples = {}
    for number, row in numbered_rows(folder / "samples.jsonl"):
        samples[_key(row, f"{folder / 'samples.jsonl'}: line {number}")] = row
    answers: dict[str, Answer] = {}
    passed: dict[str, list[bool]] = {}
    for number, row in numbered_rows(folder / "results.jsonl"):
        where = f"{folder / 'results.jsonl'}: line {number}"
        key = _key(row, where)
        if not isinstance(row.get("passed"), bool):
            raise UserError(f"{where}: passed must be true or false")
        if key not in samples:
            raise UserError(f"{where}: samples.jsonl has no sample {key[1]} of {key[0]}")
        passed.setdefault(key[0], []).append(row["passed"])
        answers.setdefault(key[0], _answer(row, samples[key]))
    verdicts = [verdict for values in passed.values() for verdict in values]
    _require_same(folder / "results.jsonl", "programs", len(verdicts), told.samples or None, directory.summary)
    _require_same(folder / "results.jsonl", "correct programs", sum(verdicts), told.correct, directory.summary)
    _require_same(folder / "summary.json", "sha256", about.get("sha256"), sha256, directory.summary)
    return Evaluated(
        who=told.who,
        benchmark=told.benchmark,
        sha256=about.get("sha256"),
        prompt_form=about.get("prompt_form"),
        template=about.get("template"),
        sandbox=about.get("sandbox"),
        answers=answers,
        verdicts={task: tuple(values) for task, values in passed.items()},
    )


def _require_same(path: Path, what: str, found: Any, told: Any, summary: Path) -> None:
    """The tables are of the run's summary, the comparisons of the evaluations' files: both must be of one evaluation.

    Raises:
        UserError: both tell the quantity, and it is not the same.
    """
    if found is not None and told is not None and found != told:
        message = f"{what}: {visible(str(found))}, but {visible(str(told))} in {summary}"
        raise UserError(f"{path}: {message}; evaluate again, or put the file back as it was")


def _key(row: Mapping[str, Any], where: str) -> tuple[str, int]:
    task, sample = row.get("task_id"), row.get("sample", 0)
    if not isinstance(task, str) or not isinstance(sample, int):
        raise UserError(f"{where}: needs task_id as text and sample as an integer")
    return task, sample


def _answer(result: Mapping[str, Any], sample: Mapping[str, Any]) -> Answer:
    solution = sample.get("solution") if sample.get("solution") is not None else sample.get("completion")
    return Answer(
        task_id=result["task_id"],
        prompt=str(sample.get("prompt") or ""),
        solution=str(solution or ""),
        passed=result["passed"],
        category=str(result.get("category") or ("passed" if result["passed"] else "unclassified")),
        message=str(result.get("message") or ""),
    )
