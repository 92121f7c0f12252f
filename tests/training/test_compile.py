"""A compiled run: the same student, and nothing compiled for the responses that are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.methods.method_runs import run
from tests.training.switch_cases import COMPILED, METHODS, first_step


@pytest.mark.slow
def test_compiled_models_learn_the_same(
    short_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a compiler: graphs are traced and run as they are. In gkd, the student also writes."""
    compiled: list[str] = []
    plain: Callable[..., None] = nn.Module.compile

    def compile_(self: nn.Module, **options: Any) -> None:
        compiled.append(type(self).__name__)
        plain(self, backend="eager", **options)

    common = [*METHODS["gkd"], "training.steps=1"]
    without = run(short_recipe, tmp_path / "a", common)
    monkeypatch.setattr(nn.Module, "compile", compile_)
    monkeypatch.setattr("codedistill.training.switches.compile_fault", lambda device: None)
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    with_it = run(short_recipe, tmp_path / "b", [*common, COMPILED])
    assert compiled == ["LlamaModel", "LlamaModel"]
    assert 2 <= counters["stats"]["unique_graphs"] <= 8, "the writing is compiled too, or nothing is"
    assert with_it.metrics[0].loss == pytest.approx(without.metrics[0].loss, rel=1e-5)
    assert with_it.metrics[0].grad_norm == pytest.approx(without.metrics[0].grad_norm, rel=1e-4)
    for key, tensor in without.weights.items():
        assert torch.allclose(tensor, with_it.weights[key], atol=1e-5, rtol=0), key


@pytest.mark.slow
def test_a_compiler_builds_the_step(short_recipe: dict[str, Any], tmp_path: Path) -> None:
    """The real compiler, once: loss and gradient of a step."""
    torch._dynamo.reset()
    plain, exact = first_step(short_recipe, tmp_path, ["method=akd"])
    loss, gradient = first_step(short_recipe, tmp_path, ["method=akd", COMPILED])
    assert loss == pytest.approx(plain, rel=1e-5)
    assert torch.allclose(gradient, exact, rtol=1e-4, atol=1e-5 * exact.abs().max().item())
