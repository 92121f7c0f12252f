"""Low-rank adapters through peft, and the way back to plain weights."""

from __future__ import annotations

import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from codedistill.errors import CodedistillError, UserError, first_line
from codedistill.models.compare import probe_logits, same_logits
from codedistill.models.config import text_config
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
    targets = lora.targets
    if targets is None:  # of alternative names those that the model has
        usual = ATTENTION.get(text_config(model).model_type, DEFAULT_ATTENTION)
        names = [name for name, _ in model.named_modules()]
        targets = [target for target in usual if any(_named(name, [target]) for name in names)] or usual
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
            adapted = get_peft_model(model, config)
    except ValueError as error:
        raise UserError(f"lora.targets {', '.join(targets)}: {first_line(error)}") from None
    _check_merge(adapted, targets)
    return adapted


def merged(model: PeftModel) -> PreTrainedModel:
    """The plain model with the adapters in its weights. `model` cannot be used afterwards.

    Raises:
        CodedistillError: the merged model is another one than the adapted one.
    """
    before = probe_logits(model)
    plain: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    if not same_logits(probe_logits(plain), before, plain.dtype):
        raise CodedistillError("the merged student computes other logits than the adapted one; nothing was saved of it")
    return plain


@torch.no_grad()
def _check_merge(model: PeftModel, targets: list[str]) -> None:
    """Try the merge before training, with adapters that are not zero; everything is as before afterwards.

    Raises:
        UserError: the family computes its adapted layers otherwise than by their merged weights.
    """
    kept = {name: each.detach().clone() for name, each in model.named_parameters() if _takes_part(name, targets)}
    random = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.02)
    try:
        adapted = probe_logits(model)
        model.merge_adapter(safe_merge=True)
        same = same_logits(probe_logits(model), adapted, model.dtype)
        model.unmerge_adapter()
    except Exception as error:  # whatever peft and the family's code raise
        raise UserError(f"lora.targets {', '.join(targets)}: adapters cannot be merged: {first_line(error)}") from None
    for name, parameter in model.named_parameters():
        if name in kept:
            parameter.copy_(kept[name])
    if not same:
        family = text_config(model).model_type
        raise UserError(
            f"lora.targets {', '.join(targets)}: merged into {family}, the adapters compute something else; choose "
            "other targets or train without lora"
        )


def _takes_part(name: str, targets: list[str]) -> bool:
    """Whether a parameter is an adapter's, or of a layer that has one."""
    return "lora_" in name or any(f".{target}." in name for target in targets)


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
