"""Adapters on small random models of several families, and merged back into plain weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM

from codedistill.errors import UserError
from codedistill.methods import METHODS
from codedistill.models.lora import add_adapters, merged
from codedistill.recipe.load import load_recipe
from codedistill.recipe.sections import Lora
from codedistill.runs.directory import RunDirectory
from codedistill.training import StepMetrics, train

IDS = torch.arange(24).reshape(2, 12)
OLD = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 32, "n_ctx": 32, "n_inner": 64}
NEW = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": OLD,
    "gpt_bigcode": OLD,
    "codegen": {**OLD, "n_head": 4, "rotary_dim": 4},
    "gpt_neox": NEW,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    "falcon": NEW,
    "phi3": {**NEW, "pad_token_id": 0},
    "llama": NEW,
    "qwen2": {**NEW, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "starcoder2": {**NEW, "num_key_value_heads": 1},
    "gemma": {**NEW, "num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True},
    "gptj": {**OLD, "rotary_dim": 4},
}
SEPARATE = ["q_proj", "k_proj", "v_proj"]
FUSED = {"gpt2": ["c_attn"], "gpt_bigcode": ["c_attn"], "codegen": ["qkv_proj"], "phi3": ["qkv_proj"]}
FUSED |= {name: ["query_key_value"] for name in ("gpt_neox", "bloom", "falcon")}


def micro(family: str) -> Any:
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, vocab_size=64, **FAMILIES[family])).eval()


def disturb(model: Any) -> None:
    """Adapters start as nothing: give them something to merge."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.2)


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_are_on_the_attention_and_merge_to_the_same_function(family: str, tmp_path: Path) -> None:
    model = micro(family)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        plain = model(IDS).logits
    adapted = add_adapters(model, Lora(rank=2, dropout=0.0)).eval()
    learning = {name for name, p in adapted.named_parameters() if p.requires_grad}
    targets = FUSED.get(family, SEPARATE)
    assert learning
    assert all("lora_" in name and any(f".{t}." in name for t in targets) for name in learning)
    disturb(adapted)
    with torch.no_grad():
        expected = adapted(IDS).logits
    assert not torch.allclose(expected, plain, atol=1e-3)

    adapted.save_pretrained(str(tmp_path / "adapter"))
    whole = merged(adapted)
    whole.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    for each in (whole, loaded):
        with torch.no_grad():
            assert torch.allclose(each(IDS).logits, expected, atol=1e-5)
        assert (each.get_output_embeddings().weight is each.get_input_embeddings().weight) == tied
    changed = {name for name, p in loaded.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if any(f".{t}.weight" in name for t in targets)}
    again = PeftModel.from_pretrained(micro(family), tmp_path / "adapter").eval()
    with torch.no_grad():
        assert torch.allclose(again(IDS).logits, expected, atol=1e-5)


@pytest.mark.parametrize(("family", "transposed"), [("llama", False), ("gpt2", True)])
def test_what_is_merged_by_hand(family: str, transposed: bool, recwarn: pytest.WarningsRecorder) -> None:
    """w + alpha / rank B A, for weights [out, in] and for GPT-2's [in, out]; peft has nothing to correct."""
    model = micro(family)
    (name, before), *_ = [(n, p.detach().clone()) for n, p in model.named_parameters() if ".0." in n and is_target(n)]
    adapted = add_adapters(model, Lora(rank=2, alpha=7, dropout=0.0))
    assert not [w for w in recwarn if "fan_in_fan_out" in str(w.message)]
    disturb(adapted)
    inside = dict(adapted.named_parameters())
    a, b = (inside[f"base_model.model.{name.removesuffix('weight')}lora_{x}.default.weight"] for x in "AB")
    change = 7 / 2 * b.detach() @ a.detach()
    after = dict(merged(adapted).named_parameters())[name]
    torch.testing.assert_close(after, before + (change.T if transposed else change))


def is_target(name: str) -> bool:
    return name.endswith(("q_proj.weight", "attn.c_attn.weight"))


def test_the_papers_settings_are_the_defaults() -> None:
    lora = Lora()
    assert (lora.rank, lora.alpha, lora.dropout) == (8, 32, 0.1)


@pytest.mark.parametrize(
    ("family", "targets", "named"),
    [
        ("llama", ["lm_head"], ["lora.targets", "lm_head"]),
        ("qwen2", ["embed_tokens"], ["embed_tokens", "output head"]),
        ("llama", ["c_attn"], ["llama", "lora.targets", "down_proj", "gate_proj"]),
        ("llama", ["input_layernorm"], ["lora.targets", "input_layernorm"]),
    ],
)
def test_targets_that_cannot_be_meant(family: str, targets: list[str], named: list[str]) -> None:
    with pytest.raises(UserError) as error:
        add_adapters(micro(family), Lora(targets=targets))
    assert all(name in str(error.value) for name in named)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_adapters(method: str, short_recipe: dict[str, Any], tmp_path: Path) -> None:
    """Only the attention moves, the head stays tied, and the adapter lies beside the merged weights."""
    overrides = [f"method={method}", "lora={rank: 2}", "training.steps=2", "training.learning_rate=1e-2"]
    overrides += [f"{method}.max_new_tokens=4"] if method in ("seqkd", "gkd", "minillm") else []
    recipe = load_recipe(short_recipe, overrides)
    seen: list[StepMetrics] = []
    result = train(recipe, RunDirectory(tmp_path / "run"), lambda m, total: seen.append(m))
    student = AutoModelForCausalLM.from_pretrained(result.model)
    before = dict(AutoModelForCausalLM.from_pretrained(short_recipe["student"]).named_parameters())
    changed = {name for name, p in student.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if any(t in name for t in SEPARATE)}
    assert (result.model / "adapter" / "adapter_model.safetensors").is_file()
    adapted = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(short_recipe["student"]), result.model / "adapter"
    )
    with torch.no_grad():
        assert torch.allclose(adapted(IDS).logits, student(IDS).logits, atol=1e-5)
    assert len(seen) == 2
