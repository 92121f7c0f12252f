"""The own engine: a finished sequence leaves the batch at once, and waiting requests take the free rows.

Sequences are rows, and all of them share the columns: at each step every row writes its next token into the same
column. The prompt of a row that joins goes into the columns just before it, so that each row is one unbroken run of
columns that ends at the last one: to the model, a batch padded on the left.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from codedistill.generation.requests import (
    Completion,
    Mixture,
    Request,
    Running,
    Sampling,
    Writer,
    choose,
    plain_passes,
    start,
)
from codedistill.models import Loaded, text_config

REFILL_SHARE = 4
"""Requests join when a quarter of the rows is free: joining costs a forward pass of its own."""

LEAST_SHARED = 8
"""The common start of all prompts is computed once if it has at least this many tokens."""

ROOM = 64
"""Spare columns of a newly allocated block."""


class OwnEngine:
    """Batched decoding of one model, or of a mixture of two."""

    def __init__(self, loaded: Loaded, mixture: Mixture | None = None) -> None:
        self._loaded = loaded
        self._models = [loaded.model] if mixture is None else [loaded.model, mixture.model]
        self._shares = [1.0] if mixture is None else [1.0 - mixture.share, mixture.share]

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        if not requests:
            return
        queue = deque(start(self._loaded, requests, sampling))
        first, last = min(s.ids for s in queue), max(s.ids for s in queue)
        shared = min(len(s.ids) for s in queue) - 1  # every prompt keeps at least one token of its own
        shared = next((i for i in range(shared) if first[i] != last[i]), shared)
        slots = min(sampling.batch_size, len(queue))
        batch = Batch(self._models, slots, shared, self._loaded.tokenizer.pad_token_id, sampling.vocabulary)
        writer = Writer(self._loaded)
        while queue or batch.live:
            count = len(batch.live)
            free = slots - count
            if count == 0 or (queue and batch.refills and free >= min(len(queue), -(-slots // REFILL_SHARE))):
                logits = batch.join([queue.popleft() for _ in range(min(free, len(queue)))])
            else:
                count, logits = 0, batch.step()
            rows = batch.live[count:]
            chosen = choose(logits, self._shares, rows, sampling.temperature)
            batch.feed(count, chosen)
            done = {}
            for row, (sequence, token) in enumerate(zip(rows, chosen.tolist(), strict=True), count):
                completion = sequence.append(token, writer)
                if completion is not None:
                    done[row] = completion
            if done:
                batch.leave(list(done))
            yield from done.values()


@dataclass
class Span:
    """The part of the blocks that the next forward pass sees: `rows`, and the columns from `start` to `end`."""

    slots: int
    capacity: int = 0
    rows: slice = field(default_factory=lambda: slice(0, 0))
    start: int = 0
    end: int = 0

    def block(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_zeros(self.slots, like.shape[1], self.capacity, like.shape[3])


class BlockLayer(DynamicLayer):
    """One layer's keys [slots, heads, capacity, D] and values; `keys` and `values` are views of them.

    Layers with a sliding window keep everything, too: the mask decides what a query sees.
    """

    def __init__(self, span: Span) -> None:
        super().__init__()
        self._span = span
        self.blocks: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *unused: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new columns after the span; returns the span with them."""
        span = self._span
        if not self.blocks:
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self.blocks = [span.block(states) for states in (key_states, value_states)]
        end = span.end + key_states.shape[-2]
        for block, states in zip(self.blocks, (key_states, value_states), strict=True):
            block[span.rows, :, span.end : end] = states
        self.keys, self.values = (block[span.rows, :, span.start : end] for block in self.blocks)
        return self.keys, self.values

    def look(self) -> None:
        """Show the rows and columns of the span."""
        if self.blocks:
            span = self._span
            self.keys, self.values = (block[span.rows, :, span.start : span.end] for block in self.blocks)

    def rebase(self, columns: slice) -> None:
        """Move columns to the front of new blocks of the span's capacity."""
        for i, old in enumerate(self.blocks):
            self.blocks[i] = self._span.block(old)
            self.blocks[i][:, :, : columns.stop - columns.start] = old[:, :, columns]


class Stream:
    """A model with its cache: blocks, or transformers' own cache for a model that keeps a recurrent state."""

    def __init__(self, model: Any, span: Span) -> None:
        self.model = model
        self._takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        self.cache = DynamicCache(config=model.config)
        kinds = {type(layer) for layer in self.cache.layers}
        attention = {DynamicLayer, DynamicSlidingWindowLayer}
        self.refills = all(kind in attention or kind.__name__ == "DummyLayer" for kind in kinds)
        self.layers: list[Any] = []  # the BlockLayers in the cache
        if self.refills:
            for i, layer in enumerate(self.cache.layers):
                if type(layer) in attention:
                    self.layers.append(BlockLayer(span))
                    self.cache.layers[i] = self.layers[-1]
        self.shared: list[list[torch.Tensor]] = []
        config = text_config(model)
        types = set(getattr(config, "layer_types", None) or ["full_attention"])
        windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
        # The model takes positions, and the distance of two columns means nothing to it.
        self.shares_starts = self.refills and self._takes_positions and types == {"full_attention"} and not any(windows)

    def logits(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, size: int | None) -> torch.Tensor:
        """Logits of the next token [B, V], in float32."""
        extra = {"position_ids": positions} if self._takes_positions else {}
        with plain_passes(ids.device):
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

    def copy(self, source: int, row: int, start: int, end: int) -> None:
        """Copy row `source` into row `row`, columns from `start` to `end`."""
        for layer in self.layers:
            for block in layer.blocks:
                block[row, :, start:end] = block[source, :, start:end]


