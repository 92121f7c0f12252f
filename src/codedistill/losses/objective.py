"""The objective of a fused loss, and its results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from codedistill.errors import UserError


@dataclass(frozen=True)
class BetaShare:
    """beta of each row from its own divergences: RKL / (FKL + RKL), 1/2 if both are 0; a constant to the gradient.

    examples: with None every row has its own beta; an int64 tensor [N] of example numbers gives all rows of an example
    one beta, from the example's mean divergences (this costs a second pass over both heads).
    """

    examples: Tensor | None = None

    def __call__(self, forward_kl: Tensor, reverse_kl: Tensor) -> Tensor:
        """[n] and [n] to [n], in [0, 1]."""
        total = forward_kl + reverse_kl
        share = reverse_kl / total.clamp_min(torch.finfo(total.dtype).tiny)
        # inf / inf: the share of an infinite reverse KL is 1 unless the forward KL is infinite too.
        share = torch.where(reverse_kl.isinf() & forward_kl.isfinite(), torch.ones_like(share), share)
        return torch.where(total > 0, share, torch.full_like(share, 0.5))

    def by_example(self, forward_kl: Tensor, reverse_kl: Tensor, rows: Tensor) -> Tensor:
        """The example's beta [n] for each of the rows with indices `rows` [n], from their divergences [n]."""
        if self.examples is None:
            return self(forward_kl, reverse_kl)
        _, number = torch.unique(self.examples[rows], return_inverse=True)
        count = int(number.max()) + 1 if number.numel() else 0
        sums = torch.zeros(2, count, dtype=forward_kl.dtype, device=forward_kl.device)
        sums[0].index_add_(0, number, forward_kl)
        sums[1].index_add_(0, number, reverse_kl)
        # Sums instead of means: the number of rows cancels in the share.
        return self(sums[0], sums[1])[number]


@dataclass(frozen=True)
class Objective:
    """The loss of one row:  (1 - c) t D  +  c CE,  with D = (1 - beta) FKL + beta RKL unless `divergence` is given.

    beta: the reverse KL's share, in [0, 1]: a number, a tensor [N] with one value per row, or a BetaShare.
    temperature: divides both models' logits in D; the cross entropy is taken at temperature 1.
    squared_temperature: t = temperature ** 2 instead of 1 (Hinton et al. 2015).
    cross_entropy_weight: c, in [0, 1], a number or a tensor [N]; above 0 the target ids are needed.
    divergence: another D(student logits, teacher logits, temperature) -> [n], e.g. from DIVERGENCES. Its gradient comes
        from autograd, a few rows at a time; both KLs are still reported.
    head_mass: if given, the gap |p - q| over the teacher's head and tail is reported too (`head_tail_gap`).
    vocabulary_size: cuts both models' logits to their first entries; None: both must have the same number of entries.
    chunk_rows: rows that meet the heads at once; None: as many as fit into `rows.CHUNK_BYTES`.
    """

    beta: float | Tensor | BetaShare = 0.0
    temperature: float = 1.0
    squared_temperature: bool = False
    cross_entropy_weight: float | Tensor = 0.0
    divergence: Callable[[Tensor, Tensor, float], Tensor] | None = None
    head_mass: float | None = None
    vocabulary_size: int | None = None
    chunk_rows: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.beta, float | int) and not 0.0 <= self.beta <= 1.0:
            raise UserError(f"beta must lie in [0, 1], not {self.beta}")
        if not self.temperature > 0.0:
            raise UserError(f"temperature must be above 0, not {self.temperature}")
        share = self.cross_entropy_weight
        if isinstance(share, float | int) and not 0.0 <= share <= 1.0:
            raise UserError(f"cross_entropy_weight must lie in [0, 1], not {share}")
        if self.chunk_rows is not None and self.chunk_rows < 1:
            raise UserError(f"chunk_rows must be at least 1, not {self.chunk_rows}")


@dataclass(frozen=True)
class FusedOutput:
    """Sums weighted by the row weights, not divided by any count, and values per row [N]. Only `loss` has a gradient.

    Rows of weight 0 never meet a head: their divergences and gaps are 0. The cross entropy is 0 in rows whose
    cross-entropy weight is 0. The gaps are None unless the objective has a head_mass.
    """

    loss: Tensor
    forward_kl: Tensor
    reverse_kl: Tensor
    per_row_forward_kl: Tensor
    per_row_reverse_kl: Tensor
    per_row_cross_entropy: Tensor
    per_row_beta: Tensor
    per_row_head_gap: Tensor | None = None
    per_row_tail_gap: Tensor | None = None
