"""Run directories that are incomplete or broken: one line that names the file, or a report without the part."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codedistill.errors import UserError
from codedistill.report import write_report
from codedistill.report.differences import differences
from codedistill.report.load import load_run
from codedistill.report.run_page import shown_tasks
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import read_jsonl, write_jsonl
from tests.report.made_runs import tell_again, write_run

RESULTS, SAMPLES = "evaluation/student/tiny/results.jsonl", "evaluation/student/tiny/samples.jsonl"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", tasks=4, steps=3)


def first_row(change: dict[str, object]) -> Callable[[str], str]:
    def changed(text: str) -> str:
        first, rest = text.split("\n", 1)
        return json.dumps(json.loads(first) | change) + "\n" + rest

    return changed


BROKEN: dict[str, tuple[str, Callable[[str], str] | None, str]] = {
    "summary is not JSON": ("summary.json", lambda text: text[:40], "not valid JSON: line 3: "),
    "summary is a list": ("summary.json", lambda text: "[]", ""),
    "summary without models": ("summary.json", lambda text: "{}", ""),
    "recipe is not YAML": ("recipe.yaml", lambda text: "a: [", ""),
    "recipe is a list": ("recipe.yaml", lambda text: "[1]", ""),
    "environment is not JSON": ("environment.json", lambda text: "{", ""),
    "environment is a list": ("environment.json", lambda text: "[]", ""),
    "metrics cut off": ("metrics.jsonl", lambda text: text[:-20], "line 3: "),
    "metrics without a step": ("metrics.jsonl", first_row({"step": None}), "line 1: step: "),
    "metrics with text": ("metrics.jsonl", first_row({"beta": "high"}), "line 1: beta: "),
    "results without verdict": (RESULTS, first_row({"passed": None}), "line 1: passed: "),
    "results without task": (RESULTS, first_row({"task_id": 3}), "line 1: task_id: "),
    "results of unknown tasks": (RESULTS, first_row({"task_id": "x"}), "row 1: samples.jsonl has no sample 0 of x"),
    "samples that are no objects": (SAMPLES, lambda text: "3\n", "line 1: "),
    "not text": ("summary.json", None, ""),
}


@pytest.mark.parametrize(("name", "change", "where"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_files(run: Path, name: str, change: Callable[[str], str] | None, where: str) -> None:
    path = run / name
    path.write_bytes(b"\xff\xfe\x00" if change is None else change(path.read_text()).encode())
    assert refused(run).startswith(f"{path}: {where}")
    assert not (run / "report.html").exists()


SUMMARY = "evaluation/base/tiny/summary.json"


EDITED: dict[str, Callable[[Any], Any]] = {
    "complete": lambda row: row | {"complete": row["complete"] + 1},
    "incomplete": lambda row: row | {"incomplete": row["incomplete"] + 1},
    "programs": lambda row: row | {"samples": 5},
    "categories": lambda row: row | {"categories": {**row["categories"], "missing key": 2}},
    "correct": lambda row: row | {"correct": row["complete"] + 1},
    "none correct": lambda row: row | {"correct": 0},
    "incomplete lost": lambda row: row | {"incomplete": None},
}


@pytest.mark.parametrize("place", ["of the run", "of the evaluation"])
@pytest.mark.parametrize("change", EDITED.values(), ids=EDITED.keys())
def test_counts_that_were_edited(run: Path, place: str, change: Callable[[Any], Any]) -> None:
    path = run / ("summary.json" if place == "of the run" else SUMMARY)
    load_run(run)
    values = json.loads(path.read_text())
    if place == "of the run":
        assert values["models"][1]["who"] == "base"
        values["models"][1] = change(values["models"][1])
    else:
        values = change(values)
    path.write_text(json.dumps(values))
    assert refused(run).startswith(f"{path}: models[1]" if place == "of the run" else f"{path}: ")
    assert not (run / "report.html").exists()


def test_results_of_another_evaluation(run: Path) -> None:
    """The tables come from the run's summary, the comparisons from these files: they must not disagree."""
    path = run / RESULTS
    text, end = path.read_text(), f"in {run / 'summary.json'}; "
    path.write_text(text[: text.index("\n") + 1])
    assert refused(run).startswith(f"{path}: programs: 1, but 4 {end}")
    path.write_text(first_row({"passed": True})(text))
    assert refused(run).startswith(f"{path}: correct programs: 4, but 3 {end}")


def test_another_benchmark_than_in_the_summary(run: Path) -> None:
    path = run / SUMMARY
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "ef" * 32}))
    assert refused(run).startswith(f"{path}: sha256: {'ef' * 32}, but {'ab' * 32} in {run / 'summary.json'}; ")


