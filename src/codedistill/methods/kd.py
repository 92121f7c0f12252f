"""Distillation with (1 - beta) * forward KL + beta * reverse KL: one class for KD, RKD and AKD."""

from __future__ import annotations

from typing import Any

from torch import nn

from codedistill.config import Loss
from codedistill.data.batches import Batch
from codedistill.losses import BetaController, BetaStatistics, Head, Objective, fused_divergence
from codedistill.methods.base import LossSum, StepStatistics, row_weights
from codedistill.teachers import Teacher


class Distillation:
    """Matches the teacher's next-token distribution at the response positions.

    KD is beta fixed at 0, RKD at 1, AKD a beta that `controller` moves after every optimiser step (eq. 9 and 14 of the
    AKD paper).
    """

    def __init__(
        self,
        states: nn.Module,
        head: Head,
        teacher: Teacher,
        loss: Loss,
        controller: BetaController,
        vocabulary: int | None,
    ) -> None:
        self._states, self._head, self._teacher = states, head, teacher
        self._loss, self._controller, self._vocabulary = loss, controller, vocabulary

    def loss(self, batch: Batch) -> LossSum:
        signal = self._teacher.signal(batch)
        weights, count = row_weights(batch, self._loss.normalization)
        objective = Objective(
            beta=self._controller.value,
            temperature=self._loss.temperature,
            vocabulary_size=self._vocabulary,
            chunk_rows=self._loss.chunk_rows,
        )
        out = fused_divergence(self._states(batch), self._head, signal.hidden, signal.head, weights, objective)
        return LossSum(out.loss, count, out.forward_kl, out.reverse_kl)

    def start_epoch(self, epoch: int) -> None:
        self._controller.start_epoch(epoch)

    def after_step(self, statistics: StepStatistics) -> dict[str, float | None]:
        used = self._controller.value
        assert statistics.forward_kl is not None
        assert statistics.reverse_kl is not None
        objective = self._controller.update(BetaStatistics(statistics.forward_kl, statistics.reverse_kl))
        return {"beta": used, "beta_loss": objective}

    def state_dict(self) -> dict[str, Any]:
        return {"beta": self._controller.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._controller.load_state_dict(state["beta"])
