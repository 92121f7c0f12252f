"""Divergences between a teacher's and a student's next-token distributions: the plain reference.

Each function takes student logits [N, V] and teacher logits [N, V] and returns one value per row [N], in nats.
p is the teacher's softmax(logits / temperature), q the student's. Only the student's logits get a gradient.
Everything is computed in float32 or better (float64 stays float64).

Missing entries: a logit of -inf in BOTH models is a vocabulary entry that neither has. It contributes 0, to the
gradient too. -inf in the teacher alone means p = 0: the forward KL has no term there, and the reverse KL is +inf by
definition wherever q > 0. -inf in the student alone is the mirror image.

These functions hold several [N, V] tensors at once; `fused_divergence` gives the same numbers without them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from codedistill.errors import UserError

Divergence = Callable[[Tensor, Tensor, float], Tensor]
"""(student logits [N, V], teacher logits [N, V], temperature) -> [N]."""

_FIRST_ENTRIES = 256
_CANCELLING = 0.01
"""Below this, alpha_beta needs float64 to keep five digits."""


class LogPair(NamedTuple):
    """Log-probabilities [N, V] of both models. Where `present` is False neither has the entry, and both logs are 0."""

    student: Tensor
    teacher: Tensor
    present: Tensor


def forward_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(p || q) = sum p (log p - log q), per row [N]. Hinton et al. 2015, with the teacher's entropy kept."""
    pair = _log_pair(student_logits, teacher_logits, temperature)
    return _sum(_expect(pair.teacher, pair.teacher, pair.student), pair)


