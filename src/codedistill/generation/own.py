"""The own engine: a finished sequence leaves the batch at once, and waiting requests take the free places."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import torch

from codedistill.generation.batch import Batch
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

REFILL_SHARE = 4
"""Requests join when a quarter of the places is free: joining costs a forward pass of its own."""


class OwnEngine:
    """Batched decoding of one model, or of a mixture of two."""

    def __init__(self, loaded: Loaded, mixture: Mixture | None = None) -> None:
        self._loaded = loaded
        self._models = [(loaded.model, 1.0 - (mixture.share if mixture else 0.0))]
        if mixture is not None:
            self._models.append((mixture.model, mixture.share))

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        if not requests:
            return
        queue = deque(start(self._loaded, requests, sampling))
        slots = min(sampling.batch_size, len(queue))
        pad_id = self._loaded.tokenizer.pad_token_id
        batch = Batch(self._models, slots, _shared_start(queue), pad_id, sampling.vocabulary)
        writer = Writer(self._loaded)
        while queue or batch.live:
            first = len(batch.live)
            if self._is_time_to_join(batch, len(queue), slots):
                logits = batch.join([queue.popleft() for _ in range(min(slots - first, len(queue)))])
            else:
                first, logits = 0, batch.step()
            rows = batch.live[first:]
            shares = [stream.share for stream in batch.streams]
            chosen = choose(mixed(logits, shares, sampling.temperature), rows, sampling.temperature)
            batch.feed(first, chosen)
            done = {}
            for row, (sequence, token) in enumerate(zip(rows, chosen.tolist(), strict=True), first):
                completion = sequence.append(token, writer)
                if completion is not None:
                    done[row] = completion
            if done:
                batch.leave(list(done))
            yield from done.values()

    @staticmethod
    def _is_time_to_join(batch: Batch, waiting: int, slots: int) -> bool:
        free = slots - len(batch.live)
        if not batch.live or not waiting:
            return not batch.live
        return batch.refills and free >= min(waiting, -(-slots // REFILL_SHARE))


def _shared_start(sequences: Sequence[Running]) -> int:
    """How many first tokens all prompts have in common. Every prompt keeps at least one token of its own."""
    first = min(sequences, key=lambda s: s.ids).ids
    last = max(sequences, key=lambda s: s.ids).ids
    most = min(len(s.ids) for s in sequences) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)
