"""Distillation and cross-entropy losses from hidden states: full logits of neither model ever exist.

Rows go through both output heads a chunk at a time. Each chunk's values and its gradient with respect to the student's
hidden states and head are computed at once, in closed form (`kernels.py`), so that nothing of the chunk needs keeping;
backward only scales what is already there. Memory: two [chunk, V] buffers, a few rows of scratch, and the gradients.

`loss.backward()` may be called once per loss. Losses are weighted sums over rows: the caller divides, once.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from codedistill.errors import UserError
from codedistill.losses.divergences import head_tail_gap
from codedistill.losses.gradients import HeadGradients, attach
from codedistill.losses.heads import Head
from codedistill.losses.kernels import Scratch, cross_entropy_block, kl_block, mix, mix_gradient_
from codedistill.losses.logits import Given, Projected, Rows, autocast_dtype
from codedistill.losses.objective import BetaShare, CrossEntropyOutput, FusedOutput, Objective

BLOCK_BYTES = 4 * 2**20
"""Size of one scratch buffer on a CPU. Passes over a small block find it in the cache, but each pass costs a meeting of
all threads: this is the measured middle."""


def fused_divergence(
    student_hidden: Tensor,
    student_head: Head,
    teacher_rows: Tensor,
    teacher_head: Head | None,
    row_weights: Tensor,
    objective: Objective,
    targets: Tensor | None = None,
) -> FusedOutput:
    """The weighted sum of the objective over rows, with gradients for the student's hidden states and head.

    student_hidden: [N, Hs]. teacher_rows: the teacher's hidden states [N, Ht], or with teacher_head None its logits
    [N, V]. row_weights: [N]; rows of weight 0 are dropped before they meet a head. targets: int64 [N], needed if the
    objective has a cross-entropy share. Inputs that do not require a gradient cost none. Under autocast the heads'
    products are in autocast's dtype; softmax and sums are always float32 or better.

    Raises UserError where shapes, vocabularies or targets do not fit.
    """
    size = _shared_vocabulary(student_head, teacher_rows, teacher_head, objective)
    _check_rows(student_hidden, teacher_rows, row_weights, targets)
    if targets is None and bool((torch.as_tensor(objective.cross_entropy_weight) > 0).any()):
        raise UserError("cross_entropy_weight is above 0, but no targets were given")
    gradients = HeadGradients.for_inputs(student_hidden, student_head)
    narrow = autocast_dtype(student_hidden)
    with torch.no_grad(), torch.autocast(student_hidden.device.type, enabled=False):
        student = Projected(student_hidden.detach(), student_head.cut(size), narrow)
        teacher: Projected | Given = (
            Given(teacher_rows.detach(), size)
            if teacher_head is None
            else Projected(teacher_rows.detach(), teacher_head.cut(size), narrow)
        )
        rows = Rows.of(row_weights, size, student.dtype, objective.chunk_rows)
        if not isinstance(objective.beta, BetaShare):
            betas = _per_row("beta", objective.beta, rows.all_weights)
        else:
            betas = torch.zeros_like(rows.all_weights)
            if objective.beta.examples is not None:
                # Betas of whole examples must be known before the first gradient: one pass for the values alone.
                probe = _Pass(student, teacher, replace(objective, cross_entropy_weight=0.0), betas, None)
                probe.run(rows, None)
                number = rows.index
                values = probe.forward_kl[number], probe.reverse_kl[number]
                betas[number] = objective.beta.by_example(*values, number)
        if targets is not None:
            _check_targets(targets[rows.index], size)
        work = _Pass(student, teacher, objective, betas, targets)
        work.run(rows, gradients if gradients.wanted else None)
        output = work.output(rows.all_weights)
    loss = attach(output.loss, gradients, student_hidden, student_head)
    return replace(output, loss=loss)


def fused_cross_entropy(
    student_hidden: Tensor,
    student_head: Head,
    targets: Tensor,
    row_weights: Tensor,
    vocabulary_size: int | None = None,
    chunk_rows: int | None = None,
) -> CrossEntropyOutput:
    """The weighted sum of -log q[target] over rows, computed as `fused_divergence` is. targets: int64 [N]."""
    size = student_head.weight.shape[0] if vocabulary_size is None else vocabulary_size
    _check_rows(student_hidden, student_hidden, row_weights, targets)
    gradients = HeadGradients.for_inputs(student_hidden, student_head)
    narrow = autocast_dtype(student_hidden)
    with torch.no_grad(), torch.autocast(student_hidden.device.type, enabled=False):
        student = Projected(student_hidden.detach(), student_head.cut(size), narrow)
        rows = Rows.of(row_weights, size, student.dtype, chunk_rows)
        _check_targets(targets[rows.index], size)
        objective = Objective(cross_entropy_weight=1.0)
        work = _Pass(student, None, objective, torch.zeros_like(rows.all_weights), targets)
        work.run(rows, gradients if gradients.wanted else None)
        loss = (rows.all_weights * work.cross_entropy).sum()
    return CrossEntropyOutput(attach(loss, gradients, student_hidden, student_head), work.cross_entropy)


class _Pass:
    """One walk over the rows: fills the row values [N], and the gradients if there are any to fill."""

    def __init__(
        self,
        student: Projected,
        teacher: Projected | Given | None,
        objective: Objective,
        betas: Tensor,
        targets: Tensor | None,
    ) -> None:
        self.student, self.teacher, self.objective = student, teacher, objective
        self.betas, self.targets = betas, targets
        self.forward_kl, self.reverse_kl = torch.zeros_like(betas), torch.zeros_like(betas)
        self.divergence, self.cross_entropy = torch.zeros_like(betas), torch.zeros_like(betas)
        self.gaps = None if objective.head_mass is None else (torch.zeros_like(betas), torch.zeros_like(betas))
        # The parts of the cross entropy and of the divergence in the loss of each row.
        self.hard = _per_row("cross_entropy_weight", objective.cross_entropy_weight, betas)
        self.soft = (1.0 - self.hard) * (objective.temperature**2 if objective.squared_temperature else 1.0)
        self.wants_cross_entropy = targets is not None and bool((self.hard > 0).any())

    def run(self, rows: Rows, gradients: HeadGradients | None) -> None:
        block = self._block_rows(rows)
        shape, dtype = (block, self.student.size), rows.all_weights.dtype
        scratch = Scratch(*torch.empty(2, *shape, dtype=dtype, device=self.student.hidden.device))
        for chunk in rows.chunks():
            hidden, student = self.student.rows(chunk)
            teacher = None if self.teacher is None else self.teacher.rows(chunk)[1]
            for start in range(0, len(chunk), block):
                part = slice(start, start + block)
                few = chunk[part]
                self._block(
                    few,
                    student[part],
                    None if teacher is None else teacher[part],
                    Scratch(*(each[: len(few)] for each in scratch)),
                    None if gradients is None else rows.all_weights[few],
                )
            if gradients is not None:
                gradients.add(chunk, hidden, self.student.weight, student)

    def output(self, weights: Tensor) -> FusedOutput:
        divergence = torch.where(self.soft > 0, self.soft * self.divergence, torch.zeros_like(self.soft))
        # Computed for all rows of a block if for one; what is reported must not depend on who shares a block.
        cross_entropy = torch.where(self.hard > 0, self.cross_entropy, torch.zeros_like(self.hard))
        return FusedOutput(
            loss=_weighted(weights, divergence + self.hard * cross_entropy),
            forward_kl=_weighted(weights, self.forward_kl),
            reverse_kl=_weighted(weights, self.reverse_kl),
            cross_entropy=_weighted(weights, cross_entropy),
            per_row_forward_kl=self.forward_kl,
            per_row_reverse_kl=self.reverse_kl,
            per_row_cross_entropy=cross_entropy,
            per_row_beta=self.betas,
            per_row_head_gap=None if self.gaps is None else self.gaps[0],
            per_row_tail_gap=None if self.gaps is None else self.gaps[1],
        )

    def _block_rows(self, rows: Rows) -> int:
        if self.student.hidden.device.type != "cpu":
            return rows.chunk
        per_row = rows.all_weights.element_size() * max(1, self.student.size)
        return min(rows.chunk, max(1, BLOCK_BYTES // per_row))

    def _block(
        self, rows: Tensor, student: Tensor, teacher: Tensor | None, scratch: Scratch, weights: Tensor | None
    ) -> None:
        """Row values of one block of products hidden @ weight.T [b, V]; their memory is overwritten.

        With weights [b], `student` ends as d loss / d product.
        """
        logits = student.to(scratch.first.dtype)
        self.student.to_logits_(logits)
        slope = None if weights is None else self.student.head.slope(logits)
        hard = self._cross_entropy_block(rows, logits) if self.wants_cross_entropy else None
        gradient: Tensor | None = None
        if teacher is not None and self.teacher is not None:
            teacher = teacher.to(scratch.first.dtype)
            self.teacher.to_logits_(teacher)
            factor = None if weights is None else weights * self.soft[rows]
            gradient = self._divergence_block(rows, logits, teacher, scratch, factor)
        if weights is None:
            return
        gradient = logits.zero_() if gradient is None else gradient
        if hard is not None:
            gradient.addcmul_(hard, (weights * self.hard[rows]).unsqueeze(-1))
        if slope is not None:
            gradient.mul_(slope)
        if self.student.head.scale != 1.0:
            gradient.mul_(self.student.head.scale)
        if gradient is not student:
            student.copy_(gradient)

    def _cross_entropy_block(self, rows: Tensor, logits: Tensor) -> Tensor:
        """Fills the rows' cross entropy; its gradient with respect to the logits, which stay as they are [b, V]."""
        assert self.targets is not None
        kept = logits if self.teacher is None else logits.clone()  # without a teacher nobody needs them any more
        self.cross_entropy[rows], gradient = cross_entropy_block(kept, self.targets[rows], torch.empty_like(logits))
        return gradient

    def _divergence_block(
        self, rows: Tensor, student: Tensor, teacher: Tensor, scratch: Scratch, factor: Tensor | None
    ) -> Tensor | None:
        """Fills the rows' divergences; with factor [b], d (factor * divergence) / d logits [b, V]. Overwrites both."""
        objective, gradient = self.objective, None
        if self.gaps is not None and objective.head_mass is not None:
            gaps = head_tail_gap(student, teacher, objective.temperature, objective.head_mass)
            self.gaps[0][rows], self.gaps[1][rows] = gaps
        if objective.divergence is not None:
            self.divergence[rows], gradient = _by_autograd(objective, student, teacher, factor)
        if objective.temperature != 1.0:
            student.div_(objective.temperature)
            teacher.div_(objective.temperature)
        block = kl_block(student, teacher, scratch)
        self.forward_kl[rows], self.reverse_kl[rows] = block.forward_kl, block.reverse_kl
        if isinstance(objective.beta, BetaShare) and objective.beta.examples is None:
            self.betas[rows] = objective.beta(block.forward_kl, block.reverse_kl)
        if objective.divergence is None:
            beta = self.betas[rows]
            self.divergence[rows] = mix(beta, block.forward_kl, block.reverse_kl)
            gradient = None if factor is None else mix_gradient_(block, beta, factor / objective.temperature)
        if gradient is not None and factor is not None and not block.finite:
            gradient[factor == 0] = 0.0  # a part of 0 silences an infinite divergence
        return gradient