def reverse_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(q || p) = sum q (log q - log p), per row [N]."""
    pair = _log_pair(student_logits, teacher_logits, temperature)
    return _sum(_expect(pair.student, pair.student, pair.teacher), pair)


def generalized_jsd(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, beta: float = 0.5
) -> Tensor:
    """beta KL(p || m) + (1 - beta) KL(q || m) with m = beta p + (1 - beta) q, per row [N]. Agarwal et al. 2024 (GKD).

    Raises UserError unless 0 < beta < 1. At both ends the formula is 0; use forward_kl or reverse_kl instead.
    (D / beta tends to KL(p || q) at 0, D / (1 - beta) to KL(q || p) at 1.)
    """
    if not 0.0 < beta < 1.0:
        raise UserError(f"jsd: beta must lie strictly between 0 and 1, not {beta}; see forward_kl, reverse_kl")
    pair = _log_pair(student_logits, teacher_logits, temperature)
    middle = torch.logaddexp(pair.teacher + math.log(beta), pair.student + math.log1p(-beta))
    to_teacher = _expect(pair.teacher, pair.teacher, middle)
    to_student = _expect(pair.student, pair.student, middle)
    return _sum(beta * to_teacher + (1.0 - beta) * to_student, pair)


def skewed_forward_kl(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, alpha: float = 0.1
) -> Tensor:
    """KL(p || alpha p + (1 - alpha) q), per row [N]. Ko et al. 2024 (DistiLLM). UserError unless 0 <= alpha < 1."""
    pair = _log_pair(student_logits, teacher_logits, temperature)
    return _sum(_expect(pair.teacher, pair.teacher, _skew(pair.teacher, pair.student, alpha)), pair)


def skewed_reverse_kl(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, alpha: float = 0.1
) -> Tensor:
    """KL(q || alpha q + (1 - alpha) p), per row [N]. Ko et al. 2024 (DistiLLM). UserError unless 0 <= alpha < 1.

    The gradient flows through q in the mixture as well.
    """
    pair = _log_pair(student_logits, teacher_logits, temperature)
    return _sum(_expect(pair.student, pair.student, _skew(pair.student, pair.teacher, alpha)), pair)


def total_variation(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """sum |p - q| / 2, per row [N], in [0, 1]."""
    pair = _log_pair(student_logits, teacher_logits, temperature)
    return _sum((pair.teacher.exp() - pair.student.exp()).abs() / 2.0, pair)


def alpha_beta(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    alpha: float = 0.2,
    beta: float = 0.7,
) -> Tensor:
    """The alpha-beta divergence D(p || q), per row [N]. Cichocki, Cruces, Amari 2011, eq. 19; Wang et al. 2025 (ABKD).

        -1/(alpha beta) sum [ p^alpha q^beta - alpha/(alpha+beta) p^(alpha+beta) - beta/(alpha+beta) q^(alpha+beta) ]

    and its limits at alpha = 0 and beta = 0. (1, 0) is the forward KL, (0, 1) the reverse KL. With both parameters
    above 0 it is finite for every pair of distributions; otherwise an entry that one model lacks may make it infinite.
    The defaults are ABKD's published settings. UserError unless both are at least 0.
    """
    if not (alpha >= 0.0 and beta >= 0.0):
        raise UserError(f"alpha_beta: alpha and beta must be at least 0, not {alpha} and {beta}")
    pair = _log_pair(student_logits, teacher_logits, temperature)
    log_p, log_q, total = pair.teacher, pair.student, alpha + beta
    if any(0.0 < each < _CANCELLING for each in (alpha, beta)):  # a small difference, divided by a small number
        log_p, log_q = log_p.double(), log_q.double()
    if alpha == 0.0 and beta == 0.0:
        terms = (log_p - log_q).square() / 2.0
    elif beta == 0.0:
        terms = _kl_of_powers(log_p, log_q, alpha)
    elif alpha == 0.0:
        terms = _kl_of_powers(log_q, log_p, beta)
    else:
        own = alpha / total * (total * log_p).exp() + beta / total * (total * log_q).exp()
        terms = (own - (alpha * log_p + beta * log_q).exp()) / (alpha * beta)
    return _sum(terms, pair).to(pair.student.dtype)


def adaptive_kl(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, head_mass: float = 0.5
) -> Tensor:
    """g_head/(g_head+g_tail) KL(p||q) + g_tail/(g_head+g_tail) KL(q||p), per row [N]. Wu et al. 2024 (AKL).

    The gaps (see `head_tail_gap`) are constants to the gradient. Both weights are 1/2 if the models agree exactly.
    """
    pair = _log_pair(student_logits, teacher_logits, temperature)
    head, tail = _gaps(pair, head_mass)
    both = head + tail
    share = torch.where(both > 0, head / both.clamp_min(torch.finfo(both.dtype).tiny), torch.full_like(both, 0.5))
    forward = _sum(_expect(pair.teacher, pair.teacher, pair.student), pair)
    reverse = _sum(_expect(pair.student, pair.student, pair.teacher), pair)
    # A weight of 0 must cancel even an infinite divergence.
    forward = torch.where(share > 0, share * forward, torch.zeros_like(forward))
    return forward + torch.where(share < 1, (1.0 - share) * reverse, torch.zeros_like(reverse))


def todi(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Token-wise mix, per row [N]: sum_v w p (log p - log q) + (1 - w) q (log q - log p), w = p / (p + q).

    Jung et al. 2025 (ToDi). w is a constant to the gradient. The value of a term is (p - q) (log p - log q), so the
    sum is forward KL + reverse KL; only the gradient is ToDi's own.
    """
    pair = _log_pair(student_logits, teacher_logits, temperature)
    with torch.no_grad():
        weight = torch.sigmoid(torch.where(pair.present, pair.teacher - pair.student, torch.zeros_like(pair.teacher)))
    forward = _expect(pair.teacher, pair.teacher, pair.student)
    reverse = _expect(pair.student, pair.student, pair.teacher)
    return _sum(weight * forward + (1.0 - weight) * reverse, pair)


