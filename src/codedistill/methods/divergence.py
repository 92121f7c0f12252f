"""Divergences by name, with their parameters from the recipe."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial

import torch

from codedistill.errors import UserError
from codedistill.losses import DIVERGENCES
from codedistill.losses.divergences import Divergence

COMMON = ("student_logits", "teacher_logits", "temperature")


def divergence_parameters(name: str) -> dict[str, float]:
    """The parameters of an entry of DIVERGENCES with their defaults; none for a name that is not there."""
    if name not in DIVERGENCES:
        return {}
    signature = inspect.signature(DIVERGENCES[name])
    return {key: float(p.default) for key, p in signature.parameters.items() if key not in COMMON}


def check_divergence(name: str, parameters: Mapping[str, float]) -> None:
    """Raises ValueError, with a line for the recipe's author, for a parameter that `name` has not or does not allow."""
    known = divergence_parameters(name)
    for key in parameters:
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise ValueError(f"loss.parameters.{key}: {name} {takes}; remove it")
    if name in DIVERGENCES:
        try:  # the function itself knows which values it allows
            DIVERGENCES[name](torch.zeros(1, 2), torch.zeros(1, 2), 1.0, **parameters)
        except UserError as error:
            raise ValueError(f"loss.parameters: {error}") from None


def divergence_function(name: str, parameters: Mapping[str, float]) -> Divergence:
    """An entry of DIVERGENCES with its parameters set: what `Objective.divergence` takes."""
    return partial(DIVERGENCES[name], **parameters)
