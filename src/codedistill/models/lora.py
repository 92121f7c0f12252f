"""Low-rank adapters through peft, and the way back to plain weights."""

from __future__ import annotations

import warnings

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from codedistill.errors import UserError
from codedistill.recipe.sections import Lora

ATTENTION = {
    "bloom": ["query_key_value"],
    "codegen": ["qkv_proj"],
    "deepseek_v2": ["q_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"],
    "deepseek_v3": ["q_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"],
    "falcon": ["query_key_value"],
    "gpt2": ["c_attn"],
    "gpt_bigcode": ["c_attn"],
    "gpt_neox": ["query_key_value"],
    "mpt": ["Wqkv"],
    "persimmon": ["query_key_value"],
    "phi3": ["qkv_proj"],
}
"""Attention's input projections by model type. Every other family that we know names them as DEFAULT_ATTENTION does
(Llama, Qwen, Mistral, Gemma, Granite, Cohere, StarCoder2, GPT-J, Phi, OPT, ...)."""

DEFAULT_ATTENTION = ["q_proj", "k_proj", "v_proj"]


def add_adapters(model: PreTrainedModel, lora: Lora) -> PeftModel:
    """Wrap a student so that only its adapters learn.

    Raises:
        UserError: no module of the model has one of the target names, or one is the output head or an embedding that
            the head shares: losses read the head's own weight, an adapter on it would never be asked.
    """
    targets = lora.targets or ATTENTION.get(model.config.model_type, DEFAULT_ATTENTION)
    _check_targets(model, targets)
    modules = [module for name, module in model.named_modules() if _named(name, targets)]
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        fan_in_fan_out=all(isinstance(module, Conv1D) for module in modules),  # GPT-2 keeps its weights transposed
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():  # peft asks by a name that transformers has given up
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
            return get_peft_model(model, config)
    except ValueError as error:
        raise UserError(f"lora.targets {', '.join(targets)}: {str(error).splitlines()[0]}") from None


def merged(model: PeftModel) -> PreTrainedModel:
    """The plain model with the adapters in its weights. `model` cannot be used afterwards."""
    plain: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    return plain


def _check_targets(model: PreTrainedModel, targets: list[str]) -> None:
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    tied = head is not None and embedding is not None and head.weight is embedding.weight
    linear = set()
    for name, module in model.named_modules():
        if module is head or (tied and module is embedding):
            if _named(name, targets):
                what = "is the output head" if module is head else "shares its weights with the output head"
                raise UserError(f"lora.targets {name}: {what}, which losses read without its adapter; leave it out")
        elif isinstance(module, nn.Linear | Conv1D):
            linear.add(name.split(".")[-1])
    names = [name for name, _ in model.named_modules()]
    absent = [target for target in targets if not any(_named(name, [target]) for name in names)]
    if absent:
        raise UserError(
            f"lora.targets {', '.join(absent)}: {model.config.model_type} has no such module; "
            f"set lora.targets, its linear modules are {', '.join(sorted(linear))}"
        )


def _named(name: str, targets: list[str]) -> bool:
    """As peft matches: a module's own name, or the end of its dotted path."""
    return any(name == target or name.endswith(f".{target}") for target in targets)