def head_tail_gap(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, head_mass: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Sum of |p - q| over the teacher's head and over its tail, each [N]. Wu et al. 2024 (AKL).

    The head is the teacher's likeliest entry and, in falling order, further ones while their sum stays at or below
    `head_mass`; the tail is the rest. Ties at the border are broken arbitrarily. UserError unless 0 < head_mass < 1.
    """
    return _gaps(_log_pair(student_logits, teacher_logits, temperature), head_mass)


@torch.no_grad()
def _gaps(pair: LogPair, head_mass: float) -> tuple[Tensor, Tensor]:
    if not 0.0 < head_mass < 1.0:
        raise UserError(f"head_mass must lie strictly between 0 and 1, not {head_mass}")
    zero = torch.zeros_like(pair.teacher)
    p = torch.where(pair.present, pair.teacher.exp(), zero)
    gap = (p - torch.where(pair.present, pair.student.exp(), zero)).abs()
    vocabulary = p.shape[-1]
    # A head of half the mass is usually short: the full vocabulary is rarely sorted.
    for size in (min(_FIRST_ENTRIES, vocabulary), vocabulary):
        likeliest, order = p.topk(size, dim=-1)
        is_head = likeliest.cumsum(-1) <= head_mass
        if size == vocabulary or not bool(is_head[:, -1].any()):
            break
    is_head[:, :1] = True
    first = gap.gather(-1, order)
    tail = gap.scatter(-1, order, first * ~is_head)
    return (first * is_head).sum(-1), tail.sum(-1)


DIVERGENCES: dict[str, Callable[..., Tensor]] = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jsd": generalized_jsd,
    "skew_forward_kl": skewed_forward_kl,
    "skew_reverse_kl": skewed_reverse_kl,
    "total_variation": total_variation,
    "alpha_beta": alpha_beta,
    "akl": adaptive_kl,
    "todi": todi,
}


def divergence_parameters(name: str) -> dict[str, float]:
    """The parameters of an entry of DIVERGENCES with their defaults; empty for any other name."""
    if name not in DIVERGENCES:
        return {}
    common = ("student_logits", "teacher_logits", "temperature")
    signature = inspect.signature(DIVERGENCES[name])
    return {key: float(p.default) for key, p in signature.parameters.items() if key not in common}


def check_divergence(name: str, parameters: Mapping[str, float]) -> None:
    """Raises ValueError, with a line for the recipe's author, if `name` does not take or not allow a parameter."""
    known = divergence_parameters(name)
    for key in parameters:
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise ValueError(f"loss.parameters.{key}: {name} {takes}; remove it")
    if name in DIVERGENCES:
        try:  # the function itself knows which values it allows
            DIVERGENCES[name](torch.zeros(1, 2), torch.zeros(1, 2), 1.0, **parameters)
        except UserError as error:
            raise ValueError(f"loss.parameters: {error}") from None


def _log_pair(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> LogPair:
    if student_logits.shape != teacher_logits.shape:
        raise UserError(
            f"student logits {tuple(student_logits.shape)} and teacher logits {tuple(teacher_logits.shape)} differ in "
            "shape: cut both to the shared vocabulary first"
        )
    if not temperature > 0.0:
        raise UserError(f"temperature must be above 0, not {temperature}")
    log_q, log_p = (
        torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature, dim=-1)
        for logits in (student_logits, teacher_logits.detach())
    )
    present = ~(torch.isneginf(log_q) & torch.isneginf(log_p))
    zero = torch.zeros((), dtype=log_q.dtype, device=log_q.device)
    # Absent entries get finite logs before any arithmetic, so that no NaN enters the gradient.
    return LogPair(torch.where(present, log_q, zero), torch.where(present, log_p, zero), present)


def _expect(log_weight: Tensor, log_a: Tensor, log_b: Tensor) -> Tensor:
    """Terms exp(log_weight) (log_a - log_b); 0 wherever the weight is 0, whatever the logs are."""
    weight = log_weight.exp()
    there = weight > 0
    zero = torch.zeros((), dtype=weight.dtype, device=weight.device)
    return torch.where(there, weight, zero) * (torch.where(there, log_a, zero) - torch.where(there, log_b, zero))


def _sum(terms: Tensor, pair: LogPair) -> Tensor:
    return torch.where(pair.present, terms, torch.zeros((), dtype=terms.dtype, device=terms.device)).sum(-1)


def _skew(log_own: Tensor, log_other: Tensor, alpha: float) -> Tensor:
    if not 0.0 <= alpha < 1.0:
        raise UserError(f"skew: alpha must be at least 0 and below 1, not {alpha}")
    if alpha == 0.0:
        return log_other
    return torch.logaddexp(log_own + math.log(alpha), log_other + math.log1p(-alpha))


def _kl_of_powers(log_a: Tensor, log_b: Tensor, power: float) -> Tensor:
    """Terms [ a^k log(a^k / b^k) - a^k + b^k ] / k^2: the alpha-beta divergence if the other parameter is 0."""
    scaled_a, scaled_b = power * log_a, power * log_b
    return (_expect(scaled_a, scaled_a, scaled_b) - scaled_a.exp() + scaled_b.exp()) / power**2
