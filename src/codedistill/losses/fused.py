"""Distillation and cross-entropy losses from hidden states, without the full logits of either model.

Rows go through both output heads in chunks. The values of a chunk and its gradient with respect to the student's
hidden states and head are computed in the same pass, in closed form (`kernels.py`), so no chunk is kept; the backward
pass only scales the gradients. Memory: two [chunk, V] buffers, a few rows of scratch, and the gradients.

`loss.backward()` may be called once per loss. Losses are weighted sums over rows; the caller divides once.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from codedistill.errors import UserError
from codedistill.losses.divergences import head_tail_gap
from codedistill.losses.kernels import Scratch, cross_entropy_block, kl_block, mix, mix_gradient_
from codedistill.losses.objective import BetaShare, CrossEntropyOutput, FusedOutput, Objective
from codedistill.losses.rows import (
    HeadGradients,
    Projected,
    Rows,
    TeacherRows,
    autocast_dtype,
    row_count,
    teacher_rows,
    vocabulary_of,
)
from codedistill.losses.signal import Head, Hidden, Logits, TeacherSignal

BLOCK_BYTES = 4 * 2**20
"""Size of one scratch buffer on a CPU: a small block stays in the cache, but each pass over a block synchronizes all
threads. Measured optimum."""


def fused_divergence(
    student_hidden: Tensor,
    student_head: Head,
    signal: TeacherSignal,
    row_weights: Tensor,
    objective: Objective,
    targets: Tensor | None = None,
) -> FusedOutput:
    """The weighted sum of the objective over rows, with gradients for the student's hidden states and head.

    student_hidden: [N, H]. signal: the teacher at the same N rows. row_weights: [N]; rows of weight 0 are dropped
    before they meet a head. targets: int64 [N], needed if the objective has a cross-entropy share. Inputs that do not
    require a gradient cost none. Under autocast the heads' products are in autocast's dtype; softmax and sums are
    always float32 or better.

    With a `TopK` signal the divergences are those with all unlisted entries merged into one: exactly so, in value and
    gradient, for the two KLs and their mix, and for every f-divergence (jsd, skewed KLs, total variation).

    Raises UserError if shapes, vocabularies, temperatures or targets do not fit.
    """
    size = _shared_vocabulary(student_head, vocabulary_of(signal), objective)
    _check_rows(student_hidden, row_count(signal), row_weights, targets)
    if targets is None and bool((torch.as_tensor(objective.cross_entropy_weight) > 0).any()):
        raise UserError("cross_entropy_weight is above 0, but no targets were given")
    gradients = HeadGradients.for_inputs(student_hidden, student_head)
    narrow = autocast_dtype(student_hidden)
    with torch.no_grad(), torch.autocast(student_hidden.device.type, enabled=False):
        student = Projected(student_hidden.detach(), student_head.cut(size), narrow)
        teacher = teacher_rows(signal, size, objective.temperature, narrow)
        rows = Rows.of(row_weights, size, student.dtype, objective.chunk_rows)
        if not isinstance(objective.beta, BetaShare):
            betas = _per_row("beta", objective.beta, rows.all_weights)
        else:
            betas = torch.zeros_like(rows.all_weights)
            if objective.beta.examples is not None:
                # Betas of whole examples must be known before the first gradient: one pass for the values alone.
                probe = _Pass(student, teacher, replace(objective, cross_entropy_weight=0.0), betas, None)
                probe.run(rows, None)
                values = probe.forward_kl[rows.index], probe.reverse_kl[rows.index]
                betas[rows.index] = objective.beta.by_example(*values, rows.index)
        if targets is not None:
            _check_targets(targets[rows.index], size)
        work = _Pass(student, teacher, objective, betas, targets)
        work.run(rows, gradients if gradients.wanted else None)
        output = work.output(rows.all_weights)
    return replace(output, loss=gradients.attach(output.loss, student_hidden, student_head))


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
    _check_rows(student_hidden, len(student_hidden), row_weights, targets)
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
    return CrossEntropyOutput(gradients.attach(loss, student_hidden, student_head), work.cross_entropy)


@torch.no_grad()
def target_log_probs(
    signal: TeacherSignal, targets: Tensor, vocabulary_size: int | None = None, chunk_rows: int | None = None
) -> Tensor:
    """Log-probabilities [N] of the target ids [N] at temperature 1, without gradient.

    Raises UserError for a top-k signal that does not list every target, or was taken at another temperature.
    """
    if isinstance(signal, Hidden):
        ones = torch.ones(len(targets), device=targets.device)
        return -fused_cross_entropy(signal.hidden, signal.head, targets, ones, vocabulary_size, chunk_rows).per_row_loss
    if isinstance(signal, Logits):
        wide = torch.promote_types(signal.logits.dtype, torch.float32)
        log_probs = torch.log_softmax(signal.logits[:, :vocabulary_size].to(wide), dim=-1)
        return log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    listed = signal.ids == targets.unsqueeze(-1)
    if signal.temperature != 1.0 or not bool(listed.any(-1).all()):
        raise UserError("top-k signal: this loss needs the probability of every target at temperature 1")
    return torch.where(listed, signal.log_probs, torch.zeros_like(signal.log_probs)).sum(-1)


class _Pass:
    """One pass over the rows: fills the row values [N], and the gradients if any are wanted."""

    def __init__(
        self,
        student: Projected,
        teacher: TeacherRows | None,
        objective: Objective,
        betas: Tensor,
        targets: Tensor | None,
    ) -> None:
        self.student, self.teacher, self.objective = student, teacher, objective
        self.betas, self.targets = betas, targets
        self.forward_kl, self.reverse_kl = torch.zeros_like(betas), torch.zeros_like(betas)
        self.divergence, self.cross_entropy = torch.zeros_like(betas), torch.zeros_like(betas)
        self.gaps = None if objective.head_mass is None else (torch.zeros_like(betas), torch.zeros_like(betas))
        # The factors of the cross entropy and of the divergence in the loss of each row.
        self.hard = _per_row("cross_entropy_weight", objective.cross_entropy_weight, betas)
        self.soft = (1.0 - self.hard) * (objective.temperature**2 if objective.squared_temperature else 1.0)
        self.wants_cross_entropy = targets is not None and bool((self.hard > 0).any())

    def run(self, rows: Rows, gradients: HeadGradients | None) -> None:
        block = rows.chunk
        if self.student.hidden.device.type == "cpu":
            per_row = rows.all_weights.element_size() * max(1, self.student.size)
            block = min(block, max(1, BLOCK_BYTES // per_row))
        shape, dtype = (block, self.student.size), rows.all_weights.dtype
        scratch = Scratch(*torch.empty(2, *shape, dtype=dtype, device=self.student.hidden.device))
        for chunk in rows.chunks():
            hidden, student = self.student.rows(chunk)
            if self.teacher is not None:
                self.teacher.load(chunk)
            for start in range(0, len(chunk), block):
                part = slice(start, start + block)
                few = chunk[part]
                buffers = Scratch(*(each[: len(few)] for each in scratch))
                self._block(few, part, student[part], buffers, None if gradients is None else rows.all_weights[few])
            if gradients is not None:
                gradients.add(chunk, hidden, self.student.weight, student)

    def output(self, weights: Tensor) -> FusedOutput:
        divergence = torch.where(self.soft > 0, self.soft * self.divergence, torch.zeros_like(self.soft))
        # Computed for every row of a block if one needs it; the reported value must not depend on the other rows.
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

    def _block(self, rows: Tensor, part: slice, student: Tensor, scratch: Scratch, weights: Tensor | None) -> None:
        """Row values of one block: `rows` [b] of N, the `part` of the chunk. student: the product hidden @ weight.T
        [b, V], overwritten; with weights [b] it ends as d loss / d product.
        """
        logits = student.to(scratch.first.dtype)
        self.student.head.to_logits_(logits)
        slope = None if weights is None else self.student.head.slope(logits)
        hard = self._cross_entropy_block(rows, logits) if self.wants_cross_entropy else None
        gradient: Tensor | None = None
        if self.teacher is not None:
            factor = None if weights is None else weights * self.soft[rows]
            teacher = self.teacher.logits(part, logits)
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
        """Fill the rows' cross entropy; return its gradient [b, V]. Keeps `logits` if a divergence follows."""
        assert self.targets is not None
        own = logits if self.teacher is None else logits.clone()
        self.cross_entropy[rows], gradient = cross_entropy_block(own, self.targets[rows], torch.empty_like(logits))
        return gradient

    def _divergence_block(
        self, rows: Tensor, student: Tensor, teacher: Tensor, scratch: Scratch, factor: Tensor | None
    ) -> Tensor | None:
        """Fill the rows' divergences; with factor [b] return d (factor * divergence) / d logits [b, V].

        Overwrites both models' logits.
        """
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
            gradient[factor == 0] = 0.0  # a factor of 0 cancels even an infinite divergence
        return gradient