def _by_autograd(
    objective: Objective, student: Tensor, teacher: Tensor, factor: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Row values [b] of any divergence and, with factor, the gradient of their weighted sum [b, V]."""
    assert objective.divergence is not None
    if factor is None:
        return objective.divergence(student, teacher, objective.temperature), None
    with torch.enable_grad():
        leaf = student.detach().requires_grad_()
        values = objective.divergence(leaf, teacher, objective.temperature)
        (gradient,) = torch.autograd.grad((values * factor).sum(), leaf)
    return values.detach(), gradient


def _weighted(weights: Tensor, values: Tensor) -> Tensor:
    return (weights * values).sum()


def _per_row(name: str, given: float | Tensor, like: Tensor) -> Tensor:
    """A value of its own for every row, [N]."""
    if not isinstance(given, Tensor):
        return torch.full_like(like, given)
    if given.dim() > 0 and given.shape != like.shape:
        raise UserError(f"{name} has {tuple(given.shape)} values for {like.shape[0]} rows")
    return given.detach().to(like.dtype).expand_as(like).clone()


def _shared_vocabulary(student: Head, teacher_rows: Tensor, teacher: Head | None, objective: Objective) -> int:
    sizes = (student.weight.shape[0], teacher_rows.shape[-1] if teacher is None else teacher.weight.shape[0])
    if objective.vocabulary_size is None:
        if sizes[0] != sizes[1]:
            raise UserError(
                f"the student's head has {sizes[0]} entries and the teacher's {sizes[1]}: set vocabulary_size to the "
                "vocabulary that both share"
            )
        return sizes[0]
    if not 1 <= objective.vocabulary_size <= min(sizes):
        raise UserError(f"vocabulary_size must lie between 1 and {min(sizes)}, not {objective.vocabulary_size}")
    return objective.vocabulary_size


def _check_rows(student: Tensor, teacher: Tensor, weights: Tensor, targets: Tensor | None) -> None:
    counts = {"student rows": len(student), "teacher rows": len(teacher), "row_weights": len(weights)}
    if targets is not None:
        counts["targets"] = len(targets)
    if student.dim() != 2 or teacher.dim() != 2 or weights.dim() != 1 or len(set(counts.values())) != 1:
        raise UserError(f"the inputs of a fused loss must be [N, H], [N, H or V], [N] and [N]; got {counts}")


def _check_targets(targets: Tensor, size: int) -> None:
    if len(targets) and not (int(targets.min()) >= 0 and int(targets.max()) < size):
        low, high = int(targets.min()), int(targets.max())
        raise UserError(f"targets of rows with weight must lie in [0, {size}), not between {low} and {high}")
