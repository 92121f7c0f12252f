"""The recipe's switches for memory and speed: what each needs of the machine, and how it is put on.

None of them changes the objective; docs/methods.md says what they do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, ParamSpec, TypeVar

import torch
from accelerate import Accelerator

from codedistill.errors import UserError
from codedistill.models.heads import base_model
from codedistill.models.precision import bfloat16_fault
from codedistill.recipe.model import Recipe

P = ParamSpec("P")
R = TypeVar("R")

ACCELERATE = {"no": "float32", "bf16": "bfloat16"}
"""Accelerate's words for ours."""


def check_switches(recipe: Recipe, accelerator: Accelerator) -> None:
    """Refuse what cannot work here before anything is loaded.

    Raises:
        UserError: accelerate was told another precision, or the machine lacks something.
    """
    asked, told, dtype = recipe.training.precision, accelerator.mixed_precision, recipe.student.dtype
    if ACCELERATE.get(told) != asked and told != "no":  # nobody told it anything: the recipe decides
        mend = f"set training.precision={ACCELERATE[told]}" if told in ACCELERATE else "it is not supported"
        raise UserError(
            f"training.precision {asked}: accelerate was told mixed precision {told}, by ACCELERATE_MIXED_PRECISION "
            f"or its launcher; {mend}, or take that setting away"
        )
    narrow = "bfloat16" in (asked, dtype, recipe.teacher.dtype if recipe.teacher is not None else None)
    if narrow and accelerator.device.type == "cpu" and (fault := bfloat16_fault()) is not None:
        raise UserError(f"bfloat16: {fault}; set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16, or keep to float32")
    if recipe.training.compile and (fault := compile_fault(accelerator.device)) is not None:
        raise UserError(f"training.compile: {fault}; install a C++ compiler such as g++, or set training.compile=false")


@cache
def compile_fault(device: torch.device) -> str | None:
    """What torch.compile says where it cannot build even a small function; None where it can."""
    unseen = (time.time_ns() % 10**9) / 1e7  # a kernel that no cache holds: the compiler must run

    def small(x: torch.Tensor) -> torch.Tensor:
        return (x * unseen).sin().sum(-1)

    try:
        with torch.no_grad():
            torch.compile(small)(torch.ones(4, 16, device=device))
    except Exception as error:  # whatever dynamo, its backend or the compiler raises
        lines = [line.strip() for line in str(error).splitlines()]
        return next((line for line in lines if line and not line.endswith("raised:")), type(error).__name__)
    return None


def compile_decoders(models: Iterable[Any]) -> None:
    """Compile what turns token ids into hidden states, in place. Lengths change from batch to batch: one graph serves
    all. `generate` leaves it aside."""
    for model in models:
        base_model(model).get_decoder().compile(dynamic=True)


def in_precision(recipe: Recipe, device: torch.device, function: Callable[P, R]) -> Callable[P, R]:
    """A method's forward pass with its matrix products in the recipe's precision. Weights, their gradients, softmax and
    sums stay as they are; responses are written in the weights' own precision."""
    if recipe.training.precision == "float32":
        return function
    narrow: Callable[P, R] = torch.autocast(device.type, dtype=torch.bfloat16)(function)
    return narrow
