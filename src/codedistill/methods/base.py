"""What the training loop asks of a method, and what a method is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from codedistill.config import Recipe
from codedistill.data import Batch, Encoded, Example
from codedistill.losses import Head
from codedistill.models import Loaded
from codedistill.models.heads import output_head
from codedistill.teachers import Teacher


@dataclass(frozen=True)
class Ingredients:
    """What a method is built from.

    student, model: the student as loaded, and with its adapters if there are any; states: the function from batches
    to its hidden states. teacher: what it says about a batch; teacher_model: the model behind it, for methods that let
    it write. vocabulary: entries that both heads share. total: sums a tensor over all processes; gather: joins their
    lists.
    """

    recipe: Recipe
    student: Loaded
    model: Any
    states: nn.Module
    teacher: Teacher | None = None
    teacher_model: Loaded | None = None
    vocabulary: int | None = None
    total: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor
    gather: Callable[[list[Any]], list[Any]] = lambda rows: rows

    @property
    def head(self) -> Head:
        return output_head(self.model)


@dataclass(frozen=True)
class Written:
    """Examples that replace the data's: `unfinished` are the ids of those that lack an end token."""

    examples: list[Example]
    unfinished: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Workplace:
    """Where a rewrite works: its folder, its device, and its share of the work, `part` of `parts` processes."""

    folder: Path
    device: torch.device
    part: int = 0
    parts: int = 1
    gather: Callable[[list[Any]], list[Any]] = lambda rows: rows  # the lists of all processes, joined
    count: Callable[[int, int], None] = lambda done, of: None


Rewrite = Callable[[Recipe, list[Example], Loaded, Workplace], Written]
"""(recipe, the data's examples, the teacher, where) -> what is trained on instead."""


@dataclass(frozen=True)
class LossSum:
    """A micro-batch's loss as a sum and the count it is to be divided by. The loop divides, once, after adding up.

    `forward_kl` and `reverse_kl` are sums of the same kind, detached; None for a method without a teacher. `more`: a
    detached sum for every name in the method's `more`.
    """

    loss: torch.Tensor  # scalar, carries the gradient
    count: float
    forward_kl: torch.Tensor | None = None
    reverse_kl: torch.Tensor | None = None
    more: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StepStatistics:
    """Means over one whole optimiser step, of all micro-batches and processes."""

    loss: float
    forward_kl: float | None
    reverse_kl: float | None
    more: Mapping[str, float] = field(default_factory=dict)


class Method:
    """An objective with its state. Only `loss` must be written."""

    compares: bool = True
    """Every `LossSum` has the two KLs."""

    updates: int = 1
    """Optimiser steps that a method makes of every batch of the data."""

    more: tuple[str, ...] = ()
    """Names of further sums that every `LossSum` of this method carries."""

    def loss(self, batch: Batch) -> LossSum:
        """The micro-batch's loss, summed."""
        raise NotImplementedError

    def start_epoch(self, epoch: int) -> None:
        """Called before the first step of every epoch, counted from 0."""

    def start_step(self, step: int, examples: list[Encoded]) -> list[Encoded]:
        """This process's examples of optimiser step `step`, counted from 0, as the step shall see them.

        On-policy methods put other responses into them. What is returned is cut into micro-batches.
        """
        return examples

    def after_step(self, statistics: StepStatistics) -> dict[str, float | None]:
        """Called once per optimiser step; returns what it wants logged beside the losses."""
        return dict(statistics.more)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold, as plain data and tensors. Called in every process at the same time."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The way back from `state_dict`."""


def row_weights(batch: Batch, normalization: str) -> tuple[torch.Tensor, float]:
    """Weight of each row [N] and the count that the weighted sum is divided by in the end.

    `sample`: every example weighs the same, its rows share that weight (eq. 9 and algorithm 1 of the AKD paper).
    `token`: every response token weighs the same.
    """
    if normalization == "token":
        return torch.ones(batch.response_tokens, device=batch.targets.device), float(batch.response_tokens)
    lengths = torch.bincount(batch.owner, minlength=batch.examples)
    return (1.0 / lengths)[batch.owner], float(batch.examples)
