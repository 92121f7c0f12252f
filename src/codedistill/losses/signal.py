"""A model's next-token distributions at N positions, in the forms that the losses read.

`Hidden` comes from a live model or an exact cache, `TopK` from a truncated cache or a server, `Logits` from a caller
that has them already. A loss takes any of them as its teacher; only `rows.py` looks inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from codedistill.errors import UserError


@dataclass(frozen=True)
class Head:
    """logits = cap * tanh(scale * (hidden @ weight.T + bias) / cap); without a cap, scale * (hidden @ weight.T + bias).

    weight: [V, H]; bias: [V] or None. `scale` is Cohere's logit_scale, or 1 / logits_scaling in Granite. `softcap` is
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
        """The same head, detached, for the first `vocabulary_size` entries. Views: nothing is copied."""
        bias = None if self.bias is None else self.bias.detach()[:vocabulary_size]
        return Head(self.weight.detach()[:vocabulary_size], bias, self.scale, self.softcap)

    def to_logits_(self, product: Tensor) -> None:
        """Turn hidden @ weight.T [n, V] into logits, in place."""
        if self.bias is not None:
            product.add_(self.bias.to(product.dtype))
        if self.scale != 1.0:
            product.mul_(self.scale)
        if self.softcap is not None:
            product.div_(self.softcap).tanh_().mul_(self.softcap)

    def slope(self, logits: Tensor) -> Tensor | None:
        """d logits / d (scale * product) [n, V]; None if it is 1 everywhere, that is, without a soft cap."""
        return None if self.softcap is None else 1.0 - (logits / self.softcap).square()

    def logits(self, hidden: Tensor) -> Tensor:
        """Full logits [N, V] with autograd, for small inputs."""
        product = hidden @ self.weight.T
        if self.bias is not None:
            product = product + self.bias
        product = product * self.scale
        return product if self.softcap is None else self.softcap * torch.tanh(product / self.softcap)


@dataclass(frozen=True)
class Hidden:
    """The whole distribution: hidden states [N, H] and the head that turns them into logits."""

    hidden: Tensor
    head: Head


@dataclass(frozen=True)
class Logits:
    """The whole distribution as logits [N, V]. They are read, never overwritten."""

    logits: Tensor


@dataclass(frozen=True)
class TopK:
    """The k likeliest entries of each position, and the mass of all others.

    ids: int64 [N, k], without duplicates in a row. log_probs: [N, k], log-probabilities of these ids. log_tail: [N],
    log of the mass of the V - k entries that are not listed, -inf if there is none. Compute it from the full
    distribution at capture: 1 minus the sum of rounded probabilities is noise. temperature: that of the
    probabilities. A loss must use the same, since the tail of a tempered distribution does not follow from
    these numbers.

    Raises UserError for shapes that do not fit.
    """

    ids: Tensor
    log_probs: Tensor
    log_tail: Tensor
    temperature: float = 1.0

    def __post_init__(self) -> None:
        shapes = {name: tuple(getattr(self, name).shape) for name in ("ids", "log_probs", "log_tail")}
        if len(shapes["ids"]) != 2 or shapes["log_probs"] != shapes["ids"] or shapes["log_tail"] != shapes["ids"][:1]:
            raise UserError(f"top-k signal: ids and log_probs must be [N, k] and log_tail [N]; got {shapes}")

    @classmethod
    def from_logits(cls, logits: Tensor, k: int, temperature: float = 1.0) -> TopK:
        """The k largest entries of logits [N, V]. The log-probabilities are float32 or better."""
        wide = logits.detach().to(torch.promote_types(logits.dtype, torch.float32))
        log_probs = torch.log_softmax(wide / temperature, dim=-1)
        values, ids = log_probs.topk(k, dim=-1)
        return cls(ids, values, log_probs.scatter_(-1, ids, -math.inf).logsumexp(-1), temperature)


TeacherSignal = Hidden | Logits | TopK
"""A teacher's next-token distribution at the rows of a batch."""
