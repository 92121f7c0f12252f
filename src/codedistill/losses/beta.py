"""The controller of beta, the share of the reverse KL in  beta RKL + (1 - beta) FKL  (the AKD paper, eqs. 9 to 16).

beta is a number that is trained against the student, once per optimiser step, from the step's mean divergences:

    L_beta = s (beta RKL + (1 - beta) FKL) + lambda Reg(beta)

    strategy   s     reset each epoch   regulariser
    M1         +1    no                 none
    M2         -1    no                 as configured
    M3         -1    yes                as configured      (AKD)
    fixed      beta never moves: 0 is KD, 1 is RKD

With s = -1 beta rises while RKL > FKL: the student always faces the divergence on which it is worse.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from codedistill.errors import UserError
from codedistill.losses.objective import BetaShare

SIGNS: dict[str, float] = {"M1": 1.0, "M2": -1.0, "M3": -1.0}
"""s of each strategy of `BetaController`."""


@dataclass(frozen=True)
class BetaConfig:
    """strategy: a key of SIGNS, or of BETA_CONTROLLERS. initial: beta's start, one value or (low, high) for a seeded
    uniform draw. regulariser: a key of REGULARISERS. lambda_ and epsilon: the regulariser's weight and guard.
    seed: of the draws. For the gap-driven controller, smoothing: the share of the old value that it keeps at each step;
    head_mass: the teacher's probability that makes up its head.

    Raises UserError for values that cannot be meant.
    """

    strategy: str = "M3"
    initial: float | tuple[float, float] = (0.1, 0.6)
    learning_rate: float = 0.01
    regulariser: str = "eq13"
    lambda_: float = 0.5
    epsilon: float = 1e-4
    seed: int = 0
    smoothing: float = 0.9
    head_mass: float = 0.5

    def __post_init__(self) -> None:
        bounds = self.initial if isinstance(self.initial, tuple) else (self.initial, self.initial)
        if len(bounds) != 2 or not 0.0 <= bounds[0] <= bounds[1] <= 1.0:
            raise UserError(f"beta.initial must be one value or low and high in [0, 1], not {self.initial}")
        if self.strategy == "fixed" and bounds[0] != bounds[1]:
            raise UserError("beta.initial must be one value where the strategy is fixed")
        if self.regulariser not in REGULARISERS:
            raise UserError(f"beta.regulariser must be one of {', '.join(REGULARISERS)}, not {self.regulariser!r}")
        if not self.learning_rate >= 0.0 or not self.lambda_ >= 0.0 or not self.epsilon > 0.0:
            raise UserError("beta: learning_rate and lambda must be at least 0, epsilon above 0")
        if not 0.0 <= self.smoothing < 1.0:
            raise UserError(f"beta.smoothing must be at least 0 and below 1, not {self.smoothing}")
        if not 0.0 < self.head_mass < 1.0:
            raise UserError(f"beta.head_mass must lie strictly between 0 and 1, not {self.head_mass}")


@dataclass(frozen=True)
class BetaStatistics:
    """Means over one optimiser step, detached, over every process. The gaps are needed by the gap-driven controller
    alone: sum |p - q| over the teacher's head and tail (`divergences.head_tail_gap`)."""

    forward_kl: float
    reverse_kl: float
    head_gap: float | None = None
    tail_gap: float | None = None


class BetaPolicy:
    """What decides beta: the interface of every controller, and a beta that never moves.

    `value` is the scalar beta, or the last step's mean for the log. `start_epoch` is called at the start of every epoch
    (not again for an epoch that is resumed), `row_beta` for every micro-batch, `update` after every optimiser step.
    """

    per_row: bool = False
    """Every row has a beta of its own, which the fused pass finds."""

    head_mass: float | None = None
    """If set, the fused pass measures the gaps of `BetaStatistics` at this mass."""

    def __init__(self, config: BetaConfig) -> None:
        self.config = config
        self.value = draw_initial(config, epoch=0)

    def row_beta(self, examples: Tensor | None = None) -> float | BetaShare:
        """`Objective.beta` of the next micro-batch; examples: the example number of each row, int64 [N]."""
        return self.value

    def start_epoch(self, epoch: int) -> None:
        """Nothing is carried from epoch to epoch."""

    def update(self, statistics: BetaStatistics) -> float:
        """Takes one optimiser step's means. Returns the value that beta's objective had before."""
        return _mix(self.value, statistics)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.value = float(state["value"])


