"""Beta's strategies, regularizers and settings.

A new strategy is one class in `beta.py` and one entry in STRATEGIES. Nothing here imports torch: recipes are checked
against these tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from codedistill.errors import did_you_mean


@dataclass(frozen=True)
class Strategy:
    """A way for beta to move.

    build: `module:name` of a class or function that makes a `BetaPolicy` from (config, seed). reads: the fields of
    `BetaConfig` that it uses. draws: `initial` may be a range from which the first beta is drawn.
    """

    build: str
    reads: tuple[str, ...] = ()
    draws: bool = True


REGULARIZED = ("initial", "learning_rate", "regulariser", "regulariser_weight", "epsilon")

STRATEGIES: dict[str, Strategy] = {
    "M1": Strategy("codedistill.losses.beta:M1", ("initial", "learning_rate")),
    "M2": Strategy("codedistill.losses.beta:M2", REGULARIZED),
    "M3": Strategy("codedistill.losses.beta:M3", REGULARIZED),
    "fixed": Strategy("codedistill.losses.beta:BetaPolicy", ("initial",), draws=False),
    "per_token": Strategy("codedistill.losses.beta:PerTokenBeta"),
    "per_example": Strategy("codedistill.losses.beta:PerExampleBeta"),
    "gap": Strategy("codedistill.losses.beta:GapBeta", ("initial", "smoothing", "head_mass")),
}
"""M1, M2, M3 and fixed are those of the AKD paper."""


def _eq13(beta: float, epsilon: float) -> float:
    away = 2.0 * abs(beta - 0.5)
    return -math.log(epsilon + away) - math.log(epsilon + 1.0 - away)


def _eq13_derivative(beta: float, epsilon: float) -> float:
    away, sign = 2.0 * abs(beta - 0.5), float((beta > 0.5) - (beta < 0.5))  # 0 at 0.5, as autograd has it
    return 2.0 * sign * (1.0 / (epsilon + 1.0 - away) - 1.0 / (epsilon + away))


def _algorithm1(beta: float, epsilon: float) -> float:
    return -2.0 * math.log(epsilon + 2.0 * abs(beta - 0.5))  # both of its terms are this one


def _algorithm1_derivative(beta: float, epsilon: float) -> float:
    sign = float((beta > 0.5) - (beta < 0.5))
    return -4.0 * sign / (epsilon + 2.0 * abs(beta - 0.5))


Regulariser = Callable[[float, float], float]
"""(beta, epsilon) -> value."""

REGULARISERS: dict[str, tuple[Regulariser, Regulariser]] = {
    "eq13": (_eq13, _eq13_derivative),
    "algorithm1": (_algorithm1, _algorithm1_derivative),
    "none": (lambda beta, epsilon: 0.0, lambda beta, epsilon: 0.0),
}
"""Name -> (function, derivative). eq13 keeps beta away from 0, 0.5 and 1; algorithm1 only from 0.5, so it drives beta
to 0 or 1. Equation 16 as printed is `none`: its two terms cancel."""


class BetaConfig(BaseModel):
    """The mix of the two divergences: beta is the share of the reverse KL. The equations are in losses.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    strategy: str = Field("M3", description=f"how beta moves: {', '.join(STRATEGIES)}")
    initial: float | tuple[float, float] = Field(
        (0.1, 0.6), description="the first beta: a number from 0 to 1, or a range from which it is drawn"
    )
    learning_rate: float = Field(0.01, gt=0, description="learning rate of beta's own optimizer")
    regulariser: str = Field("eq13", description=f"keeps beta away from some values: {', '.join(REGULARISERS)}")
    regulariser_weight: float = Field(0.5, ge=0, description="lambda of equation 14: the strength of the regularizer")
    epsilon: float = Field(1e-4, gt=0, description="keeps the regularizer's logarithms finite")
    smoothing: float = Field(0.9, ge=0, lt=1, description="for gap: the share of the old beta that each step keeps")
    head_mass: float = Field(0.5, gt=0, lt=1, description="for gap: the teacher's probability that makes up its head")

    @field_validator("strategy", "regulariser")
    @classmethod
    def _known(cls, name: str, field: ValidationInfo) -> str:
        kind, table = ("strategy", STRATEGIES) if field.field_name == "strategy" else ("regularizer", REGULARISERS)
        if name not in table:
            raise ValueError(f"there is no {kind} {name}; {did_you_mean(name, table)}")
        return name

    @field_validator("initial", mode="before")
    @classmethod
    def _one_number_or_a_range(cls, value: object) -> object:
        numbers = tuple(value) if isinstance(value, list | tuple) else (value, value)
        if len(numbers) != 2 or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
            raise ValueError(f"should be a number in [0, 1] or a range, such as [0.1, 0.6], not {value!r}")
        if not 0.0 <= numbers[0] <= numbers[1] <= 1.0:
            raise ValueError(f"should be a number in [0, 1] or a rising pair of them, not {value!r}")
        return numbers if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _one_number_if_nothing_is_drawn(self) -> BetaConfig:
        if isinstance(self.initial, tuple) and not STRATEGIES[self.strategy].draws:
            message = f"strategy={self.strategy} needs initial to be one number, such as 0.3"
            raise PydanticCustomError("one_number", message, {"keys": ("initial", "strategy")})
        return self

    def ineffective(self) -> dict[str, str]:
        """Fields that have no effect, each with the key=value that makes it so."""
        reads = STRATEGIES[self.strategy].reads
        idle = {key: f"strategy={self.strategy}" for key in BetaConfig.model_fields if key not in ("strategy", *reads)}
        if self.regulariser == "none" and "regulariser" in reads:
            idle |= dict.fromkeys(("regulariser_weight", "epsilon"), "regulariser=none")
        return idle
