from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from codedistill.errors import UserError
from codedistill.recipe.load import load_recipe
from codedistill.runs.directory import RunDirectory
from codedistill.training import Interrupted, StepMetrics, train
from codedistill.training.checkpoint import SUMS, newest_checkpoint, whole_checkpoints

pytestmark = pytest.mark.slow

STEPS = 30


def long_recipe(micro_recipe: dict[str, Any], output: Path) -> dict[str, Any]:
    """Dropout in the adapters, several epochs, cosine, frequent checkpoints: everything that a resume can get wrong."""
    return micro_recipe | {
        "method": "akd",
        "lora": {"rank": 2, "dropout": 0.2},
        "training": {
            "steps": STEPS,
            "batch_size": 8,
            "micro_batch_size": 4,
            "learning_rate": 1e-2,
            "schedule": "cosine",
            "checkpoint_every": 4,
        },
        "output": str(output),
    }


def start(recipe: dict[str, Any], folder: Path, *overrides: str) -> subprocess.Popen[str]:
    file = folder / "recipe-in.yaml"
    file.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "codedistill", "train", str(file), *overrides]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def lines(path: Path) -> list[dict[str, Any]]:
    """Metrics without the time they took."""
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0].splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in whole]


def wait_for_step(process: subprocess.Popen[str], metrics: Path, step: int) -> None:
    deadline = time.monotonic() + 90
    while len(lines(metrics)) < step:
        assert time.monotonic() < deadline, "training did not get there"
        if process.poll() is not None:
            return
        time.sleep(0.002)


def state(run: Path) -> dict[str, Any]:
    checkpoint = newest_checkpoint(run / "checkpoints")
    assert checkpoint is not None
    return {
        "weights": load_file(checkpoint / "weights.safetensors"),
        "model": load_file(run / "model" / "model.safetensors"),
        "rest": torch.load(checkpoint / "state.pt", weights_only=True),
    }


def assert_same(a: Any, b: Any, where: str = "") -> None:
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            if key != "output":
                assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    elif where != ".rest.recipe.resume":
        assert a == b, where


def test_a_killed_run_goes_on_bit_for_bit(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    straight = start(long_recipe(micro_recipe, whole), tmp_path)
    _, messages = straight.communicate(timeout=120)
    assert straight.returncode == 0, messages

    step = random.randint(1, STEPS - 2)  # any step must do; the number is in the failure message
    process = start(long_recipe(micro_recipe, killed), tmp_path)
    wait_for_step(process, killed / "metrics.jsonl", step)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    again = start(long_recipe(micro_recipe, killed), tmp_path, "resume=auto")
    _, messages = again.communicate(timeout=120)
    assert again.returncode == 0, (step, messages)

    assert lines(killed / "metrics.jsonl") == lines(whole / "metrics.jsonl"), f"killed at step {step}"
    assert len(lines(whole / "metrics.jsonl")) == STEPS
    assert_same(state(killed), state(whole))


def test_ctrl_c_saves_and_says_how_to_go_on(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe = long_recipe(micro_recipe, tmp_path / "run")
    recipe["training"] |= {"steps": 5000, "checkpoint_every": 5000}
    process = start(recipe, tmp_path)
    wait_for_step(process, tmp_path / "run" / "metrics.jsonl", 2)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resume=auto" in messages
    done = len(lines(tmp_path / "run" / "metrics.jsonl"))
    assert [p.name for p in whole_checkpoints(tmp_path / "run" / "checkpoints")] == [f"step-{done}"]


def test_a_signal_in_the_last_step_stops_too(micro_recipe: dict[str, Any]) -> None:
    directory, steps = RunDirectory(Path(micro_recipe["output"])), []

    def stop(metrics: StepMetrics, of: int) -> None:
        steps.append(metrics.step)
        if metrics.step == of:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match=f"stopped after step {micro_recipe['training']['steps']} of"):
        train(load_recipe(micro_recipe), directory, stop)
    assert not directory.model.exists()
    train(load_recipe(micro_recipe, ["resume=auto"]), directory, stop)  # nothing is left to do but to save
    assert steps == list(range(1, steps[-1] + 1))
    assert directory.model.exists()


def test_resume_refuses_another_recipe_and_other_data(micro_recipe: dict[str, Any]) -> None:
    directory = RunDirectory(Path(micro_recipe["output"]))
    train(load_recipe(micro_recipe), directory)
    for override in ("training.learning_rate=0.5", "beta.strategy=M2", "data.limit=39"):
        with pytest.raises(UserError) as error:
            train(load_recipe(micro_recipe, ["resume=auto", override]), directory)
        assert error.value.key == override.partition("=")[0]


def test_half_a_checkpoint_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "step-4").mkdir()
    (tmp_path / ".step-9.tmp").mkdir()
    assert newest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("name", ["state.pt", "weights.safetensors"])
