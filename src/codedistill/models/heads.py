"""From token ids to hidden states at chosen positions, and the output head after them.

Losses project response positions only, so hidden states are gathered first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from codedistill.data.batches import Batch
from codedistill.errors import UserError, first_line
from codedistill.losses import Head
from codedistill.models.compare import same_logits
from codedistill.models.config import base_model, text_config

SCALES = {"logit_scale": 1, "lm_head_multiplier": 1, "logits_scaling": -1}
"""Settings that scale logits, and whether they multiply or divide: Cohere, Falcon H1, Granite."""

MULTIPLIES = frozenset({"hyperclovax"})
"""Families whose `logits_scaling` multiplies."""

SOFTCAPS = ("final_logit_softcapping", "logits_soft_cap")
"""Settings that cap logits: Gemma, RecurrentGemma."""


class HiddenStates(nn.Module):
    """A causal LM as the function batch -> last hidden states [N, H] at the batch's rows.

    A module of its own, because distributed wrappers hook into `forward`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> torch.Tensor:
        decoder = base_model(self.model).get_decoder()
        hidden = decoder(input_ids=batch.ids, attention_mask=batch.attention, use_cache=False).last_hidden_state
        rows: torch.Tensor = hidden.flatten(0, 1)[batch.rows]
        return rows


def output_head(model: Any) -> Head:
    """The model's head with its family's scale and cap; `check_head` compares its logits with the model's own."""
    inner = base_model(model)
    embeddings, config = inner.get_output_embeddings(), text_config(inner)
    scale = 1.0
    for name, power in SCALES.items():
        value = getattr(config, name, None)
        if value:
            scale *= value**power
    if config.model_type in MULTIPLIES and getattr(config, "logits_scaling", None):
        scale = config.logits_scaling
    softcap = next((c for name in SOFTCAPS if (c := getattr(config, name, None)) is not None), None)
    return Head(embeddings.weight, bias=getattr(embeddings, "bias", None), scale=scale, softcap=softcap)


@torch.inference_mode()
def check_head(model: Any, name: str) -> None:
    """Refuse a model whose logits losses cannot compute from its hidden states and its head's weight.

    Raises:
        UserError: it is no causal model, or its logits are not those of its hidden states and our head.
    """
    inner = base_model(model)
    if inner.get_output_embeddings() is None:
        raise UserError(f"{name}: {type(inner).__name__} has no output head; give a causal language model")
    ids = torch.arange(1, 9, device=inner.device)[None] % text_config(inner).vocab_size
    try:
        own = inner(input_ids=ids, use_cache=False).logits.float()
        start = inner(input_ids=ids[:, :5], use_cache=False).logits.float()
        hidden = inner.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        head = output_head(inner)
        ours = head.logits(hidden).float()
    except Exception as error:  # whatever a family's code raises
        raise UserError(
            f"{name}: {inner.config.model_type} gives no hidden states that losses can read: {first_line(error)}"
        ) from None
    if bool(torch.isfinite(own).all()) and not same_logits(start, own[:, :5], inner.dtype):
        raise UserError(f"{name}: {inner.config.model_type} lets later tokens change earlier ones; give a causal model")
    tolerance = 1e-3 if head.weight.dtype == torch.float32 else 5e-2
    if not bool((own - ours).abs().max() <= tolerance * own.abs().max()):
        raise UserError(
            f"{name}: {inner.config.model_type} changes its logits in an unknown way, so losses would be wrong; choose "
            "another family"
        )
