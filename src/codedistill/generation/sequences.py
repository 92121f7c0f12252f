"""One completion in the making: its prompt, its tokens so far, and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from codedistill.data.encode import encode_prompt
from codedistill.generation.requests import Completion, Finish, Request, Sampling
from codedistill.models import Loaded


@dataclass(eq=False)
class Running:
    """A request, its prompt as token ids, and the tokens made so far."""

    request: Request
    ids: tuple[int, ...]
    generator: torch.Generator | None
    limit: int
    made: list[int] = field(default_factory=list)

    def append(self, token: int, writer: Writer) -> Completion | None:
        """Take a token; the completion if that ended it."""
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
        text = writer.text(self.made)
        if finish is Finish.STOP:
            text = text[: min((at for stop in request.stop if (at := text.find(stop)) >= 0), default=None)]
        ids = (*self.made, token) if finish is Finish.EOS else tuple(self.made)
        return Completion(request.index, request.sample, text, len(self.made), finish, ids)


class Writer:
    """A model's tokens as text, and the tokens that end one: the tokenizer's own and those of the generation settings
    (chat models end turns with another)."""

    def __init__(self, loaded: Loaded) -> None:
        configured = getattr(loaded.model.generation_config, "eos_token_id", None)
        more = configured if isinstance(configured, list) else [configured]
        self.ends = frozenset(t for t in (loaded.tokenizer.eos_token_id, *more) if t is not None)
        self._tokenizer = loaded.tokenizer

    def text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def stopped(self, made: list[int], stops: tuple[str, ...]) -> bool:
        """Whether the last token completed a stop sequence.

        Only the end of the text is new: a token adds a byte at least, and the first one decoded may lose its leading
        space and the next its first bytes.
        """
        tail = self.text(made[-(2 + max(len(stop.encode()) for stop in stops)) :])
        return any(stop in tail for stop in stops)


def start(loaded: Loaded, request: Request, sampling: Sampling, window: int) -> Running:
    """A sequence that fits the model's context of `window` tokens: a prompt that fills it alone is cut on the left."""
    limit = min(sampling.max_new_tokens, request.limit or sampling.max_new_tokens)
    prompt = encode_prompt(request.prompt, loaded.tokenizer) if request.ids is None else request.ids
    ids = tuple(prompt[-max(1, window - 1) :])
    generator = None
    if sampling.temperature > 0:
        generator = torch.Generator().manual_seed(hash((sampling.seed, request.index, request.sample)) & (1 << 63) - 1)
    return Running(request, ids, generator, min(limit, window - len(ids)))


def shared_start(sequences: Sequence[Running]) -> int:
    """How many first tokens all prompts have in common; every prompt keeps one token at least."""
    first = min(sequences, key=lambda s: s.ids).ids
    last = max(sequences, key=lambda s: s.ids).ids
    most = min(len(s.ids) for s in sequences) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)