def _by_autograd(
    objective: Objective, student: Tensor, teacher: Tensor, factor: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Row values [b] of any divergence and, with factor [b], the gradient of their weighted sum [b, V]."""
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


def _per_row(name: str, value: float | Tensor, like: Tensor) -> Tensor:
    """The value of each row, [N]."""
    if not isinstance(value, Tensor):
        return torch.full_like(like, value)
    if value.dim() > 0 and value.shape != like.shape:
        raise UserError(f"{name} has {tuple(value.shape)} values for {like.shape[0]} rows")
    return value.detach().to(like.dtype).expand_as(like).clone()


def _shared_vocabulary(student: Head, teacher: int | None, objective: Objective) -> int:
    size = student.weight.shape[0]
    smaller = size if teacher is None else min(size, teacher)
    if objective.vocabulary_size is None:
        if smaller != max(size, teacher or 0):
            raise UserError(
                f"vocabulary_size is not set, and the student has {size} entries, the teacher {teacher}: set it to the "
                "size of the vocabulary that both share"
            )
        return size
    if not 1 <= objective.vocabulary_size <= smaller:
        raise UserError(f"vocabulary_size must lie between 1 and {smaller}, not {objective.vocabulary_size}")
    return objective.vocabulary_size


def _check_rows(student: Tensor, teacher: int, weights: Tensor, targets: Tensor | None) -> None:
    counts = {"student rows": len(student), "teacher rows": teacher, "row_weights": len(weights)}
    if targets is not None:
        counts["targets"] = len(targets)
    if student.dim() != 2 or weights.dim() != 1 or len(set(counts.values())) != 1:
        raise UserError(f"the inputs of a fused loss must have the same number of rows; got {counts}")


def _check_targets(targets: Tensor, size: int) -> None:
    if len(targets) and not (int(targets.min()) >= 0 and int(targets.max()) < size):
        low, high = int(targets.min()), int(targets.max())
        raise UserError(f"targets of rows with weight must lie in [0, {size}), not between {low} and {high}")
