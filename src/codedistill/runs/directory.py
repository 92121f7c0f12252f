"""The run directory: what lies where, who may write, and how a file is written so that it is never half there."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from codedistill.errors import UserError
from codedistill.runs.lock import hold, is_held


class RunDirectory:
    """The folder of one run; every path in it has its name here."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def evaluation(self, who: str, benchmark: str) -> Path:
        """Folder of one model's results on one benchmark; `who` is teacher, base or student."""
        return self.path / "evaluation" / who / Path(benchmark).stem

    @property
    def holds_a_run(self) -> bool:
        return self.recipe.exists() or self.metrics.exists() or self.checkpoints.exists()

    @property
    def is_unfinished(self) -> bool:
        """A run was begun here, is not going on now, and has no student yet, or not all of its evaluation."""
        evaluating = (self.path / "evaluation").exists() and not self.summary.exists()
        return self.holds_a_run and (evaluating or not self.model.exists()) and not is_held(self.path)

    def require_own(self) -> None:
        """Refuse a folder that holds no run, but files in whose place a run would put its own.

        Raises:
            UserError: there is one.
        """
        if self.holds_a_run:
            return
        for name in ("config.json", self.model.name, self.report.name, "report.md", self.summary.name):
            if (self.path / name).exists():
                raise UserError(f"output {self.path}: holds {name}, which is of no run; choose another output")

    def locked(self) -> AbstractContextManager[None]:
        """Hold the folder for this process, see `locks.hold`."""
        return hold(self.path)


def free_directory(name: str, root: Path = Path("runs")) -> Path:
    """runs/<name>, or runs/<name>-2 and so on when a run lies there already."""
    path, number = root / name, 1
    while RunDirectory(path).holds_a_run:
        number += 1
        path = root / f"{name}-{number}"
    return path


def newest_directory(name: str, root: Path = Path("runs")) -> Path:
    """The last of runs/<name>, runs/<name>-2, ... that holds a run; the first when none does."""
    path, number = root / name, 1
    while RunDirectory(following := root / f"{name}-{number + 1}").holds_a_run:
        path, number = following, number + 1
    return path


def require_no_run(folder: Path) -> None:
    """Refuse a run's own folder for the files of one evaluation: they would take the place of its summary.

    Raises:
        UserError: it is one.
    """
    if RunDirectory(folder).holds_a_run:
        raise UserError(f"output {folder}: holds a run; choose another output")


def require_outside_of_runs(folder: Path) -> None:
    """Refuse a folder anywhere in a run's: its report would be of two evaluations.

    Raises:
        UserError: it is one.
    """
    for parent in (folder, *folder.absolute().parents):
        if RunDirectory(parent).holds_a_run:
            where = "holds a run" if parent == folder else f"lies in the run {parent}"
            raise UserError(f"output {folder}: {where}; choose another output")
