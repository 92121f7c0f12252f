"""Distillation by a divergence between next-token distributions: one class for KD, RKD, AKD and their relatives."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from codedistill.data import Batch
from codedistill.losses import (
    DIVERGENCES,
    BetaConfig,
    BetaPolicy,
    BetaStatistics,
    Objective,
    beta_controller,
    fused_divergence,
)
from codedistill.methods.base import REPORTED, LossSum, Method, MethodContext, StepStatistics, row_weights

BETA_OF = {"forward_kl": 0.0, "reverse_kl": 1.0}
"""Divergences that are the mix at a fixed beta, and therefore have closed-form gradients."""


class Distillation(Method):
    """Matches the teacher's next-token distribution at the response positions.

    The loss of a row is (1 - c) t D + c CE. D is (1 - beta) forward KL + beta reverse KL, with beta at 0 (KD), at 1
    (RKD) or moved by its controller after every optimizer step (eq. 9 and 14 of the AKD paper); or another divergence.
    """

    def __init__(self, context: MethodContext) -> None:
        assert context.teacher is not None
        recipe, name = context.recipe, context.recipe.divergence or "forward_kl"
        self._student, self._head, self._teacher = context.student, context.student.head, context.teacher
        self._settings = recipe.loss
        self._controller: BetaPolicy | None = None
        self._divergence = None
        if name == "akd":
            self._controller = beta_controller(recipe.beta, recipe.training.seed)
        elif name in BETA_OF:
            self._controller = beta_controller(BetaConfig(strategy="fixed", initial=BETA_OF[name]))
        else:
            self._divergence = partial(DIVERGENCES[name], **recipe.loss.parameters)
        self._head_mass = None if self._controller is None else self._controller.head_mass
        if name == "akd" and recipe.beta.strategy != "fixed":
            self.may_be_infinite = ()  # beta learns from the two KLs
        self.metrics = REPORTED if self._head_mass is None else (*REPORTED, "head_gap", "tail_gap")
        if self._controller is not None and self._controller.per_row:
            self.metrics = (*self.metrics, "beta")  # the log gets the mean
        if self._settings.cross_entropy_weight > 0:
            self.metrics = (*self.metrics, "cross_entropy")

    def loss(self, batch: Batch) -> LossSum:
        signal = self._teacher.signal(batch)
        weights, count = row_weights(batch, self._settings.normalization)
        objective = Objective(
            beta=0.0 if self._controller is None else self._controller.row_beta(batch.owner),
            temperature=self._settings.temperature,
            squared_temperature=self._settings.squared_temperature,
            cross_entropy_weight=self._cross_entropy_weight(batch),
            divergence=self._divergence,
            head_mass=self._head_mass,
            vocabulary_size=self._student.vocabulary,
            chunk_rows=self._settings.chunk_rows,
        )
        targets = batch.targets if self._settings.cross_entropy_weight > 0 else None
        out = fused_divergence(self._student.states(batch), self._head, signal, weights, objective, targets)
        rows = {
            "head_gap": out.per_row_head_gap,
            "tail_gap": out.per_row_tail_gap,
            "beta": out.per_row_beta,
            "cross_entropy": out.per_row_cross_entropy,
        }
        sums = {name: (weights * row).sum() for name, row in rows.items() if name in self.metrics and row is not None}
        return LossSum(out.loss, count, {"forward_kl": out.forward_kl, "reverse_kl": out.reverse_kl, **sums})

    def _cross_entropy_weight(self, batch: Batch) -> float | Tensor:
        """c, one for all rows or one per row [N]."""
        return self._settings.cross_entropy_weight

    def start_epoch(self, epoch: int) -> None:
        if self._controller is not None:
            self._controller.start_epoch(epoch)

    def after_step(self, statistics: StepStatistics) -> dict[str, float | None]:
        means = statistics.metrics
        if self._controller is None:
            return dict(means)
        used = means.get("beta", self._controller.value)
        step = BetaStatistics(means["forward_kl"], means["reverse_kl"], means.get("head_gap"), means.get("tail_gap"))
        return {**means, "beta": used, "beta_loss": self._controller.update(step)}

    def state_dict(self) -> dict[str, Any]:
        return {} if self._controller is None else {"beta": self._controller.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._controller is not None:
            self._controller.load_state_dict(state["beta"])