@pytest.mark.parametrize("name", ["summary.json", RESULTS, SAMPLES])
def test_files_that_must_be_there(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(UserError) as caught:
        write_report(run)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        write_report(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_such_run(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refused(tmp_path / "nowhere")


def test_a_run_that_is_not_finished(run: Path) -> None:
    (run / "summary.json").unlink()
    message = refused(run)
    assert message.startswith(f"{run / 'summary.json'}: ")
    assert "resume=auto" in message


def test_a_folder_of_runs(run: Path) -> None:
    """The example is a run that has a report."""
    unfinished = write_run(run.parent / "another", tasks=4, steps=3)
    (unfinished / "summary.json").unlink()
    assert refused(run.parent).startswith(f"{run.parent}: ")
    assert refused(run.parent).endswith(f" {run}")


def test_a_folder_without_runs(run: Path) -> None:
    folder = run / "evaluation"
    assert refused(folder).startswith(f"{folder}: ")
    assert "recipe.yaml and summary.json" in refused(folder)


def test_a_folder_of_one_evaluation(run: Path) -> None:
    folder = run / "evaluation/student/tiny"
    assert refused(folder).startswith(f"{folder}: is one evaluation")
    assert not (folder / "report.html").exists()


def test_files_that_may_be_missing(run: Path) -> None:
    for name in ("recipe.yaml", "environment.json", "metrics.jsonl", "evaluation/student/tiny/summary.json"):
        (run / name).unlink()
    found = load_run(run)
    assert (found.recipe, found.environment, found.steps, found.seed) == (None, None, (), None)
    page = write_report(run)
    for text in (page.read_text(), page.with_suffix(".md").read_text()):
        for sentence in ("no metrics", "no recipe.yaml", "no environment.json"):
            assert sentence in text


def test_values_that_are_not_finite_are_none(run: Path) -> None:
    path = run / "metrics.jsonl"
    path.write_text(first_row({"loss": math.nan, "beta": math.inf})(path.read_text()))
    first = load_run(run).steps[0]
    assert (first.loss, first.beta) == (None, None)
    assert first.forward_kl is not None
    write_report(run)


def test_several_samples_of_a_task(run: Path) -> None:
    """The first one is shown; the share is of all."""
    failing = {"sample": 1, "passed": False, "category": "wrong answer"}
    for name, change in ((RESULTS, failing), (SAMPLES, {"sample": 1, "solution": "other"})):
        rows = [json.loads(line) for line in (run / name).read_text().splitlines()]
        text = "".join(json.dumps(row) + "\n" + json.dumps(row | change) + "\n" for row in rows)
        (run / name).write_text(text)
    tell_again(run)
    student = load_run(run).evaluations["student", "tiny"]
    assert [row.passed for row in student.results["tiny/1"]] == [True, False]
    assert student.shares == {"tiny/0": 0.0, "tiny/1": 0.5, "tiny/2": 0.5, "tiny/3": 0.5}
    assert student.samples["tiny/1"].solution.startswith("def positive_sum_1")
    assert "1 of 2 samples pass" in write_report(run).read_text()


def test_run_values(made_run: Path) -> None:
    run = load_run(made_run)
    assert (run.name, run.summary.method, run.seed, run.summary.seconds, len(run.steps)) == (
        "tiny",
        "akd",
        0,
        305.2,
        100,
    )
    assert list(run.evaluations) == [("teacher", "tiny"), ("base", "tiny"), ("student", "tiny")]
    assert run.evaluations["teacher", "tiny"].results["tiny/1"][0].passed


def test_a_task_without_a_verdict_is_in_no_comparison(tmp_path: Path) -> None:
    """Neither in the paired difference nor among the shown tasks, whichever model's checks were broken."""
    folder = write_run(tmp_path / "run", tasks=8, steps=3)
    directory = RunDirectory(folder)
    results = directory.evaluation("base", "tiny").results
    rows = read_jsonl(results)
    rows[2] |= {"passed": False, "status": "broken_checks", "category": "broken checks"}
    write_jsonl(results, rows)
    tell_again(folder)
    run = load_run(folder)
    base = run.evaluations["base", "tiny"]
    assert set(base.shares) == set(base.samples) == {f"tiny/{i}" for i in range(8) if i != 2}
    assert {(d.second, d.tasks) for d in differences(run)} == {("base", 7), ("teacher", 8)}
    assert all("tiny/2:" not in task.title for task in shown_tasks(run, "tiny"))
