"""The names of all files in a run directory, and which folders a command may write to."""

from __future__ import annotations

import hashlib
import os
from contextlib import AbstractContextManager
from pathlib import Path

from codedistill.errors import UserError
from codedistill.runs.files import make_folder
from codedistill.runs.lock import LOCK, hold, is_held


class EvaluationDirectory:
    """The files of one model's evaluation on one benchmark."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.request = path / "request.json"
        self.samples = path / "samples.jsonl"
        self.unfinished_samples = path / "samples.partial.jsonl"
        self.results = path / "results.jsonl"
        self.unfinished_results = path / "results.partial.jsonl"
        self.summary = path / "summary.json"
        self.verdicts = (self.results, self.unfinished_results, self.summary)


class RunDirectory:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.evaluations = path / "evaluation"
        self.summary = path / "summary.json"
        self.report = path / "report.html"
        self.markdown_report = path / "report.md"

    def evaluation(self, who: str, benchmark: str) -> EvaluationDirectory:
        """The evaluation of a model (teacher, base or student) on one benchmark."""
        return EvaluationDirectory(self.evaluations / who / Path(benchmark).stem)

    @property
    def holds_a_run(self) -> bool:
        return self.recipe.exists() or self.metrics.exists() or self.checkpoints.exists()

    @property
    def is_unfinished(self) -> bool:
        """Whether a run was begun here, no process holds it, and its student or an evaluation is missing."""
        evaluating = self.evaluations.exists() and not self.summary.exists()
        return self.holds_a_run and (evaluating or not self.model.exists()) and not is_held(self.path)

    def require_own(self) -> None:
        """Refuse a folder that holds no run but files that a run would overwrite.

        Raises:
            UserError: there is such a file.
        """
        if self.holds_a_run:
            return
        for file in (self.path / "config.json", self.model, self.report, self.markdown_report, self.summary):
            if file.exists():
                raise UserError(f"output {self.path}: contains {file.name} but no run; choose another output")

    def locked(self) -> AbstractContextManager[None]:
        """Lock the folder for this process, see `lock.hold`."""
        return hold(self.path)


def free_directory(name: str, root: Path = Path("runs")) -> Path:
    """Claim runs/<name>, or the first of runs/<name>-2, ... in which no run is or is about to start.

    The claim is an empty lock file, which only one of several processes can create; `hold` takes it over.

    Raises:
        UserError: the folder cannot be created.
    """
    number = 1
    while True:
        path = root / (f"{name}-{number}" if number > 1 else name)
        make_folder(path)
        if not RunDirectory(path).holds_a_run:
            try:
                (path / LOCK).open("x").close()
                return path
            except FileExistsError:
                pass
            except OSError as error:
                raise UserError(f"output {path}: cannot be used: {error.strerror}; choose another output") from None
        number += 1


def newest_directory(name: str, root: Path = Path("runs")) -> Path:
    """The last of runs/<name>, runs/<name>-2, ... that holds a run; runs/<name> if none does."""
    path, number = root / name, 1
    while RunDirectory(following := root / f"{name}-{number + 1}").holds_a_run:
        path, number = following, number + 1
    return path


def evaluation_folder(model: str, benchmark: str, root: Path = Path("runs")) -> Path:
    """runs/evaluations/<model>/<benchmark>, with "--" for "/" in the model.

    A folder outside of the current one goes by its last two parts and a short hash of its path, so that two models
    never share an evaluation.
    """
    path, here = Path(os.path.normpath(model)), Path.cwd()
    if path.is_relative_to(here):
        path = path.relative_to(here)
    parts = [part for part in path.parts if part not in ("..", path.anchor)]
    name = "--".join(parts)
    if not parts or path.parts != tuple(parts) or any("--" in part for part in parts):
        digest = hashlib.sha256(os.fsencode(here / path)).hexdigest()[:8]
        name = "--".join([*parts[-2:], digest])
    name_of_benchmark, is_assignment, _ = benchmark.partition("=")
    return root / "evaluations" / name / Path(name_of_benchmark if is_assignment else benchmark).stem


def require_no_run(folder: Path) -> None:
    """Refuse a run directory as the output of one evaluation, which would overwrite the run's summary.

    Raises:
        UserError: the folder holds a run.
    """
    if RunDirectory(folder).holds_a_run:
        raise UserError(f"output {folder}: holds a run; choose another output")


def require_outside_of_runs(folder: Path) -> None:
    """Refuse a folder inside a run directory, whose report would mix two evaluations.

    Raises:
        UserError: the folder or one of its parents holds a run.
    """
    for parent in (folder, *folder.absolute().parents):
        if RunDirectory(parent).holds_a_run:
            where = "holds a run" if parent == folder else f"is inside the run {parent}"
            raise UserError(f"output {folder}: {where}; choose another output")
