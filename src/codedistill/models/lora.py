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

ATTENTION = (
    *("q_proj", "k_proj", "v_proj"),  # Llama, Qwen, Mistral, Gemma, Granite, Cohere, StarCoder2, GPT-J, Phi, OPT
    *("qkv_proj", "query_key_value", "c_attn", "Wqkv"),  # one matrix: Phi-3, CodeGen; GPT-NeoX, Falcon; GPT-2; MPT
    *("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"),  # low-rank: DeepSeek
)
"""Common names of attention's input projections. By default those that a model has get adapters."""


def add_adapters(model: PreTrainedModel, lora: Lora) -> PeftModel:
    """Wrap a student so that only its adapters learn.

    Raises:
        UserError: no module of the model has one of the target names; one is the output head or an embedding that the
            head shares, whose adapter the losses would not see; or the family's adapters cannot be merged.
    """
    modules = dict(model.named_modules())
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    linear = {name for name, module in modules.items() if isinstance(module, nn.Linear | Conv1D) and module is not head}
    targets = lora.targets
    if targets is None:
        targets = [target for target in ATTENTION if any(_is_named(name, [target]) for name in linear)]
    absent = [target for target in targets if not any(_is_named(name, [target]) for name in modules)]
    if absent or not targets:
        raise UserError(
            f"lora.targets {', '.join(absent or ATTENTION)}: {model.config.model_type} has no such module; set "
            f"lora.targets, its linear modules are {', '.join(sorted({name.split('.')[-1] for name in linear}))}"
        )
    chosen = {name: module for name, module in modules.items() if _is_named(name, targets)}
    for name, module in chosen.items():
        if module is head:
            raise UserError(f"lora.targets {name}: is the output head; losses read its weight without an adapter")
        if module is embedding and head is not None and head.weight is module.weight:
            raise UserError(
                f"lora.targets {name}: shares its weights with the output head; losses read them without an adapter"
            )
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        fan_in_fan_out=all(isinstance(module, Conv1D) for module in chosen.values()),  # GPT-2's weights are transposed
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():  # peft uses a name that transformers has deprecated
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
            adapted = get_peft_model(model, config).train(model.training)
    except ValueError as error:
        raise UserError(f"lora.targets {', '.join(targets)}: {first_line(error)}") from None
    _check_merge(adapted, targets)
    return adapted


def merged(model: PeftModel) -> PreTrainedModel:
    """The plain model with the adapters in its weights. `model` cannot be used afterwards.

    Raises:
        CodedistillError: the merged model computes something else than the adapted one.
    """
    before = probe_logits(model)
    plain: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    if not same_logits(probe_logits(plain), before, plain.dtype):
        raise CodedistillError("the merged student computes other logits than the adapted one, and was not saved")
    return plain


@torch.no_grad()
def _check_merge(model: PeftModel, targets: list[str]) -> None:
    """Try the merge before training, with adapters that are not zero. Leaves every weight as it was.

    Raises:
        UserError: the family does not compute its adapted layers by their weights alone.
    """
    kept = {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if "lora_" in name or any(f".{target}." in name for target in targets)
    }
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
        raise UserError(
            f"lora.targets {', '.join(targets)}: merged into {text_config(model).model_type}, the adapters compute "
            "something else; choose other targets or train without lora"
        )


def _is_named(name: str, targets: list[str]) -> bool:
    """As peft matches: a module's own name, or the end of its dotted path."""
    return any(name == target or name.endswith(f".{target}") for target in targets)
