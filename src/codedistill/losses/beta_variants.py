"""Controllers of beta beyond the paper, off by default: per token, per example, and driven by the head and tail gap.

Every controller has the interface of `BetaPolicy`. The training loop asks `row_beta` for what `Objective.beta` gets,
and calls `update` with the optimiser step's means. A new controller is one class and one entry in BETA_CONTROLLERS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor

from codedistill.errors import UserError
from codedistill.losses.beta import BetaConfig, BetaController, BetaStatistics, draw_initial
from codedistill.losses.objective import BetaShare


class BetaPolicy(Protocol):
    """What the training loop knows of a controller. `value` is the scalar beta, or the last step's mean for the log."""

    value: float

    def row_beta(self, examples: Tensor | None = None) -> float | BetaShare:
        """beta of the next micro-batch; examples: the example number of each row, int64 [N]."""

    def start_epoch(self, epoch: int) -> None: ...

    def update(self, statistics: BetaStatistics) -> float:
        """Takes one optimiser step's means; returns the value of beta's own objective before the step."""

    def state_dict(self) -> dict[str, float | int]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class PerTokenBeta:
    """beta of each row is RKL / (FKL + RKL) of that row: the larger divergence weighs more. No state but the log's."""

    def __init__(self, config: BetaConfig) -> None:
        self.config = config
        self.value = draw_initial(config, epoch=0)

    def row_beta(self, examples: Tensor | None = None) -> float | BetaShare:
        return BetaShare()

    def start_epoch(self, epoch: int) -> None:
        """Nothing is carried from step to step."""

    def update(self, statistics: BetaStatistics) -> float:
        """`value` becomes the share of the step's means, which is what the log shows. Returns the mix at that share."""
        forward, reverse = statistics.forward_kl, statistics.reverse_kl
        self.value = _share(reverse, forward)
        return self.value * reverse + (1.0 - self.value) * forward

    def state_dict(self) -> dict[str, float | int]:
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.value = float(state["value"])


class PerExampleBeta(PerTokenBeta):
    """beta of each example is RKL / (FKL + RKL) of the example's means, the same in all its rows."""

    def row_beta(self, examples: Tensor | None = None) -> float | BetaShare:
        if examples is None:
            raise UserError("beta per example needs the example number of each row")
        return BetaShare(examples)


class GapBeta(PerTokenBeta):
    """One beta, drawn towards the tail's share of the gap: value <- s value + (1 - s) g_tail / (g_head + g_tail).

    After Wu et al. 2024 (AKL), where a large gap in the tail calls for the reverse KL; here smoothed over steps (s is
    `smoothing`) instead of taken per token. The gaps come from `Objective.head_mass`.
    """

    def row_beta(self, examples: Tensor | None = None) -> float | BetaShare:
        return self.value

    def update(self, statistics: BetaStatistics) -> float:
        """Returns the mix at the old value. Raises UserError where the step's gaps were not measured."""
        head, tail = statistics.head_gap, statistics.tail_gap
        if head is None or tail is None:
            raise UserError("gap-driven beta needs the head and tail gaps of the step: set Objective.head_mass")
        before = self.value * statistics.reverse_kl + (1.0 - self.value) * statistics.forward_kl
        keep = self.config.smoothing
        self.value = keep * self.value + (1.0 - keep) * _share(tail, head)
        return before


BETA_CONTROLLERS: dict[str, Callable[[BetaConfig], BetaPolicy]] = {
    "M1": BetaController,
    "M2": BetaController,
    "M3": BetaController,
    "fixed": BetaController,
    "per_token": PerTokenBeta,
    "per_example": PerExampleBeta,
    "gap": GapBeta,
}


def beta_controller(config: BetaConfig) -> BetaPolicy:
    """The controller that config.strategy names. Raises UserError for a name that is not in BETA_CONTROLLERS."""
    if config.strategy not in BETA_CONTROLLERS:
        raise UserError(f"beta.strategy must be one of {', '.join(BETA_CONTROLLERS)}, not {config.strategy!r}")
    return BETA_CONTROLLERS[config.strategy](config)


def _share(part: float, rest: float) -> float:
    if not (math.isfinite(part) and math.isfinite(rest)):
        raise ValueError(f"beta cannot be a share of {part} and {rest}")
    return part / (part + rest) if part + rest > 0.0 else 0.5
