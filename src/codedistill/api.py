"""The stages, joined by the files of the run directory: train, generate, execute, summarise.

Every function here is a stage or a chain of stages; `cli.py` adds what the terminal shows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codedistill import benchmarks, evaluation
from codedistill.errors import UserError
from codedistill.harness.execute import ModelResult, execute
from codedistill.harness.generate import require_template_is_used, write_samples
from codedistill.methods import METHODS
from codedistill.parallel import share_directory
from codedistill.progress import TrainingStages, Watch
from codedistill.recipe.load import load_evaluation, load_recipe, load_spec
from codedistill.recipe.model import Recipe
from codedistill.recipe.sections import Evaluation, ModelSpec
from codedistill.runs.directory import RunDirectory, free_directory, newest_directory, require_outside_of_runs
from codedistill.runs.files import read_jsonl, write_json, write_yaml
from codedistill.runs.lock import hold

if TYPE_CHECKING:
    from codedistill.training import TrainingResult


@dataclass(frozen=True)
class RunResult:
    """A finished run: `values` is its summary.json."""

    directory: RunDirectory
    values: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return dict(self.values)


def distill(
    recipe: str | Path | Mapping[str, Any] | Recipe | None = None,
    overrides: Iterable[str] = (),
    watch: Watch | None = None,
) -> RunResult:
    """Train the student, then evaluate teacher, base student and distilled student.

    In a run on several processes this is for the first; the others `take_part`.

    Args:
        recipe: a recipe file, the name of a shipped one, a mapping of its keys; None is the embedded pair.
        overrides: `key=value` strings, as on the command line.
        watch: callbacks for progress.

    Returns:
        The run's summary; everything else is in its directory. `codedistill.report.write_report` makes the page.

    Raises:
        UserError: recipe, models, data or benchmark are wrong.
        CodedistillError: the run failed.
    """
    watch, start = watch or Watch(), time.time()
    resolved = load_recipe(recipe, overrides)
    loaded = _benchmarks(resolved)
    _require_models(resolved)
    directory = _open(resolved, watch)
    with directory.locked():
        trained = _train(resolved, directory, watch)
        results = {
            (who, benchmark.name): _evaluate_one(resolved, who, spec, benchmark, directory, trained.template, watch)
            for who, spec in _models(resolved, directory)
            for benchmark in loaded
        }
        end = time.time()
        times = {
            "seconds": round(end - start, 1),
            "finished": datetime.fromtimestamp(end, UTC).isoformat("T", "seconds"),
        }
        values = summarise_run(resolved, directory, results, trained) | times
        write_json(directory.summary, values)
    return RunResult(directory, values)


def take_part(recipe: str | Path | Mapping[str, Any] | Recipe | None, overrides: Iterable[str] = ()) -> None:
    """What every process but the first does in a run on several: train beside it, into its directory."""
    from codedistill.training import train

    resolved = load_recipe(recipe, overrides)
    train(resolved, RunDirectory(share_directory(None)))


def train_only(
    recipe: str | Path | Mapping[str, Any] | Recipe, overrides: Iterable[str] = (), watch: Watch | None = None
) -> Path:
    """Train the student; the folder of the finished model."""
    resolved, watch = load_recipe(recipe, overrides), watch or Watch()
    _require_models(resolved)
    directory = _open(resolved, watch)
    with directory.locked():
        return _train(resolved, directory, watch).model


def evaluate(
    model: str | Path | Mapping[str, Any],
    benchmark: str = "tiny",
    settings: Evaluation | Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    template: str | None = None,
    watch: Watch | None = None,
) -> ModelResult:
    """Generate and execute: one model on one benchmark.

    Args:
        model: a folder, a hub id, `tiny/teacher` or `tiny/student`; or a mapping as a recipe's `student` is, for
            example {"path": "my-model", "dtype": "bfloat16"}.
        benchmark: a benchmark's name or a file.
        settings: how the model is asked, as a mapping such as {"limit": 10} or an `Evaluation`; default: greedy, one
            sample.
        output: folder for samples, results and summary; default: nothing is kept beyond a temporary folder.
        template: prompt template; default: the one the model was trained with, else alpaca.

    Raises:
        UserError: no such model or benchmark, or a setting that does not exist.
    """
    spec, asked = load_spec(model), load_evaluation(settings or {})
    require_template_is_used(template, asked)
    tasks = benchmarks.load_benchmark(benchmark, asked.limit)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(output or scratch)
        require_outside_of_runs(folder)
        return _generate_and_execute(spec, tasks, asked, folder, template, watch or Watch())


def open_directory(recipe: Recipe) -> RunDirectory:
    """Where a run goes: the recipe's output, or runs/<name>, numbered if taken.

    Raises:
        UserError: the output holds a run and the recipe does not say resume=auto.
    """
    if recipe.output is None:
        return RunDirectory((newest_directory if recipe.resume == "auto" else free_directory)(recipe.name))
    directory = RunDirectory(Path(recipe.output))
    if recipe.resume == "never" and directory.holds_a_run:
        with directory.locked():  # a live run is the likelier explanation, and locking says so
            pass
        raise UserError(
            f"output {directory.path}: holds a run already; add resume=auto to go on with it, or choose another output"
        )
    directory.require_own()
    return directory


def _require_models(recipe: Recipe) -> None:
    """Models are looked for before a directory is made, and both before one of them is loaded.

    Raises:
        UserError: one is not there.
    """
    from codedistill.models import resolve

    for key, spec in (("teacher", recipe.teacher), ("student", recipe.student)):
        if spec is not None and spec.path is not None:
            resolve(spec.path, key)


def _open(recipe: Recipe, watch: Watch) -> RunDirectory:
    """`open_directory`, said to those who watch."""
    directory = open_directory(recipe)
    earlier = RunDirectory(newest_directory(recipe.name))
    leaves_one = recipe.output is None and earlier.path != directory.path and earlier.is_unfinished
    watch.directory(directory.path, earlier.path if leaves_one else None)
    return directory


def summarise_run(
    recipe: Recipe,
    directory: RunDirectory,
    results: Mapping[tuple[str, str], ModelResult],
    trained: TrainingResult | None,
) -> dict[str, Any]:
    """The table that the terminal shows, as plain data."""
    models, losses, paired = [], {}, {}
    for (who, benchmark), result in results.items():
        teacher = results.get(("teacher", benchmark))
        loss = None
        if teacher is not None and who != "teacher" and teacher.pass_at_1 > 0:
            loss = evaluation.accuracy_loss(teacher.pass_at_1, result.pass_at_1)
        if who == "student":
            losses[benchmark] = loss
            paired[benchmark] = _paired(directory, benchmark)
        models.append({"who": who, "accuracy_loss": loss, **result.to_json()})
    return {
        "name": recipe.name,
        "run_directory": str(directory.path),
        "method": recipe.method,
        "models": models,
        "accuracy_loss": losses,
        "paired": paired,
        "training": None if trained is None else _training(trained),
    }


def _training(trained: TrainingResult) -> dict[str, Any]:
    return {
        "steps": trained.steps,
        "examples": trained.examples,
        "cut": trained.cut,
        "dropped": trained.dropped,
        "peak_memory_mb": trained.peak_memory_mb,
    }


def _benchmarks(recipe: Recipe) -> list[benchmarks.Benchmark]:
    """The recipe's benchmarks. Their names are folders, so they must differ."""
    loaded: dict[str, benchmarks.Benchmark] = {}
    for asked in recipe.evaluation.benchmarks:
        found = benchmarks.load_benchmark(asked, recipe.evaluation.limit)
        if found.name in loaded:
            raise UserError(f"evaluation.benchmarks: two are called {found.name}; remove or rename one")
        loaded[found.name] = found
    return list(loaded.values())