class Batch:
    """Up to `slots` sequences: rows 0 to n - 1 of the mask [slots, columns] and of every stream's cache.

    shared: how many first tokens are the same in all prompts that will ever join.
    """

    def __init__(self, models: Sequence[Any], slots: int, shared: int, pad_id: int, vocabulary: int | None) -> None:
        self.span = Span(slots)
        self.streams = [Stream(model, self.span) for model in models]
        self.live: list[Running] = []
        self.refills = all(stream.refills for stream in self.streams)
        usable = shared >= LEAST_SHARED and all(stream.shares_starts for stream in self.streams)
        self._shared = shared if usable else 0
        self._pad_id, self._vocabulary, self._device = pad_id, vocabulary, models[0].device
        self._mask = torch.zeros(slots, 0, dtype=torch.long, device=self._device)
        self._next = torch.zeros(slots, dtype=torch.long, device=self._device)  # the token that each row feeds
        self._lengths = torch.zeros_like(self._next)
        self._first: list[int] = []  # the column where each row starts

    def join(self, new: Sequence[Running]) -> list[torch.Tensor]:
        """Add sequences, none with a longer prompt than those that joined before; logits [m, V] by stream.

        Repeated prompts go through the models once. `live` gets the sequences in the order of the logits' rows.
        """
        distinct: list[Running] = []
        repeated: list[Running] = []
        sources: dict[tuple[int, ...], int] = {}
        for sequence in new:
            if self.refills and sequence.ids in sources:
                repeated.append(sequence)
            else:
                sources[sequence.ids] = len(distinct)
                distinct.append(sequence)
        width, base = max(len(s.ids) for s in new), len(self.live)
        if not self.live:  # the prompts begin at the first column
            self._rebase(slice(self.span.end, self.span.end), width)
            self.span.end = width
            if not self.refills:
                for stream in self.streams:
                    stream.cache = DynamicCache(config=stream.model.config)
        begin, end = self.span.end - width, self.span.end
        logits = self._prefill(distinct, slice(base, base + len(distinct)), begin)
        for row, sequence in enumerate(repeated, base + len(distinct)):
            source = base + sources[sequence.ids]
            self._mask[row], self._lengths[row] = self._mask[source], self._lengths[source]
            for stream in self.streams:
                stream.copy(source, row, begin, end)
        self.live += [*distinct, *repeated]
        self._first += [begin if self._shared else end - len(s.ids) for s in (*distinct, *repeated)]
        if not repeated:
            return logits
        index = torch.tensor([*range(len(distinct)), *(sources[s.ids] for s in repeated)], device=self._device)
        return [each[index] for each in logits]

    def step(self) -> list[torch.Tensor]:
        """Feed every row its next token; logits [n, V] by stream."""
        count, span = len(self.live), self.span
        start = min(self._first) if self.refills else 0
        if span.end == span.capacity:
            self._rebase(slice(start, span.end), span.end - start)
            self._first = [first - start for first in self._first]
            start = 0
        self._mask[:count, span.end] = 1
        self._look(slice(0, count), start, span.end)
        mask, positions = self._mask[:count, start : span.end + 1], self._lengths[:count, None]
        ids = self._next[:count, None]
        logits = [stream.logits(ids, mask, positions, self._vocabulary) for stream in self.streams]
        span.end += 1
        self._lengths[:count] += 1
        return logits

    def feed(self, first: int, tokens: torch.Tensor) -> None:
        """Set the next tokens of the rows from `first` on."""
        self._next[first : len(self.live)] = tokens

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
                stream.cache.reorder_cache(index)  # the only selection of rows that every kind of layer has

    def _prefill(self, new: Sequence[Running], rows: slice, begin: int) -> list[torch.Tensor]:
        """Compute prompts into the columns from `begin` to the span's end."""
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
            one = torch.tensor([new[0].ids[:shared]], device=self._device)
            positions = torch.arange(shared, device=self._device)[None]
            for stream in self.streams:
                if not stream.shared:  # once for all prompts
                    self._look(slice(rows.start, rows.start + 1), begin, begin)
                    stream.logits(one, torch.ones_like(one), positions, None)
                    stream.shared = [[each.clone() for each in (layer.keys, layer.values)] for layer in stream.layers]
                for layer, states in zip(stream.layers, stream.shared, strict=True):
                    for block, each in zip(layer.blocks, states, strict=True):
                        block[rows, :, begin : begin + shared] = each
        self._look(rows, begin, begin + shared)
        mask = mask[:, begin:end]
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, shared:]
        logits = [stream.logits(ids, mask, positions, self._vocabulary) for stream in self.streams]
        self.span.end = end
        return logits

    def _look(self, rows: slice, start: int, end: int) -> None:
        self.span.rows, self.span.start, self.span.end = rows, start, end
        for stream in self.streams:
            for layer in stream.layers:
                layer.look()

    def _rebase(self, kept: slice, width: int) -> None:
        """Columns `kept` become the first ones of blocks with room for `width` and some more."""
        span, old = self.span, self._mask
        span.capacity, span.end = width + ROOM, kept.stop - kept.start
        self._mask = old.new_zeros(span.slots, span.capacity)
        self._mask[:, : span.end] = old[:, kept]
        for stream in self.streams:
            for layer in stream.layers:
                layer.rebase(kept)
