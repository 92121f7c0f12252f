"""A whole run on the embedded pair, small: every file of the run directory, and what it says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from codedistill import distill, evaluate
from codedistill.api import ModelResult, summarize_run
from codedistill.errors import UserError
from codedistill.recipe.load import load_recipe
from codedistill.recipe.sections import Evaluation
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import read_jsonl, read_model, write_jsonl
from codedistill.runs.schema import EvaluationSummary, PairedDifference, Who
from tests.report.made_runs import write_run

pytestmark = pytest.mark.slow

SMALL = [
    "training.steps=4",
    "data.limit=64",
    "evaluation.limit=6",
    "evaluation.max_new_tokens=80",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return distill("tiny", [*SMALL, f"output={tmp_path_factory.mktemp('run') / 'tiny'}"])


def test_the_run_directory_is_the_contract(run: Any) -> None:
    root: Path = run.directory.path
    for who in ("teacher", "base", "student"):
        folder = root / "evaluation" / who / "tiny"
        samples, results = read_jsonl(folder / "samples.jsonl"), read_jsonl(folder / "results.jsonl")
        assert (
            [row["task_id"] for row in samples]
            == [row["task_id"] for row in results]
            == [f"tiny/{i}" for i in range(6)]
        )
        assert results[0].keys() == {
            "task_id", "sample", "passed", "status", "category", "error_type", "message", "line", "seconds", "sandbox",
            "isolation",
        }  # fmt: skip
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["complete"] + summary["incomplete"] == summary["samples"] == 6
        assert summary["correct"] == sum(row["passed"] for row in results)
        assert len(summary["sha256"]) == 64
    for name in (
        "recipe.yaml",
        "environment.json",
        "metrics.jsonl",
        "summary.json",
        "model/config.json",
        "model/README.md",
    ):
        assert (root / name).is_file(), name
    assert load_recipe(root / "recipe.yaml").training.steps == 4
    assert json.loads((root / "environment.json").read_text())["fingerprints"].keys() == {
        "data", "tokenizer", "student", "teacher",
    }  # fmt: skip


def test_metrics_have_a_line_per_step(run: Any) -> None:
    rows = read_jsonl(run.directory.metrics)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row["loss"] == pytest.approx(
            (1 - row["beta"]) * row["forward_kl"] + row["beta"] * row["reverse_kl"], rel=1e-5
        )
        assert 0 <= row["beta"] <= 1
        assert row["tokens"] > 0


def test_the_summary_is_the_table(run: Any) -> None:
    values = run.to_json()
    assert values == json.loads(run.directory.summary.read_text())
    assert abs(datetime.fromisoformat(values["finished"]) - datetime.now(UTC)) < timedelta(hours=1)
    assert [m["who"] for m in values["models"]] == ["teacher", "base", "student"]
    teacher, base, student = values["models"]
    assert base["parameters"] == student["parameters"] <= teacher["parameters"] / 4
    for model in (base, student):
        assert model["accuracy_loss"] == pytest.approx((teacher["pass@1"] - model["pass@1"]) / teacher["pass@1"] * 100)
    assert values["accuracy_loss"]["tiny"] == student["accuracy_loss"]
    assert 100 < values["training"]["peak_memory_mb"] < 20_000
    assert values["paired"]["tiny"]["difference"] == pytest.approx(student["pass@1"] - base["pass@1"])


def test_a_refused_continuation_changes_nothing(run: Any) -> None:
    before = run.directory.recipe.read_text()
    wrong = [*SMALL, f"output={run.directory.path}", "resume=auto", "training.learning_rate=0.5"]
    with pytest.raises(UserError, match=r"training\.learning_rate"):
        distill("tiny", wrong)
    assert run.directory.recipe.read_text() == before


def test_benchmarks_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"evaluation\.benchmarks: .*tiny"):
        distill("tiny", [*SMALL, "evaluation.benchmarks=[tiny,tiny]", f"output={tmp_path / 'run'}"])


def test_evaluate_alone_agrees_with_the_run(run: Any) -> None:
    settings = Evaluation(limit=6, max_new_tokens=80)
    again = evaluate(run.directory.model, "tiny", settings).to_json()
    student = run.to_json()["models"][2]
    for key in ("pass@1", "correct", "complete", "incomplete", "categories", "sha256"):
        assert again[key] == student[key], key


def test_evaluate_takes_mappings(run: Any, tmp_path: Path) -> None:
    model = {"path": str(run.directory.model), "dtype": "float32"}
    again = evaluate(model, settings={"limit": 6, "max_new_tokens": 80}, output=str(tmp_path / "out"))
    assert again.to_json()["correct"] == run.to_json()["models"][2]["correct"]
    assert (tmp_path / "out" / "results.jsonl").is_file()
    with pytest.raises(UserError) as error:
        evaluate(model, settings={"limt": 6})
    assert error.value.key == "limt"
    with pytest.raises(UserError) as error:
        evaluate({"path": "m", "dtype": "int8"})
    assert error.value.key == "dtype"


def test_the_teacher_can_and_the_base_student_can_less() -> None:
    settings = Evaluation(limit=40, max_new_tokens=120, batch_size=40)
    teacher = evaluate("tiny/teacher", "tiny", settings).pass_at_1
    base = evaluate("tiny/student", "tiny", settings).pass_at_1
    assert teacher >= 0.7
    assert base <= teacher - 0.2


def test_the_gain_is_over_tasks_on_which_both_have_a_verdict(tmp_path: Path) -> None:
    """Of the tasks 0 to 7, the student solves all but 0 and 4, the base student 0, 3 and 6."""
    directory = RunDirectory(write_run(tmp_path / "run", tasks=8, steps=3))
    files = directory.evaluation("base", "tiny")
    results: dict[tuple[Who, str], ModelResult] = {
        (who, "tiny"): read_model(directory.evaluation(who, "tiny").summary, EvaluationSummary) for who in get_args(Who)
    }

    def gain() -> PairedDifference | None:
        return summarize_run(load_recipe("tiny"), directory, results, None, 1.0).paired["tiny"]

    whole = gain()
    assert whole is not None
    assert whole.difference == pytest.approx(3 / 8)
    rows = read_jsonl(files.results)
    rows[2] |= {"status": "broken_checks", "category": "broken checks"}
    write_jsonl(files.results, rows)
    without_one = gain()
    assert without_one is not None
    assert without_one.difference == pytest.approx(2 / 7)
    write_jsonl(files.results, [row | {"status": "broken_checks", "category": "broken checks"} for row in rows])
    assert gain() is None
