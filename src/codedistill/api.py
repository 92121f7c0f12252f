"""The stages of the project, joined by the files of the run directory. The command line and Python users call these."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codedistill import benchmarks, evaluation, report
from codedistill.errors import UserError
from codedistill.harness.execute import execute as execute_samples
from codedistill.harness.generate import write_samples
from codedistill.methods import METHODS
from codedistill.parallel import share_directory
from codedistill.progress import TrainingStages, Watch
from codedistill.recipe.load import load_evaluation, load_recipe, load_spec, require_inputs
from codedistill.recipe.model import Recipe
from codedistill.recipe.sections import Evaluation, ModelSpec
from codedistill.report.load import NAMES
from codedistill.runs.directory import (
    EvaluationDirectory,
    RunDirectory,
    evaluation_folder,
    free_directory,
    newest_directory,
    require_outside_of_runs,
)
from codedistill.runs.files import read_rows, write_model, write_yaml
from codedistill.runs.lock import hold
from codedistill.runs.schema import (
    EvaluationSummary,
    ModelSummary,
    PairedDifference,
    ResultRow,
    RunSummary,
    TrainingSummary,
    Who,
)

if TYPE_CHECKING:
    from codedistill.report import Comparison
    from codedistill.training import TrainingResult

RecipeLike = str | Path | Mapping[str, Any] | Recipe
"""A recipe file, the name of a shipped recipe, a mapping of recipe keys, or a loaded recipe."""

ModelLike = str | Path | Mapping[str, Any]
"""A folder, a hub id, "tiny/teacher" or "tiny/student"; or a mapping like a recipe's `student`, for example
{"path": "my-model", "dtype": "bfloat16"}."""

Settings = Evaluation | Mapping[str, Any]
"""Keys of a recipe's `evaluation`."""

ModelResult = EvaluationSummary
"""One model on one benchmark: its summary.json."""


@dataclass(frozen=True)
class RunResult:
    """A finished run: where it is, its summary.json, and its report.html."""

    directory: RunDirectory
    summary: RunSummary
    page: Path

    def to_json(self) -> dict[str, Any]:
        return self.summary.to_json()


def distill(recipe: RecipeLike | None = None, overrides: Iterable[str] = (), watch: Watch | None = None) -> RunResult:
    """Train the student, evaluate teacher, base student and distilled student, and write the report.

    In a run on several processes this is for the first one; the others call `take_part`.

    Args:
        recipe: the recipe; None is the embedded pair.
        overrides: `key=value` strings, as on the command line.
        watch: callbacks for progress.

    Raises:
        UserError: recipe, models, data or benchmark are wrong.
        CodedistillError: the run failed.
    """
    watch, start = watch or Watch(), time.monotonic()
    resolved = load_recipe(recipe, overrides)
    require_inputs(resolved)
    loaded = _benchmarks(resolved)
    directory = open_directory(resolved, watch)
    with directory.locked():
        trained = _train(resolved, directory, watch)
        models: dict[Who, ModelSpec] = {} if resolved.teacher is None else {"teacher": resolved.teacher}
        if resolved.student.path is not None:  # random weights are no base worth evaluating
            models["base"] = resolved.student
        kept = resolved.student.model_dump(include={"dtype", "trust_remote_code"})
        models["student"] = ModelSpec(path=str(directory.model), **kept)
        results = {}
        for who, spec in models.items():
            for tasks in loaded:
                watch.stage(f"evaluating {NAMES[who]} on {tasks.name}")
                folder = directory.evaluation(who, tasks.name).path
                results[who, tasks.name] = _evaluate(spec, tasks, resolved.evaluation, folder, trained.template, watch)
        training = TrainingSummary(**{name: getattr(trained, name) for name in TrainingSummary.model_fields})
        summary = summarize_run(resolved, directory, results, training, time.monotonic() - start)
        write_model(directory.summary, summary)
    return RunResult(directory, summary, report.write_report(directory.path))


def take_part(recipe: RecipeLike | None, overrides: Iterable[str] = ()) -> None:
    """Train in the first process's directory: for all other processes of a run on several."""
    from codedistill.training import train as train_student

    train_student(load_recipe(recipe, overrides), RunDirectory(share_directory(None)))


