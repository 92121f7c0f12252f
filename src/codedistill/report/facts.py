"""What a run was made with, and the files that it left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codedistill.report.load import Run
from codedistill.report.series import SETTINGS, held
from codedistill.report.text import duration, number
from codedistill.run_directory import RunDirectory

Fact = tuple[str, str]


def run_facts(run: Run) -> list[Fact]:
    """Method, seed, steps, time, and how the models were asked and their programs run."""
    training = run.summary.get("training")
    training = training if isinstance(training, Mapping) else {}
    facts: list[tuple[str, Any]] = [
        ("method", run.method),
        ("seed", run.seed),
        ("steps", training.get("steps") or (run.steps[-1].step if run.steps else None)),
        ("training examples", training.get("examples")),
        ("examples cut to fit", training.get("cut")),
        ("examples dropped", training.get("dropped")),
        *((name, _held(run, name)) for name in SETTINGS),
        ("training time", None if run.training_seconds is None else duration(run.training_seconds)),
        ("peak memory of training", None if run.peak_memory_mb is None else f"{run.peak_memory_mb:,.0f} MB"),
        ("whole run", None if run.seconds is None else duration(run.seconds)),
    ]
    for benchmark in run.table.benchmarks:
        found = next((e for e in run.evaluations if e.benchmark == benchmark), None)
        if found is not None:
            facts += [
                (f"{benchmark}: prompt", _joined(found.prompt_form, found.template)),
                (f"{benchmark}: sandbox", found.sandbox),
                (f"{benchmark}: SHA-256 of the data", found.sha256),
            ]
    return [(name, str(value)) for name, value in facts if value is not None and value != ""]


def _held(run: Run, name: str) -> str | None:
    """A setting that no step changes; where steps change it, there is a curve."""
    value = held(run.steps, name)
    return None if value is None else f"{number(value)} at every step"


def _joined(form: str | None, template: str | None) -> str:
    return ", ".join([*([form] if form else []), *([f"template {template}"] if template else [])])


def flat(values: Mapping[str, Any], prefix: str = "") -> list[Fact]:
    """Nested mappings as `a.b` and text; lists are joined by commas, nothing is `-`."""
    facts: list[Fact] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            facts += flat(value, f"{name}.") or [(name, "-")]
        elif isinstance(value, list):
            facts.append((name, ", ".join(map(str, value)) or "-"))
        else:
            facts.append((name, "-" if value is None else str(value)))
    return facts


def files(run: Run) -> list[str]:
    """Files and folders of the run that are there, relative to it, by the order in which they arise."""
    directory = RunDirectory(run.path)
    paths = [directory.recipe, directory.environment, directory.metrics, directory.model]
    for evaluated in run.evaluations:
        folder = directory.evaluation(evaluated.who, evaluated.benchmark)
        paths += [folder / "samples.jsonl", folder / "results.jsonl", folder / "summary.json"]
    paths += [directory.summary]
    return [_relative(path, run.path) for path in paths if path.exists()]


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() + ("/" if path.is_dir() else "")
