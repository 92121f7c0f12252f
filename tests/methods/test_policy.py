"""MiniLLM's pieces against numbers worked out by hand, and their sum against the gradient it estimates."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from codedistill.methods.minillm import clipped_loss, mixed_log_probability, returns, rewards, whitened


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_rewards_are_scaled_and_clipped() -> None:
    found = rewards(numbers(-1.0, -2.0, -90.0), numbers(-1.5, -1.0, -1.0), scaling=0.5, limit=100.0)
    assert found.tolist() == [1.0, -2.0, -100.0]


@pytest.mark.parametrize(
    ("own", "normalised", "expected"),
    [
        # rewards 1, 2, 4 and gamma 0.5: from the last backwards 4; 2 + 0.5 * 4 = 4; 1 + 0.5 * 4 = 3
        (True, False, [3.0, 4.0, 4.0]),
        (True, True, [3.0 / 3, 4.0 / 2, 4.0]),
        (False, False, [4.0, 4.0, 0.0]),
        (False, True, [4.0 / 2, 4.0 / 1, 0.0]),
    ],
)
def test_returns(own: bool, normalised: bool, expected: list[float]) -> None:
    assert returns(numbers(1.0, 2.0, 4.0), 0.5, own, normalised).tolist() == expected


def test_returns_of_a_single_token() -> None:
    assert returns(numbers(2.5), 0.9, own=True, length_normalised=True).tolist() == [2.5]
    assert returns(numbers(2.5), 0.9, own=False, length_normalised=True).tolist() == [0.0]


def test_the_importance_weight_is_student_over_mixture() -> None:
    """p = 0.5, q = 0.1, share 0.2: m = 0.2 * 0.5 + 0.8 * 0.1 = 0.18, w = 0.1 / 0.18."""
    log_p, log_q = numbers(math.log(0.5)), numbers(math.log(0.1))
    mixed = mixed_log_probability(log_p, log_q, 0.2)
    assert mixed.exp().item() == pytest.approx(0.18)
    assert (log_q - mixed).exp().item() == pytest.approx(0.1 / 0.18)
    assert torch.equal(mixed_log_probability(log_p, log_q, 0.0), log_q)


def test_the_importance_weight_is_bounded() -> None:
    log_p, log_q = numbers(-200.0), numbers(-0.1)
    assert (log_q - mixed_log_probability(log_p, log_q, 0.2)).exp().item() == pytest.approx(1 / 0.8)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.1, 2.0, -2.2, -2.2),  # within the clip
        (1.5, 2.0, -2.4, 0.0),  # already raised enough: held at 1.2
        (0.5, 2.0, -1.0, -1.0),  # fell although it was good: pulled back
        (0.5, -2.0, 1.6, 0.0),  # already lowered enough: held at 0.8
        (1.5, -2.0, 3.0, 3.0),  # rose although it was bad: pulled back
    ],
)
def test_clipping(ratio: float, advantage: float, loss: float, slope: float) -> None:
    value, derivative = clipped_loss(numbers(math.log(ratio)), numbers(advantage), 0.2)
    assert value.item() == pytest.approx(loss)
    assert derivative.item() == pytest.approx(slope)


def test_the_derivative_is_autograds() -> None:
    torch.manual_seed(0)
    log_ratio = (torch.randn(200, dtype=torch.float64) * 0.4).requires_grad_()
    advantage = torch.randn(200, dtype=torch.float64)
    ratio = log_ratio.exp()
    torch.maximum(-advantage * ratio, -advantage * ratio.clamp(0.8, 1.2)).sum().backward()
    assert log_ratio.grad is not None
    assert torch.allclose(clipped_loss(log_ratio.detach(), advantage, 0.2)[1], log_ratio.grad)


def test_whitening_is_over_the_whole_step() -> None:
    values = numbers(1.0, 2.0, 6.0)
    sums = numbers(3.0), values.sum(), values.square().sum()
    found = torch.cat([whitened(values[:1], *sums), whitened(values[1:], *sums)])
    assert found.mean().item() == pytest.approx(0.0, abs=1e-12)
    assert found.var(unbiased=False).item() == pytest.approx(1.0)
    assert found[2].item() == pytest.approx(3.0 / math.sqrt(14 / 3))


@pytest.mark.parametrize("single_step", [True, False])
def test_the_expected_gradient_is_that_of_the_reverse_kl(single_step: bool) -> None:
    """Every sequence of a small language, weighted by its probability: with nothing discounted, normalised or clipped,
    policy and single-step part together are the exact gradient of KL(q || p) over whole sequences."""
    vocabulary, length = 3, 3
    torch.manual_seed(1)
    theta = torch.randn(length, 1 + vocabulary, vocabulary, dtype=torch.float64, requires_grad=True)
    teacher = torch.log_softmax(torch.randn(length, 1 + vocabulary, vocabulary, dtype=torch.float64), -1)

    def logs(table: torch.Tensor, sequence: tuple[int, ...]) -> torch.Tensor:
        """Next-token log-probabilities [T, V] on the way through a sequence: each depends on the token before."""
        return torch.stack([table[t, 0 if t == 0 else 1 + sequence[t - 1]] for t in range(length)])

    student = torch.log_softmax(theta, -1)
    whole, estimate = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    places = torch.arange(length)
    for sequence in itertools.product(range(vocabulary), repeat=length):
        log_q, log_p = logs(student, sequence), logs(teacher, sequence)
        own_q, own_p = log_q[places, list(sequence)], log_p[places, list(sequence)]
        whole = whole + own_q.sum().exp() * (own_q - own_p).sum()
        reward = rewards(own_p.detach(), own_q.detach(), 1.0, 1e9)
        advantage = returns(reward, 1.0, own=not single_step, length_normalised=False)
        _, slope = clipped_loss(torch.zeros(length, dtype=torch.float64), advantage, 0.2)
        part = (slope * own_q).sum()
        if single_step:
            part = part + (log_q.exp() * (log_q - log_p)).sum()
        estimate = estimate + own_q.sum().exp().detach() * part
    (expected,) = torch.autograd.grad(whole, theta, retain_graph=True)
    (found,) = torch.autograd.grad(estimate, theta)
    assert torch.allclose(found, expected, atol=1e-12)
