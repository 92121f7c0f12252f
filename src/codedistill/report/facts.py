"""What a run was made with, and the files that it left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codedistill.report.blocks import UNKNOWN
from codedistill.report.curves import SETTINGS, constant_setting
from codedistill.report.load import Run
from codedistill.report.text import count, duration, number
from codedistill.runs.directory import RunDirectory

Fact = tuple[str, str]


def about(run: Run) -> str:
    """The line below a report's title: method, teacher, student, seed, time and folder."""
    parts = [run.method]
    for word, who in (("from", "teacher"), ("to", "student")):
        path = _path(run, who)
        size = next((row.parameters for row in run.table.rows if row.who == who and row.parameters is not None), None)
        if path is not None:
            parts.append(f"{word} {path}{f' ({count(size)} parameters)' if size is not None else ''}")
    seed = f", seed {run.seed}" if run.seed is not None else ""
    when = f" Finished {run.finished:%Y-%m-%d %H:%M} UTC." if run.finished else ""
    return f"{' '.join(parts)}{seed}.{when} Folder: {run.path}"


def tab_title(run: Run) -> str:
    """The run's name, method and models, for the tab of a browser."""
    models = [path for who in ("teacher", "student") if (path := _path(run, who))]
    return f"{run.name}: {run.method}{', ' if models else ''}{' to '.join(models)}"


def _path(run: Run, who: str) -> str | None:
    """Path of the teacher, or of the student before training."""
    spec = (run.recipe or {}).get(who)
    path = spec.get("path") if isinstance(spec, Mapping) else None
    return None if path is None else str(path)


def run_facts(run: Run) -> list[Fact]:
    """Method, seed, steps, time, and how the models were prompted and their programs run."""
    training, seconds = run.summary.training, run.summary.seconds
    settings = {name: constant_setting(run.steps, name) for name in SETTINGS}  # one that changes has a curve instead
    facts: list[tuple[str, Any]] = [
        ("method", run.method),
        ("seed", run.seed),
        ("steps", training.steps if training else run.steps[-1].step if run.steps else None),
        ("training examples", training and training.examples),
        ("truncated examples", training and training.cut),
        ("dropped examples", training and training.dropped),
        ("unfinished responses", (training and training.unfinished) or None),
        *((name, None if value is None else f"{number(value)} at every step") for name, value in settings.items()),
        ("training time", None if run.training_seconds is None else duration(run.training_seconds)),
        ("peak memory of training", None if run.peak_memory_mb is None else f"{run.peak_memory_mb:,.0f} MB"),
        ("whole run", None if seconds is None else duration(seconds)),
    ]
    for benchmark in run.table.benchmarks:
        found = next(e.summary for e in run.evaluations if e.benchmark == benchmark)
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
"""What a missing value of a key means; a package without one is not installed."""


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


def flat(values: Mapping[str, Any], prefix: str = "") -> list[Fact]:
    """Nested mappings as `a.b` and text; lists are joined by commas, a missing value is a dash."""
    facts: list[Fact] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            facts += flat(value, f"{name}.") or [(name, UNKNOWN)]
        elif isinstance(value, list):
            facts.append((name, ", ".join(map(str, value)) or UNKNOWN))
        else:
            facts.append((name, UNKNOWN if value is None else str(value)))
    return facts


def files(run: Run) -> list[str]:
    """Files and folders of the run that exist, relative to it, in the order in which a run writes them."""
    directory = RunDirectory(run.path)
    paths = [directory.recipe, directory.environment, directory.metrics, directory.model]
    for evaluated in run.evaluations:
        folder = directory.evaluation(evaluated.who, evaluated.benchmark)
        paths += [folder.samples, folder.results, folder.summary]
    found = [path for path in (*paths, directory.summary) if path.exists()]
    return [path.relative_to(run.path).as_posix() + ("/" if path.is_dir() else "") for path in found]
