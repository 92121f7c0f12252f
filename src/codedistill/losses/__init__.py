"""Divergences as pure functions, the fused pass over the vocabulary, and the controllers of beta.

divergences.py   the plain reference: logits in, one value per row out
signal.py        output heads, and a teacher's distributions: hidden states, logits, top-k with tail
objective.py     the objective of a fused loss, and its results
fused.py         the same numbers and their gradients from hidden states, without full logits
rows.py          the fused pass's input and output: logits by the chunk, collected gradients
kernels.py       the closed forms on a block of rows
beta_config.py   the strategies, regularizers and settings of beta, without torch
beta.py          the controllers of beta: those of the AKD paper, and others with the same interface
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codedistill.losses.beta import BetaPolicy, BetaStatistics, beta_controller
    from codedistill.losses.beta_config import REGULARISERS, STRATEGIES, BetaConfig
    from codedistill.losses.divergences import DIVERGENCES, forward_kl, head_tail_gap, reverse_kl
    from codedistill.losses.fused import fused_cross_entropy, fused_divergence, target_log_probs
    from codedistill.losses.objective import BetaShare, FusedOutput, Objective
    from codedistill.losses.signal import Head, Hidden, Logits, TeacherSignal, TopK

__all__ = [
    "DIVERGENCES",
    "REGULARISERS",
    "STRATEGIES",
    "BetaConfig",
    "BetaPolicy",
    "BetaShare",
    "BetaStatistics",
    "FusedOutput",
    "Head",
    "Hidden",
    "Logits",
    "Objective",
    "TeacherSignal",
    "TopK",
    "beta_controller",
    "forward_kl",
    "fused_cross_entropy",
    "fused_divergence",
    "head_tail_gap",
    "reverse_kl",
    "target_log_probs",
]


def __getattr__(name: str) -> object:
    """Import public names when they are first used: the tables of beta must not cost an import of torch."""
    if name in __all__:
        for home in ("beta_config", "beta", "divergences", "fused", "signal", "objective"):
            module = import_module(f"{__name__}.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
