"""Random models of a few families, and changes of a model's head that must change no loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

OLD = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512, "n_inner": 64}
NEW = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": NEW,
    "qwen2": NEW | {"tie_word_embeddings": True},
    "starcoder2": NEW,
    "gpt2": OLD,
    "gpt_bigcode": OLD,
    "phi": NEW,  # a head with a bias
    "gemma2": NEW | {"head_dim": 16, "final_logit_softcapping": 2.0},
    "recurrent_gemma": NEW | {"logits_soft_cap": 1.5},
    "cohere": NEW | {"logit_scale": 0.3},
    "falcon_h1": NEW
    | {"head_dim": 16, "mamba_d_ssm": 32, "mamba_n_heads": 2, "mamba_d_head": 16, "mamba_d_state": 8}
    | {"mamba_chunk_size": 8, "lm_head_multiplier": 0.3},
    "granite": NEW | {"logits_scaling": 3.0},
    "hyperclovax": NEW | {"logits_scaling": 0.4},
}


def micro(family: str, vocabulary: int = 64, seed: int = 3) -> Any:
    """Weights are large enough for distributions that are not flat, and every bias has its part in them."""
    ends = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, vocab_size=vocabulary, **ends, **FAMILIES[family])
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 or name.endswith("bias"):
                parameter.normal_(0.0, 0.2)
    return model


def pad_head(model: Any, entries: int) -> None:
    """Further entries that no tokenizer knows, with weights that no loss over all of them would overlook."""
    before = model.get_output_embeddings().weight.shape[0]
    model.resize_token_embeddings(before + entries, mean_resizing=False)
    with torch.no_grad():
        for embeddings in (model.get_output_embeddings(), model.get_input_embeddings()):
            embeddings.weight[before:] = torch.randn(entries, embeddings.weight.shape[1])


def shift_logits(model: Any, constant: float) -> None:
    """The same number in all logits, by the head's bias."""
    head = model.get_output_embeddings()
    head.bias = nn.Parameter(torch.full_like(head.weight[:, 0], constant), requires_grad=False)


def favour_end(model: Any, by: float) -> None:
    """The end token, number 0, becomes likelier."""
    shift_logits(model, 0.0)
    with torch.no_grad():
        model.get_output_embeddings().bias[0] = by
