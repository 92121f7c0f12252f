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
from codedistill.losses.kernels import cross_entropy_block, kl_block, mix, mix_gradient_
from codedistill.losses.objective import BetaShare, FusedOutput, Objective
from codedistill.losses.rows import HeadGradients, Projected, TeacherRows, rows_at_once, teacher_rows
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
    if targets is None and bool((torch.as_tensor(objective.cross_entropy_weight) > 0).any()):
        raise UserError("cross_entropy_weight is above 0, but no targets were given")
    return _fused(student_hidden, student_head, signal, row_weights, objective, targets)


def fused_cross_entropy(
    student_hidden: Tensor,
    student_head: Head,
    targets: Tensor,
    row_weights: Tensor,
    vocabulary_size: int | None = None,
    chunk_rows: int | None = None,
) -> FusedOutput:
    """The weighted sum of -log q[target] over rows, computed as `fused_divergence` is. targets: int64 [N].

    All divergences of the result are 0.
    """
    objective = Objective(cross_entropy_weight=1.0, vocabulary_size=vocabulary_size, chunk_rows=chunk_rows)
    return _fused(student_hidden, student_head, None, row_weights, objective, targets)


@torch.no_grad()
def target_log_probs(
    signal: TeacherSignal, targets: Tensor, vocabulary_size: int | None = None, chunk_rows: int | None = None
) -> Tensor:
    """Log-probabilities [N] of the target ids [N] at temperature 1, without gradient.

    Raises UserError for a top-k signal that does not list every target, or was taken at another temperature.
    """
    if isinstance(signal, Hidden):
        ones = torch.ones(len(targets), device=targets.device)
        out = fused_cross_entropy(signal.hidden, signal.head, targets, ones, vocabulary_size, chunk_rows)
        return -out.per_row_cross_entropy
    if isinstance(signal, Logits):
        wide = torch.promote_types(signal.logits.dtype, torch.float32)
        log_probs = torch.log_softmax(signal.logits[:, :vocabulary_size].to(wide), dim=-1)
        return log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    listed = signal.ids == targets.unsqueeze(-1)
    if signal.temperature != 1.0 or not bool(listed.any(-1).all()):
        raise UserError("top-k signal: this loss needs the probability of every target at temperature 1")
    return torch.where(listed, signal.log_probs, torch.zeros_like(signal.log_probs)).sum(-1)


def _fused(
    student_hidden: Tensor,
    student_head: Head,
    signal: TeacherSignal | None,
    row_weights: Tensor,
    objective: Objective,
    targets: Tensor | None,
) -> FusedOutput:
    """The pass over all rows; without a signal the cross entropy is all there is."""
    size = _shared_vocabulary(student_hidden, student_head, signal, row_weights, objective, targets)
    gradients = HeadGradients.for_inputs(student_hidden, student_head)
    device = student_hidden.device.type
    narrow = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    with torch.no_grad(), torch.autocast(device, enabled=False):
        student = Projected(student_hidden.detach(), student_head.cut(size), narrow)
        teacher = None if signal is None else teacher_rows(signal, size, objective.temperature, narrow)
        weights = row_weights.detach().to(torch.promote_types(student.dtype, torch.float32))
        work = _Pass(student, teacher, objective, weights, targets)
        index = work.index
        if targets is not None and len(index):
            low, high = int(targets[index].min()), int(targets[index].max())
            if low < 0 or high >= size:
                raise UserError(f"targets of rows with weight must lie in [0, {size}), not between {low} and {high}")
        if isinstance(objective.beta, BetaShare) and objective.beta.examples is not None:
            # Betas of whole examples must be known before the first gradient: one pass for the values alone.
            probe = _Pass(student, teacher, replace(objective, cross_entropy_weight=0.0), weights, None)
            probe.run(None)
            work.betas[index] = objective.beta.by_example(probe.forward_kl[index], probe.reverse_kl[index], index)
        work.run(gradients if gradients.wanted else None)
        output = work.output()
    return replace(output, loss=gradients.attach(output.loss, student_hidden, student_head))


