"""Whole runs inside a test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from codedistill.recipe.load import load_recipe
from codedistill.runs.directory import RunDirectory
from codedistill.training import StepMetrics, train


@dataclass(frozen=True)
class Run:
    weights: dict[str, torch.Tensor]
    metrics: list[StepMetrics]
    path: Path


def short_recipe_of(pair: dict[str, Path], data: Path, output: Path) -> dict[str, Any]:
    """A recipe over short examples: a step takes milliseconds."""
    return {
        "name": "short",
        "teacher": str(pair["teacher"]),
        "student": str(pair["student"]),
        "data": {"source": str(data), "max_length": 64},
        "training": {"steps": 6, "batch_size": 8, "learning_rate": 1e-3},
        "output": str(output),
    }


def run(recipe: dict[str, Any], output: Path, overrides: Sequence[str] = ()) -> Run:
    seen: list[StepMetrics] = []
    resolved = load_recipe(recipe, [*overrides, f"output={output}"])
    result = train(resolved, RunDirectory(output), lambda m, total: seen.append(m.model_copy(update={"seconds": 0.0})))
    return Run(load_file(result.model / "model.safetensors"), seen, output)


class Stopped(Exception):
    pass


def interrupted_run(recipe: dict[str, Any], output: Path, overrides: Sequence[str], stop_at: int) -> Run:
    """Dies after step `stop_at`, whose checkpoint is not there yet, and goes on from the one before."""

    def stop(metrics: StepMetrics, total: int) -> None:
        if metrics.step == stop_at:
            raise Stopped

    resolved = load_recipe(recipe, [*overrides, f"output={output}", "training.checkpoint_every=1"])
    with pytest.raises(Stopped):
        train(resolved, RunDirectory(output), stop)
    torch.manual_seed(999)
    return run(recipe, output, [*overrides, "resume=auto"])


def assert_same_run(ours: Run, whole: Run) -> None:
    """The same weights to the last bit, and the same metrics file but for the time it took."""
    assert all(torch.equal(ours.weights[name], whole.weights[name]) for name in whole.weights)
    rows = [
        [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in (each.path / "metrics.jsonl").read_text().splitlines()
        ]
        for each in (ours, whole)
    ]
    assert rows[0] == rows[1]
    assert len(ours.metrics) < len(whole.metrics) == len(rows[0])
