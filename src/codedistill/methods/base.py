"""What the training loop asks of a method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from codedistill.data.batches import Batch


@dataclass(frozen=True)
class LossSum:
    """A micro-batch's loss as a sum and the count it is to be divided by. The loop divides, once, after adding up.

    `forward_kl` and `reverse_kl` are sums of the same kind, detached; None for a method without a teacher.
    """

    loss: torch.Tensor  # scalar, carries the gradient
    count: float
    forward_kl: torch.Tensor | None = None
    reverse_kl: torch.Tensor | None = None


@dataclass(frozen=True)
class StepStatistics:
    """Means over one whole optimiser step, of all micro-batches and processes."""

    loss: float
    forward_kl: float | None
    reverse_kl: float | None


class Method(Protocol):
    """An objective with its state."""

    def loss(self, batch: Batch) -> LossSum:
        """The batch's loss, summed."""

    def start_epoch(self, epoch: int) -> None:
        """Called before the first step of every epoch, counted from 0."""

    def after_step(self, statistics: StepStatistics) -> dict[str, float | None]:
        """Called once per optimiser step; returns what it wants logged beside the losses."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def row_weights(batch: Batch, normalization: str) -> tuple[torch.Tensor, float]:
    """Weight of each row [N] and the count that the weighted sum is divided by in the end.

    `sample`: every example weighs the same, its rows share that weight (eq. 9 and algorithm 1 of the AKD paper).
    `token`: every response token weighs the same.
    """
    if normalization == "token":
        return torch.ones(batch.response_tokens, device=batch.targets.device), float(batch.response_tokens)
    lengths = torch.bincount(batch.owner, minlength=batch.examples)
    return (1.0 / lengths)[batch.owner], float(batch.examples)
