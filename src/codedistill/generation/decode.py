"""Batched decoding: prompts of like length go together, and a sequence that is finished leaves the batch at once."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import torch
from transformers import DynamicCache

from codedistill.data.encode import encode_prompt
from codedistill.models import Loaded

TAIL_TOKENS = 16
"""Stop sequences are looked for in the text of so many last tokens."""


class Finish(StrEnum):
    """Why a completion ended."""

    EOS = "eos"
    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    Temperature 0 is greedy; otherwise each sequence draws from a generator of its own, seeded by (seed, request), so
    that batching changes nothing.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    batch_size: int = 32
    vocabulary: int | None = None  # only the first so many tokens may be chosen


@dataclass(frozen=True)
class Mixture:
    """A second model of the same tokens: the next one follows share * its distribution + (1 - share) * the first's."""

    model: Any
    share: float


@dataclass(frozen=True)
class Request:
    """One completion to make: `index` comes back with it, `sample` tells repeated requests of one prompt apart.

    `ids`: the prompt as token ids, instead of `prompt`. `limit`: fewer new tokens than the sampling allows.
    """

    index: int
    prompt: str = ""
    stop: tuple[str, ...] = ()
    sample: int = 0
    ids: tuple[int, ...] | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Completion:
    """What a model wrote: `text` without the end token and without the stop sequence; `ids` with both."""

    index: int
    sample: int
    text: str
    tokens: int
    finish: Finish
    ids: tuple[int, ...] = ()


@dataclass
class _Sequence:
    request: Request
    ids: list[int]
    generator: torch.Generator | None
    limit: int
    made: list[int] = field(default_factory=list)


@dataclass
class _Stream:
    """A model with its cache and its share in the choice of the next token."""

    model: Any
    share: float

    def __post_init__(self) -> None:
        self.cache = DynamicCache(config=self.model.config)
        self._takes_positions = "position_ids" in inspect.signature(self.model.forward).parameters

    def logits(self, ids: torch.Tensor, mask: torch.Tensor, vocabulary: int | None) -> torch.Tensor:
        """Of the next token [B, V], in float32."""
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        extra = {"position_ids": positions} if self._takes_positions else {}
        out = self.model(
            input_ids=ids, attention_mask=mask, past_key_values=self.cache, use_cache=True, logits_to_keep=1, **extra
        )
        last: torch.Tensor = out.logits[:, -1, :vocabulary].float()
        return last


def generate(
    loaded: Loaded, requests: Sequence[Request], sampling: Sampling, mixture: Mixture | None = None
) -> Iterator[Completion]:
    """Completions of all requests, longest prompts first, each as soon as its batch is done.

    The models must be in evaluation mode. A completion ends where the model's context does; a prompt that fills the
    context alone is cut on the left.
    """
    window = getattr(loaded.model.config, "max_position_embeddings", None) or 1 << 30
    sequences = [_start(loaded, request, sampling, window) for request in requests]
    sequences.sort(key=lambda s: (-len(s.ids), s.request.index, s.request.sample))
    for start in range(0, len(sequences), sampling.batch_size):
        part = sequences[start : start + sampling.batch_size]
        yield from sorted(_decode(loaded, part, sampling, mixture), key=lambda c: (c.index, c.sample))


def _start(loaded: Loaded, request: Request, sampling: Sampling, window: int) -> _Sequence:
    limit = min(sampling.max_new_tokens, request.limit or sampling.max_new_tokens)
    prompt = encode_prompt(request.prompt, loaded.tokenizer) if request.ids is None else list(request.ids)
    ids = prompt[-max(1, window - 1) :]
    limit = min(limit, window - len(ids))
    generator = None
    if sampling.temperature > 0:
        generator = torch.Generator().manual_seed(hash((sampling.seed, request.index, request.sample)) & (1 << 63) - 1)
    return _Sequence(request, ids, generator, limit)


@torch.inference_mode()
def _decode(
    loaded: Loaded, sequences: list[_Sequence], sampling: Sampling, mixture: Mixture | None
) -> Iterator[Completion]:
    device = loaded.model.device
    ends = _end_tokens(loaded)
    length = max(len(s.ids) for s in sequences)
    ids = torch.full((len(sequences), length), loaded.tokenizer.pad_token_id, device=device)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, length - len(sequence.ids) :] = torch.tensor(sequence.ids, device=device)
        mask[row, length - len(sequence.ids) :] = 1
    streams = [_Stream(loaded.model, 1.0 - (mixture.share if mixture else 0.0))]
    if mixture is not None:
        streams.append(_Stream(mixture.model, mixture.share))
    while True:
        logits = [stream.logits(ids, mask, sampling.vocabulary) for stream in streams]
        chosen = _choose(_mixed(streams, logits, sampling.temperature), sequences, sampling.temperature)
        kept = []
        for row, (sequence, token) in enumerate(zip(sequences, chosen.tolist(), strict=True)):
            done = _finish(loaded, sequence, token, ends)
            if done is None:
                kept.append(row)
            else:
                yield done
        if not kept:
            return
        if len(kept) < len(sequences):
            index = torch.tensor(kept, device=device)
            for stream in streams:
                stream.cache.batch_select_indices(index)
            mask, chosen = mask[index], chosen[index]
            sequences = [sequences[row] for row in kept]
        ids = chosen.unsqueeze(-1)
        mask = torch.cat([mask, mask.new_ones(len(sequences), 1)], dim=-1)


def _mixed(streams: list[_Stream], logits: list[torch.Tensor], temperature: float) -> torch.Tensor:
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


def _end_tokens(loaded: Loaded) -> frozenset[int]:
    """The tokenizer's end token and those of the model's generation settings (chat models end turns with their own)."""
    configured = getattr(loaded.model.generation_config, "eos_token_id", None)
    more = configured if isinstance(configured, list) else [configured]
    return frozenset(t for t in (loaded.tokenizer.eos_token_id, *more) if t is not None)


def _choose(logits: torch.Tensor, sequences: list[_Sequence], temperature: float) -> torch.Tensor:
    """The next token of each sequence [B]: the best, or a Gumbel-trick draw from the sequence's own generator."""
    if temperature == 0:
        return logits.argmax(-1)
    noise = torch.stack([torch.rand(logits.shape[-1], generator=s.generator) for s in sequences]).to(logits.device)
    return (logits / temperature - (-noise.clamp_min(1e-20).log()).log()).argmax(-1)


def _finish(loaded: Loaded, sequence: _Sequence, token: int, ends: frozenset[int]) -> Completion | None:
    """Append a token; the completion if that ended the sequence."""
    request, finish = sequence.request, None
    if token in ends:
        finish = Finish.EOS
    else:
        sequence.made.append(token)
        if request.stop and _has_stop(_text(loaded, sequence.made[-TAIL_TOKENS:]), request.stop):
            finish = Finish.STOP
        elif len(sequence.made) >= sequence.limit:
            finish = Finish.LENGTH
    if finish is None:
        return None
    text = _text(loaded, sequence.made)
    if finish is Finish.STOP:
        text = text[: min((at for stop in request.stop if (at := text.find(stop)) >= 0), default=None)]
    ids = (*sequence.made, token) if finish is Finish.EOS else tuple(sequence.made)
    return Completion(request.index, request.sample, text, len(sequence.made), finish, ids)


def _text(loaded: Loaded, ids: list[int]) -> str:
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _has_stop(text: str, stops: tuple[str, ...]) -> bool:
    return any(stop in text for stop in stops)
