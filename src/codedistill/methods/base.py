"""What the training loop asks of a method, and what a method is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from codedistill.data import Batch, Encoded, Example
from codedistill.losses import Head
from codedistill.models import Loaded
from codedistill.models.heads import output_head
from codedistill.parallel import ALONE, Processes
from codedistill.recipe.model import Recipe
from codedistill.teachers import Teacher


@dataclass(frozen=True)
class Ingredients:
    """What a method is built from.

    student, model: the student as loaded, and with its adapters if there are any; states: the function from batches
    to its hidden states. vocabulary: entries of the heads that are real tokens, of both models. teacher: what it says
    about a batch; teacher_model: the model behind it, for methods that let it write.
    """

    recipe: Recipe
    student: Loaded
    model: Any
    states: nn.Module
    vocabulary: int
    teacher: Teacher | None = None
    teacher_model: Loaded | None = None
    processes: Processes = ALONE

    @property
    def head(self) -> Head:
        return output_head(self.model)


@dataclass(frozen=True)
class Rewritten:
    """Examples that replace the data's: `unfinished` are the ids of those that lack an end token."""

    examples: list[Example]
    unfinished: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Workplace:
    """Where a rewrite works: its folder, its device, the processes that share the work, who counts what is done.

    begun: training on what was written before is to go on, so it must be there and fit.
    """

    folder: Path
    device: torch.device
    processes: Processes = ALONE
    count: Callable[[int, int], None] = lambda done, of: None
    begun: bool = False


Rewrite = Callable[[Recipe, list[Example], Loaded, Workplace], Rewritten]
"""(recipe, the data's examples, the teacher, where) -> what is trained on instead."""


@dataclass(frozen=True)
class LossSum:
    """A micro-batch's loss as a sum and the count it is to be divided by. The loop divides, once, after adding up.

    `forward_kl` and `reverse_kl` are sums of the same kind, detached; None for a method without a teacher. `metrics`: a
    detached sum for every name in the method's `metrics`.
    """

    loss: torch.Tensor  # scalar, carries the gradient
    count: float
    forward_kl: torch.Tensor | None = None
    reverse_kl: torch.Tensor | None = None
    metrics: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StepStatistics:
    """Means over one whole optimiser step, of all micro-batches and processes."""

    loss: float
    forward_kl: float | None
    reverse_kl: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)


class Method:
    """An objective with its state. Only `loss` must be written."""

    compares: bool = True
    """Every `LossSum` has the two KLs."""

    learns_from_kls: bool = False
    """The method's own state follows the two KLs, so they must be finite even where the loss does not contain them."""

    updates: int = 1
    """Optimiser steps that a method makes of every batch of the data."""

    metrics: tuple[str, ...] = ()
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
        return dict(statistics.metrics)

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
