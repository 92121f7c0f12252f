"""Are two models the same? Their logits say so, and what they write."""

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

GREEDY_TOKENS = 4


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


def probe_ids(model: Any) -> torch.Tensor:
    """Token ids [B, L] from all over the vocabulary, the same for every model of its size."""
    size = base_model(model).get_input_embeddings().weight.shape[0]
    ids = torch.randint(size, PROBE, generator=torch.Generator().manual_seed(0))
    return ids.to(base_model(model).device)


@torch.inference_mode()
def probe_logits(model: Any) -> torch.Tensor:
    """The model's logits [B, L, V] on the probe, in evaluation mode."""
    training = model.training
    model.eval()
    try:
        with torch.autocast(base_model(model).device.type, enabled=False):
            logits: torch.Tensor = model(input_ids=probe_ids(model), use_cache=False).logits
    finally:
        model.train(training)
    return logits


def verify_saved(model: Any, tokenizer: Any, key: str, folder: Path | None = None) -> None:
    """Save a model, load it with plain transformers, and compare: logits, end tokens, a few greedy tokens.

    `key` names the model in messages. `folder`: where it has been saved already, instead of a temporary folder.

    Raises:
        UserError: the model cannot be saved, does not load, or is another one after loading.
    """
    inner = base_model(model)
    what = f"{key}: a {inner.config.model_type} model"
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        try:
            if folder is None:
                inner.save_pretrained(place)
                tokenizer.save_pretrained(place)
            loaded: Any = AutoModelForCausalLM.from_pretrained(place, dtype=inner.dtype, output_loading_info=True)
        except Exception as error:  # whatever a family's code raises
            raise UserError(f"{what} cannot be saved and loaded as it is now: {first_line(error)}") from None
    again, report = loaded
    for name in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report.get(name):
            count, first = len(report[name]), sorted(map(str, report[name]))[0]
            raise UserError(f"{what} changes when it is saved and loaded: {count} {name.replace('_', ' ')}, {first}")
    again.to(inner.device).eval()
    ours, theirs = probe_logits(inner), probe_logits(again)
    if not same_logits(theirs, ours, inner.dtype):
        apart = float((ours - theirs).abs().max()) if ours.shape == theirs.shape else float("nan")
        raise UserError(f"{what} changes when it is saved and loaded: its logits differ by up to {apart:.3g}")
    if inner.generation_config.eos_token_id != again.generation_config.eos_token_id:
        ends = f"{inner.generation_config.eos_token_id} became {again.generation_config.eos_token_id}"
        raise UserError(f"{what} changes when it is saved and loaded: its end tokens {ends}")
    if inner.dtype in TOLERANCE and not torch.equal(_greedy(inner, ours), _greedy(again, ours)):
        raise UserError(f"{what} changes when it is saved and loaded: it writes other tokens")


@torch.inference_mode()
def _greedy(model: Any, logits: torch.Tensor) -> torch.Tensor:
    """A few greedy tokens after the probe, without a cache. `logits`: of the probe, to leave ties to one model."""
    ids = torch.cat([probe_ids(model), logits[:, -1].argmax(-1, keepdim=True)], 1)
    training = model.training
    model.eval()
    for _ in range(GREEDY_TOKENS - 1):
        ids = torch.cat([ids, model(input_ids=ids, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)], 1)
    model.train(training)
    return ids
