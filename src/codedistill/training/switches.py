"""The recipe's switches for memory and speed: their requirements, and how they are applied.

None of them changes the objective; docs/methods.md describes them.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import torch
from accelerate import Accelerator

from codedistill.errors import UserError
from codedistill.models.config import base_model
from codedistill.models.precision import require_bfloat16
from codedistill.recipe.model import Recipe

ACCELERATE = {"no": "float32", "bf16": "bfloat16"}
"""Accelerate's names for our precisions."""


def check_switches(recipe: Recipe, accelerator: Accelerator) -> None:
    """Refuse settings that cannot work here, before anything is loaded.

    Raises:
        UserError: accelerate is configured for another precision, or the machine lacks something.
    """
    wanted, configured, dtype = recipe.training.precision, accelerator.mixed_precision, recipe.student.dtype
    if ACCELERATE.get(configured) != wanted and configured != "no":  # with "no" the recipe decides
        fix = f"set training.precision={ACCELERATE[configured]}" if configured in ACCELERATE else "it is not supported"
        raise UserError(
            f"training.precision {wanted}: accelerate is configured for mixed precision {configured}, by "
            f"ACCELERATE_MIXED_PRECISION or its launcher; {fix}, or remove that setting"
        )
    keys = {"training.precision": wanted, "student.dtype": dtype}
    if recipe.teacher is not None:
        keys["teacher.dtype"] = recipe.teacher.dtype
    narrow = [key for key, value in keys.items() if value == "bfloat16"]
    if narrow and accelerator.device.type == "cpu":
        require_bfloat16(narrow[0])
    if recipe.training.compile and (fault := compile_fault(accelerator.device)) is not None:
        raise UserError(f"training.compile: {fault}; install a C++ compiler such as g++, or set training.compile=false")


@cache
def compile_fault(device: torch.device) -> str | None:
    """The error of torch.compile if it cannot build a small function here, else None."""
    unseen = (time.time_ns() % 10**9) / 1e7  # a kernel that is in no cache, so that the compiler must run

    def small(x: torch.Tensor) -> torch.Tensor:
        return (x * unseen).sin().sum(-1)

    try:
        with torch.no_grad():
            torch.compile(small)(torch.ones(4, 16, device=device))
    except Exception as error:  # whatever dynamo, its backend or the compiler raises
        lines = [line.strip() for line in str(error).splitlines()]
        return next((line for line in lines if line and not line.endswith("raised:")), type(error).__name__)
    return None


def compile_decoder(model: Any) -> None:
    """Compile the part that maps token ids to hidden states, in place; `generate` does not use it.

    Lengths differ from batch to batch, so one graph with dynamic shapes serves all.
    """
    base_model(model).get_decoder().compile(dynamic=True)
