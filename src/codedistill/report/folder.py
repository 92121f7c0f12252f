"""What a folder that was given for a report holds, where that is no finished run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codedistill.errors import UserError
from codedistill.runs.directory import RunDirectory


def require_finished_run(path: Path) -> None:
    """Refuse a folder without the summary of a run.

    Raises:
        UserError: there is no such folder, or none that a report can be of; it says which folder to give instead.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such run directory; give the folder that holds summary.json")
    directory = RunDirectory(path)
    if directory.summary.exists():
        return
    if directory.holds_a_run:
        raise UserError(f"{directory.summary}: missing; the run is not finished, go on with it by resume=auto")
    runs = _runs_in(path)
    if runs:
        raise UserError(f"{path}: is not a run directory; it holds runs: give them, such as {runs[0]}")
    raise UserError(f"{path}: is not a run directory; give the folder that holds a run's recipe.yaml and summary.json")


def require_summary_of_a_run(summary: Mapping[str, Any], path: Path) -> None:
    """Refuse the folder of one evaluation, whose summary.json is of one model.

    Raises:
        UserError: it is one.
    """
    if "models" not in summary and "pass@1" in summary:
        raise UserError(f"{path}: is one evaluation, not a run; its results are in summary.json and results.jsonl")


def _runs_in(path: Path) -> list[Path]:
    """The runs right below a folder, those that are finished first."""
    try:
        found = sorted(below for below in path.iterdir() if RunDirectory(below).holds_a_run)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return sorted(found, key=lambda run: not RunDirectory(run).summary.exists())
