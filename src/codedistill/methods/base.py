"""The interface between a training method and the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from codedistill.data import Batch, Encoded, Example
from codedistill.errors import UserError
from codedistill.generation import Mixture, Request, Sampling, generator_for
from codedistill.losses import Head
from codedistill.models import Loaded
from codedistill.models.heads import output_head
from codedistill.parallel import ALONE, Processes
from codedistill.recipe.model import Recipe
from codedistill.teachers import Teacher

REPORTED = ("forward_kl", "reverse_kl")
"""The two KLs, which every method with a teacher reports."""


@dataclass(frozen=True)
class Student:
    """The model that learns.

    loaded: the model as it was loaded, and its tokenizer. model: the same model, wrapped if it has adapters. states:
    maps a batch to the last hidden states [N, H] at its rows, with gradient. vocabulary: the number of entries of the
    output head that are real tokens, of the teacher's too if there is one.
    """

    loaded: Loaded
    model: Any
    states: nn.Module
    vocabulary: int

    @property
    def head(self) -> Head:
        return output_head(self.model)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Without dropout inside the block, in training mode afterwards."""
        self.model.eval()
        try:
            yield
        finally:
            self.model.train()


@dataclass(frozen=True)
class MethodContext:
    """The input of a method's constructor. teacher: None for methods that learn from text alone."""

    recipe: Recipe
    student: Student
    teacher: Teacher | None = None
    processes: Processes = ALONE

    def write(
        self, examples: Sequence[Encoded], step: int, sampling: Sampling, teacher_share: float = 0.0
    ) -> list[Encoded]:
        """The examples with responses that the student writes now, in the same order.

        Each token is drawn from (1 - teacher_share) * student + teacher_share * teacher. The draws depend only on
        (seed, example, step), not on the split into batches and processes. A response ends with an end token unless
        `max_new_tokens` or data.max_length stopped it.

        Raises UserError if the teacher is to write and its model is not in this process.
        """
        mixture = None
        if teacher_share > 0:
            teacher = None if self.teacher is None else self.teacher.loaded
            if teacher is None:
                raise UserError("the teacher writes a part of the responses: its model must be loaded in this process")
            mixture = Mixture(teacher.model, teacher_share)
        longest = self.recipe.data.max_length
        requests = [
            Request(index=e.id, sample=step, ids=e.ids[: e.prompt_length], limit=longest - e.prompt_length)
            for e in examples
        ]
        # In the weights' own type, whatever the losses are computed in.
        with self.student.evaluating(), torch.autocast(self.student.head.weight.device.type, enabled=False):
            generator = generator_for(self.student.loaded, mixture)
            written = {done.index: done.ids for done in generator.generate(requests, sampling)}
        return [Encoded(e.id, e.ids[: e.prompt_length] + written[e.id], e.prompt_length) for e in examples]


@dataclass(frozen=True)
class Rewritten:
    """Examples that replace those of the data. unfinished: ids of responses without an end token."""

    examples: list[Example]
    unfinished: frozenset[int] = frozenset()


@dataclass(frozen=True)
class RewriteContext:
    """The input of a rewrite: its folder, device and processes, and a callback (responses done, total).

    resuming: training has started on the responses in the folder, so they must be there and fit.
    """

    folder: Path
    device: torch.device
    processes: Processes = ALONE
    count: Callable[[int, int], None] = lambda done, total: None
    resuming: bool = False


Rewrite = Callable[[Recipe, list[Example], Loaded, RewriteContext], Rewritten]
"""(recipe, the data's examples, teacher, context) -> the examples to train on instead."""


@dataclass(frozen=True)
class LossSum:
    """The loss of a micro-batch as a sum, and the count to divide it by. The loop divides once per optimizer step.

    metrics: a detached sum of the same kind for each name in the method's `metrics`.
    """

    loss: torch.Tensor  # scalar, carries the gradient
    count: float
    metrics: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StepStatistics:
    """Means over one optimizer step, all micro-batches and processes."""

    loss: float
    metrics: Mapping[str, float] = field(default_factory=dict)


class Method:
    """An objective with its state. Only `loss` must be implemented."""

    metrics: tuple[str, ...] = ()
    """Names of the sums that every `LossSum` of this method has beside the loss. They become columns of the log."""

    may_be_infinite: tuple[str, ...] = REPORTED
    """Metrics that the method only reports: an infinite value in them does not stop the run."""

    updates: int = 1
    """Optimizer steps per batch of the data."""

    def loss(self, batch: Batch) -> LossSum:
        """The loss of a micro-batch, as a sum."""
        raise NotImplementedError

    def start_epoch(self, epoch: int) -> None:
        """Called before the first step of every epoch, counted from 0."""

    def start_step(self, step: int, examples: list[Encoded]) -> list[Encoded]:
        """This process's examples of optimizer step `step`, counted from 0, as they are to be trained on.

        On-policy methods replace the responses. The result is split into micro-batches.
        """
        return examples

    def after_step(self, statistics: StepStatistics) -> dict[str, float | None]:
        """Called once per optimizer step; returns the values to log beside the loss."""
        return dict(statistics.metrics)

    def state_dict(self) -> dict[str, Any]:
        """The method's part of a checkpoint: plain data and tensors. Called in all processes at the same time."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


def row_weights(batch: Batch, normalization: str) -> tuple[torch.Tensor, float]:
    """The weight of each row [N], and the count that the weighted sum is finally divided by.

    `sample`: every example has weight 1, shared equally by its rows (eq. 9 and algorithm 1 of the AKD paper).
    `token`: every response token has weight 1.
    """
    if normalization == "token":
        return torch.ones(batch.response_tokens, device=batch.targets.device), float(batch.response_tokens)
    lengths = torch.bincount(batch.owner, minlength=batch.examples)
    return (1.0 / lengths)[batch.owner], float(batch.examples)
