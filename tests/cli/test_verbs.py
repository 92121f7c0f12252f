"""The command line as a user meets it: exit codes, one-line messages, a frozen set of options."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.main import get_command

import codedistill
from codedistill.cli import verbs as cli
from codedistill.cli.overrides import evaluation_settings
from codedistill.recipe.sections import Evaluation
from codedistill.runs.directory import RunDirectory
from tests.command_line import call

OPTIONS = {
    "run": {"json"},
    "train": {"json"},
    "generate": {"benchmark", "output", "template", "dtype", "json"},
    "execute": {"benchmark", "output", "json"},
    "evaluate": {"benchmark", "output", "template", "dtype", "json"},
    "report": {"output", "json"},
    "doctor": {"json"},
    "recipes ls": {"json"},
    "recipes show": {"json"},
    "recipes cp": {"json"},
    "recipes validate": {"json"},
}


def write(path: Path, recipe: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(recipe))
    return path


def commands(group: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


def test_the_options_are_frozen() -> None:
    found = {}
    for name, command in commands(get_command(cli.app)).items():
        flags = {flag.lstrip("-") for p in command.params for flag in p.opts if flag.startswith("--")}
        found[name] = flags - {"help"}
    assert found == OPTIONS
    assert isinstance(cli.app, typer.Typer)


def test_help_is_fast_and_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['codedistill', '--help']; from codedistill.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    best = 9.0
    for _ in range(5):  # the best of several: a busy machine is not a slow program
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        best = min(best, time.perf_counter() - start)
    assert best < 0.5


BAD = [
    ("unknown key", {"trainng": {}}, ["recipe.yaml: trainng ", "training?"]),
    ("wrong type", {"training": {"steps": "ten"}}, ["recipe.yaml: training.steps: "]),
    ("missing data", {"data": {"source": "gone.jsonl"}}, ["data.source gone.jsonl: "]),
    ("missing model", {"student": "./gone"}, ["student ./gone: "]),
    ("unknown benchmark", {"evaluation": {"benchmarks": ["humanevl"]}}, ["humanevl", "humaneval?"]),
    ("template", {"template": "starcoder"}, ["template starcoder: ", "<fim_prefix>"]),
    ("layers", {"student": {"path": "tiny/student", "keep_layers": 99}}, ["student.keep_layers 99: "]),
    ("lora target", {"lora": {"targets": ["nope"]}}, ["lora.targets nope"]),
]


@pytest.mark.parametrize(("change", "named"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input_is_one_line_and_exit_code_2(
    change: dict[str, Any],
    named: list[str],
    micro_recipe: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write(tmp_path / "recipe.yaml", micro_recipe | change)
    assert call(monkeypatch, "run", file) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("codedistill:")]
    assert len(lines) == 1
    assert all(each in lines[0] for each in named)
    assert call(monkeypatch, "recipes", "validate", write(tmp_path / "mended.yaml", micro_recipe)) == 0
    assert not RunDirectory(Path(micro_recipe["output"])).holds_a_run  # the mended command may use the same output


def test_a_model_folder_without_weights(
    micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "config.json").write_text("{}")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "hollow" / name).write_text((Path(micro_recipe["student"]) / name).read_text())
    file = write(tmp_path / "recipe.yaml", micro_recipe | {"student": str(tmp_path / "hollow")})
    assert call(monkeypatch, "train", file) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"codedistill: student {tmp_path / 'hollow'}: ")
    assert "model.safetensors" in message


def test_different_tokenizers(
    micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(micro_recipe["teacher"])
    tokenizer.add_tokens(["<new>"])
    model = AutoModelForCausalLM.from_pretrained(micro_recipe["teacher"])
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    file = write(tmp_path / "recipe.yaml", micro_recipe | {"teacher": str(tmp_path / "other")})
    assert call(monkeypatch, "train", file) == 2
    message = capsys.readouterr().err
    assert "'<new>'" in message
    assert "1024" in message


def test_an_output_in_use_by_a_live_run(
    micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "recipe.yaml", micro_recipe)
    with RunDirectory(Path(micro_recipe["output"])).locked():
        assert call(monkeypatch, "train", file) == 2
    assert f"output {micro_recipe['output']}: in use by a live run (process {os.getpid()})" in capsys.readouterr().err


def test_an_output_that_holds_a_run(
    micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "recipe.yaml", micro_recipe)
    assert call(monkeypatch, "train", file) == 0
    before = (Path(micro_recipe["output"]) / "metrics.jsonl").read_text()
    assert call(monkeypatch, "train", file) == 2
    message = capsys.readouterr().err
    assert f"output {micro_recipe['output']}: " in message
    assert "resume=auto" in message
    assert (Path(micro_recipe["output"]) / "metrics.jsonl").read_text() == before


MISSING = {
    "teacher": ["teacher=/nowhere"],
    "student": ["student=./nowhere"],
    "data.source": ["data.source=gone.jsonl"],
    "minillm.corpus": ["method=minillm", "minillm.corpus=gone.txt"],
    "seqkd.responses": ["method=seqkd", "seqkd.responses=gone"],
    "benchmark": ["evaluation.benchmarks=[tiny, mbpp=gone.jsonl]"],
}


@pytest.mark.parametrize("key", MISSING)
@pytest.mark.parametrize("verb", [("run",), ("train",), ("recipes", "validate")])
def test_missing_models_and_files_are_found_before_anything_is_made(
    verb: tuple[str, ...],
    key: str,
    micro_recipe: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if (verb, key) == (("train",), "benchmark"):
        pytest.skip("train evaluates nothing")
    file = write(tmp_path / "recipe.yaml", micro_recipe)
    assert call(monkeypatch, *verb, file, *MISSING[key]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"codedistill: {key} ")
    assert "gone" in line or "nowhere" in line
    assert not Path(micro_recipe["output"]).exists()


def test_a_missing_model_is_found_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['codedistill', 'run', 'teacher=/nowhere']; from codedistill.cli import main\n"
        "try: main()\nexcept SystemExit as stop: print(stop.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["2", "False"]
    assert not list(tmp_path.iterdir())


def test_validating_asks_no_hub(
    micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", ask)
    file = write(tmp_path / "recipe.yaml", micro_recipe | {"teacher": "some/model"})
    assert call(monkeypatch, "recipes", "validate", file) == 0
    assert call(monkeypatch, "train", file) == 2
    assert capsys.readouterr().err.startswith("codedistill: teacher some/model: ")


def test_recipes_ls_show_cp_validate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "recipes", "ls") == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == ["local-pair", "starcoder", "tiny"]
    assert "The embedded pair: a 2.4 M teacher" in shown[-1]
    assert call(monkeypatch, "recipes", "show", "tiny", "training.steps=7") == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["training"]["steps"] == 7
    assert shown["beta"]["regulariser"] == "eq13"
    own = tmp_path / "own.yaml"
    assert call(monkeypatch, "recipes", "cp", "tiny", own) == 0
    assert call(monkeypatch, "recipes", "cp", "tiny", own) == 2
    assert f"{own}: " in capsys.readouterr().err
    assert call(monkeypatch, "recipes", "validate", own) == 0
    assert call(monkeypatch, "recipes", "validate", own, "training.stps=1") == 2


def test_execute_judges_any_tools_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from codedistill.tiny.datasets import benchmark

    rows = benchmark()[:4]
    samples = [
        {"task_id": rows[0]["task_id"], "completion": rows[0]["canonical_solution"]},
        {"task_id": rows[1]["task_id"], "solution": rows[1]["prompt"] + "    pass\n"},
        {"task_id": rows[2]["task_id"], "solution": rows[2]["prompt"] + "    return undefined_name\n"},
        {"task_id": rows[3]["task_id"], "solution": rows[3]["prompt"] + rows[3]["canonical_solution"]},
    ]
    file = tmp_path / "samples.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in samples))
    assert call(monkeypatch, "execute", file, "--benchmark", "tiny", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["samples"], result["correct"], result["pass@1"]) == (4, 2, 0.5)
    assert result["categories"]["empty function"] == 1
    verdicts = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [v["task_id"] for v in verdicts] == [row["task_id"] for row in samples]
    assert [v["passed"] for v in verdicts] == [True, False, False, True]
    assert verdicts[2]["error_type"] == "NameError"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('{"task_id": "tiny/0"}', "samples.jsonl: line 1: "),
        ('{"task_id": "tiny/x", "completion": ""}', "samples.jsonl: line 1: task_id 'tiny/x' "),
        ('{"task_id": ', "samples.jsonl: line 1: "),
        ("", "samples.jsonl: "),
    ],
)
def test_malformed_samples_are_named_by_line(
    line: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "samples.jsonl").write_text(line)
    assert call(monkeypatch, "execute", tmp_path / "samples.jsonl", "--benchmark", "tiny") == 2
    assert named in capsys.readouterr().err


@pytest.mark.slow
def test_doctor_tells_what_the_machine_has(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "doctor", "--json") == 0
    findings = {row["subject"]: row for row in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["sandbox"]["state"] == "ok"
    assert findings["embedded pair"]["state"] == "ok"
    monkeypatch.setattr("codedistill.cli.doctor.OPTIONAL", {"no_such_package": ("nothing", "pip install nothing")})
    assert call(monkeypatch, "doctor") == 0
    assert "missing no_such_package" in capsys.readouterr().out
    monkeypatch.setattr("codedistill.sandbox.run_programs", _broken)
    assert call(monkeypatch, "doctor") == 1
    assert "fault   sandbox        no workers" in capsys.readouterr().out


def _broken(*_: object) -> None:
    raise OSError("no workers")


def test_evaluate_asks_with_the_documented_defaults() -> None:
    assert evaluation_settings([]) == Evaluation()
    asked = ["limit=3", "temperature=0.5", "evaluation.seed=2"]
    assert evaluation_settings(asked) == Evaluation(limit=3, temperature=0.5, seed=2)


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"codedistill {codedistill.__version__}\n"


@pytest.mark.parametrize("words", [(), ("recipes",)])
def test_without_a_verb_there_is_help(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *words) == 2
    assert capsys.readouterr().err.startswith("Usage: ")


def test_a_run_directory_is_no_model_but_leads_to_one(
    micro_pair: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(micro_pair["student"], tmp_path / "run" / "model")
    assert call(monkeypatch, "evaluate", tmp_path / "run", "--benchmark", "tiny", "--output", tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert message.startswith(f"codedistill: model {tmp_path / 'run'}: ")
    assert message.endswith(f" {tmp_path / 'run' / 'model'}\n")


def test_wrong_options_are_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "run", "--nope") == 2
    assert call(monkeypatch, "nope") == 2
    assert call(monkeypatch, "evaluate", "tiny/student") == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "gone", "--benchmark", "tiny", "--output", "a", "--output", "b"),
        ("generate", "gone", "--benchmark", "tiny", "--template", "alpaca", "--template", "plain"),
        ("generate", "gone", "--benchmark", "tiny", "--dtype", "float32", "--dtype", "bfloat16"),
        ("execute", "samples.jsonl", "--benchmark", "tiny", "--benchmark", "mbpp"),
        ("report", "runs/a", "runs/b", "--output", "c", "--output", "c"),
    ],
)
def test_a_repeated_option_is_an_error(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    repeated = next(word for word in reversed(arguments) if word.startswith("--"))
    assert call(monkeypatch, *arguments) == 2
    assert capsys.readouterr().err.startswith(f"codedistill: {repeated} ")
