"""generate, execute and evaluate on the command line: interruptions, settings without effect, folders."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from codedistill import generation, models, sandbox
from codedistill.runs.directory import evaluation_folder
from codedistill.runs.files import write_jsonl
from codedistill.runs.lock import hold
from codedistill.tiny.datasets import benchmark
from tests.command_line import call


def interrupt(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    rows = [{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in benchmark()[:3]]
    write_jsonl(tmp_path / "my samples.jsonl", rows)
    return tmp_path / "my samples.jsonl"


def test_an_interrupted_execute_names_the_command_that_resumes(
    samples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "run_programs", interrupt)
        assert call(patch, "execute", samples, "--benchmark", "tiny", "timeout=9") == 130
    command = f"codedistill execute '{samples}' --benchmark tiny timeout=9"
    assert capsys.readouterr().err.splitlines()[-1] == f"resume with: {command}"


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["generate", "evaluate", "execute"])
def test_a_folder_in_use_is_left_alone(
    verb: str, samples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = samples if verb == "execute" else "tiny/student"
    with hold(samples.parent):
        assert call(monkeypatch, verb, asked, "--benchmark", "tiny", "--output", samples.parent) == 2
    assert f"output {samples.parent}: in use by a live run (process {os.getpid()})" in capsys.readouterr().err
    assert list(samples.parent.iterdir()) == [samples]


@pytest.mark.parametrize("verb", ["generate", "evaluate"])
def test_an_interrupted_generation_names_the_command_that_resumes(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [verb, "tiny/student", "--benchmark", "tiny", "--output", tmp_path / "out", "limit=2"]
    with monkeypatch.context() as patch:
        patch.setattr(generation, "generator_for", interrupt)
        assert call(patch, *arguments) == 130
    assert f"resume with: codedistill {verb} tiny/student --benchmark tiny" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "override"),
    [
        ("generate", "benchmarks=[tiny]"),
        ("generate", "evaluation.benchmarks=[tiny]"),
        ("generate", "timeout=3"),
        ("generate", "isolation=data"),
        ("evaluate", "benchmarks=[tiny]"),
        ("execute", "benchmarks=[tiny]"),
        ("execute", "limit=3"),
    ],
)
def test_a_setting_without_effect_is_refused(
    verb: str, override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, verb, tmp_path / "any", "--benchmark", "tiny", override) == 2
    assert capsys.readouterr().err.startswith(f"codedistill: override {override}: ")


@pytest.mark.parametrize(
    ("override", "named"),
    [("samples=5", "temperature"), ("timeout=1e300", "86400"), ("timeout=inf", "timeout: "), ("timeout=0", " 0")],
)
def test_settings_that_cannot_be_meant(
    override: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "evaluate", tmp_path / "any", "--benchmark", "tiny", override) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"codedistill: override {override}: ")
    assert named in line


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("training.steps=3", "limit, form, "),
        ("limits=3", " limit?"),
        ("evaluation.limits=3", " limit?"),
        ("colour=red", "colour "),
        ("template=alpaca", "--template"),
        ("limit=0", "limit: "),
        ("evaluation.limit=0", "limit: "),
    ],
)
def test_a_wrong_setting_is_quoted_as_it_was_written(
    override: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "evaluate", tmp_path / "any", "--benchmark", "tiny", override) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"codedistill: override {override}: ")
    assert named in line


def test_a_value_that_is_not_yaml_is_quoted_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "evaluate", tmp_path / "any", "--benchmark", "tiny", "limit=[3") == 2
    assert capsys.readouterr().err.startswith("codedistill: override 'limit=[3': ")


def test_every_model_and_benchmark_has_a_folder_of_its_own() -> None:
    asked = [
        *(("a/b", "tiny"), ("a_b", "tiny"), ("b", "tiny"), ("../b", "tiny"), ("/b", "tiny")),
        *(("b", "mbpp"), ("b", "mbpp_test=/data/mbpp.jsonl"), ("b", "/data/own.jsonl")),
    ]
    folders = [evaluation_folder(*each) for each in asked]
    assert len(set(folders)) == len(folders)
    assert all(len(folder.parts) == 4 for folder in folders)
    assert evaluation_folder("./a/b/", "tiny") == folders[0]


def test_where_the_results_are_is_said(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "execute", samples, "--benchmark", "tiny") == 0
    assert capsys.readouterr().out.endswith(f"\nresults are in {samples.parent}\n")
    out = tmp_path / "out"
    small = ["--benchmark", "tiny", "limit=1", "max_new_tokens=4"]
    assert call(monkeypatch, "evaluate", "tiny/student", *small, "--output", out) == 0
    assert capsys.readouterr().out.endswith(f"\nresults are in {out}\n")
    assert (out / "results.jsonl").is_file()


@pytest.mark.parametrize("verb", ["generate", "evaluate"])
def test_weights_are_loaded_as_asked(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used = []
    load = models.load_model

    def note(spec: Any, key: str) -> Any:
        used.append(spec.dtype)
        return load(spec, key)

    monkeypatch.setattr(models, "load_model", note)
    monkeypatch.setattr("codedistill.models.precision.bfloat16_fault", lambda: None)
    small = [verb, "tiny/student", "--benchmark", "tiny", "limit=1", "max_new_tokens=1"]
    assert call(monkeypatch, *small, "--output", tmp_path / "a", "--dtype", "bfloat16") == 0
    assert call(monkeypatch, *small, "--output", tmp_path / "b") == 0
    assert used == ["bfloat16", "float32"]
    assert call(monkeypatch, *small, "--output", tmp_path / "c", "--dtype", "int8") == 2
    message = capsys.readouterr().err
    assert all(word in message for word in ("--dtype", "int8", "float32", "bfloat16", "float16"))
    monkeypatch.setattr("codedistill.models.precision.bfloat16_fault", lambda: "a matrix product ended with signal 4")
    assert call(monkeypatch, *small, "--output", tmp_path / "d", "--dtype", "bfloat16") == 2
    assert "dtype bfloat16: a matrix product ended with signal 4" in capsys.readouterr().err


def test_how_many_tasks_have_samples_is_said(
    samples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "execute", samples, "--benchmark", "tiny", "--json") == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["tasks"], found["benchmark_tasks"]) == (3, 300)
    assert "3 of 300 tasks have samples" in captured.err


@pytest.mark.parametrize("verb", ["generate", "evaluate"])
@pytest.mark.parametrize("form", ["complete", "chat"])
def test_a_template_that_makes_no_prompt_is_refused(
    verb: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tiny/student", "--benchmark", "tiny", "--output", tmp_path / "out", "--template", "starcoder"]
    assert call(monkeypatch, verb, *arguments, f"form={form}") == 2
    message = capsys.readouterr().err
    assert message.startswith("codedistill: template starcoder: ")
    assert f"form={form}" in message
    assert not (tmp_path / "out").exists()


def test_bare_prompts_have_no_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["tiny/student", "--benchmark", "tiny", "--output", tmp_path / "out", "limit=1", "max_new_tokens=4"]
    assert call(monkeypatch, "evaluate", *arguments, "form=complete") == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["prompt_form"], summary["template"]) == ("complete", None)


@pytest.mark.parametrize("verb", ["generate", "evaluate", "execute"])
def test_a_runs_own_evaluation_is_left_alone(
    verb: str, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").touch()
    output = tmp_path / "evaluation" / "student" / "tiny"
    asked = ["execute", samples] if verb == "execute" else [verb, "tiny/student"]
    assert call(monkeypatch, *asked, "--benchmark", "tiny", "--output", output) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"codedistill: output {output}: ")
    assert str(tmp_path) in message
    assert not output.exists()


def test_the_verdicts_of_a_run_are_not_replaced(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The samples of a run may be executed again, but into another folder."""
    run, out = tmp_path / "run", tmp_path / "out"
    inside = run / "evaluation" / "student" / "tiny"
    inside.mkdir(parents=True)
    (run / "recipe.yaml").touch()
    samples.rename(inside / "samples.jsonl")
    verb = ["execute", inside / "samples.jsonl", "--benchmark", "tiny"]
    assert call(monkeypatch, *verb) == 2
    assert str(inside) in capsys.readouterr().err
    assert [file.name for file in inside.iterdir()] == ["samples.jsonl"]
    assert call(monkeypatch, *verb, "--output", out, "isolation=shared") == 0
    assert json.loads((out / "summary.json").read_text())["isolation"] == "shared"


