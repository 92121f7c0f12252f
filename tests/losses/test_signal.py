"""A truncated teacher against the divergence with all unlisted entries merged into one: float64, plain autograd."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from codedistill.errors import UserError
from codedistill.losses import (
    DIVERGENCES,
    BetaShare,
    FusedOutput,
    Head,
    Hidden,
    Logits,
    Objective,
    TopK,
    fused_divergence,
    target_log_probs,
)
from tests.losses.fused_cases import Inputs, inputs

V = 37
KS = [1, 8, V - 1, V]


def teacher_logits(given: Inputs) -> Tensor:
    return given.teacher_hidden @ given.teacher_weight.T


def fused(given: Inputs, signal: TopK | Logits | Hidden, objective: Objective) -> FusedOutput:
    head = Head(given.student_weight)
    return fused_divergence(given.student_hidden, head, signal, given.row_weights, objective, given.targets)


def merged(logits: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """Log-probabilities [N, k + 1] of the listed ids and, last, of all others together."""
    log_probs = torch.log_softmax(logits / temperature, -1)
    others = torch.ones_like(logits, dtype=torch.bool).scatter(-1, ids, False)
    rows = [row[keep].logsumexp(-1) for row, keep in zip(log_probs, others, strict=True)]
    return torch.cat([log_probs.gather(-1, ids), torch.stack(rows).unsqueeze(-1)], -1)


def kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    """sum a (log a - log b), with 0 log 0 = 0."""
    empty = log_a.isneginf()
    gap = log_a.masked_fill(empty, 0.0) - log_b.masked_fill(empty, 0.0)
    return (log_a.exp() * gap).sum(-1)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("k", KS)
def test_values_and_gradients_are_those_of_the_merged_tail(
    k: int, beta: float, chunk: int | None, temperature: float
) -> None:
    given = inputs(entries=V, dtype=torch.float64)
    signal = TopK.from_logits(teacher_logits(given), k, temperature)
    objective = Objective(beta=beta, temperature=temperature, cross_entropy_weight=0.2, chunk_rows=chunk)
    output = fused(given, signal, objective)
    student = given.student_hidden @ given.student_weight.T
    log_q, log_p = merged(student, signal.ids, temperature), torch.cat([signal.log_probs, signal.log_tail[:, None]], -1)
    if k == V:
        log_q = log_q[:, :-1]
        log_p = log_p[:, :-1]
    forward, reverse = kl(log_p, log_q), kl(log_q, log_p)
    hard = torch.nn.functional.cross_entropy(student, given.targets, reduction="none", ignore_index=-100)
    expected = (given.row_weights * (0.8 * ((1 - beta) * forward + beta * reverse) + 0.2 * hard)).sum()
    active = given.row_weights != 0
    torch.testing.assert_close(output.loss, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(output.per_row_forward_kl, forward.detach() * active, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(output.per_row_reverse_kl, reverse.detach() * active, rtol=1e-11, atol=1e-13)
    for actual, right in zip(given.gradients(output.loss), given.gradients(expected), strict=True):
        torch.testing.assert_close(actual, right, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["jsd", "skew_forward_kl", "skew_reverse_kl", "total_variation"])
def test_other_f_divergences_of_the_merged_tail(name: str) -> None:
    given = inputs(entries=V, dtype=torch.float64)
    signal = TopK.from_logits(teacher_logits(given), 8)
    output = fused(given, signal, Objective(divergence=DIVERGENCES[name]))
    log_q = merged(given.student_hidden @ given.student_weight.T, signal.ids, 1.0)
    log_p = torch.cat([signal.log_probs, signal.log_tail[:, None]], -1)
    expected = (given.row_weights * DIVERGENCES[name](log_q, log_p, 1.0)).sum()
    torch.testing.assert_close(output.loss, expected, rtol=1e-12, atol=0)
    for actual, right in zip(given.gradients(output.loss), given.gradients(expected), strict=True):
        torch.testing.assert_close(actual, right, rtol=1e-9, atol=1e-12)


def test_two_of_three_entries_by_hand() -> None:
    """p = (1/2, 1/4, 1/8, 1/8) with one entry listed against a uniform q: a coin of 1/2 against one of 1/4."""
    teacher = torch.tensor([[4.0, 2.0, 1.0, 1.0]], dtype=torch.float64).log()
    signal = TopK.from_logits(teacher, 1)
    assert signal.ids.tolist() == [[0]]
    assert signal.log_tail.exp().tolist() == pytest.approx([0.5])
    hidden = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    head = Head(torch.eye(4, dtype=torch.float64))
    output = fused_divergence(hidden, head, signal, torch.ones(1), Objective())
    assert output.loss.item() == pytest.approx(0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75), rel=1e-14)
    (gradient,) = torch.autograd.grad(output.loss, hidden)
    # q - p on the listed entry; on the others q (1 - tau_p / tau_q) = 1/4 (1 - 2/3).
    assert gradient[0].tolist() == pytest.approx([-0.25, 1 / 12, 1 / 12, 1 / 12], rel=1e-13)


@pytest.mark.parametrize("beta", [0.4, BetaShare(), BetaShare(torch.arange(13) // 5)])
def test_a_full_list_is_the_whole_teacher(beta: float | BetaShare) -> None:
    given = inputs(entries=V, dtype=torch.float64)
    signals = (TopK.from_logits(teacher_logits(given), V), Logits(teacher_logits(given)))
    outputs = [fused(given, each, Objective(beta=beta, head_mass=0.5)) for each in signals]
    torch.testing.assert_close(outputs[0].per_row_head_gap, outputs[1].per_row_head_gap)
    for a, b in zip(*(given.gradients(each.loss) for each in outputs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-14)


def test_float32_keeps_the_digits_of_a_tiny_tail() -> None:
    """A tail of 1e-9 in the teacher and of 1e-6 in the student: below the rounding of 1 - sum p."""
    student = torch.tensor([[20.0, 19.0, 5.0, 4.0, 3.0]])
    teacher = torch.tensor([[30.0, 28.0, 9.0, 8.0, 7.0]])
    results = []
    for dtype in (torch.float32, torch.float64):
        hidden, weights = student.to(dtype).requires_grad_(), torch.ones(1, dtype=dtype)
        signal = TopK.from_logits(teacher.to(dtype), 2)
        output = fused_divergence(hidden, Head(torch.eye(5, dtype=dtype)), signal, weights, Objective(beta=1.0))
        results.append((output.loss.double().detach(), torch.autograd.grad(output.loss, hidden)[0].double()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-9)


def test_a_tail_that_one_model_lacks() -> None:
    """Without the student's tail the forward KL is infinite and the reverse KL is not; the other way round likewise."""
    ids = torch.tensor([[0, 1]])
    listed = torch.tensor([[0.6, 0.4]], dtype=torch.float64)
    part = TopK(ids, (0.9 * listed).log(), torch.tensor([0.1], dtype=torch.float64).log())
    whole = TopK(ids, listed.log(), torch.tensor([-math.inf], dtype=torch.float64))
    ends = torch.tensor([0.0, 0.0, -math.inf, -math.inf], dtype=torch.float64)
    eye, hidden = torch.eye(4, dtype=torch.float64), torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    for bias, signal, infinite in ((ends, part, "forward"), (None, whole, "reverse")):
        beta = 1.0 if infinite == "forward" else 0.0
        output = fused_divergence(hidden, Head(eye, bias), signal, torch.ones(1), Objective(beta=beta))
        assert math.isfinite(output.loss.item())
        assert (output.forward_kl if infinite == "forward" else output.reverse_kl).item() == math.inf
        assert bool(torch.autograd.grad(output.loss, hidden)[0].isfinite().all())
    neither = fused_divergence(hidden, Head(eye, ends), whole, torch.ones(1), Objective(beta=0.5))
    assert neither.forward_kl.item() == pytest.approx(0.6 * math.log(1.2) + 0.4 * math.log(0.8))


