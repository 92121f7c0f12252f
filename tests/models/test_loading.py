"""Broken model folders: one line that says what is wrong, and end tokens that a saved model keeps."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, GenerationConfig

from codedistill.errors import UserError
from codedistill.models import load_model, set_end_tokens
from codedistill.recipe.sections import ModelSpec
from tests.families import micro


def edit(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def damage(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(Path, folder / "pytorch_model.bin")


def quantized(folder: Path) -> None:
    if importlib.util.find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is here")
    edit(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})


def adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def code(folder: Path) -> None:
    edit(folder, model_type="mine", auto_map={"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.Model"})


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (lambda folder: (folder / "config.json").write_text("[]"), "student"),
        (lambda folder: edit(folder, hidden_size="wide"), "hidden_size"),
        (lambda folder: edit(folder, num_attention_heads=5), "student"),
        (lambda folder: edit(folder, num_hidden_layers=1), "layers"),
        (
            lambda folder: edit(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
            "bits",
        ),
        (damage, "model.norm.weight"),
        (pickled, "student"),
        (adapter, "adapter"),
        (code, "student.trust_remote_code=true"),
    ],
)
def test_a_broken_folder_is_refused_in_one_line(
    breaks: Callable[[Path], Any], says: str, micro_pair: dict[str, Path], tmp_path: Path
) -> None:
    for file in micro_pair["student"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    breaks(tmp_path)
    with pytest.raises(UserError) as error:
        load_model(ModelSpec(path=str(tmp_path)), "student")
    assert str(error.value).startswith(f"student {tmp_path}: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ends", [[5], [5, 9]])
def test_trained_end_tokens_are_saved_before_those_that_were_there(ends: list[int], tmp_path: Path) -> None:
    model = micro("llama")
    model.generation_config.eos_token_id = 7
    set_end_tokens(model, ends)
    model.save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).eos_token_id == [*ends, 7]
    assert AutoConfig.from_pretrained(tmp_path).eos_token_id == (ends if len(ends) > 1 else ends[0])
