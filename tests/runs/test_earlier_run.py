"""A run directory of version 0.1.0, as it was written then, without its weights: it is read, reported and continued."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from codedistill import api
from codedistill.benchmarks import load_benchmark
from codedistill.errors import UserError
from codedistill.harness.execute import execute
from codedistill.recipe.load import load_recipe
from codedistill.recipe.sections import Evaluation
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import read_jsonl, read_model, read_rows, write_jsonl
from codedistill.runs.schema import EvaluationSummary, ResultRow, RunSummary, SampleRow, SamplesRequest, StepMetrics
from codedistill.sandbox import sandbox_layer
from tests.command_line import call

HERE = Path(__file__).parent / "earlier_run"


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory(Path(shutil.copytree(HERE, tmp_path / "earlier-run")))


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row.to_json()) + "\n" for row in rows)


def document(record: Any) -> str:
    return json.dumps(record.to_json(), indent=2) + "\n"


def test_every_file_is_read_and_would_be_written_the_same(directory: RunDirectory) -> None:
    assert lines(read_rows(directory.metrics, StepMetrics)) == directory.metrics.read_text()
    assert document(read_model(directory.summary, RunSummary)) == directory.summary.read_text()
    for who in ("teacher", "base", "student"):
        files = directory.evaluation(who, "tiny")
        assert lines(read_rows(files.samples, SampleRow)) == files.samples.read_text()
        assert lines(read_rows(files.results, ResultRow)) == files.results.read_text()
        assert document(read_model(files.request, SamplesRequest)) == files.request.read_text()
        assert document(read_model(files.summary, EvaluationSummary)) == files.summary.read_text()


def test_its_report_is_written_again(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "report", directory.path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((HERE / "summary.json").read_text())
    assert directory.report.is_file()
    assert directory.markdown_report.is_file()


def test_its_recipe_is_one_of_today(directory: RunDirectory) -> None:
    """A run that was interrupted then continues with the same values, and a finished one is refused as a new output."""
    recipe = load_recipe(directory.recipe, [f"output={directory.path}", "resume=auto"])
    assert recipe.training.steps == 2
    assert recipe.training.learning_rate == 0.004
    assert api.open_directory(recipe).path == directory.path
    with pytest.raises(UserError) as caught:
        api.open_directory(load_recipe(directory.recipe, [f"output={directory.path}", "training.warmup_steps=0"]))
    assert str(directory.path) in str(caught.value)


def test_its_samples_are_run_again(directory: RunDirectory) -> None:
    """Results of then are recognized as our own and replaced."""
    files = directory.evaluation("teacher", "tiny")
    before = read_rows(files.results, ResultRow)
    directory.recipe.unlink()  # an evaluation alone: execute refuses a run's folders only at their root
    execute(files.samples, load_benchmark("tiny", 2), Evaluation(), files.path)
    after = read_rows(files.results, ResultRow)
    assert [(r.key, r.passed, r.category) for r in after] == [(r.key, r.passed, r.category) for r in before]


def test_its_unfinished_verdicts_are_moved_aside(directory: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were found under other limits, whatever the version says."""
    files = directory.evaluation("teacher", "tiny")
    request = {
        "samples": "0" * 64,
        "benchmark": "1" * 64,
        "timeout": 5.0,
        "sandbox": sandbox_layer(),
        "version": "0.1.0",
    }
    write_jsonl(files.unfinished_results, [request, {"row": 0, "verdict": read_jsonl(files.results)[0]}])
    before = files.unfinished_results.read_bytes()
    execute(files.samples, load_benchmark("tiny", 2), Evaluation(), files.path)
    assert (files.path / "earlier-1" / "results.partial.jsonl").read_bytes() == before
    assert not files.unfinished_results.exists()


@pytest.mark.parametrize(
    ("name", "change", "field"),
    [
        ("summary.json", {"models": 3}, "models"),
        ("evaluation/base/tiny/summary.json", {"of_a_newer_version": 1}, "of_a_newer_version"),
        ("evaluation/base/tiny/results.jsonl", {"passed": "yes"}, "passed"),
        ("evaluation/base/tiny/samples.jsonl", {"solution": 7}, "solution"),
        ("metrics.jsonl", {"beta": "0.5"}, "beta"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(
    name: str,
    change: dict[str, Any],
    field: str,
    directory: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = directory.path / name
    if file.suffix == ".jsonl":
        first, *others = read_jsonl(file)
        write_jsonl(file, [first | change, *others])
        where = f"{file}: line 1: {field}: "
    else:
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        where = f"{file}: {field}: "
    assert call(monkeypatch, "report", directory.path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert where in line
