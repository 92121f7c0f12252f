"""Batched decoding: a finished sequence leaves the batch at once, and the next requests take the free places."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence

import torch

from codedistill.generation.batch import Batch, Stream
from codedistill.generation.requests import Completion, Mixture, Request, Sampling
from codedistill.generation.sequences import Running, Writer, shared_start, start
from codedistill.models import Loaded

REFILL_SHARE = 4
"""Requests join when a quarter of the places is free: joining costs a forward pass of its own."""


@torch.inference_mode()
def generate(
    loaded: Loaded, requests: Sequence[Request], sampling: Sampling, mixture: Mixture | None = None
) -> Iterator[Completion]:
    """Completions of all requests, longest prompts first, each as soon as it is done.

    The models must be in evaluation mode. A completion ends where the model's context does; a prompt that fills the
    context alone is cut on the left.
    """
    if not requests:
        return
    window = getattr(loaded.model.config, "max_position_embeddings", None) or 1 << 30
    sequences = [start(loaded, request, sampling, window) for request in requests]
    queue = deque(sorted(sequences, key=lambda s: (-len(s.ids), s.request.index, s.request.sample)))
    models = [(loaded.model, 1.0 - (mixture.share if mixture else 0.0))]
    if mixture is not None:
        models.append((mixture.model, mixture.share))
    slots = min(sampling.batch_size, len(sequences))
    shared = shared_start(sequences)
    batch = Batch(models, slots, shared, loaded.tokenizer.pad_token_id, sampling.vocabulary)
    writer = Writer(loaded)
    while queue or batch.live:
        first = len(batch.live)
        if _is_time_to_join(batch, len(queue), slots):
            logits = batch.join([queue.popleft() for _ in range(min(slots - first, len(queue)))])
        else:
            first, logits = 0, batch.step()
        yield from _take(batch, first, logits, sampling.temperature, writer)


def _is_time_to_join(batch: Batch, waiting: int, slots: int) -> bool:
    free = slots - len(batch.live)
    if not batch.live or not waiting:
        return not batch.live
    return batch.refills and free >= min(waiting, -(-slots // REFILL_SHARE))


def _take(
    batch: Batch, first: int, logits: list[torch.Tensor], temperature: float, writer: Writer
) -> Iterator[Completion]:
    """Choose the next token of the rows from `first` on; those that it finishes leave."""
    rows = batch.live[first:]
    chosen = _choose(_mixed(batch.streams, logits, temperature), rows, temperature)
    batch.feed(first, chosen)
    done = {}
    for row, (sequence, token) in enumerate(zip(rows, chosen.tolist(), strict=True), first):
        completion = sequence.append(token, writer)
        if completion is not None:
            done[row] = completion
    if done:
        batch.leave(list(done))
    yield from done.values()


def _mixed(streams: Sequence[Stream], logits: list[torch.Tensor], temperature: float) -> torch.Tensor:
    """One model's logits as they are; of several, `temperature` times the logarithm of the mixed probabilities."""
    if len(streams) == 1:
        return logits[0]
    divisor = temperature or 1.0
    parts = [
        torch.log_softmax(each / divisor, -1) + math.log(stream.share)
        for stream, each in zip(streams, logits, strict=True)
        if stream.share > 0
    ]
    return divisor * torch.logsumexp(torch.stack(parts), 0)


def _choose(logits: torch.Tensor, sequences: Sequence[Running], temperature: float) -> torch.Tensor:
    """The next token of each sequence [B]: the best, or a Gumbel-trick draw from the sequence's own generator."""
    if temperature == 0:
        return logits.argmax(-1)
    noise = torch.stack([torch.rand(logits.shape[-1], generator=s.generator) for s in sequences]).to(logits.device)
    return (logits / temperature - (-noise.clamp_min(1e-20).log()).log()).argmax(-1)
