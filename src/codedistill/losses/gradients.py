"""Gradients that are known before backward is called: buffers that collect them, and the node that hands them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from codedistill.losses.heads import Head

_TILE_BYTES = 32 * 2**20


@dataclass
class HeadGradients:
    """d loss / d hidden [N, H], weight [V, H] and bias [V]; None where nobody asked. Weight and bias in >= float32."""

    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    @classmethod
    def for_inputs(cls, hidden: Tensor, head: Head) -> HeadGradients:
        """Zeroed buffers for those inputs that require a gradient; none of them under torch.no_grad()."""

        def buffer(of: Tensor | None, dtype: torch.dtype) -> Tensor | None:
            wanted = of is not None and of.requires_grad and torch.is_grad_enabled()
            return torch.zeros(of.shape, dtype=dtype, device=of.device) if of is not None and wanted else None

        wide = torch.promote_types(head.weight.dtype, torch.float32)
        return cls(buffer(hidden, hidden.dtype), buffer(head.weight, wide), buffer(head.bias, wide))

    @property
    def wanted(self) -> bool:
        return not (self.hidden is None and self.weight is None and self.bias is None)

    def add(self, rows: Tensor, hidden: Tensor, weight: Tensor, gradient: Tensor) -> None:
        """Adds what `gradient` = d loss / d (hidden @ weight.T) [n, V] says. rows: which rows of N these are, [n]."""
        size = weight.shape[0]
        if self.hidden is not None:
            self.hidden.index_copy_(0, rows, torch.mm(gradient, weight).to(self.hidden.dtype))
        if self.weight is not None:
            _add_outer_(self.weight[:size], gradient, hidden)
        if self.bias is not None:
            self.bias[:size] += gradient.sum(0, dtype=self.bias.dtype)


def attach(loss: Tensor, gradients: HeadGradients, hidden: Tensor, head: Head) -> Tensor:
    """The same scalar, whose backward hands `gradients` to hidden, head.weight and head.bias, times what comes in."""
    if not gradients.wanted:
        return loss
    result: Tensor = _Attach.apply(loss, gradients, hidden, head.weight, head.bias)
    return result


def _add_outer_(total: Tensor, gradient: Tensor, hidden: Tensor) -> None:
    """total [V, H] += gradient.T @ hidden, in total's dtype, without a second [V, H] where the dtypes differ."""
    if gradient.dtype == total.dtype:
        total.addmm_(gradient.T, hidden)
        return
    # Low precision: the sum over chunks must not round, so each tile is widened on its own. An accelerator multiplies
    # in the narrow type (it accumulates wide inside a product); a CPU is no slower in float32.
    narrow = gradient.device.type != "cpu"
    rows = max(1, _TILE_BYTES // (total.element_size() * max(1, total.shape[1])))
    right = hidden if narrow else hidden.to(total.dtype)
    for start in range(0, total.shape[0], rows):
        left = gradient[:, start : start + rows].T
        if narrow:
            total[start : start + rows] += torch.mm(left, right)
        else:
            total[start : start + rows].addmm_(left.to(total.dtype), right)


class _Attach(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: HeadGradients, *inputs: Tensor | None) -> Tensor:
        ctx.gradients = gradients
        ctx.dtypes = [None if each is None else each.dtype for each in inputs]
        return loss.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        # The buffers themselves are handed over, so that no second [V, H] is ever allocated; hence only once.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("backward through a fused loss a second time: compute the loss again instead")
        found = [gradients.hidden, gradients.weight, gradients.bias]
        del gradients
        if float(outer) != 1.0:
            for each in found:
                if each is not None:
                    each.mul_(outer)
        given = [None if one is None else one.to(dtype) for one, dtype in zip(found, ctx.dtypes, strict=True)]
        return (None, None, *given)
