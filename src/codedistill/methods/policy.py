"""The pieces of MiniLLM's policy gradient as pure functions. Gu et al. 2024, section 2.2 and algorithm 1.

For one response of T tokens: log p_t, log q_t are the teacher's and the writing student's log-probabilities of its
tokens, log m_t those of the mixture that drew them; all are float tensors [T].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rewards(log_p: Tensor, log_q: Tensor, scaling: float, limit: float) -> Tensor:
    """r_t = (log p_t - log q_t) / scaling, clipped to [-limit, limit], [T]."""
    return ((log_p - log_q) / scaling).clamp(-limit, limit)


def returns(reward: Tensor, gamma: float, own: bool, length_normalised: bool) -> Tensor:
    """What follows from each token, [T]: sum over k >= t (own) or k > t of gamma ** (k - first) r_k.

    With `own` false the token's own reward is left out, since the single-step part has its exact expectation (eq. 5).
    Length-normalised, each sum is divided by the number of rewards in it (eq. 7); a sum of none is 0.
    """
    found, after = torch.zeros_like(reward), reward.new_zeros(())
    last = len(reward) - 1
    for t in range(last, -1, -1):
        here = reward[t] + gamma * after
        found[t] = here if own else after
        if length_normalised:
            found[t] /= max(1, last - t + (1 if own else 0))
        after = here
    return found


def mixed_log_probability(log_p: Tensor, log_q: Tensor, teacher_share: float) -> Tensor:
    """log m_t with m = teacher_share p + (1 - teacher_share) q, [T]: the distribution that tokens were drawn from."""
    if teacher_share == 0.0:
        return log_q
    return torch.logaddexp(log_p + math.log(teacher_share), log_q + math.log1p(-teacher_share))


def whitened(values: Tensor, count: Tensor, total: Tensor, squares: Tensor) -> Tensor:
    """(values - mean) / standard deviation, by the count, sum and sum of squares of all values of a step."""
    mean = total / count
    variance = (squares / count - mean * mean).clamp_min(0.0)
    return (values - mean) * torch.rsqrt(variance + 1e-8)


def clipped_loss(log_ratio: Tensor, advantage: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """PPO's loss per token and its derivative by log q_new, both [T].

    log_ratio = log q_new - log m: the importance weight q_old / m times the policy's movement q_new / q_old. With
    x = e ** log_ratio the loss is max(-A x, -A clip(x, 1 - clip, 1 + clip)), and the derivative -A x, or 0 where the
    clipped branch is larger.
    """
    ratio = log_ratio.exp()
    free, held = -advantage * ratio, -advantage * ratio.clamp(1.0 - clip, 1.0 + clip)
    return torch.maximum(free, held), torch.where(free >= held, free, torch.zeros_like(free))