def test_several_benchmarks_get_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, own = tmp_path / "out", tmp_path / "own.jsonl"
    write_jsonl(own, benchmark()[:2])
    both = ["--benchmark", "tiny", "--benchmark", own, "--output", out, "limit=1", "max_new_tokens=4", "--json"]
    assert call(monkeypatch, "generate", "tiny/student", *both) == 0
    files = [str(out / name / "samples.jsonl") for name in ("tiny", "own")]
    assert json.loads(capsys.readouterr().out) == {"samples": files}
    assert call(monkeypatch, "evaluate", "tiny/student", *both) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert [(model["benchmark"], model["tasks"]) for model in models] == [("tiny", 1), ("own", 1)]
    assert all((out / name / "summary.json").is_file() for name in ("tiny", "own"))
    for wrong in ("tiny", "gone.jsonl"):  # the same twice; no such file: nothing is evaluated
        again = ["--benchmark", "tiny", "--benchmark", wrong, "--output", tmp_path / "none"]
        assert call(monkeypatch, "evaluate", "tiny/student", *again) == 2
        assert wrong in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_failed_call_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for verb in ("generate", "evaluate"):
        assert call(monkeypatch, verb, tmp_path / "gone", "--benchmark", "tiny") == 2
        assert str(tmp_path / "gone") in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_is_named_after_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for model in ("runs/mine/model", "./runs/mine/model/", tmp_path / "runs" / "mine" / "model"):
        assert evaluation_folder(str(model), "tiny") == Path("runs/evaluations/runs--mine--model/tiny")
    elsewhere = evaluation_folder("/models/big/coder", "mbpp=x.jsonl")
    assert elsewhere.name == "mbpp"
    assert re.fullmatch(r"big--coder--[0-9a-f]{8}", elsewhere.parent.name)
    assert evaluation_folder("/other/big/coder", "mbpp").parent != elsewhere.parent
    assert evaluation_folder("../a", "tiny") != evaluation_folder("../../a", "tiny")
    assert evaluation_folder(".", "tiny").parent.parent == Path("runs/evaluations")