@pytest.mark.parametrize("content", [lambda old: old[: len(old) // 2], lambda old: b"", lambda old: b"\x80\x02broken"])
def test_a_damaged_checkpoint_is_one_line(name: str, content: Any, micro_recipe: dict[str, Any]) -> None:
    directory = RunDirectory(Path(micro_recipe["output"]))
    train(load_recipe(micro_recipe), directory)
    shutil.rmtree(directory.model)
    last = directory.checkpoints / "step-6"
    (last / name).write_bytes(content((last / name).read_bytes()))
    again = load_recipe(micro_recipe, ["resume=auto"])
    with pytest.raises(UserError, match=rf"step-6/{name}: ") as error:
        train(again, directory)
    assert f"remove {last}" in str(error.value)
    assert "\n" not in str(error.value)
    shutil.rmtree(last)
    train(again, directory)
    assert directory.model.exists()


@pytest.mark.parametrize("name", ["state.pt", "weights.safetensors", SUMS])
def test_a_flipped_byte_is_noticed_and_the_checkpoint_before_is_offered(
    name: str, micro_recipe: dict[str, Any]
) -> None:
    directory = RunDirectory(Path(micro_recipe["output"]))
    every = ["training.checkpoint_every=3", "training.keep_checkpoints=2"]
    train(load_recipe(micro_recipe, every), directory)
    expected = (directory.model / "model.safetensors").read_bytes()
    shutil.rmtree(directory.model)
    last = directory.checkpoints / "step-6"
    content = bytearray((last / name).read_bytes())
    content[-40] ^= 1
    (last / name).write_bytes(content)
    again = load_recipe(micro_recipe, [*every, "resume=auto"])
    with pytest.raises(UserError) as error:
        train(again, directory)
    for part in (f"step-6/{name}" if name != SUMS else "step-6/", f"remove {last}", "step-3"):
        assert part in str(error.value)
    assert not directory.model.exists()
    shutil.rmtree(last)
    train(again, directory)
    assert (directory.model / "model.safetensors").read_bytes() == expected


def test_a_checkpoint_without_checksums_is_refused_as_an_older_versions(micro_recipe: dict[str, Any]) -> None:
    directory = RunDirectory(Path(micro_recipe["output"]))
    train(load_recipe(micro_recipe), directory)
    shutil.rmtree(directory.model)
    (directory.checkpoints / "step-6" / SUMS).unlink()
    with pytest.raises(UserError) as error:
        train(load_recipe(micro_recipe, ["resume=auto"]), directory)
    for part in (str(directory.checkpoints / "step-6"), SUMS, "0.1.0"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert not directory.model.exists()


def test_a_kill_while_an_old_checkpoint_is_removed_leaves_no_half_of_it(
    micro_recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory(Path(micro_recipe["output"]))
    plain = shutil.rmtree

    def killed(path: Path, **options: Any) -> None:
        if (Path(path) / "state.pt").exists():
            (Path(path) / "weights.safetensors").unlink()
            raise KeyboardInterrupt
        plain(path, **options)

    every = "training.checkpoint_every=3"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            train(load_recipe(micro_recipe, [every]), directory)
    assert [p.name for p in directory.checkpoints.glob("step-*")] == ["step-6"]
    train(load_recipe(micro_recipe, [every, "resume=auto"]), directory)
    assert directory.model.exists()


@pytest.mark.parametrize("who", ["teacher", "student"])
def test_weights_that_changed_between_two_runs_are_noticed(
    who: str, micro_recipe: dict[str, Any], micro_pair: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / who
    shutil.copytree(micro_pair[who], folder)
    directory = RunDirectory(Path(micro_recipe["output"]))
    train(load_recipe(micro_recipe, [f"{who}={folder}"]), directory)
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = max(weights, key=lambda each: weights[each].numel())
    weights[name].view(-1)[7] += 1e-3
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(UserError) as error:
        train(load_recipe(micro_recipe, [f"{who}={folder}", "resume=auto"]), directory)
    assert error.value.key == who
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda file: file.unlink(), 0),
        (lambda file: file.write_text(""), 0),
        (lambda file: file.write_text(file.read_text()[:-30]), 5),
        (lambda file: file.write_text("".join(file.read_text().splitlines(keepends=True)[2:])), 4),
    ],
)
def test_lost_metrics_are_said(
    damage: Any, kept: int, micro_recipe: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    directory = RunDirectory(Path(micro_recipe["output"]))
    train(load_recipe(micro_recipe), directory)
    assert not any("metrics.jsonl" in record.getMessage() for record in caplog.records)
    shutil.rmtree(directory.model)
    damage(directory.metrics)
    train(load_recipe(micro_recipe, ["resume=auto"]), directory)
    (message,) = (r.getMessage() for r in caplog.records if "metrics.jsonl" in r.getMessage())
    assert f"{6 - kept} of the 6 steps" in message
    assert len(lines(directory.metrics)) == kept
    assert directory.model.exists()


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from codedistill.cli import verbs as cli
from codedistill.training import checkpoint
write, calls = checkpoint.save_file, []
def limited(*arguments, **options):
    calls.append(1)
    if len(calls) == 2:  # the second checkpoint meets a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    return write(*arguments, **options)
checkpoint.save_file = limited
sys.argv = ["codedistill", "train", sys.argv[1]]
cli.main()
"""


def test_a_full_disk_leaves_the_last_checkpoint_whole(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe = long_recipe(micro_recipe, tmp_path / "run")
    file = tmp_path / "recipe-in.yaml"
    file.write_text(yaml.safe_dump(recipe))
    done = subprocess.run([sys.executable, "-c", LIMITED, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    message = done.stderr.strip().splitlines()[-1]
    assert "step-8" in message
    assert "step-4" in message
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-4"]
    again = start(recipe, tmp_path, "resume=auto")
    _, messages = again.communicate(timeout=120)
    assert again.returncode == 0, messages
