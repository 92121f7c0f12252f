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
from codedistill.report.load import load_run
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


BROKEN = {
    "summary is not JSON": ("summary.json", lambda text: text[:40], "summary.json: line"),
    "summary is a list": ("summary.json", lambda text: "[]", "summary.json: not a mapping"),
    "summary without models": ("summary.json", lambda text: "{}", "summary.json: models"),
    "recipe is not YAML": ("recipe.yaml", lambda text: "a: [", "recipe.yaml: not valid YAML"),
    "environment is not JSON": ("environment.json", lambda text: "{", "environment.json: line 1"),
    "metrics cut off": ("metrics.jsonl", lambda text: text[:-20], "metrics.jsonl: line 3: not valid JSON"),
    "metrics without a step": ("metrics.jsonl", first_row({"step": None}), "metrics.jsonl: line 1: step"),
    "metrics with text": (
        "metrics.jsonl",
        first_row({"beta": "high"}),
        "metrics.jsonl: line 1: beta: must be a number",
    ),
    "results without verdict": (RESULTS, first_row({"passed": None}), "results.jsonl: line 1: passed"),
    "results without task": (RESULTS, first_row({"task_id": 3}), "results.jsonl: line 1: needs task_id"),
    "results of unknown tasks": (RESULTS, first_row({"task_id": "x"}), "results.jsonl: line 1: samples.jsonl has no"),
    "samples that are no objects": (SAMPLES, lambda text: "3\n", "samples.jsonl: line 1: not a JSON object"),
    "not text": ("summary.json", None, "summary.json: cannot be read"),
}


@pytest.mark.parametrize(("name", "change", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_files(run: Path, name: str, change: Callable[[str], str] | None, says: str) -> None:
    path = run / name
    path.write_bytes(b"\xff\xfe\x00" if change is None else change(path.read_text()).encode())
    with pytest.raises(UserError) as caught:
        write_report(run)
    message = str(caught.value)
    assert message.startswith(str(run))
    assert says in message
    assert "\n" not in message
    assert not (run / "report.html").exists()


SUMMARY = "evaluation/base/tiny/summary.json"


EDITED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "complete": (lambda row: row | {"complete": row["complete"] + 1}, "is not 4 programs"),
    "incomplete": (lambda row: row | {"incomplete": row["incomplete"] + 1}, "is not 4 programs"),
    "programs": (lambda row: row | {"samples": 5}, "is not 5 programs"),
    "categories": (
        lambda row: row | {"categories": {**row["categories"], "missing key": 2}},
        "the categories add up to",
    ),
    "correct": (lambda row: row | {"correct": row["complete"] + 1}, "is not complete"),
    "none correct": (lambda row: row | {"correct": 0}, "correct 0 + wrong answers"),
    "incomplete lost": (lambda row: row | {"incomplete": None}, "incomplete must be a count, not None"),
}


@pytest.mark.parametrize("place", ["of the run", "of the evaluation"])
@pytest.mark.parametrize(("change", "says"), EDITED.values(), ids=EDITED.keys())
def test_counts_that_were_edited(run: Path, place: str, change: Callable[[Any], Any], says: str) -> None:
    path = run / ("summary.json" if place == "of the run" else SUMMARY)
    load_run(run)
    values = json.loads(path.read_text())
    if place == "of the run":
        assert values["models"][1]["who"] == "base"
        values["models"][1] = change(values["models"][1])
    else:
        values = change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(UserError) as caught:
        write_report(run)
    message = str(caught.value)
    assert message.startswith(f"{path}: models[1]: " if place == "of the run" else f"{path}: ")
    assert says in message
    assert "\n" not in message
    assert not (run / "report.html").exists()


def test_results_that_are_of_another_evaluation(run: Path) -> None:
    """The tables come from the run's summary, the comparisons from these files: they must not disagree."""
    path = run / RESULTS
    text, end = path.read_text(), f"in {run / 'summary.json'}; evaluate again, or put the file back as it was"
    path.write_text(text[: text.index("\n") + 1])
    assert refused(run) == f"{path}: programs: 1, but 4 {end}"
    path.write_text(first_row({"passed": True})(text))
    assert refused(run) == f"{path}: correct programs: 4, but 3 {end}"


def test_another_benchmark_than_the_summary_tells(run: Path) -> None:
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


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run directory"):
        write_report(tmp_path / "nowhere")


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        write_report(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run_that_is_not_finished(run: Path) -> None:
    (run / "summary.json").unlink()
    assert refused(run) == f"{run / 'summary.json'}: missing; the run is not finished, go on with it by resume=auto"


def test_a_folder_of_runs(run: Path) -> None:
    """The example is a run that has a report."""
    unfinished = write_run(run.parent / "another", tasks=4, steps=3)
    (unfinished / "summary.json").unlink()
    folder = run.parent
    assert refused(folder) == f"{folder}: is not a run directory; it holds runs: give them, such as {run}"


def test_a_folder_without_runs(run: Path) -> None:
    folder = run / "evaluation"
    says = "is not a run directory; give the folder that holds a run's recipe.yaml and summary.json"
    assert refused(folder) == f"{folder}: {says}"


def test_a_folder_of_one_evaluation(run: Path) -> None:
    folder = run / "evaluation/student/tiny"
    says = "is one evaluation, not a run; its results are in summary.json and results.jsonl"
    assert refused(folder) == f"{folder}: {says}"
    assert not (folder / "report.html").exists()


def test_files_that_may_be_missing(run: Path) -> None:
    for name in ("recipe.yaml", "environment.json", "metrics.jsonl", "evaluation/student/tiny/summary.json"):
        (run / name).unlink()
    found = load_run(run)
    assert (found.recipe, found.environment, found.steps, found.seed) == (None, None, (), None)
    page = write_report(run)
    for text in (page.read_text(), page.with_suffix(".md").read_text()):
        for sentence in ("This run has no metrics.", "recipe.yaml is not there.", "environment.json is not there."):
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
    student = load_run(run).evaluated("student", "tiny")
    assert student is not None
    assert student.verdicts["tiny/1"] == (True, False)
    assert student.shares == {"tiny/0": 0.0, "tiny/1": 0.5, "tiny/2": 0.5, "tiny/3": 0.5}
    assert student.answers["tiny/1"].solution.startswith("def positive_sum_1")
    assert "1 of 2 samples pass" in write_report(run).read_text()


def test_run_values(made_run: Path) -> None:
    run = load_run(made_run)
    assert (run.name, run.method, run.seed, run.seconds, len(run.steps)) == ("tiny", "akd", 0, 305.2, 100)
    assert [e.who for e in run.evaluations] == ["teacher", "base", "student"]
    assert run.evaluations[0].answers["tiny/1"].passed
