"""The sequences that are decoded together: forward passes of those that join, and of all by one token."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import DynamicCache

from codedistill.generation.cache import ROOM, BlockLayer, Span, block_cache
from codedistill.generation.requests import Running
from codedistill.models import text_config

LEAST_SHARED = 8
"""A common start of all prompts is computed once if it is at least so long."""


class Stream:
    """A model with its cache and its share in the choice of the next token."""

    def __init__(self, model: Any, share: float, span: Span) -> None:
        self.model, self.share = model, share
        self._takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        self._compiled = any(getattr(each, "_compiled_call_impl", None) is not None for each in model.modules())
        cache = block_cache(model.config, span)
        self.refills = cache is not None
        self.cache = DynamicCache(config=model.config) if cache is None else cache
        self.layers = [layer for layer in self.cache.layers if isinstance(layer, BlockLayer)]
        self.shared: list[tuple[torch.Tensor, torch.Tensor]] = []

    @property
    def shares_starts(self) -> bool:
        """Positions may be told to the model, and a token's distance in columns means nothing to it."""
        config = text_config(self.model)
        kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
        windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
        return self.refills and self._takes_positions and kinds == {"full_attention"} and not any(windows)

    def logits(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, size: int | None) -> torch.Tensor:
        """Of the next token [B, V], in float32; computed in the weights' own precision, and never compiled."""
        extra = {"position_ids": positions} if self._takes_positions else {}
        with torch.autocast(ids.device.type, enabled=False), self._eager():
            out = self.model(
                input_ids=ids,
                attention_mask=mask,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
                **extra,
            )
        last: torch.Tensor = out.logits[:, -1, :size].float()
        return last

    def _eager(self) -> AbstractContextManager[Any]:
        """A model that is compiled for training would be compiled anew for every shape of the cache."""
        return torch.compiler.set_stance("force_eager") if self._compiled else nullcontext()

    def copy(self, source: int, row: int, start: int, end: int) -> None:
        """Row `source` into row `row`, columns from `start` to `end`."""
        for layer in self.layers:
            for block in layer.blocks:
                block[row, :, start:end] = block[source, :, start:end]

    def forget(self) -> None:
        """A cache for other sequences."""
        self.cache = DynamicCache(config=self.model.config)


