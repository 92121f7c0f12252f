"""The input and output of the fused pass: logits, a chunk of rows at a time, and collected gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from codedistill.errors import UserError
from codedistill.losses.signal import Head, Hidden, Logits, TeacherSignal

CHUNK_BYTES = 128 * 2**20
"""Size of a chunk's logits, both models together, unless `chunk_rows` is given."""

_TILE_BYTES = 32 * 2**20
_MASS_TOLERANCE = 0.01


TeacherRows = Callable[[Tensor], Callable[[slice, Tensor], Tensor]]
"""Takes up a chunk of rows, by their indices [n]. The result gives the teacher's logits for a part of the chunk [b, V],
to be overwritten, in the dtype of the student's logits of the same part [b, V]."""


def rows_at_once(count: int, vocabulary: int, dtype: torch.dtype) -> int:
    """The length of a chunk: as many of `count` rows as fit into CHUNK_BYTES.

    Chunks are equal, because a short last one would waste the matrix product's efficiency.
    """
    most = max(1, CHUNK_BYTES // (2 * dtype.itemsize * max(1, vocabulary)))
    chunks = max(1, -(-count // most))
    return max(1, -(-count // chunks))


class Projected:
    """Logits by multiplying hidden states with a head, one chunk after another into the same buffer.

    Products are in the weight's dtype, or in `narrow` if that is given.
    """

    def __init__(self, hidden: Tensor, head: Head, narrow: torch.dtype | None) -> None:
        self.hidden, self.head = hidden, head
        self.dtype = head.weight.dtype if narrow is None else narrow
        self.weight = head.weight.to(self.dtype)
        self.size = head.weight.shape[0]
        self._buffer: Tensor | None = None

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [n, H] and their product with the weight [n, V]. The next call overwrites the product."""
        hidden = self.hidden.index_select(0, index).to(self.dtype)
        if self._buffer is None or self._buffer.shape[0] < len(index):
            self._buffer = torch.empty(len(index), self.size, dtype=self.dtype, device=hidden.device)
        return hidden, torch.mm(hidden, self.weight.T, out=self._buffer[: len(index)])

    def __call__(self, index: Tensor) -> Callable[[slice, Tensor], Tensor]:
        """The rows as those of a teacher."""
        product = self.rows(index)[1]

        def logits(part: slice, student: Tensor) -> Tensor:
            block = product[part].to(student.dtype)
            self.head.to_logits_(block)
            return block

        return logits


def teacher_rows(signal: TeacherSignal, size: int, temperature: float, narrow: torch.dtype | None) -> TeacherRows:
    """The signal as a source of logits over the first `size` entries, without gradient.

    Raises UserError for a top-k signal with another temperature, ids outside the vocabulary, or rows that do not sum
    to 1.
    """
    if isinstance(signal, Hidden):
        return Projected(signal.hidden.detach(), signal.head.cut(size), narrow)
    if isinstance(signal, Logits):
        every = signal.logits.detach()[:, :size]

        def given(index: Tensor) -> Callable[[slice, Tensor], Tensor]:
            chunk = every.index_select(0, index)
            return lambda part, student: chunk[part].to(student.dtype)

        return given
    if signal.temperature != temperature:
        raise UserError(
            f"top-k signal: taken at temperature {signal.temperature}, the loss has temperature {temperature}; a "
            "truncated distribution cannot be tempered again"
        )
    if signal.ids.numel() and not (int(signal.ids.min()) >= 0 and int(signal.ids.max()) < size):
        raise UserError(f"top-k signal: ids must lie in [0, {size}), the shared vocabulary")
    mass = signal.log_probs.detach().double().exp().sum(-1) + signal.log_tail.detach().double().exp()
    if not bool(((mass - 1.0).abs() <= _MASS_TOLERANCE).all()):
        raise UserError("top-k signal: the listed probabilities and the tail must sum to 1 in every row")
    columns = signal.ids, signal.log_probs.detach(), signal.log_tail.detach()

    def listed(index: Tensor) -> Callable[[slice, Tensor], Tensor]:
        chunk = [column.index_select(0, index) for column in columns]
        return lambda part, student: _filled(student, temperature, *(column[part] for column in chunk))

    return listed


def _filled(student: Tensor, temperature: float, ids: Tensor, log_probs: Tensor, log_tail: Tensor) -> Tensor:
    """Logits [b, V] of a teacher whose tail is known only by its mass, completed along the student's tail.

    With S the listed ids, tau_p and tau_q the mass of either model outside S, an entry i outside S gets
    log q_i + log(tau_p / tau_q), as a constant. Values and gradients of the dense divergences are then those of the
    divergence with all entries outside S merged into one: the tightest lower bound that the listed numbers allow.
    """
    log_tail = log_tail.to(student.dtype).unsqueeze(-1)
    filled = torch.log_softmax(student / temperature, dim=-1)
    student_tail = filled.scatter(-1, ids, -math.inf).logsumexp(-1, keepdim=True)
    filled += log_tail - student_tail
    if ids.shape[-1] < student.shape[-1] and bool((empty := student_tail.isneginf()).any()):
        # The student has nothing outside S: any place for the teacher's tail gives the same divergences.
        filled = torch.where(empty, log_tail - math.log(student.shape[-1] - ids.shape[-1]), filled)
    return filled.scatter_(-1, ids, log_probs.to(student.dtype)).mul_(temperature)


@dataclass
class HeadGradients:
    """d loss / d hidden [N, H], weight [V, H] and bias [V]; None for inputs that require no gradient.

    Weight and bias are float32 or better.
    """

    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    @classmethod
    def for_inputs(cls, hidden: Tensor, head: Head) -> HeadGradients:
        """Zeroed buffers for the inputs that require a gradient; none of them under torch.no_grad()."""

        def buffer(of: Tensor | None, dtype: torch.dtype) -> Tensor | None:
            wanted = of is not None and of.requires_grad and torch.is_grad_enabled()
            return torch.zeros(of.shape, dtype=dtype, device=of.device) if of is not None and wanted else None

        wide = torch.promote_types(head.weight.dtype, torch.float32)
        return cls(buffer(hidden, hidden.dtype), buffer(head.weight, wide), buffer(head.bias, wide))

    @property
    def wanted(self) -> bool:
        return not (self.hidden is None and self.weight is None and self.bias is None)

    def add(self, rows: Tensor, hidden: Tensor, weight: Tensor, gradient: Tensor) -> None:
        """Add the part of `gradient` = d loss / d (hidden @ weight.T) [n, V]. rows: the indices of these rows, [n]."""
        size = weight.shape[0]
        if self.hidden is not None:
            self.hidden.index_copy_(0, rows, torch.mm(gradient, weight).to(self.hidden.dtype))
        if self.weight is not None:
            _add_outer_(self.weight[:size], gradient, hidden)
        if self.bias is not None:
            self.bias[:size] += gradient.sum(0, dtype=self.bias.dtype)

    def attach(self, loss: Tensor, hidden: Tensor, head: Head) -> Tensor:
        """The same scalar. Its backward hands these gradients, times the incoming one, to the inputs."""
        if not self.wanted:
            return loss
        result: Tensor = _Attach.apply(loss, self, hidden, head.weight, head.bias)
        return result


def _add_outer_(total: Tensor, gradient: Tensor, hidden: Tensor) -> None:
    """total [V, H] += gradient.T @ hidden, in total's dtype, without a second [V, H] if the dtypes differ."""
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
        buffers = [gradients.hidden, gradients.weight, gradients.bias]
        del gradients
        if float(outer) != 1.0:
            for each in buffers:
                if each is not None:
                    each.mul_(outer)
        return (None, None, *(b if b is None else b.to(dtype) for b, dtype in zip(buffers, ctx.dtypes, strict=True)))
