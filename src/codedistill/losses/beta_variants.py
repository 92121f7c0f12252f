"""Controllers of beta beyond the paper, off by default: per token, per example, and driven by the head and tail gap.

A new controller is one class and one entry in BETA_CONTROLLERS.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from codedistill.errors import UserError
from codedistill.losses.beta import BetaConfig, BetaController, BetaPolicy, BetaStatistics
from codedistill.losses.objective import BetaShare


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

    def __init__(self, config: BetaConfig) -> None:
        super().__init__(config)
        self.head_mass = config.head_mass

    def update(self, statistics: BetaStatistics) -> float:
        """Returns the mix at the old value. Raises UserError where the step's gaps were not measured."""
        head, tail = statistics.head_gap, statistics.tail_gap
        if head is None or tail is None:
            raise UserError("gap-driven beta needs the head and tail gaps of the step: set Objective.head_mass")
        before = super().update(statistics)
        keep = self.config.smoothing
        self.value = keep * self.value + (1.0 - keep) * _share(tail, head)
        return before


BETA_CONTROLLERS: dict[str, Callable[[BetaConfig], BetaPolicy]] = {
    "M1": BetaController,
    "M2": BetaController,
    "M3": BetaController,
    "fixed": BetaPolicy,
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