def train(recipe: RecipeLike, overrides: Iterable[str] = (), watch: Watch | None = None) -> Path:
    """Train the student.

    Returns:
        The folder of the finished model.

    Raises:
        UserError: recipe, models or data are wrong.
        CodedistillError: the training failed.
    """
    resolved, watch = load_recipe(recipe, overrides), watch or Watch()
    require_inputs(resolved)
    directory = open_directory(resolved, watch)
    with directory.locked():
        return _train(resolved, directory, watch).model


def generate(
    model: ModelLike,
    benchmark: str = "tiny",
    settings: Settings | None = None,
    output: str | Path | None = None,
    template: str | None = None,
    watch: Watch | None = None,
) -> Path:
    """Let a model complete the tasks of a benchmark.

    Args:
        model: the model.
        benchmark: a benchmark's name or a file.
        settings: an `Evaluation` or a mapping of its keys such as {"limit": 10}; default: greedy, one sample.
        output: folder for the files; default: runs/evaluations/<model>/<benchmark>.
        template: prompt template; default: that of the model's training, else alpaca.
        watch: callbacks for progress.

    Returns:
        The samples file.

    Raises:
        UserError: there is no such model or benchmark, a setting does not exist, or the output cannot be used.
    """
    spec, tasks, asked = _request(model, benchmark, settings, template)
    folder = Path(output or evaluation_folder(str(spec), benchmark))
    require_outside_of_runs(folder)
    with hold(folder):
        write_samples(spec, tasks, asked, folder, template, watch or Watch())
    return EvaluationDirectory(folder).samples


def execute(
    samples: str | Path,
    benchmark: str = "tiny",
    settings: Settings | None = None,
    output: str | Path | None = None,
    watch: Watch | None = None,
) -> ModelResult:
    """Run the programs of a samples file, of any tool.

    Args:
        samples: a JSONL file, which may be a .gz, whose rows have `task_id` and `completion` or `solution`.
        benchmark: a benchmark's name or a file.
        settings: an `Evaluation` or a mapping of its keys; only those of the sandbox have an effect.
        output: folder for results and summary; default: the folder of the samples.
        watch: callbacks for progress.

    Raises:
        UserError: the samples are malformed, there is no such benchmark, or the output cannot be used.
        InfrastructureError: the sandbox failed.
    """
    tasks, folder = benchmarks.load_benchmark(benchmark), Path(output or Path(samples).parent)
    require_outside_of_runs(folder)
    with hold(folder):
        return execute_samples(Path(samples), tasks, load_evaluation(settings or {}), folder, watch)


def evaluate(
    model: ModelLike,
    benchmark: str = "tiny",
    settings: Settings | None = None,
    output: str | Path | None = None,
    template: str | None = None,
    watch: Watch | None = None,
) -> ModelResult:
    """Evaluate a model on a benchmark: `generate` and `execute`, with the same arguments and errors.

    Without `output` no file is kept.
    """
    spec, tasks, asked = _request(model, benchmark, settings, template)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(output or scratch)
        require_outside_of_runs(folder)
        return _evaluate(spec, tasks, asked, folder, template, watch or Watch())


def compare(runs: Sequence[str | Path]) -> Comparison:
    """Compare finished runs.

    Raises:
        UserError: a folder holds no finished run, or the runs have no benchmark in common.
    """
    return report.compare_runs([Path(run) for run in runs])


def open_directory(recipe: Recipe, watch: Watch | None = None) -> RunDirectory:
    """The recipe's output, or runs/<name>, with a number if that holds a run already.

    `watch` is told the directory, and an unfinished run of the same name that this one does not continue.

    Raises:
        UserError: the output holds a run and the recipe does not say resume=auto.
    """
    unfinished = None
    if recipe.output is None:
        earlier = RunDirectory(newest_directory(recipe.name))
        directory = earlier if recipe.resume == "auto" else RunDirectory(free_directory(recipe.name))
        if earlier.path != directory.path and earlier.is_unfinished:
            unfinished = earlier.path
    else:
        directory = RunDirectory(Path(recipe.output))
        if recipe.resume == "never" and directory.holds_a_run:
            with directory.locked():  # a live run is the likelier explanation, and locking says so
                pass
            raise UserError(
                f"output {directory.path}: holds a run already; add resume=auto to continue it, or choose another "
                "output"
            )
        directory.require_own()
    if watch is not None:
        watch.directory(directory.path, unfinished)
    return directory


