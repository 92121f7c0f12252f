"""A request for a completion, the completion itself, and the sequence between them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import torch

from codedistill.data.encode import encode_prompt
from codedistill.models import Loaded


class Finish(StrEnum):
    """Why a completion ended."""

    EOS = "eos"
    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    Temperature 0 is greedy. Otherwise each sequence draws from its own generator, seeded by (seed, request), so that
    batching changes nothing. batch_size: sequences decoded at once. vocabulary: the number of tokens to choose from,
    the first ones of the output head.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    batch_size: int = 32
    vocabulary: int | None = None


@dataclass(frozen=True)
class Mixture:
    """A second model with the same tokens: the next token is drawn from share * its distribution + (1 - share) * the
    first model's."""

    model: Any
    share: float


@dataclass(frozen=True)
class Request:
    """One completion to make. index: returned with the completion. sample: distinguishes requests for one prompt.

    ids: the prompt as token ids, instead of `prompt`. limit: fewer new tokens than the sampling allows.
    """

    index: int
    prompt: str = ""
    stop: tuple[str, ...] = ()
    sample: int = 0
    ids: tuple[int, ...] | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Completion:
    """A model's answer: `text` without the end token and the stop sequence, `ids` with both."""

    index: int
    sample: int
    text: str
    tokens: int
    finish: Finish
    ids: tuple[int, ...] = ()


class Generator(Protocol):
    """Writes completions with one loaded model, which must be in evaluation mode."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """A completion for every request, in any order, each as soon as it is done.

        A completion ends where the model's context does. A prompt that fills the context alone is truncated on the
        left.
        """
        ...


class Writer:
    """Turns a model's tokens into text. ends: the tokens that end a text."""

    def __init__(self, loaded: Loaded) -> None:
        self.ends = frozenset(loaded.end_tokens)
        self._tokenizer = loaded.tokenizer

    def text(self, ids: Sequence[int], prompt: Sequence[int] = ()) -> str:
        """The text of `ids` after `prompt`: some decoders drop a leading blank of the whole text."""
        head = self._decode(prompt)
        whole = self._decode([*prompt, *ids])
        return whole[len(head) :] if whole.startswith(head) else self._decode(ids)

    def stopped(self, made: list[int], stops: tuple[str, ...]) -> bool:
        """Whether the last token completed a stop sequence.

        Only the end of the text is new. A token adds at least one byte; the first one decoded may lose its leading
        space and the next its first bytes.
        """
        tail = self._decode(made[-(2 + max(len(stop.encode()) for stop in stops)) :])
        return any(stop in tail for stop in stops)

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


@dataclass(eq=False)
class Running:
    """A request with its prompt as token ids and the tokens generated so far. generator: None for greedy decoding."""

    request: Request
    ids: tuple[int, ...]
    generator: torch.Generator | None
    limit: int
    made: list[int] = field(default_factory=list)

    def append(self, token: int, writer: Writer) -> Completion | None:
        """Take a token; returns the completion if this token ended it."""
        request, finish = self.request, None
        if token in writer.ends:
            finish = Finish.EOS
        else:
            self.made.append(token)
            if request.stop and writer.stopped(self.made, request.stop):
                finish = Finish.STOP
            elif len(self.made) >= self.limit:
                finish = Finish.LENGTH
        if finish is None:
            return None
        text = writer.text(self.made, self.ids)
        if finish is Finish.STOP:
            text = text[: min((at for stop in request.stop if (at := text.find(stop)) >= 0), default=None)]
        ids = (*self.made, token) if finish is Finish.EOS else tuple(self.made)
        return Completion(request.index, request.sample, text, len(self.made), finish, ids)


def start(loaded: Loaded, requests: Sequence[Request], sampling: Sampling) -> list[Running]:
    """Sequences that fit the model's context, longest prompts first."""
    window = loaded.positions or 1 << 30
    sequences = []
    for request in requests:
        limit = min(sampling.max_new_tokens, request.limit or sampling.max_new_tokens)
        prompt = encode_prompt(request.prompt, loaded.tokenizer) if request.ids is None else request.ids
        ids = tuple(prompt[-max(1, window - 1) :])
        generator = None
        if sampling.temperature > 0:
            seed = hash((sampling.seed, request.index, request.sample)) & (1 << 63) - 1
            generator = torch.Generator().manual_seed(seed)
        sequences.append(Running(request, ids, generator, min(limit, window - len(ids))))
    return sorted(sequences, key=lambda s: (-len(s.ids), s.request.index, s.request.sample))


def choose(
    logits: Sequence[torch.Tensor], shares: Sequence[float], sequences: Sequence[Running], temperature: float
) -> torch.Tensor:
    """The next token of each sequence [B], from one model's logits [B, V] or the mixed probabilities of several.

    It is the most likely token, or a draw by the Gumbel trick from the sequence's own generator.
    """
    scores = logits[0]
    if len(logits) > 1:
        divisor = temperature or 1.0
        parts = [
            torch.log_softmax(each / divisor, -1) + math.log(share)
            for share, each in zip(shares, logits, strict=True)
            if share > 0
        ]
        scores = divisor * torch.logsumexp(torch.stack(parts), 0)
    if temperature == 0:
        return scores.argmax(-1)
    noise = torch.stack([torch.rand(scores.shape[-1], generator=s.generator) for s in sequences]).to(scores.device)
    return (scores / temperature - (-noise.clamp_min(1e-20).log()).log()).argmax(-1)


@contextmanager
def plain_passes(device: torch.device) -> Iterator[None]:
    """Forward passes in the weights' own precision and uncompiled, whatever training uses.

    A compiled model would be compiled anew for every shape of the cache.
    """
    compiler = "torch._dynamo" in sys.modules  # otherwise nothing is compiled, and the compiler is slow to import
    with (
        torch.autocast(device.type, enabled=False),
        torch.compiler.set_stance("force_eager") if compiler else nullcontext(),
    ):
        yield
