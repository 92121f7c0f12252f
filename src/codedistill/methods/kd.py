"""Distillation by a divergence between the next-token distributions: one class for KD, RKD, AKD and their relatives."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from codedistill.data import Batch
from codedistill.losses import BetaConfig, BetaPolicy, BetaStatistics, Objective, beta_controller, fused_divergence
from codedistill.methods.base import Ingredients, LossSum, Method, StepStatistics, row_weights
from codedistill.methods.divergence import divergence_function

ENDS = {"forward_kl": 0.0, "reverse_kl": 1.0}
"""Divergences that are the mix at a fixed beta, and so have gradients in closed form."""


class Distillation(Method):
    """Matches the teacher's next-token distribution at the response positions.

    The loss of a row is (1 - c) t D + c CE. D is (1 - beta) forward KL + beta reverse KL, where beta is 0 (KD), 1 (RKD)
    or moved by its controller after every optimiser step (eq. 9 and 14 of the AKD paper), or another divergence.
    """

    def __init__(self, given: Ingredients) -> None:
        assert given.teacher is not None
        recipe, name = given.recipe, given.recipe.divergence or "forward_kl"
        self._states, self._head, self._teacher = given.states, given.head, given.teacher
        self._loss, self._vocabulary = recipe.loss, given.vocabulary
        self._controller: BetaPolicy | None = None
        self._divergence = None
        if name == "akd":
            self._controller = beta_controller(recipe.beta, recipe.training.seed)
        elif name in ENDS:
            self._controller = beta_controller(BetaConfig(strategy="fixed", initial=ENDS[name]))
        else:
            self._divergence = divergence_function(name, recipe.loss.parameters)
        self._head_mass = None if self._controller is None else self._controller.head_mass
        self.learns_from_kls = name == "akd" and recipe.beta.strategy != "fixed"
        self.metrics = () if self._head_mass is None else ("head_gap", "tail_gap")
        if self._controller is not None and self._controller.per_row:
            self.metrics = (*self.metrics, "beta")  # the log gets the mean
        if self._loss.cross_entropy_weight > 0:
            self.metrics = (*self.metrics, "cross_entropy")

    def loss(self, batch: Batch) -> LossSum:
        signal = self._teacher.signal(batch)
        weights, count = row_weights(batch, self._loss.normalization)
        objective = Objective(
            beta=0.0 if self._controller is None else self._controller.row_beta(batch.owner),
            temperature=self._loss.temperature,
            squared_temperature=self._loss.squared_temperature,
            cross_entropy_weight=self._cross_entropy_weight(batch),
            divergence=self._divergence,
            head_mass=self._head_mass,
            vocabulary_size=self._vocabulary,
            chunk_rows=self._loss.chunk_rows,
        )
        targets = batch.targets if self._loss.cross_entropy_weight > 0 else None
        out = fused_divergence(self._states(batch), self._head, signal.hidden, signal.head, weights, objective, targets)
        rows = {
            "head_gap": out.per_row_head_gap,
            "tail_gap": out.per_row_tail_gap,
            "beta": out.per_row_beta,
            "cross_entropy": out.per_row_cross_entropy,
        }
        found = {name: (weights * row).sum() for name, row in rows.items() if name in self.metrics and row is not None}
        return LossSum(out.loss, count, out.forward_kl, out.reverse_kl, found)

    def _cross_entropy_weight(self, batch: Batch) -> float | Tensor:
        """c, for all rows or for each of them [N]."""
        return self._loss.cross_entropy_weight

    def start_epoch(self, epoch: int) -> None:
        if self._controller is not None:
            self._controller.start_epoch(epoch)

    def after_step(self, statistics: StepStatistics) -> dict[str, float | None]:
        logged: dict[str, float | None] = dict(statistics.metrics)
        if self._controller is None:
            return logged
        assert statistics.forward_kl is not None
        assert statistics.reverse_kl is not None
        used = statistics.metrics.get("beta", self._controller.value)
        means = BetaStatistics(
            statistics.forward_kl,
            statistics.reverse_kl,
            statistics.metrics.get("head_gap"),
            statistics.metrics.get("tail_gap"),
        )
        return logged | {"beta": used, "beta_loss": self._controller.update(means)}

    def state_dict(self) -> dict[str, Any]:
        return {} if self._controller is None else {"beta": self._controller.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._controller is not None:
            self._controller.load_state_dict(state["beta"])
