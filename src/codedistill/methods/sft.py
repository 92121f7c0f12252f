"""Supervised fine-tuning: cross entropy on the data set's own responses."""

from __future__ import annotations

from typing import Any

from torch import nn

from codedistill.config import Loss
from codedistill.data.batches import Batch
from codedistill.losses import Head, fused_cross_entropy
from codedistill.methods.base import LossSum, StepStatistics, row_weights


class SupervisedFineTuning:
    """The baseline without a teacher."""

    def __init__(self, states: nn.Module, head: Head, loss: Loss) -> None:
        self._states, self._head, self._loss = states, head, loss

    def loss(self, batch: Batch) -> LossSum:
        weights, count = row_weights(batch, self._loss.normalization)
        out = fused_cross_entropy(
            self._states(batch), self._head, batch.targets, weights, chunk_rows=self._loss.chunk_rows
        )
        return LossSum(out.loss, count)

    def start_epoch(self, epoch: int) -> None:
        pass

    def after_step(self, statistics: StepStatistics) -> dict[str, float | None]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
