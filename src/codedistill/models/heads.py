"""The way from token ids to hidden states at chosen positions, and the output head that follows.

Only response positions ever meet the head, so hidden states are gathered first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from codedistill.data.batches import Batch
from codedistill.losses import Head


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
        return hidden.flatten(0, 1)[batch.rows]


def base_model(model: Any) -> Any:
    """The transformers model inside a peft wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def output_head(model: Any) -> Head:
    """The model's head with what its family does to the logits: Cohere and Granite scale, Gemma caps."""
    inner = base_model(model)
    embeddings, config = inner.get_output_embeddings(), inner.config
    scale = getattr(config, "logit_scale", None) or 1.0
    if getattr(config, "logits_scaling", None):
        scale = 1.0 / config.logits_scaling
    softcap = getattr(config, "final_logit_softcapping", None)
    return Head(embeddings.weight, bias=getattr(embeddings, "bias", None), scale=scale, softcap=softcap)
