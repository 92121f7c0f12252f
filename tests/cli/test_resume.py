"""After an interruption a user gets a line that can be pasted."""

from __future__ import annotations

import fcntl
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import typer

from codedistill.api import _open
from codedistill.cli.resume import Advice, kept
from codedistill.progress import Watch
from codedistill.recipe.load import load_recipe
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import write_text


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return shlex.split(capsys.readouterr().err.split("go on with: ")[1])


def interrupted_in(directory: str | None) -> None:
    with Advice() as advice:
        if directory is not None:
            advice.listen(Watch()).directory(Path(directory), None)
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
def test_the_advice_names_the_directory(
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
    assert said(capsys) == ["codedistill", *words]


def test_several_processes_go_on_as_many(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["/somewhere/codedistill/__main__.py", "run", "a.yaml"])
    with pytest.raises(typer.Exit), Advice():
        raise KeyboardInterrupt
    launcher = ["torchrun", "--nproc_per_node", "2", "-m", "codedistill"]
    assert said(capsys) == [*launcher, "run", "a.yaml", "resume=auto"]


def test_a_verb_that_was_started_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/codedistill/__main__.py", "evaluate", "m"])
    with pytest.raises(typer.Exit), kept():
        raise KeyboardInterrupt
    program, *rest = said(capsys)
    assert rest == ["-m", "codedistill", "evaluate", "m"]
    assert program in ("python", sys.executable)


def test_an_unfinished_run_of_the_same_name_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["codedistill", "run", "tiny", "training.seed=3"])
    recipe = load_recipe("tiny")
    first = RunDirectory(Path("runs/tiny"))

    def opened() -> str:
        assert _open(recipe, Advice().listen(Watch())).path == Path("runs/tiny-2")
        shutil.rmtree("runs/tiny-2")
        return capsys.readouterr().err

    write_text(first.recipe, "")
    line = "codedistill run runs/tiny/recipe.yaml output=runs/tiny resume=auto"
    assert opened() == f"runs/tiny holds an unfinished run; to go on with that one instead: {line}\n"
    with (first.path / ".lock").open("w") as handle:  # a live run is not left behind
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert opened() == ""
    first.model.mkdir()
    assert opened() == ""
    (first.path / "evaluation").mkdir()
    assert line in opened()
    write_text(first.summary, "{}")
    assert opened() == ""
