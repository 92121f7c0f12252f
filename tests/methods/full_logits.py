"""What a method's loss should be: its formulas over full logits by plain autograd, as the recipe says."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from codedistill.data import Batch
from codedistill.losses import DIVERGENCES, forward_kl, reverse_kl

OWN_DIVERGENCE = {"kd": "forward_kl", "rkd": "reverse_kl", "akd": "akd", "seqkd": "forward_kl", "gkd": "jsd"}


def mean(rows: Tensor, owner: Tensor, normalization: str) -> Tensor:
    """Over all rows, or over examples of the means over their rows."""
    if normalization == "token":
        return rows.mean()
    return torch.stack([rows[owner == b].mean() for b in range(int(owner.max()) + 1)]).mean()


def picked(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probabilities of the targets."""
    return torch.log_softmax(logits, -1)[torch.arange(len(targets)), targets]


def distillation_loss(made: Any, batch: Batch, beta: float = 0.0) -> Tensor:
    """sft, kd, rkd, akd, seqkd and gkd; beta: where akd's stands."""
    recipe, loss = made.recipe, made.recipe.loss
    student = made.logits(made.student, batch)
    hard = -picked(student, batch.targets)
    if recipe.method == "sft" or (recipe.method == "seqkd" and recipe.seqkd.objective == "cross_entropy"):
        return mean(hard, batch.owner, loss.normalization)
    teacher, t = made.logits(made.teacher, batch).detach(), loss.temperature
    name = loss.divergence or OWN_DIVERGENCE[recipe.method]
    if name == "akd":
        soft = (1.0 - beta) * forward_kl(student, teacher, t) + beta * reverse_kl(student, teacher, t)
    else:
        soft = DIVERGENCES[name](student, teacher, t, **loss.parameters)
    if loss.squared_temperature:
        soft = soft * t**2
    share = torch.full_like(hard, loss.cross_entropy_weight)
    for b, example in enumerate(batch.example_ids):
        if example in rewritten(made, batch):  # what the student wrote itself is nothing to imitate
            share[batch.owner == b] = 0.0
    return mean((1.0 - share) * soft + share * hard, batch.owner, loss.normalization)


def rewritten(made: Any, batch: Batch) -> set[int]:
    """The examples that have another response than the data's."""
    before = {e.id: e.ids for e in made.examples}
    tokens = zip(batch.example_ids, batch.ids.tolist(), batch.attention.sum(-1).tolist(), strict=True)
    return {example for example, ids, length in tokens if tuple(ids[:length]) != before[example]}


def minillm_loss(made: Any, batch: Batch, old: Tensor, text: Batch | None = None) -> Tensor:
    """Gu et al. 2024 for a whole step.

    old: log-probabilities of the tokens under the student that wrote them; text: the corpus of as many copies of one
    text as there are examples.
    """
    recipe, settings = made.recipe, made.recipe.minillm
    student, teacher = made.logits(made.student, batch), made.logits(made.teacher, batch).detach()
    new, log_p = picked(student, batch.targets), picked(teacher, batch.targets)
    advantages: list[float] = []
    for b in range(batch.examples):
        own = batch.owner == b
        ratios = zip(log_p[own].tolist(), old[own].tolist(), strict=True)
        limit, scaling = settings.reward_clip, settings.reward_scaling
        reward = [max(-limit, min(limit, (p - q) / scaling)) for p, q in ratios]
        for t in range(len(reward)):
            first = t + 1 if settings.single_step else t
            total = sum(settings.gamma ** (k - first) * reward[k] for k in range(first, len(reward)))
            advantages.append(total / max(1, len(reward) - first) if settings.length_normalised else total)
    advantage = torch.tensor(advantages, dtype=torch.float64)
    if settings.whiten:
        advantage = (advantage - advantage.mean()) / advantage.std(unbiased=False)
    share, e = settings.teacher_share, settings.clip
    ratio = new.exp() / (share * log_p.exp() + (1.0 - share) * old.exp())
    rows = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1.0 - e, 1.0 + e))
    if settings.single_step:
        rows = rows + reverse_kl(student, teacher)
    loss = mean(rows, batch.owner, recipe.loss.normalization)
    if text is None:
        return loss
    student, teacher = made.logits(made.student, text), made.logits(made.teacher, text).detach()
    k = settings.corpus_teacher_share
    rows = (1.0 - k) * -picked(student, text.targets) + k * forward_kl(student, teacher)
    whole: Tensor = loss + settings.corpus_weight * mean(rows, text.owner, recipe.loss.normalization)
    return whole


def beta_by_hand(recipe: Any, starts: list[float], forward: float, reverse: float, gaps: list[float]) -> list[float]:
    """beta before every step of epochs of two steps that begin at `starts`; divergences and gaps stay as they are."""
    settings = recipe.beta
    value, moments, found = starts[0], [0.0, 0.0, 0], []
    for epoch, start in enumerate(starts):
        if epoch and settings.strategy == "M3":
            value, moments = start, [0.0, 0.0, 0]
        for _ in range(2):
            found.append(value)
            if settings.strategy == "gap":
                head, tail = gaps
                value = settings.smoothing * value + (1.0 - settings.smoothing) * tail / (head + tail)
            elif settings.strategy != "fixed":
                slope = beta_slope(settings, value, forward, reverse)
                value = min(1.0, max(0.0, value - settings.learning_rate * adam(slope, moments)))
    return found


def beta_slope(settings: Any, value: float, forward: float, reverse: float) -> float:
    """d L_beta / d beta."""
    beta = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    u, eps = 2.0 * (beta - 0.5).abs(), settings.epsilon
    sign = 1.0 if settings.strategy == "M1" else -1.0
    loss = sign * (beta * reverse + (1.0 - beta) * forward)
    if settings.strategy != "M1" and settings.regulariser != "none":
        second = 1.0 - u if settings.regulariser == "eq13" else u
        loss = loss - settings.regulariser_weight * ((eps + u).log() + (eps + second).log())
    (slope,) = torch.autograd.grad(loss, beta)
    return float(slope)


def adam(slope: float, moments: list[float]) -> float:
    """Adam's direction; `moments` [first, second, step] are moved on."""
    moments[0] = 0.9 * moments[0] + 0.1 * slope
    moments[1] = 0.999 * moments[1] + 0.001 * slope**2
    moments[2] += 1
    first, second = moments[0] / (1.0 - 0.9 ** moments[2]), moments[1] / (1.0 - 0.999 ** moments[2])
    return float(first / (math.sqrt(second) + 1e-8))