class BetaController(BetaPolicy):
    """The paper's controller: a scalar beta with its own AdamW, lr `learning_rate`, no weight decay."""

    def __init__(self, config: BetaConfig) -> None:
        if config.strategy not in SIGNS:
            raise UserError(f"beta.strategy must be one of {', '.join(SIGNS)}, not {config.strategy!r}")
        super().__init__(config)
        self._start(self.value)

    def start_epoch(self, epoch: int) -> None:
        """Draws beta anew and forgets the optimiser's state under M3; nothing under the other strategies."""
        if self.config.strategy == "M3":
            self._start(draw_initial(self.config, epoch))

    def objective(self, beta: float, statistics: BetaStatistics) -> float:
        """L_beta."""
        function, _ = REGULARISERS[self._regulariser()]
        data = SIGNS[self.config.strategy] * _mix(beta, statistics)
        return data + self.config.lambda_ * function(beta, self.config.epsilon)

    def gradient(self, beta: float, statistics: BetaStatistics) -> float:
        """d L_beta / d beta."""
        _, derivative = REGULARISERS[self._regulariser()]
        data = SIGNS[self.config.strategy] * (statistics.reverse_kl - statistics.forward_kl)
        return data + self.config.lambda_ * derivative(beta, self.config.epsilon)

    def update(self, statistics: BetaStatistics) -> float:
        """One AdamW step, then beta is clamped to [0, 1]. Returns L_beta as it was before the step.

        Raises ValueError, and moves nothing, where a divergence is not finite.
        """
        if not (math.isfinite(statistics.forward_kl) and math.isfinite(statistics.reverse_kl)):
            raise ValueError(f"beta cannot learn from {statistics}")
        before = self.objective(self.value, statistics)
        self._beta.grad = torch.full_like(self._beta, self.gradient(self.value, statistics))
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

    def _regulariser(self) -> str:
        return "none" if self.config.strategy == "M1" else self.config.regulariser


def draw_initial(config: BetaConfig, epoch: int) -> float:
    """beta at the start of an epoch: the one value, or a uniform draw that depends on seed and epoch alone."""
    if not isinstance(config.initial, tuple):
        return float(config.initial)
    low, high = config.initial
    # A seed of text: neighbouring (seed, epoch) pairs give unrelated draws.
    return min(high, low + (high - low) * random.Random(f"beta {config.seed} {epoch}").random())


def _mix(beta: float, statistics: BetaStatistics) -> float:
    """beta RKL + (1 - beta) FKL; a share of 0 silences an infinite divergence."""
    parts = ((beta, statistics.reverse_kl), (1.0 - beta, statistics.forward_kl))
    return sum(share * value for share, value in parts if share > 0.0)


def _eq13(beta: float, epsilon: float) -> float:
    away = 2.0 * abs(beta - 0.5)
    return -math.log(epsilon + away) - math.log(epsilon + 1.0 - away)


def _eq13_derivative(beta: float, epsilon: float) -> float:
    away = 2.0 * abs(beta - 0.5)
    return 2.0 * _sign(beta - 0.5) * (1.0 / (epsilon + 1.0 - away) - 1.0 / (epsilon + away))


def _algorithm1(beta: float, epsilon: float) -> float:
    return -math.log(epsilon + 2.0 * abs(beta - 0.5)) - math.log(epsilon + 2.0 * abs(1.0 - beta - 0.5))


def _algorithm1_derivative(beta: float, epsilon: float) -> float:
    return -4.0 * _sign(beta - 0.5) / (epsilon + 2.0 * abs(beta - 0.5))


def _none(beta: float, epsilon: float) -> float:
    return 0.0


def _sign(value: float) -> float:
    """The subgradient of abs that autograd takes too: 0 at 0."""
    return float((value > 0.0) - (value < 0.0))


Regulariser = Callable[[float, float], float]
"""(beta, epsilon) -> value."""

REGULARISERS: dict[str, tuple[Regulariser, Regulariser]] = {
    "eq13": (_eq13, _eq13_derivative),
    "algorithm1": (_algorithm1, _algorithm1_derivative),
    "none": (_none, _none),
}
"""Name -> (function, derivative). eq13 keeps beta off 0, 0.5 and 1; algorithm1 only off 0.5, so it drives beta to 0 or
1; eq. 16 as printed is none: its two terms cancel."""
