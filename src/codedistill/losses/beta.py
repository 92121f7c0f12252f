"""The controllers of beta, the share of the reverse KL in  beta RKL + (1 - beta) FKL.

M1, M2 and M3 are those of the AKD paper (Shu et al. 2025, eqs. 9 to 16): beta is a number that is trained against the
student, once per optimizer step, from the step's mean divergences,

    L_beta = s (beta RKL + (1 - beta) FKL) + lambda Reg(beta)

    strategy   s     reset each epoch   regularizer
    M1         +1    no                 none
    M2         -1    no                 as configured
    M3         -1    yes                as configured      (AKD)
    fixed      beta never moves: 0 is KD, 1 is RKD

With s = -1 beta rises while RKL > FKL: the student always faces the divergence on which it is worse. The controllers
per token, per example and by the head and tail gap are not from that paper.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor

from codedistill.errors import UserError
from codedistill.losses.beta_config import REGULARISERS, STRATEGIES, BetaConfig
from codedistill.losses.objective import BetaShare


@dataclass(frozen=True)
class BetaStatistics:
    """Means over one optimizer step, detached, over every process. Only the gap-driven controller needs the gaps:
    sum |p - q| over the teacher's head and tail (`divergences.head_tail_gap`)."""

    forward_kl: float
    reverse_kl: float
    head_gap: float | None = None
    tail_gap: float | None = None


class BetaPolicy:
    """Decides beta: the interface of every controller, and a beta that never moves.

    `value` is the scalar beta, or the last step's mean for the log. `start_epoch` is called at the start of every epoch
    (not again for an epoch that is resumed), `row_beta` for every micro-batch, `update` after every optimizer step.
    seed: of the draws from `config.initial`.
    """

    per_row: bool = False
    """Every row has a beta of its own, which the fused pass computes."""

    head_mass: float | None = None
    """If set, the fused pass measures the gaps of `BetaStatistics` at this mass."""

    def __init__(self, config: BetaConfig, seed: int = 0) -> None:
        self.config, self.seed = config, seed
        self.value = self.draw(epoch=0)

    def draw(self, epoch: int) -> float:
        """beta at the start of an epoch: `initial`, or a uniform draw from it that depends on seed and epoch alone."""
        if not isinstance(self.config.initial, tuple):
            return float(self.config.initial)
        low, high = self.config.initial
        # A seed of text: neighboring (seed, epoch) pairs give unrelated draws.
        return min(high, low + (high - low) * random.Random(f"beta {self.seed} {epoch}").random())

    def row_beta(self, examples: Tensor | None = None) -> float | BetaShare:
        """`Objective.beta` of the next micro-batch; examples: the example number of each row, int64 [N]."""
        return self.value

    def start_epoch(self, epoch: int) -> None:
        """Nothing is carried from epoch to epoch."""

    def update(self, statistics: BetaStatistics) -> float:
        """Takes one optimizer step's means. Returns the value that beta's objective had before."""
        return _mix(self.value, statistics)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.value = float(state["value"])


class M2(BetaPolicy):
    """The paper's controller: a scalar beta with its own AdamW, lr `learning_rate`, no weight decay."""

    sign = -1.0
    """s."""

    regularized = True

    def __init__(self, config: BetaConfig, seed: int = 0) -> None:
        super().__init__(config, seed)
        self._regularizer, self._slope = REGULARISERS[config.regulariser if self.regularized else "none"]
        self._start(self.value)

    def update(self, statistics: BetaStatistics) -> float:
        """One AdamW step, then beta is clamped to [0, 1]. Returns L_beta as it was before the step.

        Raises ValueError, and moves nothing, if a divergence is not finite.
        """
        if not (math.isfinite(statistics.forward_kl) and math.isfinite(statistics.reverse_kl)):
            raise ValueError(f"beta cannot learn from {statistics}")
        weight, epsilon = self.config.regulariser_weight, self.config.epsilon
        before = self.sign * _mix(self.value, statistics) + weight * self._regularizer(self.value, epsilon)
        slope = self.sign * (statistics.reverse_kl - statistics.forward_kl) + weight * self._slope(self.value, epsilon)
        self._beta.grad = torch.full_like(self._beta, slope)
        self._optimizer.step()
        with torch.no_grad():
            self._beta.clamp_(0.0, 1.0)
        self.value = self._beta.item()
        return before

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._start(float(state["value"]))
        self._optimizer.load_state_dict(state["optimizer"])

    def _start(self, value: float) -> None:
        self.value = value
        self._beta = torch.nn.Parameter(torch.tensor(value, dtype=torch.float64))
        self._optimizer = torch.optim.AdamW([self._beta], lr=self.config.learning_rate, weight_decay=0.0)


class M1(M2):
    """M2 with s = +1 and no regularizer."""

    sign = 1.0
    regularized = False


class M3(M2):
    """M2 that draws beta anew and forgets the optimizer's state at the start of every epoch: AKD."""

    def start_epoch(self, epoch: int) -> None:
        self._start(self.draw(epoch))


class PerTokenBeta(BetaPolicy):
    """beta of each row is RKL / (FKL + RKL) of that row: the larger divergence weighs more. No state but the log's."""

    per_row = True

    def row_beta(self, examples: Tensor | None = None) -> float | BetaShare:
        return BetaShare()

    def update(self, statistics: BetaStatistics) -> float:
        """`value` becomes the share of the step's means. Returns the mix at that share."""
        self.value = _share(statistics.reverse_kl, statistics.forward_kl)
        return super().update(statistics)


class PerExampleBeta(PerTokenBeta):
    """beta of each example is RKL / (FKL + RKL) of the example's means, the same in all its rows."""

    def row_beta(self, examples: Tensor | None = None) -> float | BetaShare:
        if examples is None:
            raise UserError("beta per example needs the example number of each row")
        return BetaShare(examples)


class GapBeta(BetaPolicy):
    """One beta, drawn towards the tail's share of the gap: value <- s value + (1 - s) g_tail / (g_head + g_tail).

    After Wu et al. 2024 (AKL), where a large gap in the tail calls for the reverse KL; here smoothed over steps (s is
    `smoothing`) instead of taken per token.
    """

    def __init__(self, config: BetaConfig, seed: int = 0) -> None:
        super().__init__(config, seed)
        self.head_mass = config.head_mass

    def update(self, statistics: BetaStatistics) -> float:
        """Returns the mix at the old value. Raises UserError if the step's gaps were not measured."""
        head, tail = statistics.head_gap, statistics.tail_gap
        if head is None or tail is None:
            raise UserError("gap-driven beta needs the head and tail gaps of the step: set Objective.head_mass")
        before = super().update(statistics)
        keep = self.config.smoothing
        self.value = keep * self.value + (1.0 - keep) * _share(tail, head)
        return before


def beta_controller(config: BetaConfig, seed: int = 0) -> BetaPolicy:
    """The controller of config.strategy. seed: of the draws from `config.initial`."""
    policy: BetaPolicy = resolve_name(STRATEGIES[config.strategy].build)(config, seed)
    return policy


def _mix(beta: float, statistics: BetaStatistics) -> float:
    """beta RKL + (1 - beta) FKL; a share of 0 silences an infinite divergence."""
    parts = ((beta, statistics.reverse_kl), (1.0 - beta, statistics.forward_kl))
    return sum(share * value for share, value in parts if share > 0.0)


def _share(part: float, rest: float) -> float:
    if not (math.isfinite(part) and math.isfinite(rest)):
        raise ValueError(f"beta cannot be a share of {part} and {rest}")
    return part / (part + rest) if part + rest > 0.0 else 0.5