class Batch:
    """Up to `slots` sequences, rows 0 to n - 1 of `mask` [slots, columns] and of every stream's cache.

    shared: so many first tokens are the same in all prompts that will ever join.
    """

    def __init__(
        self, models: Sequence[tuple[Any, float]], slots: int, shared: int, pad_id: int, vocabulary: int | None
    ) -> None:
        self.span = Span(slots)
        self.streams = [Stream(model, share, self.span) for model, share in models]
        self.live: list[Running] = []
        self.refills = all(stream.refills for stream in self.streams)
        usable = shared >= LEAST_SHARED and all(stream.shares_starts for stream in self.streams)
        self._shared = shared if usable else 0
        self._slots, self._pad_id, self._vocabulary = slots, pad_id, vocabulary
        self._device = models[0][0].device
        self._mask = torch.zeros(slots, 0, dtype=torch.long, device=self._device)
        self._next = torch.zeros(slots, dtype=torch.long, device=self._device)  # the token that each row feeds
        self._lengths = torch.zeros_like(self._next)
        self._first: list[int] = []  # the column where each row starts

    def join(self, new: Sequence[Running]) -> list[torch.Tensor]:
        """Add sequences, none of which has a longer prompt than those that joined before; logits [m, V] by stream.

        Repeated prompts go through the models once. `live` gets the sequences in the order of the logits' rows.
        """
        distinct = _distinct(new) if self.refills else list(new)
        sources = {sequence.ids: number for number, sequence in enumerate(distinct)}
        repeated = [sequence for sequence in new if sequence not in distinct]
        width, size, base = max(len(s.ids) for s in new), len(distinct), len(self.live)
        if not self.live:
            self._restart(width)
        begin = self.span.end - width
        found = self._prefill(distinct, slice(base, base + size), begin)
        for row, sequence in enumerate(repeated, base + size):
            self._repeat(base + sources[sequence.ids], row, begin)
        self.live += [*distinct, *repeated]
        self._first += [begin if self._shared else self.span.end - len(s.ids) for s in (*distinct, *repeated)]
        if not repeated:
            return found
        index = torch.tensor([*range(size), *(sources[s.ids] for s in repeated)], device=self._device)
        return [logits[index] for logits in found]

    def step(self) -> list[torch.Tensor]:
        """Feed every row its next token; logits [n, V] by stream."""
        count, span = len(self.live), self.span
        self._make_room()
        self._mask[:count, span.end] = 1
        start = min(self._first) if self.refills else 0
        self._look(slice(0, count), start, span.end)
        mask, positions = self._mask[:count, start : span.end + 1], self._lengths[:count, None]
        ids = self._next[:count, None]
        found = [stream.logits(ids, mask, positions, self._vocabulary) for stream in self.streams]
        span.end += 1
        self._lengths[:count] += 1
        return found

    def feed(self, first: int, tokens: torch.Tensor) -> None:
        """What the rows from `first` on feed next."""
        self._next[first : len(self.live)] = tokens

    def _repeat(self, source: int, row: int, begin: int) -> None:
        """A prompt that row `source` has too."""
        self._mask[row], self._lengths[row] = self._mask[source], self._lengths[source]
        for stream in self.streams:
            stream.copy(source, row, begin, self.span.end)

    def leave(self, rows: Sequence[int]) -> None:
        """Take out rows; the last ones move into the gaps."""
        order = list(range(len(self.live)))
        for row in sorted(rows, reverse=True):
            last = order.pop()
            if row < len(order):
                order[row] = last
        self.live = [self.live[row] for row in order]
        self._first = [self._first[row] for row in order]
        index: Any = torch.tensor(order, dtype=torch.long, device=self._device)
        for each in (self._next, self._lengths, self._mask):
            each[: len(order)] = each[index]
        for stream in self.streams:
            if self.refills:
                for row, source in enumerate(order):
                    if row != source:
                        stream.copy(source, row, self._first[row], self.span.end)
            else:
                stream.cache.reorder_cache(index)  # the one selection of rows that every kind of layer has

    def _prefill(self, new: Sequence[Running], rows: slice, begin: int) -> list[torch.Tensor]:
        """Prompts into the columns from `begin` to the span's end."""
        end, shared = self.span.end, self._shared
        ids = torch.full((len(new), end - begin - shared), self._pad_id, device=self._device)
        mask = self._mask[rows]
        mask.zero_()
        mask[:, begin : begin + shared] = 1
        for row, sequence in enumerate(new):
            own = sequence.ids[shared:]
            ids[row, -len(own) :] = torch.tensor(own, device=self._device)
            mask[row, end - len(own) : end] = 1
            self._lengths[rows.start + row] = len(sequence.ids)
        if shared:
            self._put_shared(new[0].ids[:shared], rows, begin)
        self._look(rows, begin, begin + shared)
        mask = mask[:, begin:end]
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, shared:]
        found = [stream.logits(ids, mask, positions, self._vocabulary) for stream in self.streams]
        self.span.end = end
        return found

    def _put_shared(self, ids: tuple[int, ...], rows: slice, begin: int) -> None:
        """Every prompt's first tokens, which go through the models once for all."""
        one = torch.tensor([ids], device=self._device)
        for stream in self.streams:
            if not stream.shared:
                self._look(slice(rows.start, rows.start + 1), begin, begin)
                stream.logits(one, torch.ones_like(one), torch.arange(len(ids), device=self._device)[None], None)
                stream.shared = [layer.columns() for layer in stream.layers]
            for layer, states in zip(stream.layers, stream.shared, strict=True):
                for block, each in zip(layer.blocks, states, strict=True):
                    block[rows, :, begin : begin + len(ids)] = each

    def _look(self, rows: slice, start: int, end: int) -> None:
        span = self.span
        span.rows, span.start, span.end = rows, start, end
        for stream in self.streams:
            for layer in stream.layers:
                layer.look()

    def _restart(self, width: int) -> None:
        """No row is left: the next prompts begin at the first column."""
        self._first = []
        self._rebase(slice(self.span.end, self.span.end), width)
        self.span.end = width
        if not self.refills:
            for stream in self.streams:
                stream.forget()

    def _make_room(self) -> None:
        if self.span.end == self.span.capacity:
            start = min(self._first) if self.refills else 0
            self._rebase(slice(start, self.span.end), self.span.end - start)
            self._first = [first - start for first in self._first]

    def _rebase(self, kept: slice, width: int) -> None:
        """Columns `kept` become the first ones of blocks with room for `width` and some more."""
        span, old = self.span, self._mask
        span.capacity = width + ROOM
        self._mask = old.new_zeros(self._slots, span.capacity)
        self._mask[:, : kept.stop - kept.start] = old[:, kept]
        for stream in self.streams:
            for layer in stream.layers:
                layer.rebase(kept)
        span.end = kept.stop - kept.start


def _distinct(sequences: Sequence[Running]) -> list[Running]:
    """The first sequence of every prompt."""
    firsts: dict[tuple[int, ...], Running] = {}
    for sequence in sequences:
        firsts.setdefault(sequence.ids, sequence)
    return list(firsts.values())
