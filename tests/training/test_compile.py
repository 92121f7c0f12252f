"""Compiled models: the same losses, gradients and students, and nothing compiled for what is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.methods.method_runs import run
from tests.training.switch_cases import CHECKPOINTING, COMPILED, METHODS, first_step


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Compiling without a compiler: graphs are traced and run as they are. Lists the modules that were compiled."""
    compiled: list[str] = []
    plain: Callable[..., None] = nn.Module.compile

    def compile_(self: nn.Module, **options: Any) -> None:
        compiled.append(type(self).__name__)
        plain(self, backend="aot_eager", **options)

    monkeypatch.setattr(nn.Module, "compile", compile_)
    monkeypatch.setattr("codedistill.training.switches.compile_fault", lambda device: None)
    return compiled


RUNS = {
    "minillm": METHODS["minillm"],  # both models write, and both are asked
    "gkd": [*METHODS["gkd"], CHECKPOINTING],
}


@pytest.mark.parametrize("name", RUNS)
def test_compiled_models_learn_the_same(
    name: str, traced: list[str], short_recipe: dict[str, Any], tmp_path: Path
) -> None:
    common = [*RUNS[name], "training.steps=2"]
    plain = run(short_recipe, tmp_path / "a", common)
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    compiled = run(short_recipe, tmp_path / "b", [*common, COMPILED])
    assert traced == ["LlamaModel", "LlamaModel"]
    assert 2 <= counters["stats"]["unique_graphs"] <= 8, "what is written is compiled too, or nothing is"
    for a, b in zip(plain.metrics, compiled.metrics, strict=True):
        assert b.loss == pytest.approx(a.loss, rel=1e-5)
        assert b.grad_norm == pytest.approx(a.grad_norm, rel=1e-4)
    for key, tensor in plain.weights.items():
        assert torch.allclose(tensor, compiled.weights[key], atol=1e-5, rtol=0), key


def test_a_compiler_builds_what_it_is_told(short_recipe: dict[str, Any], tmp_path: Path) -> None:
    """The real thing, once: loss and gradient of a step."""
    torch._dynamo.reset()
    wide, exact = first_step(short_recipe, tmp_path, ["method=akd"])
    loss, gradient = first_step(short_recipe, tmp_path, ["method=akd", COMPILED])
    assert loss == pytest.approx(wide, rel=1e-5)
    assert torch.allclose(gradient, exact, rtol=1e-4, atol=1e-5 * exact.abs().max().item())
