"""What a run was made with, and the files that it left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codedistill.report.load import Run
from codedistill.report.series import SETTINGS, held
from codedistill.report.text import count, duration, number
from codedistill.runs.directory import RunDirectory

Fact = tuple[str, str]

NOTHING = "-"


def about(run: Run) -> str:
    """What was distilled into what, when and where: the line below a report's title."""
    from_to = f" from {_model(run, 'teacher')}" if _path(run, "teacher") else ""
    from_to += f" to {_model(run, 'student')}" if _path(run, "student") else ""
    seed = f", seed {run.seed}" if run.seed is not None else ""
    when = f" Finished {run.finished:%Y-%m-%d %H:%M} UTC." if run.finished else ""
    return f"{run.method}{from_to}{seed}.{when} Folder: {run.path}"


def page_title(run: Run) -> str:
    """The run's name, method and models, for the tab of a browser."""
    models = [path for who in ("teacher", "student") if (path := _path(run, who))]
    return f"{run.name}: {run.method}{', ' if models else ''}{' to '.join(models)}"


def _model(run: Run, who: str) -> str:
    """A model's path and its size, where the run was evaluated with it."""
    row = next((row for row in run.table.rows if row.who == who and row.parameters is not None), None)
    size = f" ({count(row.parameters)} parameters)" if row is not None and row.parameters is not None else ""
    return f"{_path(run, who)}{size}"


def _path(run: Run, who: str) -> str | None:
    """Of the teacher, or of the student before its training."""
    spec = (run.recipe or {}).get(who)
    path = spec.get("path") if isinstance(spec, Mapping) else None
    return None if path is None else str(path)


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
"""What the keys of environment.json are called on a page. Others keep their key, packages go by their name."""

ABSENT = {"accelerators": "none", "git": "not in a repository"}
"""What `nothing` means for a key; of a package it means that it is not installed."""


def environment_facts(environment: Mapping[str, Any]) -> list[Fact]:
    """environment.json in words."""
    return [
        (ENVIRONMENT.get(key, key.removeprefix("packages.")), _in_words(key, value)) for key, value in flat(environment)
    ]


def _in_words(key: str, value: str) -> str:
    if value == NOTHING:
        return "not installed" if key.startswith("packages.") else ABSENT.get(key, value)
    if key == "memory_gib":
        return f"{value} GiB"
    return {"True": "yes", "False": "no"}.get(value, value)


def flat(values: Mapping[str, Any], prefix: str = "") -> list[Fact]:
    """Nested mappings as `a.b` and text; lists are joined by commas, nothing is a dash."""
    facts: list[Fact] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            facts += flat(value, f"{name}.") or [(name, NOTHING)]
        elif isinstance(value, list):
            facts.append((name, ", ".join(map(str, value)) or NOTHING))
        else:
            facts.append((name, NOTHING if value is None else str(value)))
    return facts


def files(run: Run) -> list[str]:
    """Files and folders of the run that are there, relative to it, by the order in which they arise."""
    directory = RunDirectory(run.path)
    paths = [directory.recipe, directory.environment, directory.metrics, directory.model]
    for evaluated in run.evaluations:
        folder = directory.evaluation(evaluated.who, evaluated.benchmark)
        paths += [folder.samples, folder.results, folder.summary]
    paths += [directory.summary]
    return [_relative(path, run.path) for path in paths if path.exists()]


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() + ("/" if path.is_dir() else "")
