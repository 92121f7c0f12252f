"""The generator for a model: decided by computing, never by the name of its family."""

from __future__ import annotations

from enum import Enum
from typing import Any
from weakref import WeakKeyDictionary

import torch

from codedistill.errors import UserError, first_line
from codedistill.generation.library import TransformersGenerator, run_generate
from codedistill.generation.own import Batch, OwnEngine
from codedistill.generation.requests import Generator, Mixture, Request, Running
from codedistill.models import Loaded
from codedistill.models.compare import same_logits

PROBE_LENGTHS = (11, 5, 1)
PROBE_TOKENS = 8
"""Prompts of different lengths and a few tokens after each: enough to fill a small window and to need padding."""

Prompts = list[tuple[int, ...]]


class Way(Enum):
    """How a model's completions are computed."""

    OWN = "the own engine"
    PADDED = "transformers, prompts of different lengths in one batch"
    ALONE = "transformers, prompts of one length in one batch"
    UNCACHED = "transformers, every sequence from its start again for each token"


_chosen: WeakKeyDictionary[Any, Way] = WeakKeyDictionary()


def generator_for(loaded: Loaded, mixture: Mixture | None = None) -> Generator:
    """The own engine where it computes what transformers does; otherwise generation by transformers.

    Each model is probed once. A mixture's second model must suit the own engine, too.

    Raises:
        UserError: neither of them works for this model.
    """
    models = [loaded]
    if mixture is not None:
        models.append(Loaded("the mixture's second model", mixture.model, loaded.tokenizer))
    for each in models:
        if each.model not in _chosen:
            _chosen[each.model] = _probe(each)
        if _chosen[each.model] is not Way.OWN:
            break
    else:
        return OwnEngine(loaded, mixture)
    way = _chosen[loaded.model]
    return TransformersGenerator(loaded, mixture, pads=way is Way.PADDED, cached=way is not Way.UNCACHED)


@torch.inference_mode()
def _probe(loaded: Loaded) -> Way:
    """The fastest way whose logits are right.

    The reference is the model's computation without a cache, one sequence at a time. If later tokens change earlier
    logits, so that the model is not causal, it is the generation by transformers.
    """
    model: Any = loaded.model
    size = min(model.get_input_embeddings().weight.shape[0], len(loaded.tokenizer))
    random = torch.Generator().manual_seed(0)
    prompts = [tuple(torch.randint(size, (length,), generator=random).tolist()) for length in PROBE_LENGTHS]
    fault: Exception | None = None
    tokens: list[list[int]] = []
    alone: list[torch.Tensor] = []
    try:
        for prompt in prompts:
            (logits,) = _by_transformers(loaded, [prompt])
            tokens.append(logits.argmax(-1).tolist())
            alone.append(logits)
    except Exception as error:  # whatever a family's code raises
        fault, tokens = error, [list(range(1, PROBE_TOKENS + 1)) for _ in prompts]
    try:
        plain = _without_cache(model, prompts, tokens)
    except Exception as error:
        raise UserError(
            f"{loaded.name}: {model.config.model_type} cannot compute logits: {first_line(error)}; choose another model"
        ) from None
    right = alone if plain is None else plain

    def is_right(logits: list[torch.Tensor]) -> bool:
        return all(same_logits(a, b, model.dtype) for a, b in zip(logits, right, strict=True))

    try:
        if is_right(_by_own_engine(loaded, prompts, tokens)):
            return Way.OWN
    except Exception as error:
        fault = fault and error
    if fault is None:
        try:
            if is_right(_by_transformers(loaded, prompts, tokens)):
                return Way.PADDED
        except Exception:  # a family that takes no padded batches
            pass
        if is_right(alone):
            return Way.ALONE
    try:
        pairs = zip(prompts, tokens, strict=True)
        if is_right([_by_transformers(loaded, [p], [t], cached=False)[0] for p, t in pairs]):
            return Way.UNCACHED
    except Exception as error:
        fault = fault or error
    reason = "transformers generates from other logits than the model's own" if fault is None else first_line(fault)
    raise UserError(f"{loaded.name}: {model.config.model_type} cannot generate: {reason}; choose another model")


def _by_transformers(
    loaded: Loaded, prompts: Prompts, tokens: list[list[int]] | None = None, cached: bool = True
) -> list[torch.Tensor]:
    """The logits [T, V] from which transformers generates after each prompt, all in one batch.

    tokens: continuations that it is made to take instead of the greedy ones.
    """
    seen: list[torch.Tensor] = []

    def chosen(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        seen.append(scores.float())
        if tokens is None:
            return scores.argmax(-1)
        return torch.tensor([each[len(seen) - 1] for each in tokens], device=scores.device)

    run_generate(loaded, prompts, PROBE_TOKENS, chosen, cached=cached)
    return list(torch.stack(seen, 1))


def _by_own_engine(loaded: Loaded, prompts: Prompts, tokens: list[list[int]]) -> list[torch.Tensor]:
    """The own engine's logits [T, V] for each prompt, when it is given these tokens."""
    model: Any = loaded.model
    batch = Batch([model], len(prompts), 0, loaded.tokenizer.pad_token_id, None)
    rows = [batch.join([Running(Request(i), ids, None, PROBE_TOKENS) for i, ids in enumerate(prompts)])[0]]
    for step in range(PROBE_TOKENS - 1):
        batch.feed(0, torch.tensor([each[step] for each in tokens], device=model.device))
        rows.append(batch.step()[0])
    return list(torch.stack(rows, 1))


def _without_cache(model: Any, prompts: Prompts, tokens: list[list[int]]) -> list[torch.Tensor] | None:
    """The logits [T, V] that the model gives for whole sequences; None if later tokens change them."""
    found = []
    for prompt, after in zip(prompts, tokens, strict=True):
        ids = torch.tensor([[*prompt, *after]], device=model.device)
        whole = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
        start = model(input_ids=ids[:, : len(prompt)], use_cache=False).logits[0, -1].float()
        if not same_logits(start, whole[0], model.dtype):
            return None
        found.append(whole)
    return found
