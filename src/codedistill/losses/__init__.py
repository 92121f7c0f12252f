"""Divergences as pure functions, the fused pass over the vocabulary, and the controllers of beta.

divergences.py   the plain reference: logits in, one value per row out
fused.py         the same numbers and their gradients from hidden states, without full logits
kernels.py       the closed forms on a block of rows
gradients.py     where the fused gradients are collected and handed to autograd
heads.py         an output head: weight, bias, scale, soft cap
objective.py     what a fused loss is asked for and what it returns
beta_config.py   the strategies, regularizers and settings of beta, without torch
beta.py          the controllers of beta: those of the AKD paper, and others behind the same interface
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codedistill.losses.beta import BetaPolicy, BetaStatistics, beta_controller
    from codedistill.losses.beta_config import REGULARISERS, STRATEGIES, BetaConfig
    from codedistill.losses.divergences import DIVERGENCES, forward_kl, head_tail_gap, reverse_kl
    from codedistill.losses.fused import fused_cross_entropy, fused_divergence
    from codedistill.losses.heads import Head
    from codedistill.losses.objective import BetaShare, CrossEntropyOutput, FusedOutput, Objective

__all__ = [
    "DIVERGENCES",
    "REGULARISERS",
    "STRATEGIES",
    "BetaConfig",
    "BetaPolicy",
    "BetaShare",
    "BetaStatistics",
    "CrossEntropyOutput",
    "FusedOutput",
    "Head",
    "Objective",
    "beta_controller",
    "forward_kl",
    "fused_cross_entropy",
    "fused_divergence",
    "head_tail_gap",
    "reverse_kl",
]


def __getattr__(name: str) -> object:
    """Import public names when they are first used: the tables of beta must not cost an import of torch."""
    if name in __all__:
        for home in ("beta_config", "beta", "divergences", "fused", "heads", "objective"):
            module = import_module(f"{__name__}.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
