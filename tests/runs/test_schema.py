"""The schemas of a run directory: what is written is read again, and what does not fit is refused by file and field."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest

from codedistill.errors import UserError
from codedistill.runs import schema
from codedistill.runs.files import append_row, read_model, read_rows, write_model, write_rows
from codedistill.runs.schema import (
    EvaluationSummary,
    FinishedRow,
    ModelSummary,
    PairedDifference,
    ResultRow,
    ResultsRequest,
    RunSummary,
    SampleRow,
    SamplesRequest,
    StepMetrics,
)
from codedistill.sandbox import Status

STEP = {
    "step": 1, "epoch": 0, "loss": 0.5, "forward_kl": 0.25, "reverse_kl": 0.75, "beta": 0.5, "beta_loss": None,
    "lr": 0.001, "grad_norm": 0.9, "tokens": 640, "padding": 0.125, "seconds": 0.4,
}  # fmt: skip
SAMPLE = {
    "task_id": "a", "sample": 0, "prompt": "p", "completion": "c", "solution": "s", "finish": "eos", "tokens": 3,
    "prompt_form": "instruct",
}  # fmt: skip
RESULT = {
    "task_id": "a", "sample": 1, "passed": False, "status": "failed", "category": "wrong answer",
    "error_type": "AssertionError", "message": "", "line": None, "seconds": 0.01, "sandbox": "namespaces",
}  # fmt: skip
COUNTS = {
    "benchmark": "tiny", "benchmark_tasks": 300, "tasks": 4, "samples": 4, "pass@1": 0.25, "interval": [0.0, 0.7],
    "complete": 3, "incomplete": 1, "correct": 1, "categories": {"wrong answer": 2, "missing import": 1},
    "tasks_without_verdict": 1, "without_verdict": 2, "sandbox": "namespaces", "isolation": "data+shared",
    "sha256": "ab" * 32, "inputs_left_out": 2, "truncated": 2, "context_full": 1, "seconds": 0.5,
}  # fmt: skip
EVALUATION = {"model": "m", "parameters": 5, **COUNTS, "prompt_form": "complete", "template": None}
PAIRED = {"difference": 0.25, "interval": [0.0, 0.5], "p": 0.5, "test": "McNemar"}
RUN = {
    "name": "r", "run_directory": "runs/r", "method": "akd",
    "models": [{"who": "student", "accuracy_loss": None, **EVALUATION}],
    "accuracy_loss": {"tiny": None}, "paired": {"tiny": PAIRED, "other": None},
    "training": {"steps": 4, "examples": 9, "cut": 0, "dropped": 1, "peak_memory_mb": 512.5},
    "seconds": 9.5, "finished": "2026-03-04T05:06:07+00:00",
}  # fmt: skip
REQUEST = {
    "model": "m", "keep_layers": None, "template": "alpaca", "form": "instruct", "samples": 1, "temperature": 0.0,
    "seed": 0, "max_new_tokens": 60, "parameters": 5, "weights": "ab" * 32, "benchmark": "cd" * 32,
}  # fmt: skip
RESULTS_REQUEST = {"samples": "s", "benchmark": "b", "timeout": 10.0, "sandbox": "namespaces", "version": "0.1.0"}

CASES: list[tuple[Any, dict[str, Any]]] = [
    (StepMetrics, STEP),
    (StepMetrics, {**STEP, "student_written": 0.5, "cross_entropy": None}),
    (SampleRow, SAMPLE),
    (ResultRow, RESULT),
    (ResultRow, {**RESULT, "message": "lone \ud800 surrogate"}),
    (FinishedRow, {"row": 7, "verdict": RESULT}),
    (EvaluationSummary, COUNTS),
    (EvaluationSummary, EVALUATION),
    (PairedDifference, PAIRED),
    (RunSummary, RUN),
    (SamplesRequest, REQUEST),
    (ResultsRequest, RESULTS_REQUEST),
]


@pytest.mark.parametrize(("model", "values"), CASES)
def test_files_are_read_as_they_were_written(model: Any, values: dict[str, Any], tmp_path: Path) -> None:
    """Keys, their order and the values stay; what is absent stays absent."""
    record = model(**values)
    write_model(tmp_path / "one.json", record)
    assert list(json.loads((tmp_path / "one.json").read_text()).items()) == list(values.items())
    assert read_model(tmp_path / "one.json", model) == record
    write_rows(tmp_path / "rows.jsonl", [record, record])
    append_row(tmp_path / "rows.jsonl", record)
    assert read_rows(tmp_path / "rows.jsonl", model) == [record] * 3


@pytest.mark.parametrize("passed", [True, False, None])
def test_a_verdict_on_the_base_inputs_follows_the_whole_verdict(passed: bool | None) -> None:
    """None is written too: these inputs are still to be tried."""
    row = ResultRow.model_validate({**RESULT, "base_passed": passed})
    assert list(row.to_json()) == ["task_id", "sample", "passed", "base_passed", *list(RESULT)[3:]]
    assert row.to_json()["base_passed"] is passed


def test_shares_beside_the_first() -> None:
    more = {"pass@5": 0.5, "pass@10": 1.0, "base_pass@1": 0.375}
    summary = EvaluationSummary.model_validate({**COUNTS, **more})
    assert summary.more_pass_at == more
    assert summary.pass_at_1 == 0.25
    assert list(summary.to_json())[4:9] == ["pass@1", *more, "interval"]


def test_the_models_of_a_run_say_first_who_they_are() -> None:
    assert list(ModelSummary(**RUN["models"][0]).to_json())[:3] == ["who", "accuracy_loss", "model"]  # type: ignore[index]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_written_as_null(value: float, tmp_path: Path) -> None:
    step = StepMetrics.model_validate({**STEP, "reverse_kl": value, "of_the_method": value})
    assert step.to_json() == {**STEP, "reverse_kl": None, "of_the_method": None}
    write_rows(tmp_path / "metrics.jsonl", [step])
    assert "null" in (tmp_path / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(json.dumps({**STEP, "reverse_kl": value}))  # Python writes Infinity
    assert read_rows(tmp_path / "metrics.jsonl", StepMetrics)[0].reverse_kl is None


def without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k != key}


@pytest.mark.parametrize(
    ("model", "values", "field"),
    [
        (StepMetrics, without(STEP, "step"), "step"),
        (StepMetrics, {**STEP, "step": True}, "step"),
        (StepMetrics, {**STEP, "beta": "0.5"}, "beta"),
        (StepMetrics, {**STEP, "of_the_method": "0.5"}, "of_the_method"),
        (SampleRow, {**SAMPLE, "task_id": 3}, "task_id"),
        (SampleRow, {**SAMPLE, "sample": "0"}, "sample"),
        (SampleRow, without(SAMPLE, "solution"), "solution"),
        (SampleRow, {**SAMPLE, "sampel": 0}, "sampel"),
        (ResultRow, without(RESULT, "passed"), "passed"),
        (ResultRow, {**RESULT, "passed": 1}, "passed"),
        (ResultRow, {**RESULT, "status": "error"}, "status"),
        (ResultRow, {**RESULT, "isolation": "none"}, "isolation"),
        (ResultRow, {**RESULT, "verdict": "good"}, "verdict"),
        (FinishedRow, {"row": 0, "verdict": without(RESULT, "category")}, "verdict.category"),
        (EvaluationSummary, without(COUNTS, "pass@1"), "pass@1"),
        (EvaluationSummary, {**COUNTS, "pass@1": 1.5}, "pass@1"),
        (EvaluationSummary, {**COUNTS, "interval": [0.0]}, "interval[1]"),
        (EvaluationSummary, {**COUNTS, "categories": {"crash": 1.5}}, "categories.crash"),
        (EvaluationSummary, {**COUNTS, "pass@7": 0.5}, "pass@7"),
        (RunSummary, without(RUN, "models"), "models"),
        (RunSummary, {**RUN, "models": [{**EVALUATION, "who": "other", "accuracy_loss": None}]}, "models[0].who"),
        (SamplesRequest, {**REQUEST, "top_p": 1.0}, "top_p"),
    ],
)
def test_a_field_that_does_not_fit_is_named(model: Any, values: Any, field: str, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(values))
    with pytest.raises(UserError) as caught:
        read_model(tmp_path / "one.json", model)
    assert str(caught.value).startswith(f"{tmp_path / 'one.json'}: {field}: ")
    good = next(v for m, v in CASES if m is model)
    (tmp_path / "rows.jsonl").write_text(json.dumps(good) + "\n" + json.dumps(values) + "\n")
    with pytest.raises(UserError) as caught:
        read_rows(tmp_path / "rows.jsonl", model)
    assert str(caught.value).startswith(f"{tmp_path / 'rows.jsonl'}: line 2: {field}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "change", [{"complete": 4}, {"correct": 2}, {"categories": {"wrong answer": 2}}, {"samples": 5}]
)
@pytest.mark.parametrize("of_a_run", [True, False])
def test_counts_that_contradict_each_other_are_refused(change: dict[str, Any], of_a_run: bool, tmp_path: Path) -> None:
    values = {**EVALUATION, **change}
    model: Any = EvaluationSummary
    if of_a_run:
        model, values = RunSummary, {**RUN, "models": [{"who": "base", "accuracy_loss": None, **values}]}
    (tmp_path / "summary.json").write_text(json.dumps(values))
    with pytest.raises(UserError) as caught:
        read_model(tmp_path / "summary.json", model)
    assert ("models[0]: " in str(caught.value)) is of_a_run


@pytest.mark.parametrize("text", ["[]", "3", "null", ""])
def test_files_that_hold_no_object(text: str, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(UserError) as caught:
        read_model(tmp_path / "summary.json", RunSummary)
    assert str(tmp_path / "summary.json") in str(caught.value)


def test_a_key_of_a_file_cannot_reach_the_terminal_raw(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps({**COUNTS, "\x1b[31m\n": 1}))
    with pytest.raises(UserError) as caught:
        read_model(tmp_path / "one.json", EvaluationSummary)
    assert str(caught.value).isprintable()


def test_every_end_that_the_sandbox_knows_can_be_written() -> None:
    assert set(Status) <= set(get_args(schema.Status))
