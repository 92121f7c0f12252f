"""Generation by transformers itself, for models that keep more between tokens than the own engine knows of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from codedistill.generation.requests import (
    Completion,
    Mixture,
    Request,
    Running,
    Sampling,
    Writer,
    choose,
    mixed,
    start,
)
from codedistill.models import Loaded


class TransformersGenerator:
    """`generate` of transformers, with our sampling, stop sequences and end tokens.

    pads: whether prompts of different lengths may share a batch, padded on the left. cached: whether the model's own
    cache is used.
    """

    def __init__(
        self, loaded: Loaded, mixture: Mixture | None = None, *, pads: bool = True, cached: bool = True
    ) -> None:
        self._loaded, self._mixture, self._pads, self._cached = loaded, mixture, pads, cached

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        waiting = start(self._loaded, requests, sampling)
        while waiting:
            size = sampling.batch_size
            if not self._pads:
                size = min(size, sum(len(each.ids) == len(waiting[0].ids) for each in waiting))
            rows, waiting = waiting[:size], waiting[size:]
            yield from self._batch(rows, sampling)

    @torch.inference_mode()
    def _batch(self, rows: list[Running], sampling: Sampling) -> list[Completion]:
        ends = _Ends(rows, Writer(self._loaded))
        ids, mask = padded([row.ids for row in rows], self._loaded.tokenizer.pad_token_id)
        chooser = _Chooser(rows, sampling, self._mixture)
        with generation_settings(self._loaded, max(row.limit for row in rows), use_cache=self._cached):
            model: Any = self._loaded.model
            model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                logits_processor=LogitsProcessorList([chooser]),
                stopping_criteria=StoppingCriteriaList([ends]),
            )
        return list(ends.done.values())


@contextmanager
def generation_settings(loaded: Loaded, tokens: int, **more: Any) -> Iterator[None]:
    """The model with settings for greedy decoding and nothing else, and its own ones again afterwards."""
    model: Any = loaded.model
    before = model.generation_config
    model.generation_config = GenerationConfig(
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=loaded.tokenizer.pad_token_id,
        bos_token_id=loaded.tokenizer.bos_token_id,
        **more,
    )
    compiled = any(getattr(each, "_compiled_call_impl", None) is not None for each in model.modules())
    try:
        with torch.autocast(model.device.type, enabled=False):
            if compiled:  # a model compiled for training would be compiled again for every shape of the cache
                with torch.compiler.set_stance("force_eager"):
                    yield
            else:
                yield
    finally:
        model.generation_config = before


def padded(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts as ids and mask, both [B, L], padded on the left."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


class _Chooser(LogitsProcessor):
    """Leaves one possible next token per row: the one that our sampling chooses."""

    def __init__(self, rows: Sequence[Running], sampling: Sampling, mixture: Mixture | None) -> None:
        self._rows, self._sampling, self._mixture = rows, sampling, mixture

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        size, temperature = self._sampling.vocabulary, self._sampling.temperature
        logits, shares = [scores[:, :size].float()], [1.0]
        if self._mixture is not None:
            share = self._mixture.share
            logits, shares = [*logits, self._seconds_logits(input_ids.device)[:, :size]], [1.0 - share, share]
        chosen = choose(mixed(logits, shares, temperature), self._rows, temperature)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen[:, None], 0.0)

    def _seconds_logits(self, device: torch.device) -> torch.Tensor:
        """The second model sees every row whole and alone, since its cache may have another shape."""
        assert self._mixture is not None
        found = []
        for row in self._rows:
            ids = torch.tensor([[*row.ids, *row.made]], device=device)
            found.append(self._mixture.model(input_ids=ids, use_cache=False).logits[0, -1].float())
        return torch.stack(found)


class _Ends(StoppingCriteria):
    """Ends each row by the same rules as the own engine."""

    def __init__(self, rows: Sequence[Running], writer: Writer) -> None:
        self._rows, self._writer = rows, writer
        self.done: dict[int, Completion] = {}

    def __call__(self, input_ids: torch.Tensor, scores: Any, **unused: Any) -> torch.Tensor:
        for row, (sequence, token) in enumerate(zip(self._rows, input_ids[:, -1].tolist(), strict=True)):
            if row not in self.done and (completion := sequence.append(token, self._writer)) is not None:
                self.done[row] = completion
        return torch.tensor([row in self.done for row in range(len(self._rows))], device=input_ids.device)
