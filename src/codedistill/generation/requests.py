"""What is asked of decoding, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Finish(StrEnum):
    """Why a completion ended."""

    EOS = "eos"
    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    Temperature 0 is greedy; otherwise each sequence draws from a generator of its own, seeded by (seed, request), so
    that batching changes nothing. batch_size: sequences that are decoded at once.
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