def _train(recipe: Recipe, directory: RunDirectory, watch: Watch) -> TrainingResult:
    from codedistill.training import train

    share_directory(directory.path)
    before = directory.recipe.read_bytes() if directory.recipe.exists() else None
    write_yaml(directory.recipe, recipe.dump())
    writes_first = METHODS[recipe.method].rewrite is not None
    stages = TrainingStages(watch, f"training with {recipe.method}", writes_first)
    try:
        return train(recipe, directory, stages.step, stages.responses)
    except UserError:
        if before is not None:  # a refused continuation leaves the run as it was
            directory.recipe.write_bytes(before)
        elif not directory.metrics.exists():  # nothing was begun: the folder stays free for the mended command
            directory.recipe.unlink(missing_ok=True)
        raise


def _models(recipe: Recipe, directory: RunDirectory) -> list[tuple[str, ModelSpec]]:
    """Who is evaluated. A student with random weights has no base worth asking."""
    found: list[tuple[str, ModelSpec]] = []
    if recipe.teacher is not None:
        found.append(("teacher", recipe.teacher))
    if recipe.student.path is not None:
        found.append(("base", recipe.student))
    return [*found, ("student", ModelSpec(path=str(directory.model), dtype=recipe.student.dtype))]


def _evaluate_one(
    recipe: Recipe,
    who: str,
    spec: ModelSpec,
    tasks: benchmarks.Benchmark,
    directory: RunDirectory,
    template: str,
    watch: Watch,
) -> ModelResult:
    watch.stage(f"evaluating {who} on {tasks.name}")
    folder = directory.evaluation(who, tasks.name).path
    return _generate_and_execute(spec, tasks, recipe.evaluation, folder, template, watch)


def _generate_and_execute(
    spec: ModelSpec, tasks: benchmarks.Benchmark, settings: Evaluation, folder: Path, template: str | None, watch: Watch
) -> ModelResult:
    """Samples, results and a summary that says who was asked and how."""
    with hold(folder):
        about = write_samples(spec, tasks, settings, folder, template, watch)
        result = execute(folder / "samples.jsonl", tasks, settings, folder, watch)
        values = {
            "model": about["model"],
            "parameters": about["parameters"],
            **result.values,
            "prompt_form": settings.form,
            "template": about["template"],
        }
        write_json(folder / "summary.json", values)
    return replace(result, values=values)


def _paired(directory: RunDirectory, benchmark: str) -> dict[str, Any] | None:
    """Distilled student minus base student on the same tasks."""
    files = [directory.evaluation(who, benchmark).results for who in ("student", "base")]
    if not all(file.exists() for file in files):
        return None
    student, base = (_per_task(read_jsonl(file)) for file in files)
    paired = evaluation.paired_difference([student[t] for t in student], [base[t] for t in student])
    return {"difference": paired.difference, "interval": list(paired.interval), "p": paired.p, "test": paired.test}


def _per_task(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Share of passing samples by task."""
    passed: dict[str, list[bool]] = {}
    for row in rows:
        passed.setdefault(row["task_id"], []).append(row["passed"])
    return {task: sum(values) / len(values) for task, values in passed.items()}