def test_target_log_probs_of_every_form() -> None:
    given = inputs(entries=V, dtype=torch.float64)
    logits, targets = teacher_logits(given), torch.arange(13)
    expected = torch.log_softmax(logits[:, :20], -1)[torch.arange(13), targets]
    hidden = Hidden(given.teacher_hidden, Head(given.teacher_weight))
    for signal in (hidden, Logits(logits), TopK.from_logits(logits[:, :20], 20)):
        torch.testing.assert_close(target_log_probs(signal, targets, 20), expected)
    with pytest.raises(UserError, match="every target"):
        target_log_probs(TopK.from_logits(logits, 1), targets)


def test_signals_that_do_not_fit() -> None:
    given = inputs(entries=V, dtype=torch.float64)
    signal = TopK.from_logits(teacher_logits(given), 8)
    with pytest.raises(UserError, match="log_tail"):
        TopK(signal.ids, signal.log_probs, signal.log_tail[:3])
    with pytest.raises(UserError, match="temperature"):
        fused(given, signal, Objective(temperature=2.0))
    with pytest.raises(UserError, match="ids"):
        fused(given, replace(signal, ids=signal.ids + V), Objective())
    with pytest.raises(UserError, match="sum to 1"):
        fused(given, replace(signal, log_tail=torch.zeros(13)), Objective())
    with pytest.raises(UserError, match="rows"):
        fused(
            given,
            replace(signal, ids=signal.ids[:3], log_probs=signal.log_probs[:3], log_tail=signal.log_tail[:3]),
            Objective(),
        )
