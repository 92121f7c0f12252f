"""An output head as plain numbers: what turns a hidden state into logits, and back for the gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codedistill.errors import UserError


@dataclass(frozen=True)
class Head:
    """logits = cap * tanh(scale * (hidden @ weight.T + bias) / cap); without a cap, scale * (hidden @ weight.T + bias).

    weight: [V, H], bias: [V] or None. `scale` is Cohere's logit_scale, or 1 / logits_scaling in Granite. `softcap` is
    Gemma's final_logit_softcapping.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def __post_init__(self) -> None:
        if self.weight.dim() != 2:
            raise UserError(f"head: weight must be [V, H], not {tuple(self.weight.shape)}")
        if self.bias is not None and self.bias.shape != self.weight.shape[:1]:
            raise UserError(f"head: bias {tuple(self.bias.shape)} does not fit weight {tuple(self.weight.shape)}")
        if self.softcap is not None and not self.softcap > 0.0:
            raise UserError(f"head: softcap must be above 0, not {self.softcap}")

    def cut(self, vocabulary_size: int) -> Head:
        """The same head without gradient for the first `vocabulary_size` entries, as views: nothing is copied."""
        bias = None if self.bias is None else self.bias.detach()[:vocabulary_size]
        return Head(self.weight.detach()[:vocabulary_size], bias, self.scale, self.softcap)

    def to_logits_(self, product: Tensor) -> None:
        """Turns hidden @ weight.T [n, V] into logits, in place."""
        if self.bias is not None:
            product.add_(self.bias.to(product.dtype))
        if self.scale != 1.0:
            product.mul_(self.scale)
        if self.softcap is not None:
            product.div_(self.softcap).tanh_().mul_(self.softcap)

    def slope(self, logits: Tensor) -> Tensor | None:
        """d logits / d (scale * product) [n, V] where that is not 1 everywhere (soft-capped heads)."""
        return None if self.softcap is None else 1.0 - (logits / self.softcap).square()

    def logits(self, hidden: Tensor) -> Tensor:
        """The full logits [N, V], with autograd: for tests and for small inputs."""
        product = hidden @ self.weight.T
        if self.bias is not None:
            product = product + self.bias
        product = product * self.scale
        return product if self.softcap is None else self.softcap * torch.tanh(product / self.softcap)
