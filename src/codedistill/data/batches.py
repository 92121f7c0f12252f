"""Batches formed by length, in an order that a seed decides and a cursor can re-enter exactly."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from codedistill.data.encode import Encoded

POOL_BATCHES = 32
"""Batches in a pool, which is sorted by length before it is cut: little padding, and still a random order."""


@dataclass(frozen=True)
class Batch:
    """Padded token ids. B examples, L positions; padding is on the right.

    Position t predicts token t + 1; `rows` lists the positions that predict a response token.
    """

    ids: torch.Tensor  # [B, L] int64
    attention: torch.Tensor  # [B, L] int64: 1 for tokens, 0 for padding
    rows: torch.Tensor  # [N] int64: flat indices b * L + t of the predicting positions
    targets: torch.Tensor  # [N] int64: the response tokens to predict
    owner: torch.Tensor  # [N] int64: which of the B examples each row belongs to
    example_ids: tuple[int, ...]

    @property
    def examples(self) -> int:
        return len(self.example_ids)

    @property
    def response_tokens(self) -> int:
        return self.targets.numel()

    def to(self, device: torch.device) -> Batch:
        return Batch(
            ids=self.ids.to(device),
            attention=self.attention.to(device),
            rows=self.rows.to(device),
            targets=self.targets.to(device),
            owner=self.owner.to(device),
            example_ids=self.example_ids,
        )


def collate(examples: Sequence[Encoded], pad_id: int) -> Batch:
    """Pad a list of examples on the right and index the rows that carry loss."""
    length = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), length), pad_id, dtype=torch.long)
    attention = torch.zeros_like(ids)
    rows, targets, owner = [], [], []
    for b, example in enumerate(examples):
        n = len(example.ids)
        ids[b, :n] = torch.tensor(example.ids)
        attention[b, :n] = 1
        for start, end in example.spans:
            rows.append(torch.arange(b * length + start - 1, b * length + end - 1))
            targets.append(ids[b, start:end])
            owner.append(torch.full((end - start,), b))
    return Batch(ids, attention, torch.cat(rows), torch.cat(targets), torch.cat(owner), tuple(e.id for e in examples))


@dataclass(frozen=True)
class BatchPlan:
    """Which examples form which optimizer step's batch.

    The order of epoch e depends on (seed, e) alone, so a cursor (epoch, position) is all that a resumed run needs.
    The last batch of an epoch may be smaller.
    """

    lengths: tuple[int, ...]
    batch_size: int
    seed: int

    def __len__(self) -> int:
        """Optimizer steps per epoch."""
        return -(-len(self.lengths) // self.batch_size)

    def epoch(self, epoch: int) -> list[list[int]]:
        """Indices of the examples of each batch of an epoch."""
        rng = random.Random(f"{self.seed}:{epoch}")
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        pool = self.batch_size * POOL_BATCHES
        batches = []
        for start in range(0, len(order), pool):
            part = sorted(order[start : start + pool], key=lambda i: (self.lengths[i], i))
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        rng.shuffle(batches)
        return batches

    def start_at(self, step: int) -> Iterator[tuple[int, list[int]]]:
        """(epoch, indices) of every batch from optimizer step `step` (counted from 0) on, without end."""
        epoch, position = divmod(step, len(self))
        while True:
            for indices in self.epoch(epoch)[position:]:
                yield epoch, indices
            epoch, position = epoch + 1, 0