class _Pass:
    """One pass over the rows with weight: fills the row values [N], and the gradients if any are wanted."""

    def __init__(
        self,
        student: Projected,
        teacher: TeacherRows | None,
        objective: Objective,
        weights: Tensor,
        targets: Tensor | None,
    ) -> None:
        self.student, self.teacher, self.objective = student, teacher, objective
        self.weights, self.targets = weights, targets
        self.index = weights.nonzero().squeeze(-1)
        zeros = torch.zeros_like(weights)
        self.betas = zeros if isinstance(objective.beta, BetaShare) else _per_row("beta", objective.beta, weights)
        self.forward_kl, self.reverse_kl = torch.zeros_like(weights), torch.zeros_like(weights)
        self.divergence, self.cross_entropy = torch.zeros_like(weights), torch.zeros_like(weights)
        self.gaps = None if objective.head_mass is None else (torch.zeros_like(weights), torch.zeros_like(weights))
        # The factors of the cross entropy and of the divergence in the loss of each row.
        self.hard = _per_row("cross_entropy_weight", objective.cross_entropy_weight, weights)
        self.soft = (1.0 - self.hard) * (objective.temperature**2 if objective.squared_temperature else 1.0)
        self.wants_cross_entropy = targets is not None and bool((self.hard > 0).any())

    def run(self, gradients: HeadGradients | None) -> None:
        size, device = self.student.size, self.student.hidden.device
        chunk = self.objective.chunk_rows or rows_at_once(len(self.index), size, self.student.dtype)
        block = chunk
        if device.type == "cpu":
            block = min(block, max(1, BLOCK_BYTES // (self.weights.element_size() * max(1, size))))
        scratch = torch.empty(2, block, size, dtype=self.weights.dtype, device=device)
        for rows in self.index.split(chunk) if len(self.index) else ():
            hidden, student = self.student.rows(rows)
            teacher = None if self.teacher is None else self.teacher(rows)
            for start in range(0, len(rows), block):
                part = slice(start, start + block)
                few, product = rows[part], student[part]
                logits = product.to(self.weights.dtype)
                self.student.head.to_logits_(logits)
                others = None if teacher is None else teacher(part, logits)
                gradient = self._block(few, logits, others, scratch[:, : len(few)], gradients is not None)
                if gradient is not None and gradient is not product:
                    product.copy_(gradient)
            if gradients is not None:
                gradients.add(rows, hidden, self.student.weight, student)

    def output(self) -> FusedOutput:
        weights = self.weights
        divergence = torch.where(self.soft > 0, self.soft * self.divergence, torch.zeros_like(self.soft))
        # Computed for every row of a block if one needs it; the reported value must not depend on the other rows.
        cross_entropy = torch.where(self.hard > 0, self.cross_entropy, torch.zeros_like(self.hard))
        return FusedOutput(
            loss=(weights * (divergence + self.hard * cross_entropy)).sum(),
            forward_kl=(weights * self.forward_kl).sum(),
            reverse_kl=(weights * self.reverse_kl).sum(),
            per_row_forward_kl=self.forward_kl,
            per_row_reverse_kl=self.reverse_kl,
            per_row_cross_entropy=cross_entropy,
            per_row_beta=self.betas,
            per_row_head_gap=None if self.gaps is None else self.gaps[0],
            per_row_tail_gap=None if self.gaps is None else self.gaps[1],
        )

    def _block(
        self, rows: Tensor, student: Tensor, teacher: Tensor | None, scratch: Tensor, wanted: bool
    ) -> Tensor | None:
        """Row values of one block, `rows` [b] of N, from both models' logits [b, V], which are overwritten.

        Returns d loss / d (hidden @ weight.T) [b, V] if it is wanted.
        """
        weights, head = self.weights[rows], self.student.head
        slope = head.slope(student) if wanted else None
        hard = gradient = None
        if self.wants_cross_entropy:
            assert self.targets is not None
            own = student if teacher is None else student.clone()  # a divergence that follows needs the logits
            self.cross_entropy[rows], hard = cross_entropy_block(own, self.targets[rows], torch.empty_like(student))
        if teacher is not None:
            factor = weights * self.soft[rows] if wanted else None
            gradient = self._divergence_block(rows, student, teacher, scratch, factor)
        if not wanted:
            return None
        gradient = student.zero_() if gradient is None else gradient
        if hard is not None:
            gradient.addcmul_(hard, (weights * self.hard[rows]).unsqueeze(-1))
        if slope is not None:
            gradient.mul_(slope)
        return gradient if head.scale == 1.0 else gradient.mul_(head.scale)

    def _divergence_block(
        self, rows: Tensor, student: Tensor, teacher: Tensor, scratch: Tensor, factor: Tensor | None
    ) -> Tensor | None:
        """Fill the rows' divergences; with factor [b] return d (factor * divergence) / d logits [b, V].

        Overwrites both models' logits.
        """
        objective, gradient = self.objective, None
        if self.gaps is not None and objective.head_mass is not None:
            gaps = head_tail_gap(student, teacher, objective.temperature, objective.head_mass)
            self.gaps[0][rows], self.gaps[1][rows] = gaps
        if objective.divergence is not None:
            with torch.set_grad_enabled(factor is not None):
                leaf = student.detach().requires_grad_(factor is not None)
                values = objective.divergence(leaf, teacher, objective.temperature)
                if factor is not None:
                    (gradient,) = torch.autograd.grad((values * factor).sum(), leaf)
            self.divergence[rows] = values.detach()
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


def _per_row(name: str, value: float | Tensor, like: Tensor) -> Tensor:
    """The value of each row, [N]."""
    if not isinstance(value, Tensor):
        return torch.full_like(like, value)
    if value.dim() > 0 and value.shape != like.shape:
        raise UserError(f"{name} has {tuple(value.shape)} values for {like.shape[0]} rows")
    return value.detach().to(like.dtype).expand_as(like).clone()


def _shared_vocabulary(
    student: Tensor,
    head: Head,
    signal: TeacherSignal | None,
    weights: Tensor,
    objective: Objective,
    targets: Tensor | None,
) -> int:
    """The number of vocabulary entries that the loss compares. Raises UserError for inputs that do not fit."""
    size = head.weight.shape[0]
    teacher, other = student, size  # the teacher's rows and vocabulary; a top-k signal does not tell the latter
    if isinstance(signal, Hidden):
        teacher, other = signal.hidden, signal.head.weight.shape[0]
    elif isinstance(signal, Logits):
        teacher, other = signal.logits, signal.logits.shape[-1]
    elif signal is not None:
        teacher = signal.ids
    counts = {"student rows": len(student), "teacher rows": len(teacher), "row_weights": len(weights)}
    if targets is not None:
        counts["targets"] = len(targets)
    if student.dim() != 2 or teacher.dim() != 2 or weights.dim() != 1 or len(set(counts.values())) != 1:
        raise UserError(f"the inputs of a fused loss must be [N, ...] with the same number of rows N; got {counts}")
    if objective.vocabulary_size is None:
        if size != other:
            raise UserError(
                f"vocabulary_size is not set, and the student has {size} entries, the teacher {other}: set it to the "
                "size of the vocabulary that both share"
            )
        return size
    if not 1 <= objective.vocabulary_size <= min(size, other):
        raise UserError(f"vocabulary_size must lie between 1 and {min(size, other)}, not {objective.vocabulary_size}")
    return objective.vocabulary_size
