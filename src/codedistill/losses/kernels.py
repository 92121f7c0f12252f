"""Closed forms on a block of rows, in place: values of both KLs and the gradient with respect to the logits.

With a = z_q - max z_q, b = z_p - max z_p (already divided by T), Sq = sum e^a, Sp = sum e^b, d = a - b and
c = log Sq - log Sp and m = sum e^a d / Sq:

    log q - log p = d - c        FKL = c - sum e^b d / Sp        RKL = m - c
    d FKL / d a = q - p          d RKL / d a = q (d - m)

so one exponential per entry and model yields both divergences and all gradients. What remains is the cost of the
caller's matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class KlBlock:
    """Both divergences of a block of rows. Row values are [b]; the [b, V] tensors are the caller's buffers."""

    forward_kl: Tensor
    reverse_kl: Tensor
    difference: Tensor  # d, in the buffer that held the student's logits
    student_exp: Tensor  # e^a
    teacher_exp: Tensor  # e^b
    student_sum: Tensor  # Sq [b, 1]
    teacher_sum: Tensor  # Sp [b, 1]
    mean: Tensor  # m [b, 1]
    finite: bool


def kl_block(student: Tensor, teacher: Tensor, scratch: Tensor) -> KlBlock:
    """Both divergences of logits [b, V] that are already divided by the temperature. scratch: [2, b, V].

    Overwrites all three tensors.
    """
    student_exp, student_sum = _shift_and_exp(student, scratch[0])
    teacher_exp, teacher_sum = _shift_and_exp(teacher, scratch[1])
    offset = student_sum.log() - teacher_sum.log()
    difference = student.sub_(teacher)
    products = teacher  # the teacher's shifted logits are not needed any more
    forward = offset - torch.mul(teacher_exp, difference, out=products).sum(-1, keepdim=True) / teacher_sum
    mean = torch.mul(student_exp, difference, out=products).sum(-1, keepdim=True) / student_sum
    finite = bool((forward + mean).isfinite().all())
    if not finite:
        # Some logit is -inf (or worse), so d has infinities and NaNs: ignore them wherever the mass is 0.
        forward = offset - _expect(teacher_exp, difference) / teacher_sum
        mean = _expect(student_exp, difference) / student_sum
    # Rounding may leave -1e-9 for models that agree; neither divergence is ever negative.
    forward, reverse = forward.squeeze(-1).clamp_min_(0.0), (mean - offset).squeeze(-1).clamp_min_(0.0)
    return KlBlock(forward, reverse, difference, student_exp, teacher_exp, student_sum, teacher_sum, mean, finite)


def mix(beta: Tensor, forward_kl: Tensor, reverse_kl: Tensor) -> Tensor:
    """(1 - beta) FKL + beta RKL per row; a share of 0 cancels even an infinite divergence."""
    both = (1.0 - beta) * forward_kl + beta * reverse_kl
    return torch.where(beta == 0, forward_kl, torch.where(beta == 1, reverse_kl, both))


def mix_gradient_(block: KlBlock, beta: Tensor, factor: Tensor) -> Tensor:
    """factor * d mix / d a [b, V], written over `block.difference`. beta and factor are [b]."""
    beta, factor = beta.unsqueeze(-1), factor.unsqueeze(-1)
    to_teacher = factor * (1.0 - beta) / block.teacher_sum
    if not block.finite:
        # A model lacks entries: avoid 0 * inf, at the price of allocations.
        q = block.student_exp / block.student_sum
        reverse = factor * beta * q * (block.difference - block.mean)
        reverse = torch.where((q > 0) & (beta > 0), reverse, torch.zeros_like(q))
        gradient = factor * (1.0 - beta) * q - block.teacher_exp * to_teacher + reverse
        return block.difference.copy_(gradient)
    gradient = block.difference
    if bool((beta == 0).all()):
        torch.mul(block.student_exp, factor / block.student_sum, out=gradient)
    else:
        # q [ beta (d - m) + (1 - beta) ]. Subtract the mean first: folded into the constant it would cost digits.
        gradient.sub_(block.mean).mul_(factor * beta / block.student_sum)
        gradient.add_(factor * (1.0 - beta) / block.student_sum).mul_(block.student_exp)
    if bool((beta == 1).all()):
        return gradient
    return gradient.sub_(block.teacher_exp.mul_(to_teacher))


def cross_entropy_block(logits: Tensor, targets: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy [b] of target ids [b], and softmax - one_hot [b, V] in `scratch`. Overwrites `logits`."""
    exp, total = _shift_and_exp(logits, scratch)
    rows = torch.arange(logits.shape[0], device=logits.device)
    values = total.log().squeeze(-1) - logits[rows, targets]
    gradient = exp.div_(total)
    gradient[rows, targets] -= 1.0
    return values, gradient


def _shift_and_exp(logits: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """Subtract each row's maximum in place; return e^logits, in `out`, and its row sums [b, 1]."""
    logits.sub_(logits.amax(-1, keepdim=True))
    torch.exp(logits, out=out)
    return out, out.sum(-1, keepdim=True)


def _expect(weight: Tensor, values: Tensor) -> Tensor:
    return torch.where(weight > 0, weight * values, torch.zeros_like(values)).sum(-1, keepdim=True)
