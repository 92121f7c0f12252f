"""Whether two models compute the same: a model before and after saving, two ways of computing one model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from codedistill.errors import UserError, first_line
from codedistill.models.config import base_model

TOLERANCE = {torch.float64: 1e-4, torch.float32: 2e-3}
"""Largest difference in logits that rounding explains, as a share of their range; others compute in 8 or 11 bits."""

PROBE = (2, 24)
"""Examples and tokens of the batch that models are compared on."""


def same_logits(ours: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether two computations of logits [..., V] in `dtype` differ by rounding alone.

    In half precision single positions may differ more (a router of experts that tips over): most must agree.
    """
    ours, expected = ours.float(), expected.float()
    if ours.shape != expected.shape or not bool(torch.isfinite(ours).all()):
        return False
    scale = (expected.amax(-1) - expected.amin(-1)).clamp_min(1e-6)
    apart = (ours - expected).abs().amax(-1) / scale
    if dtype in TOLERANCE:
        return bool(apart.max() <= TOLERANCE[dtype])
    return bool(apart.median() <= 5e-2)


@torch.inference_mode()
def probe_logits(model: Any) -> torch.Tensor:
    """The model's logits [B, L, V] on random tokens, the same for every model with its vocabulary; in evaluation
    mode."""
    inner, training = base_model(model), model.training
    size = inner.get_input_embeddings().weight.shape[0]
    ids = torch.randint(size, PROBE, generator=torch.Generator().manual_seed(0)).to(inner.device)
    model.eval()
    try:
        with torch.autocast(inner.device.type, enabled=False):
            logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    finally:
        model.train(training)
    return logits


def verify_saved(model: Any, tokenizer: Any, key: str, folder: Path | None = None) -> None:
    """Save a model, load it with plain transformers, and compare logits and end tokens.

    `key` names the model in messages. `folder` holds the saved model already; by default a temporary folder is used.

    Raises:
        UserError: the model cannot be saved, does not load, or is another one after loading.
    """
    inner = base_model(model)
    family = f"{key}: a {inner.config.model_type} model"
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        try:
            if folder is None:
                inner.save_pretrained(place)
                tokenizer.save_pretrained(place)
            loaded: Any = AutoModelForCausalLM.from_pretrained(place, dtype=inner.dtype, output_loading_info=True)
        except Exception as error:  # whatever a family's code raises
            raise UserError(f"{family} cannot be saved and loaded as it is now: {first_line(error)}") from None
    again, report = loaded
    for name in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(map(str, report.get(name) or ())):
            change = f"{len(keys)} {name.replace('_', ' ')}, {keys[0]}"
            raise UserError(f"{family} changes when it is saved and loaded: {change}")
    again.to(inner.device).eval()
    ours, theirs = probe_logits(inner), probe_logits(again)
    before, after = (each.generation_config.eos_token_id for each in (inner, again))
    change = ""
    if not same_logits(theirs, ours, inner.dtype):
        apart = float((ours - theirs).abs().max()) if ours.shape == theirs.shape else float("nan")
        change = f"its logits differ by up to {apart:.3g}"
    if not change and before != after:
        change = f"its end tokens {before} became {after}"
    if change:
        raise UserError(f"{family} changes when it is saved and loaded: {change}")
