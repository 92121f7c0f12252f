"""Training methods: small objects with `loss(batch)`. A new method is one class and one entry in `METHODS`.

base.py     what the loop asks of a method, and how rows are weighted
sft.py      cross entropy on the data set's responses
kd.py       a mix of forward and reverse KL: KD, RKD and AKD differ in beta alone
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from codedistill.config import Recipe
from codedistill.losses import BetaConfig, BetaController
from codedistill.methods.base import LossSum, Method, StepStatistics, row_weights
from codedistill.methods.kd import Distillation
from codedistill.methods.sft import SupervisedFineTuning
from codedistill.models.heads import output_head
from codedistill.teachers import Teacher

__all__ = ["METHODS", "LossSum", "Method", "StepStatistics", "build_method", "row_weights"]


def _sft(recipe: Recipe, model: Any, states: nn.Module, teacher: Teacher | None, vocabulary: int | None) -> Method:
    return SupervisedFineTuning(states, output_head(model), recipe.loss)


def _fixed(beta: float) -> Callable[..., Method]:
    def build(recipe: Recipe, model: Any, states: nn.Module, teacher: Teacher, vocabulary: int | None) -> Method:
        controller = BetaController(BetaConfig(strategy="fixed", initial=beta))
        return Distillation(states, output_head(model), teacher, recipe.loss, controller, vocabulary)

    return build


def _akd(recipe: Recipe, model: Any, states: nn.Module, teacher: Teacher, vocabulary: int | None) -> Method:
    beta = recipe.beta
    config = BetaConfig(
        strategy=beta.strategy,
        initial=beta.initial,
        learning_rate=beta.learning_rate,
        regulariser=beta.regulariser,
        lambda_=beta.regulariser_weight,
        epsilon=beta.epsilon,
        seed=recipe.training.seed,
    )
    return Distillation(states, output_head(model), teacher, recipe.loss, BetaController(config), vocabulary)


METHODS: dict[str, Callable[..., Method]] = {
    "sft": _sft,
    "kd": _fixed(0.0),
    "rkd": _fixed(1.0),
    "akd": _akd,
}


def build_method(
    recipe: Recipe, model: Any, states: nn.Module, teacher: Teacher | None, vocabulary: int | None
) -> Method:
    """The method of a recipe over a student `model`, whose hidden states come through `states`."""
    return METHODS[recipe.method](recipe, model, states, teacher, vocabulary)
