"""The example that distils by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

FILE = Path(__file__).parents[1] / "examples" / "one_loop.py"


@pytest.fixture
def one_loop(micro_pair: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("one_loop", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    small = {"EXAMPLES": 40, "HELD_OUT": 8, "BATCH": 8, "WARMUP": 2, "LEARNING_RATE": 5e-3}
    for name, value in {**small, **{who.upper(): str(path) for who, path in micro_pair.items()}}.items():
        monkeypatch.setattr(module, name, value)
    return module


def test_the_held_out_loss_falls(one_loop: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    losses = one_loop.main(12, tmp_path / "student")
    assert losses[-1] < 0.9 * losses[0]
    assert f"{losses[-1]:.4f}" in capsys.readouterr().out
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "student").num_parameters() > 0
