"""The command line on two processes: one run, one directory, one voice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file


def launch(recipe: dict[str, Any], folder: Path, processes: int) -> subprocess.CompletedProcess[str]:
    file = folder / f"recipe-{processes}.yaml"
    file.write_text(yaml.safe_dump(recipe))
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    command = [sys.executable, *launcher, "-m", "codedistill", "train", str(file), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
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
