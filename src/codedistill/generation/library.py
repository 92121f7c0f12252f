"""Generation by transformers itself, for models that keep more between tokens than the own engine knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteriaList

from codedistill.generation.requests import (
    Completion,
    Mixture,
    Request,
    Running,
    Sampling,
    Writer,
    choose,
    plain_passes,
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
        writer, mixture, size = Writer(self._loaded), self._mixture, sampling.vocabulary
        done: dict[int, Completion] = {}

        def chosen(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            logits, shares = [scores[:, :size].float()], [1.0]
            if mixture is not None:  # the second model sees every row whole and alone: its cache may be of another kind
                alone = [torch.tensor([[*row.ids, *row.made]], device=ids.device) for row in rows]
                second = [mixture.model(input_ids=each, use_cache=False).logits[0, -1, :size].float() for each in alone]
                logits, shares = [*logits, torch.stack(second)], [1.0 - mixture.share, mixture.share]
            return choose(logits, shares, rows, sampling.temperature)

        def ended(ids: torch.Tensor, scores: object, **unused: object) -> torch.Tensor:
            for row, (sequence, token) in enumerate(zip(rows, ids[:, -1].tolist(), strict=True)):
                if row not in done and (completion := sequence.append(token, writer)) is not None:
                    done[row] = completion
            return torch.tensor([row in done for row in range(len(rows))], device=ids.device)

        most = max(row.limit for row in rows)
        run_generate(self._loaded, [row.ids for row in rows], most, chosen, ended, cached=self._cached)
        return list(done.values())


def run_generate(
    loaded: Loaded,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    choose_next: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ended: Callable[..., torch.Tensor] | None = None,
    *,
    cached: bool = True,
) -> None:
    """Up to `tokens` new tokens for prompts in one batch, padded on the left, without the model's own settings.

    choose_next: (ids [B, L], logits [B, V]) -> the next tokens [B]. ended: (ids, logits) -> which rows are done [B].
    """
    model: Any = loaded.model
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), loaded.tokenizer.pad_token_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1

    def forced(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return torch.full_like(scores, -torch.inf).scatter(1, choose_next(ids, scores)[:, None], 0.0)

    before = model.generation_config
    model.generation_config = GenerationConfig(
        max_new_tokens=tokens,
        do_sample=False,
        use_cache=cached,
        pad_token_id=loaded.tokenizer.pad_token_id,
        bos_token_id=loaded.tokenizer.bos_token_id,
    )
    try:
        with plain_passes(model.device):
            model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                logits_processor=[forced],
                stopping_criteria=StoppingCriteriaList([] if ended is None else [ended]),
            )
    finally:
        model.generation_config = before
