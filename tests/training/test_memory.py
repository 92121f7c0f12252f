"""Too little memory is one line that names the keys to lower; other errors stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from codedistill.errors import UserError, memory_for
from codedistill.methods.kd import Distillation
from codedistill.recipe.load import load_recipe
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import append_jsonl
from codedistill.training import train


def exhaust() -> None:
    torch.empty(2**50)


def give_up() -> None:
    raise MemoryError


@pytest.mark.parametrize("fault", [exhaust, give_up])
def test_a_step_names_the_keys_that_help(
    fault: Callable[[], None], micro_recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Distillation, "loss", lambda self, batch: fault())
    with pytest.raises(UserError) as error:
        train(load_recipe(micro_recipe), RunDirectory(Path(micro_recipe["output"])))
    assert error.value.key == "training.micro_batch_size"
    assert "loss.chunk_rows" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_method_that_writes_names_its_batch_size(
    micro_recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codedistill.generation.OwnEngine.generate", lambda *arguments: exhaust())
    with pytest.raises(UserError, match=r"gkd\.batch_size"):
        train(load_recipe(micro_recipe, ["method=gkd"]), RunDirectory(Path(micro_recipe["output"])))


def test_other_errors_stay() -> None:
    with pytest.raises(RuntimeError, match="shape"), memory_for("this", "a.key"):
        raise RuntimeError("shape mismatch")


def test_a_full_disk_under_the_metrics_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"metrics\.jsonl"):
        append_jsonl(file, {"step": 1})
