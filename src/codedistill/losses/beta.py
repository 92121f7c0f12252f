"""The controller of beta, the share of the reverse KL in  beta RKL + (1 - beta) FKL  (the AKD paper, eqs. 9 to 16).

beta is a number that is trained against the student, once per optimiser step, from the step's mean divergences:

    L_beta = s (beta RKL + (1 - beta) FKL) + lambda Reg(beta)

    strategy   s     reset each epoch   regulariser
    M1         +1    no                 none
    M2         -1    no                 as configured
    M3         -1    yes                as configured      (AKD)
    fixed      beta never moves: 0 is KD, 1 is RKD

With s = -1 beta rises while RKL > FKL: the student always faces the divergence on which it is worse. AdamW without
weight decay is written out on Python floats: its state is six numbers that survive JSON to the last bit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codedistill.errors import UserError

SIGNS: dict[str, float] = {"M1": 1.0, "M2": -1.0, "M3": -1.0, "fixed": 0.0}
"""s of each strategy of `BetaController`; 0: nothing moves beta."""

_DECAY_MEAN, _DECAY_SQUARE, _ADAM_EPSILON = 0.9, 0.999, 1e-8  # AdamW's customary constants


@dataclass(frozen=True)
class BetaConfig:
    """strategy: a key of SIGNS, or of BETA_CONTROLLERS. initial: beta's start, one value or (low, high) for a seeded
    uniform draw. regulariser: a key of REGULARISERS. lambda_ and epsilon: the regulariser's weight and guard.
    seed: of the draws. smoothing: the share of the old value that the gap-driven controller keeps at each step.

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


@dataclass(frozen=True)
class BetaStatistics:
    """Means over one optimiser step, detached, over every process. The gaps are needed by the gap-driven controller
    alone: sum |p - q| over the teacher's head and tail (`divergences.head_tail_gap`)."""

    forward_kl: float
    reverse_kl: float
    head_gap: float | None = None
    tail_gap: float | None = None


class BetaController:
    """A scalar beta with its own AdamW. `value` is the beta that the next step's loss uses.

    Its value is drawn when it is made. Call `start_epoch` at the start of every epoch (M3 starts afresh there,
    optimiser state and all; not again for an epoch that is resumed), and `update` after every optimiser step.
    """

    def __init__(self, config: BetaConfig) -> None:
        if config.strategy not in SIGNS:
            raise UserError(f"beta.strategy must be one of {', '.join(SIGNS)}, not {config.strategy!r}")
        self.config = config
        self.value = 0.0
        self._reset(epoch=0)

    def row_beta(self, examples: object = None) -> float:
        """What `Objective.beta` gets for the next step."""
        return self.value

    def start_epoch(self, epoch: int) -> None:
        """Draws beta anew and forgets the optimiser's state under M3; nothing under the other strategies."""
        if self.config.strategy == "M3":
            self._reset(epoch)

    def objective(self, beta: float, forward_kl: float, reverse_kl: float) -> float:
        """L_beta. Under `fixed` the plain mix."""
        mixed = beta * reverse_kl + (1.0 - beta) * forward_kl
        if self.config.strategy == "fixed":
            return mixed
        function, _ = REGULARISERS[self._regulariser()]
        return SIGNS[self.config.strategy] * mixed + self.config.lambda_ * function(beta, self.config.epsilon)

    def gradient(self, beta: float, forward_kl: float, reverse_kl: float) -> float:
        """d L_beta / d beta; 0 under `fixed`."""
        if self.config.strategy == "fixed":
            return 0.0
        _, derivative = REGULARISERS[self._regulariser()]
        data = SIGNS[self.config.strategy] * (reverse_kl - forward_kl)
        return data + self.config.lambda_ * derivative(beta, self.config.epsilon)

    def update(self, statistics: BetaStatistics) -> float:
        """One AdamW step, then beta is clamped to [0, 1]. Returns L_beta as it was before the step.

        Raises ValueError, and moves nothing, where a divergence is not finite.
        """
        forward, reverse = statistics.forward_kl, statistics.reverse_kl
        if not (math.isfinite(forward) and math.isfinite(reverse)):
            raise ValueError(f"beta cannot learn from forward KL {forward} and reverse KL {reverse}")
        before = self.objective(self.value, forward, reverse)
        if self.config.strategy != "fixed":
            self._adamw_step(self.gradient(self.value, forward, reverse))
        return before

    def state_dict(self) -> dict[str, float | int]:
        """JSON-able; `load_state_dict` restores it exactly, through JSON too."""
        return {"value": self.value, "step": self._step, "mean": self._mean, "square": self._square}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.value, self._step = float(state["value"]), int(state["step"])
        self._mean, self._square = float(state["mean"]), float(state["square"])

    def _reset(self, epoch: int) -> None:
        self.value = draw_initial(self.config, epoch)
        self._step, self._mean, self._square = 0, 0.0, 0.0

    def _regulariser(self) -> str:
        return "none" if self.config.strategy == "M1" else self.config.regulariser

    def _adamw_step(self, gradient: float) -> None:
        self._step += 1
        self._mean += (1.0 - _DECAY_MEAN) * (gradient - self._mean)
        self._square = _DECAY_SQUARE * self._square + (1.0 - _DECAY_SQUARE) * gradient * gradient
        mean = self._mean / (1.0 - _DECAY_MEAN**self._step)
        root = math.sqrt(self._square / (1.0 - _DECAY_SQUARE**self._step))
        moved = self.value - self.config.learning_rate * mean / (root + _ADAM_EPSILON)
        self.value = min(1.0, max(0.0, moved))


def draw_initial(config: BetaConfig, epoch: int) -> float:
    """beta at the start of an epoch: the one value, or a uniform draw that depends on seed and epoch alone."""
    if not isinstance(config.initial, tuple):
        return float(config.initial)
    low, high = config.initial
    # A seed of text: neighbouring (seed, epoch) pairs give unrelated draws.
    return min(high, low + (high - low) * random.Random(f"beta {config.seed} {epoch}").random())


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
