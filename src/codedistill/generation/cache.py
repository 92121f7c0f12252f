"""Keys and values of sequences that come and go, in blocks that are written in place.

Sequences are rows, and all of them share the columns: at every step each row writes its next token into the same
column. A row that joins gets its prompt into the columns just before it, so that every row is one unbroken run of
columns that ends at the last one: to the model, a batch padded on the left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

ROOM = 64
"""Columns that a block has in reserve when it is allocated."""


@dataclass
class Span:
    """What of the blocks the next forward pass sees: `rows`, and the columns from `start` to `end`."""

    slots: int
    capacity: int = 0
    rows: slice = field(default_factory=lambda: slice(0, 0))
    start: int = 0
    end: int = 0


class BlockLayer(DynamicLayer):
    """One layer's keys [slots, heads, capacity, D] and values, of which `keys` and `values` are views.

    Layers with a sliding window keep everything too: what a query may see is the mask's business.
    """

    def __init__(self, span: Span) -> None:
        super().__init__()
        self._span = span
        self.blocks: list[torch.Tensor] = []

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.blocks = [_block(each, self._span) for each in (key_states, value_states)]
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *unused: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new columns after the span's; gives back the whole of it."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        span = self._span
        end = span.end + key_states.shape[-2]
        for block, states in zip(self.blocks, (key_states, value_states), strict=True):
            block[span.rows, :, span.end : end] = states
        self.keys, self.values = (block[span.rows, :, span.start : end] for block in self.blocks)
        return self.keys, self.values

    def look(self) -> None:
        """Show the rows and columns of the span."""
        if self.is_initialized:
            span = self._span
            self.keys, self.values = (block[span.rows, :, span.start : span.end] for block in self.blocks)

    def columns(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A copy of the keys and values that were seen last."""
        assert self.keys is not None
        assert self.values is not None
        return self.keys.clone(), self.values.clone()

    def rebase(self, columns: slice) -> None:
        """Move columns to the front of a block of the span's capacity."""
        for i, old in enumerate(self.blocks):
            self.blocks[i] = _block(old, self._span)
            self.blocks[i][:, :, : columns.stop - columns.start] = old[:, :, columns]


def _block(like: torch.Tensor, span: Span) -> torch.Tensor:
    return like.new_zeros(span.slots, like.shape[1], span.capacity, like.shape[3])


def block_cache(config: Any, span: Span) -> DynamicCache | None:
    """A cache of such layers, or None for a model that keeps more than keys and values (a recurrent state)."""
    cache = DynamicCache(config=config)
    for i, layer in enumerate(cache.layers):
        if type(layer) in (DynamicLayer, DynamicSlidingWindowLayer):
            cache.layers[i] = BlockLayer(span)
        elif type(layer).__name__ != "DummyLayer":
            return None
    return cache
