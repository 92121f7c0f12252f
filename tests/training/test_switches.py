"""Switches for memory and speed leave the objective alone, reach what they are for, and are refused where they cannot
work."""

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
from safetensors.torch import load_file
from transformers.models.llama.modeling_llama import LlamaAttention

from codedistill.errors import UserError
from codedistill.recipe.load import load_recipe
from codedistill.training.switches import check_switches
from tests.methods.method_runs import assert_same_run, interrupted_run, run
from tests.training.switch_cases import CHECKPOINTING, COMPILED, METHODS, NARROW, first_step

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", METHODS)
def test_gradient_checkpointing_changes_no_bit(
    name: str, short_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []
    plain = LlamaAttention.forward

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(self.training)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(LlamaAttention, "forward", counted)
    common = [*METHODS[name], "training.steps=4"]
    without = run(short_recipe, tmp_path / "a", common)
    trained = sum(calls)
    calls.clear()
    with_it = run(short_recipe, tmp_path / "b", [*common, CHECKPOINTING])
    assert sum(calls) == 2 * trained > 0  # every layer of the student a second time, on the way back
    assert with_it.metrics == without.metrics
    assert all(torch.equal(with_it.weights[key], without.weights[key]) for key in without.weights)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0).item()


@pytest.mark.parametrize("name", METHODS)
def test_bfloat16_gives_the_same_loss_and_direction(name: str, short_recipe: dict[str, Any], tmp_path: Path) -> None:
    common = ["method=akd", "lora={rank: 2, dropout: 0}"] if name == "adapters" else METHODS[name]
    common = [*common, *(["minillm.single_step=true", "minillm.whiten=false"] if name == "minillm" else [])]
    wide, exact = first_step(short_recipe, tmp_path, common)
    narrow, rough = first_step(short_recipe, tmp_path, [*common, NARROW])
    assert narrow == pytest.approx(wide, rel=0.02)
    assert narrow != wide
    assert 0.99 < cosine(rough, exact) < 1 - 1e-9
    assert rough.norm().item() == pytest.approx(exact.norm().item(), rel=0.03)


def test_these_bounds_would_notice_another_loss(short_recipe: dict[str, Any], tmp_path: Path) -> None:
    loss, gradient = first_step(short_recipe, tmp_path, ["method=kd"])
    for other in (["method=akd"], ["method=kd", "loss.temperature=1.2"], ["method=kd", "loss.normalization=token"]):
        wrong, direction = first_step(short_recipe, tmp_path, other)
        assert wrong != pytest.approx(loss, rel=0.02) or cosine(gradient, direction) < 0.99


def test_bfloat16_reaches_both_models_and_not_what_is_written(
    short_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[torch.dtype]] = {"training": set(), "teacher": set(), "writing": set()}
    plain = LlamaAttention.forward

    def watched(self: Any, hidden_states: torch.Tensor, **options: Any) -> Any:
        who = "writing" if torch.is_inference_mode_enabled() else "training" if self.training else "teacher"
        out = plain(self, hidden_states=hidden_states, **options)
        seen[who].add(out[0].dtype)
        return out

    monkeypatch.setattr(LlamaAttention, "forward", watched)
    first_step(short_recipe, tmp_path, [*METHODS["minillm"], NARROW])
    assert seen == {"training": {torch.bfloat16}, "teacher": {torch.bfloat16}, "writing": {torch.float32}}


@pytest.mark.parametrize(
    ("overrides", "dtype"),
    [([NARROW], torch.float32), (["student.dtype=bfloat16"], torch.bfloat16), ([], torch.float32)],
)
def test_saved_models_keep_their_type(
    overrides: list[str], dtype: torch.dtype, short_recipe: dict[str, Any], tmp_path: Path
) -> None:
    for name, more in {"full": [], "adapters": ["lora={rank: 2}"]}.items():
        run(short_recipe, tmp_path / name, [*overrides, *more, "training.steps=1"])
        saved = load_file(tmp_path / name / "model" / "model.safetensors")
        assert {tensor.dtype for tensor in saved.values()} == {dtype}
        config = json.loads((tmp_path / name / "model" / "config.json").read_text())
        assert config["dtype"] == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("switches", [[CHECKPOINTING], [NARROW], [CHECKPOINTING, NARROW]])
def test_a_resumed_run_goes_on_bit_for_bit(switches: list[str], short_recipe: dict[str, Any], tmp_path: Path) -> None:
    overrides = ["method=gkd", "gkd.max_new_tokens=4", "lora={rank: 2, dropout: 0.2}", *switches]
    whole = run(short_recipe, tmp_path / "a", overrides)
    assert_same_run(interrupted_run(short_recipe, tmp_path / "b", overrides, stop_at=3), whole)
    with pytest.raises(UserError, match=r"training\.(gradient_checkpointing|precision)"):
        run(
            short_recipe,
            tmp_path / "b",
            ["method=gkd", "gkd.max_new_tokens=4", "lora={rank: 2, dropout: 0.2}", "resume=auto"],
        )


@pytest.mark.parametrize(
    ("configured", "overrides", "named"),
    [
        ("bf16", [], ["training.precision=bfloat16", "accelerate", "bf16"]),
        ("fp8", [NARROW], ["training.precision", "accelerate", "fp8"]),
        ("no", [NARROW], ["bfloat16: signal 4"]),
        ("no", ["student.dtype=bfloat16"], ["bfloat16: signal 4"]),
        ("no", ["teacher.dtype=bfloat16"], ["bfloat16: signal 4"]),
        ("no", [COMPILED], ["training.compile: no compiler"]),
    ],
)
def test_what_cannot_work_is_refused(
    configured: str,
    overrides: list[str],
    named: list[str],
    short_recipe: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place: Any = SimpleNamespace(mixed_precision=configured, device=torch.device("cpu"))
    monkeypatch.setattr("codedistill.models.precision.bfloat16_fault", lambda: "signal 4")
    monkeypatch.setattr("codedistill.training.switches.compile_fault", lambda device: "no compiler")
    with pytest.raises(UserError) as error:
        check_switches(load_recipe(short_recipe, overrides), place)
    assert all(name in str(error.value) for name in named)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "overrides", "named"),
    [
        ({"CXX": "/nowhere/g++"}, [COMPILED], "training.compile"),
        ({"ACCELERATE_MIXED_PRECISION": "bf16"}, [], "ACCELERATE_MIXED_PRECISION"),
    ],
)
def test_a_refused_run_leaves_nothing(
    variable: dict[str, str], overrides: list[str], named: str, short_recipe: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(short_recipe))
    command = [sys.executable, "-m", "codedistill", "train", str(file), *overrides, f"output={tmp_path / 'run'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variable})
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.strip().splitlines() if not line.endswith(" elapsed")]  # a slow machine
    where, stage, *rest = lines
    assert where == f"run directory: {tmp_path / 'run'}"
    assert stage.startswith("training with")
    assert len(rest) == 1
    assert named in rest[0]
    assert not (tmp_path / "run" / "recipe.yaml").exists()
