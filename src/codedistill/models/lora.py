"""Low-rank adapters through peft."""

from __future__ import annotations

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from codedistill.config import Lora
from codedistill.errors import UserError

ATTENTION = {
    "gpt2": ["c_attn"],
    "gpt_bigcode": ["c_attn"],
    "codegen": ["qkv_proj"],
    "gpt_neox": ["query_key_value"],
    "bloom": ["query_key_value"],
    "phi3": ["qkv_proj"],
}
"""Attention projections by model type; every other family names them q_proj, k_proj and v_proj."""

DEFAULT_ATTENTION = ["q_proj", "k_proj", "v_proj"]


def add_adapters(model: PreTrainedModel, lora: Lora) -> PeftModel:
    """Wrap a student so that only its adapters learn.

    Raises:
        UserError: no module of the model has one of the target names.
    """
    targets = lora.targets or ATTENTION.get(model.config.model_type, DEFAULT_ATTENTION)
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise UserError(f"lora.targets {', '.join(targets)}: {str(error).splitlines()[0]}") from None
