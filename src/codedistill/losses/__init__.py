"""Divergences as pure functions, the fused pass over the vocabulary, and the controllers of beta.

divergences.py   the plain reference: logits in, one value per row out
fused.py         the same numbers and their gradients from hidden states, without full logits
kernels.py       the closed forms on a block of rows
gradients.py     where the fused gradients are collected and handed to autograd
heads.py         an output head: weight, bias, scale, soft cap
objective.py     what a fused loss is asked for and what it returns
beta.py          what moves beta: the interface, and the controller that the paper describes
beta_variants.py other controllers behind the same interface
"""

from codedistill.losses.beta import REGULARISERS, BetaConfig, BetaController, BetaPolicy, BetaStatistics
from codedistill.losses.beta_variants import BETA_CONTROLLERS, GapBeta, PerExampleBeta, PerTokenBeta, beta_controller
from codedistill.losses.divergences import DIVERGENCES, forward_kl, head_tail_gap, reverse_kl
from codedistill.losses.fused import fused_cross_entropy, fused_divergence
from codedistill.losses.heads import Head
from codedistill.losses.objective import BetaShare, CrossEntropyOutput, FusedOutput, Objective

__all__ = [
    "BETA_CONTROLLERS",
    "DIVERGENCES",
    "REGULARISERS",
    "BetaConfig",
    "BetaController",
    "BetaPolicy",
    "BetaShare",
    "BetaStatistics",
    "CrossEntropyOutput",
    "FusedOutput",
    "GapBeta",
    "Head",
    "Objective",
    "PerExampleBeta",
    "PerTokenBeta",
    "beta_controller",
    "forward_kl",
    "fused_cross_entropy",
    "fused_divergence",
    "head_tail_gap",
    "reverse_kl",
]
