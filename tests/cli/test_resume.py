"""After an interruption a user gets a line that can be pasted."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from codedistill.api import open_directory
from codedistill.cli.resume import RerunHint, ResumeHint
from codedistill.progress import Watch
from codedistill.recipe.load import load_recipe
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import write_text
from codedistill.training.checkpoint import save_checkpoint
from tests.command_line import call


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return shlex.split(capsys.readouterr().err.split("resume with: ")[1])


def interrupted_in(directory: str | None) -> None:
    with ResumeHint() as hint:
        if directory is not None:
            hint.listen(Watch()).directory(Path(directory), None)
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("given", "directory", "words"),
    [
        (["run"], None, ["run", "resume=auto"]),
        (["run"], "runs/tiny-2", ["run", "output=runs/tiny-2", "resume=auto"]),
        (
            ["run", "tiny", "student={path: a, keep_layers: 4}", "output=m/a", "--json"],
            "m/a",
            ["run", "tiny", "student={path: a, keep_layers: 4}", "--json", "output=m/a", "resume=auto"],
        ),
        (["train", "a.yaml", "resume=auto"], "runs/a", ["train", "a.yaml", "output=runs/a", "resume=auto"]),
        (["run", "a.yaml", "output=m/a"], None, ["run", "a.yaml", "output=m/a", "resume=auto"]),
    ],
)
def test_the_hint_names_the_directory(
    given: list[str],
    directory: str | None,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/codedistill", *given])
    with pytest.raises(typer.Exit) as stop:
        interrupted_in(directory)
    assert stop.value.exit_code == 130
    assert printed(capsys) == ["codedistill", *words]


def test_several_processes_go_on_as_many(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["/somewhere/codedistill/__main__.py", "run", "a.yaml"])
    with pytest.raises(typer.Exit), ResumeHint():
        raise KeyboardInterrupt
    launcher = ["torchrun", "--nproc_per_node", "2", "-m", "codedistill"]
    assert printed(capsys) == [*launcher, "run", "a.yaml", "resume=auto"]


def test_a_verb_that_was_started_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/codedistill/__main__.py", "evaluate", "m"])
    with pytest.raises(typer.Exit), RerunHint():
        raise KeyboardInterrupt
    program, *rest = printed(capsys)
    assert rest == ["-m", "codedistill", "evaluate", "m"]
    assert program in ("python", sys.executable)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_an_evaluation(
    number: int,
    micro_recipe: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)

    recipe, output = tmp_path / "recipe.yaml", micro_recipe["output"]
    recipe.write_text(yaml.safe_dump(micro_recipe))
    with monkeypatch.context() as patch:
        patch.setattr("codedistill.sandbox.run_programs", stop)
        assert call(patch, "run", recipe) == 130
    assert printed(capsys) == ["codedistill", "run", str(recipe), f"output={output}", "resume=auto"]


def test_a_signal_during_the_last_checkpoint(
    micro_recipe: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*arguments: Any) -> None:
        save_checkpoint(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    recipe, output = tmp_path / "recipe.yaml", RunDirectory(Path(micro_recipe["output"]))
    recipe.write_text(yaml.safe_dump(micro_recipe))
    with monkeypatch.context() as patch:
        patch.setattr("codedistill.training.loop.save_checkpoint", stop)
        assert call(patch, "train", recipe) == 130
    assert printed(capsys) == ["codedistill", "train", str(recipe), f"output={output.path}", "resume=auto"]
    assert not output.model.exists()
    assert call(monkeypatch, "train", recipe, "resume=auto") == 0
    assert output.model.exists()


def test_an_unfinished_run_of_the_same_name_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["codedistill", "run", "tiny", "training.seed=3"])
    recipe = load_recipe("tiny")
    first = RunDirectory(Path("runs/tiny"))

    def opened() -> str:
        assert open_directory(recipe, ResumeHint().listen(Watch())).path == Path("runs/tiny-2")
        shutil.rmtree("runs/tiny-2")
        return capsys.readouterr().err

    write_text(first.recipe, "")
    line = "codedistill run runs/tiny/recipe.yaml output=runs/tiny resume=auto"
    assert opened() == f"runs/tiny holds an unfinished run; to resume that one instead: {line}\n"
    with (first.path / ".lock").open("w") as handle:  # a live run is not left behind
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert opened() == ""
    first.model.mkdir()
    assert opened() == ""
    (first.path / "evaluation").mkdir()
    assert line in opened()
    write_text(first.summary, "{}")
    assert opened() == ""
