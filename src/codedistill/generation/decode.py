"""Batched decoding: prompts of like length go together, and a sequence that is finished leaves the batch at once."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

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


@dataclass(frozen=True)
class Request:
    """One completion to make: `index` comes back with it, `sample` tells repeated requests of one prompt apart."""

    index: int
    prompt: str
    stop: tuple[str, ...] = ()
    sample: int = 0


@dataclass(frozen=True)
class Completion:
    """What a model wrote: `text` without the end token and without the stop sequence."""

    index: int
    sample: int
    text: str
    tokens: int
    finish: Finish


@dataclass
class _Sequence:
    request: Request
    ids: list[int]
    generator: torch.Generator | None
    made: list[int] = field(default_factory=list)


def generate(loaded: Loaded, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
    """Completions of all requests, longest prompts first, each as soon as its batch is done.

    The model must be in evaluation mode; prompts that leave no room in the model's context are cut on the left.
    """
    window = getattr(loaded.model.config, "max_position_embeddings", None) or 1 << 30
    room = max(1, window - sampling.max_new_tokens)
    sequences = [_start(loaded, request, sampling, room) for request in requests]
    sequences.sort(key=lambda s: (-len(s.ids), s.request.index, s.request.sample))
    for start in range(0, len(sequences), sampling.batch_size):
        part = sequences[start : start + sampling.batch_size]
        yield from sorted(_decode(loaded, part, sampling), key=lambda c: (c.index, c.sample))


def _start(loaded: Loaded, request: Request, sampling: Sampling, room: int) -> _Sequence:
    ids = encode_prompt(request.prompt, loaded.tokenizer)[-room:]
    generator = None
    if sampling.temperature > 0:
        generator = torch.Generator().manual_seed(hash((sampling.seed, request.index, request.sample)) & (1 << 63) - 1)
    return _Sequence(request, ids, generator)


@torch.inference_mode()
def _decode(loaded: Loaded, sequences: list[_Sequence], sampling: Sampling) -> Iterator[Completion]:
    model, device = loaded.model, loaded.model.device
    ends = _end_tokens(loaded)
    length = max(len(s.ids) for s in sequences)
    ids = torch.full((len(sequences), length), loaded.tokenizer.pad_token_id, device=device)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, length - len(sequence.ids) :] = torch.tensor(sequence.ids, device=device)
        mask[row, length - len(sequence.ids) :] = 1
    takes_positions = "position_ids" in inspect.signature(model.forward).parameters
    cache = DynamicCache(config=model.config)
    for step in range(sampling.max_new_tokens):
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        extra = {"position_ids": positions} if takes_positions else {}
        logits = model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1, **extra
        ).logits
        chosen = _choose(logits[:, -1].float(), sequences, sampling.temperature)
        last = step + 1 == sampling.max_new_tokens
        kept = []
        for row, (sequence, token) in enumerate(zip(sequences, chosen.tolist(), strict=True)):
            done = _finish(loaded, sequence, token, ends, last)
            if done is None:
                kept.append(row)
            else:
                yield done
        if not kept:
            return
        if len(kept) < len(sequences):
            index = torch.tensor(kept, device=device)
            cache.batch_select_indices(index)
            mask, chosen = mask[index], chosen[index]
            sequences = [sequences[row] for row in kept]
        ids = chosen.unsqueeze(-1)
        mask = torch.cat([mask, mask.new_ones(len(sequences), 1)], dim=-1)


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


def _finish(loaded: Loaded, sequence: _Sequence, token: int, ends: frozenset[int], last: bool) -> Completion | None:
    """Append a token; the completion if that ended the sequence."""
    request, finish = sequence.request, None
    if token in ends:
        finish = Finish.EOS
    else:
        sequence.made.append(token)
        if request.stop and _has_stop(_text(loaded, sequence.made[-TAIL_TOKENS:]), request.stop):
            finish = Finish.STOP
        elif last:
            finish = Finish.LENGTH
    if finish is None:
        return None
    text = _text(loaded, sequence.made)
    if finish is Finish.STOP:
        text = text[: min((at for stop in request.stop if (at := text.find(stop)) >= 0), default=None)]
    return Completion(request.index, request.sample, text, len(sequence.made), finish)


def _text(loaded: Loaded, ids: list[int]) -> str:
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _has_stop(text: str, stops: tuple[str, ...]) -> bool:
    return any(stop in text for stop in stops)
