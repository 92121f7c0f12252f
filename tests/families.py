"""Small random models of many families, and changes to a model's head that must change no loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

OLD = {"n_embd": 32, "n_layer": 4, "n_head": 2, "n_positions": 512, "n_inner": 64}
NEW = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
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
FOUR = NEW | {"head_dim": 16}
EXPERTS = {"num_experts_per_tok": 1, "moe_intermediate_size": 32}
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 8}
STATE = {"hidden_size": 32, "num_hidden_layers": 4, "state_size": 8}
LATENT = FOUR | EXPERTS | {"n_routed_experts": 2, "n_shared_experts": 1, "kv_lora_rank": 8, "qk_rope_head_dim": 8}
LATENT |= {"qk_nope_head_dim": 8, "v_head_dim": 16, "n_group": 1, "topk_group": 1, "head_dim": 8}
PER_LAYER: dict[str, dict[str, Any]] = {
    "smollm3": FOUR | {"no_rope_layers": [1, 0, 1, 1]},
    "gpt_neo": {"hidden_size": 32, "num_layers": 4, "num_heads": 2, "attention_types": [[["global", "local"], 2]]}
    | {"window_size": 8, "intermediate_size": 64},
    "qwen2_moe": FOUR | EXPERTS | {"num_experts": 2, "shared_expert_intermediate_size": 32, "mlp_only_layers": [1]},
    "qwen3_moe": FOUR | EXPERTS | {"num_experts": 2, "mlp_only_layers": [0]},
    "deepseek_v2": LATENT | {"q_lora_rank": None, "first_k_dense_replace": 1, "topk_method": "greedy"},
    "deepseek_v3": LATENT | {"q_lora_rank": 16, "first_k_dense_replace": 2},
    "glm4_moe": FOUR
    | EXPERTS
    | {"n_routed_experts": 2, "n_shared_experts": 1, "n_group": 1, "topk_group": 1}
    | {"first_k_dense_replace": 2},
    "gemma3_text": FOUR
    | {"sliding_window": 8, "query_pre_attn_scalar": 16}
    | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]},
    "granitemoehybrid": FOUR
    | MAMBA
    | {"num_local_experts": 0, "shared_intermediate_size": 32}
    | {"layer_types": ["mamba", "attention", "mamba", "attention"]},
    "bamba": FOUR | MAMBA | {"attn_layer_indices": [1, 3]},
    "lfm2": FOUR | {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "opt": FOUR | {"ffn_dim": 32, "word_embed_proj_dim": 32},
}
"""Families whose settings speak of single layers, four of them."""

STATEFUL: dict[str, dict[str, Any]] = {
    "mamba": STATE,
    "mamba2": STATE | {"num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8},
    "falcon_mamba": STATE,
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 4, "attention_hidden_size": 32, "context_length": 128},
    "minimax": FOUR
    | {"num_local_experts": 2, "num_experts_per_tok": 1, "block_size": 8}
    | {"layer_types": ["full_attention", "linear_attention"] * 2},
    "jamba": FOUR
    | {"num_experts": 2, "num_experts_per_tok": 1, "attn_layer_period": 2, "attn_layer_offset": 1}
    | {"expert_layer_period": 2, "expert_layer_offset": 1, "mamba_d_state": 8, "mamba_dt_rank": 4},
}
"""Families that keep another state between tokens than keys and values."""

OLDER = {"hidden_size": 32, "n_layer": 4, "n_head": 2}
WINDOW = FOUR | {"sliding_window": 8}
ROUTED = FOUR | {"num_local_experts": 4, "num_experts_per_tok": 2}
SHARED = {"num_experts": 2, "shared_expert_intermediate_size": 32}
SLIDING = ["sliding_attention"] * 3 + ["full_attention"]
OTHERS: dict[str, dict[str, Any]] = {
    "arcee": FOUR,
    "bloom": OLDER,
    "codegen": OLD | {"n_head": 4, "rotary_dim": 4},
    "ernie4_5": FOUR,
    "exaone4": WINDOW | {"sliding_window_pattern": 4},
    "falcon": NEW | {"num_kv_heads": 1, "new_decoder_architecture": True, "alibi": False},
    "gemma3n_text": WINDOW
    | {"num_kv_shared_layers": 2, "layer_types": ["sliding_attention", "full_attention"] * 2}
    | {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64, "laurel_rank": 8}
    | {"activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0]},
    "gpt_neox": FOUR,
    "gpt_oss": ROUTED | {"sliding_window": 8},
    "gptj": OLD | {"rotary_dim": 8},
    "helium": FOUR,
    "hunyuan_v1_dense": FOUR,
    "llama4_text": FOUR
    | {"num_local_experts": 2, "num_experts_per_tok": 1, "intermediate_size_mlp": 32, "attention_chunk_size": 8},
    "mistral": WINDOW,
    "mixtral": ROUTED | {"sliding_window": None},
    "mpt": {"d_model": 32, "n_heads": 2, "n_layers": 4, "max_seq_len": 512},
    "nemotron": FOUR,
    "olmo2": FOUR,
    "olmo3": WINDOW | {"layer_types": SLIDING},
    "phi3": WINDOW,
    "phimoe": ROUTED | {"sliding_window": None},
    "qwen2 with a window": WINDOW | {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 2},
    "qwen3": FOUR | {"tie_word_embeddings": True},
    "qwen3_next": FOUR
    | EXPERTS
    | SHARED
    | {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
    | {"layer_types": ["linear_attention", "full_attention"] * 2},
    "seed_oss": FOUR,
    "stablelm": FOUR,
    "zamba2": FOUR
    | {"mamba_d_state": 8, "n_mamba_heads": 4, "mamba_headdim": 16, "mamba_ngroups": 1, "chunk_size": 8}
    | {"hybrid_layer_ids": [1, 3], "layers_block_type": ["mamba", "hybrid"] * 2}
    | {"num_mem_blocks": 1, "adapter_rank": 8},
}
"""Families that need nothing special here."""

ALL = FAMILIES | PER_LAYER | STATEFUL | OTHERS
"""Every family. `micro` makes any of them."""


def micro(family: str, vocabulary: int = 64, seed: int = 3) -> Any:
    """Weights are large enough for distributions that are not flat, and every bias has its part in them."""
    ends = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)
    torch.manual_seed(seed)
    fields: dict[str, Any] = {"model_type": family, "vocab_size": vocabulary} | ends | ALL[family]
    config = AutoConfig.for_model(**fields)
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
