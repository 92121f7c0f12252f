"""The command line on two processes: one run, one directory, one voice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from codedistill import parallel as processes
from codedistill.errors import UserError

pytestmark = pytest.mark.slow


def launch(recipe: dict[str, Any], folder: Path, count: int, **variables: str) -> subprocess.CompletedProcess[str]:
    file = folder / f"recipe-{count}.yaml"
    file.write_text(yaml.safe_dump(recipe))
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"] if count > 1 else []
    command = [sys.executable, *launcher, "-m", "codedistill", "train", str(file), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=folder, env=environment)


def test_two_processes_are_one_run(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    """Without an accelerator and without a word about it in the environment: plain torchrun."""
    one, two = tmp_path / "one", tmp_path / "two"
    training = micro_recipe["training"] | {"steps": 3, "learning_rate": 1e-5}
    alone = launch(micro_recipe | {"training": training | {"batch_size": 8}, "output": str(one)}, tmp_path, 1)
    assert alone.returncode == 0, alone.stderr
    both = launch(micro_recipe | {"training": training | {"batch_size": 4}, "output": str(two)}, tmp_path, 2)
    assert both.returncode == 0, both.stderr
    assert json.loads(both.stdout) == {"model": str(two / "model")}
    assert both.stderr.count("training with") == 1
    rows = [json.loads(line) for line in (two / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    models = [load_file(path / "model" / "model.safetensors") for path in (one, two)]
    for name, weight in models[0].items():
        torch.testing.assert_close(models[1][name], weight, rtol=0, atol=1e-6)


def test_a_wrong_recipe_is_said_by_the_first_process(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    done = launch(micro_recipe | {"data": {"source": "missing.json"}}, tmp_path, 2)
    assert done.returncode != 0
    assert "missing.json" in done.stderr


def test_rank_alone_is_a_job_schedulers_business(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    done = launch(micro_recipe | {"output": str(tmp_path / "one")}, tmp_path, 1, RANK="1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"model": str(tmp_path / "one" / "model")}


def test_a_process_that_finds_no_others_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where WORLD_SIZE is set too, but what accelerate needs besides is not."""
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "join", lambda: SimpleNamespace(num_processes=1))
    assert processes.rank() == 1
    with pytest.raises(UserError, match="RANK=1"):
        processes.share_directory(None)
