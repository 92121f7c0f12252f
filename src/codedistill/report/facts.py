"""The facts of a run: recipe, environment, time and files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from codedistill.report.charts import SETTINGS, constant_setting
from codedistill.report.load import Run
from codedistill.report.text import UNKNOWN, count, duration, known, number
from codedistill.runs.directory import RunDirectory

Fact = tuple[str, str]


def titles(run: Run) -> tuple[str, str]:
    """The title of a browser's tab, and the line below the page's title: method, models, seed, time and folder."""
    paths, sizes = [], []
    for who in ("teacher", "student"):
        spec = (run.recipe or {}).get(who)
        if isinstance(spec, Mapping) and spec.get("path") is not None:
            paths.append(str(spec["path"]))
            sizes.append(f"{'from' if who == 'teacher' else 'to'} {spec['path']}")
            parameters = [row.parameters for row in run.table.rows if row.who == who and row.parameters is not None]
            if parameters:
                sizes[-1] += f" ({count(parameters[0])} parameters)"
    tab = f"{run.name}: {run.summary.method}{', ' if paths else ''}{' to '.join(paths)}"
    seed = f", seed {run.seed}" if run.seed is not None else ""
    try:
        time = datetime.fromisoformat(run.summary.finished or "").astimezone(UTC)
        finished = f" Finished {time:%Y-%m-%d %H:%M} UTC."
    except ValueError:
        finished = ""
    return tab, f"{' '.join([run.summary.method, *sizes])}{seed}.{finished} Folder: {run.path}"


def run_facts(run: Run) -> list[Fact]:
    """Method, seed, steps and time, and the prompts and sandbox of each benchmark."""
    training, seconds = run.summary.training, run.summary.seconds
    settings = {name: constant_setting(run.steps, name) for name in SETTINGS}  # one that changes has a curve instead
    facts: list[tuple[str, Any]] = [
        ("method", run.summary.method),
        ("seed", run.seed),
        ("steps", training.steps if training else run.steps[-1].step if run.steps else None),
        ("training examples", training and training.examples),
        ("truncated examples", training and training.cut),
        ("dropped examples", training and training.dropped),
        ("unfinished responses", (training and training.unfinished) or None),
        *((name, None if value is None else f"{number(value)} at every step") for name, value in settings.items()),
        ("training time", None if run.training_seconds is None else duration(run.training_seconds)),
        ("peak memory of training", known(run.peak_memory_mb, "{:,.0f} MB")),
        ("whole run", None if seconds is None else duration(seconds)),
    ]
    for benchmark in run.table.benchmarks:
        found = next(e.summary for e in run.evaluations.values() if e.benchmark == benchmark)
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
"""The meaning of a missing value; a package without one is not installed."""


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
    for evaluated in run.evaluations.values():
        folder = directory.evaluation(evaluated.who, evaluated.benchmark)
        paths += [folder.samples, folder.results, folder.summary]
    found = [path for path in (*paths, directory.summary) if path.exists()]
    return [path.relative_to(run.path).as_posix() + ("/" if path.is_dir() else "") for path in found]