def summarize_run(
    recipe: Recipe,
    directory: RunDirectory,
    results: Mapping[tuple[Who, str], ModelResult],
    training: TrainingSummary | None,
    seconds: float,
) -> RunSummary:
    """The run's summary.json. `results` are by (who, benchmark); `seconds` is the run's wall time."""
    models, losses, paired = [], {}, {}
    for (who, benchmark), result in results.items():
        teacher = results.get(("teacher", benchmark))
        loss = None
        if teacher is not None and who != "teacher" and teacher.pass_at_1 > 0:
            loss = evaluation.accuracy_loss(teacher.pass_at_1, result.pass_at_1)
        if who == "student":
            losses[benchmark] = loss
            paired[benchmark] = _gain(directory, benchmark) if ("base", benchmark) in results else None
        models.append(ModelSummary(who=who, accuracy_loss=loss, **result.to_json()))
    return RunSummary(
        name=recipe.name,
        run_directory=str(directory.path),
        method=recipe.method,
        models=models,
        accuracy_loss=losses,
        paired=paired,
        training=training,
        seconds=round(seconds, 1),
        finished=datetime.now(UTC).isoformat("T", "seconds"),
    )


def _gain(directory: RunDirectory, benchmark: str) -> PairedDifference | None:
    """Distilled student minus base student on the tasks on which both have a verdict."""
    student, base = (
        evaluation.pass_shares(read_rows(directory.evaluation(who, benchmark).results, ResultRow))
        for who in ("student", "base")
    )
    found = evaluation.paired_by_task(student, base)
    if found is None:
        return None
    return PairedDifference(difference=found.difference, interval=found.interval, p=found.p, test=found.test)


def _benchmarks(recipe: Recipe) -> list[benchmarks.Benchmark]:
    """The recipe's benchmarks. Their names must differ, because folders are named after them."""
    loaded: dict[str, benchmarks.Benchmark] = {}
    for name in recipe.evaluation.benchmarks:
        found = benchmarks.load_benchmark(name, recipe.evaluation.limit)
        if found.name in loaded:
            raise UserError(f"evaluation.benchmarks: two are called {found.name}; remove or rename one")
        loaded[found.name] = found
    return list(loaded.values())


def _train(recipe: Recipe, directory: RunDirectory, watch: Watch) -> TrainingResult:
    from codedistill.training import train as train_student

    share_directory(directory.path)
    before = directory.recipe.read_bytes() if directory.recipe.exists() else None
    write_yaml(directory.recipe, recipe.dump())
    writes_first = METHODS[recipe.method].rewrite is not None
    stages = TrainingStages(watch, f"training with {recipe.method}", writes_first)
    try:
        return train_student(recipe, directory, stages.step, stages.responses)
    except UserError:
        if before is not None:  # a refused continuation leaves the run as it was
            directory.recipe.write_bytes(before)
        elif not directory.metrics.exists():  # nothing was begun: keep the folder free for the corrected command
            directory.recipe.unlink(missing_ok=True)
        raise


def _request(
    model: ModelLike, benchmark: str, settings: Settings | None, template: str | None
) -> tuple[ModelSpec, benchmarks.Benchmark, Evaluation]:
    spec, asked = load_spec(model), load_evaluation(settings or {})
    if template is not None and asked.form != "instruct":
        raise UserError(f"template {template}: has no effect with form={asked.form}; drop one of the two")
    return spec, benchmarks.load_benchmark(benchmark, asked.limit), asked


def _evaluate(
    spec: ModelSpec,
    tasks: benchmarks.Benchmark,
    settings: Evaluation,
    folder: Path,
    template: str | None,
    watch: Watch,
) -> ModelResult:
    with hold(folder):
        request = write_samples(spec, tasks, settings, folder, template, watch)
        return execute_samples(EvaluationDirectory(folder).samples, tasks, settings, folder, watch, request)
