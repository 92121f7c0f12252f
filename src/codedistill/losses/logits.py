"""Where a chunk's logits come from, and which rows form a chunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from codedistill.losses.heads import Head

CHUNK_BYTES = 128 * 2**20
"""Size of a chunk's logits, both models together, unless `chunk_rows` says otherwise."""


class Projected:
    """Logits [n, V] by multiplying hidden states with a head, chunk after chunk into one buffer.

    Products are in the weight's dtype, or in `narrow` where that is given.
    """

    def __init__(self, hidden: Tensor, head: Head, narrow: torch.dtype | None) -> None:
        self.hidden, self.head = hidden, head
        self.dtype = head.weight.dtype if narrow is None else narrow
        self.weight = head.weight.to(self.dtype)
        self.size = head.weight.shape[0]
        self._buffer: Tensor | None = None

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [n, H] and their product with the weight [n, V]; the next call overwrites the product."""
        hidden = self.hidden.index_select(0, index).to(self.dtype)
        if self._buffer is None or self._buffer.shape[0] < len(index):
            self._buffer = torch.empty(len(index), self.size, dtype=self.dtype, device=hidden.device)
        return hidden, torch.mm(hidden, self.weight.T, out=self._buffer[: len(index)])

    def to_logits_(self, block: Tensor) -> None:
        self.head.to_logits_(block)


class Given:
    """Logits that the caller has already."""

    def __init__(self, logits: Tensor, size: int) -> None:
        self.logits = logits[:, :size]

    def rows(self, index: Tensor) -> tuple[Tensor | None, Tensor]:
        return None, self.logits.index_select(0, index)

    def to_logits_(self, block: Tensor) -> None:
        """They are logits already."""


@dataclass(frozen=True)
class Rows:
    """Which rows count, their weights, and how many meet the heads at once."""

    index: Tensor
    all_weights: Tensor
    chunk: int

    @classmethod
    def of(cls, row_weights: Tensor, vocabulary: int, dtype: torch.dtype, chunk_rows: int | None) -> Rows:
        weights = row_weights.detach().to(torch.promote_types(dtype, torch.float32))
        index = weights.nonzero().squeeze(-1)
        if chunk_rows is None:
            most = max(1, CHUNK_BYTES // (2 * dtype.itemsize * max(1, vocabulary)))
            # Equal chunks: a short last one would waste the matrix product's efficiency.
            chunks = max(1, -(-len(index) // most))
            chunk_rows = max(1, -(-len(index) // chunks))
        return cls(index, weights, chunk_rows)

    def chunks(self) -> Iterator[Tensor]:
        return iter(self.index.split(self.chunk)) if len(self.index) else iter(())


def autocast_dtype(of: Tensor) -> torch.dtype | None:
    """The dtype of matrix products under autocast, None outside of it."""
    kind = of.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
