"""The fused pass at its edges: extreme and missing logits, heads of other kinds, precision, autograd, bad inputs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from codedistill.errors import UserError
from codedistill.losses import (
    DIVERGENCES,
    FusedOutput,
    Head,
    Hidden,
    Logits,
    Objective,
    forward_kl,
    fused_cross_entropy,
    fused_divergence,
    reverse_kl,
)
from codedistill.losses.divergences import Divergence
from tests.losses.fused_cases import MINUS_INF, TOLERANCE, Inputs, assert_close, inputs, reference


def given_logits(student: Tensor, teacher: Tensor, objective: Objective) -> tuple[FusedOutput, Tensor]:
    """Fused values and the gradient with respect to the student's logits (an identity head, and -inf by the bias)."""
    size = student.shape[-1]
    missing = student.isneginf()
    assert bool((missing == missing[:1]).all()), "a bias is the same in every row"
    bias = torch.where(missing[0], MINUS_INF, 0.0).to(student.dtype)
    hidden = torch.where(missing, torch.zeros_like(student), student).requires_grad_()
    head = Head(torch.eye(size, dtype=student.dtype), bias)
    output = fused_divergence(hidden, head, Logits(teacher), torch.ones(len(student), dtype=student.dtype), objective)
    return output, torch.autograd.grad(output.loss, hidden)[0]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_extreme_logits(beta: float, dtype: torch.dtype) -> None:
    student = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [1e4, 1e4 - 1, -1e4]], dtype=dtype)
    teacher = torch.tensor([[-1e4, 1e4, 0.0], [1e4, 1e4, -1e4], [-1e4, -1e4 + 2, -1e4]], dtype=dtype)
    output, gradient = given_logits(student, teacher, Objective(beta=beta))
    leaf = student.double().requires_grad_()
    forward, reverse = forward_kl(leaf, teacher.double()), reverse_kl(leaf, teacher.double())
    (expected,) = torch.autograd.grad(((1 - beta) * forward + beta * reverse).sum(), leaf)
    torch.testing.assert_close(output.per_row_forward_kl.double(), forward.detach(), rtol=1e-5, atol=0)
    torch.testing.assert_close(output.per_row_reverse_kl.double(), reverse.detach(), rtol=1e-5, atol=0)
    assert_close(gradient, expected, 1e-5)


def test_rounding_makes_no_divergence_negative() -> None:
    """Models that nearly agree: divergences of 1e-10, far below the rounding of their terms."""
    torch.manual_seed(0)
    student = torch.randn(200, 50)
    output, _ = given_logits(student, student + 1e-5 * torch.randn(200, 50), Objective())
    for found in (output.per_row_forward_kl, output.per_row_reverse_kl):
        assert 0.0 <= found.min() <= found.max() < 1e-5


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_entries_that_neither_model_has(beta: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 4, 6, dtype=torch.float64, generator=generator)
    bare, bare_gradient = given_logits(student, teacher, Objective(beta=beta))
    gap = torch.full((4, 2), MINUS_INF, dtype=torch.float64)
    wide, gradient = given_logits(torch.cat([student, gap], 1), torch.cat([teacher, gap], 1), Objective(beta=beta))
    torch.testing.assert_close(wide.per_row_forward_kl, bare.per_row_forward_kl)
    torch.testing.assert_close(wide.per_row_reverse_kl, bare.per_row_reverse_kl)
    torch.testing.assert_close(gradient[:, :6], bare_gradient)
    assert not bool(gradient[:, 6:].any())


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_an_entry_that_one_model_lacks(who: str) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 4, 6, dtype=torch.float64, generator=generator)
    (student if who == "student" else teacher)[:, 2] = MINUS_INF
    # The divergence that stays finite must not be poisoned by the other, which is not.
    finite, infinite = (reverse_kl, 1.0), (forward_kl, 0.0)
    if who == "teacher":
        finite, infinite = (forward_kl, 0.0), (reverse_kl, 1.0)
    output, gradient = given_logits(student, teacher, Objective(beta=finite[1]))
    leaf = student.clone().requires_grad_()
    values = finite[0](leaf, teacher)
    (expected,) = torch.autograd.grad(values.sum(), leaf)
    torch.testing.assert_close(output.loss.detach(), values.sum().detach())
    torch.testing.assert_close(gradient, expected)
    assert given_logits(student, teacher, Objective(beta=infinite[1]))[0].loss.item() == math.inf


@pytest.mark.parametrize("divergence", [None, DIVERGENCES["reverse_kl"]])
def test_a_divergence_without_weight_is_silent_even_where_it_is_infinite(divergence: Divergence | None) -> None:
    given = inputs(dtype=torch.float64)
    teacher = (given.teacher_hidden @ given.teacher_weight.T).index_fill(1, torch.tensor(2), MINUS_INF)
    objective = Objective(beta=1.0, cross_entropy_weight=1.0, divergence=divergence)
    head, weights = Head(given.student_weight), given.row_weights
    output = fused_divergence(given.student_hidden, head, Logits(teacher), weights, objective, given.targets)
    plain = fused_cross_entropy(given.student_hidden, head, given.targets, weights)
    assert output.reverse_kl.item() == math.inf
    torch.testing.assert_close(output.loss, plain.loss)
    torch.testing.assert_close(given.gradients(output.loss), given.gradients(plain.loss))


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_heads_that_scale_cap_and_have_a_bias(share: float) -> None:
    given = inputs(dtype=torch.float64)
    bias = torch.randn(7, dtype=torch.float64).requires_grad_()
    student = Head(given.student_weight, bias, scale=0.7, softcap=2.0)
    teacher = Head(given.teacher_weight, scale=1.3, softcap=3.0)
    objective = Objective(beta=0.3, temperature=1.5, cross_entropy_weight=share, chunk_rows=4)
    output = given.fused(objective, student, teacher)
    z = 2.0 * torch.tanh(0.7 * (given.student_hidden @ given.student_weight.T + bias) / 2.0)
    zp = 3.0 * torch.tanh(1.3 * (given.teacher_hidden @ given.teacher_weight.T) / 3.0)
    values = 0.7 * forward_kl(z, zp, 1.5) + 0.3 * reverse_kl(z, zp, 1.5)
    hard = torch.nn.functional.cross_entropy(z, given.targets, reduction="none", ignore_index=-100)
    expected = (given.row_weights * ((1 - share) * values + share * hard)).sum()
    torch.testing.assert_close(output.loss, expected)
    leaves = (given.student_hidden, given.student_weight, bias)
    for actual, right in zip(
        torch.autograd.grad(output.loss, leaves), torch.autograd.grad(expected, leaves), strict=True
    ):
        torch.testing.assert_close(actual, right)


def test_given_logits_of_the_teacher() -> None:
    given = inputs(dtype=torch.float64)
    logits = given.teacher_hidden @ given.teacher_weight.T
    kept = logits.clone()
    weight = Head(given.student_weight)
    output = fused_divergence(given.student_hidden, weight, Logits(logits), given.row_weights, Objective(beta=0.3))
    plain = given.fused(Objective(beta=0.3))
    torch.testing.assert_close(output.loss, plain.loss)
    torch.testing.assert_close(given.gradients(output.loss), given.gradients(plain.loss))
    assert torch.equal(logits, kept), "the caller's logits were overwritten"


def test_a_frozen_head_gets_no_gradient() -> None:
    given = inputs(dtype=torch.float64)
    expected = given.gradients(given.fused(Objective(beta=0.3)).loss)
    frozen = replace(given, student_weight=given.student_weight.detach())
    frozen.fused(Objective(beta=0.3)).loss.backward()
    torch.testing.assert_close(given.student_hidden.grad, expected[0])
    assert frozen.student_weight.grad is None
    body = replace(given, student_hidden=given.student_hidden.detach())
    body.fused(Objective(beta=0.3)).loss.backward()
    torch.testing.assert_close(given.student_weight.grad, expected[1])


def test_tied_embeddings_collect_both_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(7, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    teacher = torch.randn(4, 7, dtype=torch.float64, generator=generator)
    hidden = torch.tanh(weight[[1, 4, 4, 0]])
    fused_divergence(hidden, Head(weight), Logits(teacher), torch.ones(4), Objective(beta=0.3)).loss.backward()
    z = torch.tanh(weight[[1, 4, 4, 0]]) @ weight.T
    expected = (0.7 * forward_kl(z, teacher) + 0.3 * reverse_kl(z, teacher)).sum()
    torch.testing.assert_close(weight.grad, torch.autograd.grad(expected, weight)[0])


def test_without_gradients() -> None:
    given = inputs()
    with torch.no_grad():
        output = given.fused(Objective(beta=0.3))
    assert not output.loss.requires_grad
    torch.testing.assert_close(output.loss, given.fused(Objective(beta=0.3)).loss.detach())


def test_backward_scales_and_runs_once() -> None:
    given = inputs(dtype=torch.float64)
    once = given.gradients(given.fused(Objective(beta=0.3)).loss)
    loss = given.fused(Objective(beta=0.3)).loss
    scaled = torch.autograd.grad(loss * 0.25, (given.student_hidden, given.student_weight), retain_graph=True)
    torch.testing.assert_close(scaled, tuple(each * 0.25 for each in once))
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_low_precision_keeps_sums_wide() -> None:
    given = inputs(64, 50)
    student, student_weight, teacher, teacher_weight = (
        getattr(given, name).detach().bfloat16() for name in list(given.__dict__)[:4]
    )
    narrow = Inputs(student, student_weight, teacher, teacher_weight, given.row_weights, given.targets)
    narrow.student_hidden.requires_grad_()
    narrow.student_weight.requires_grad_()
    output = narrow.fused(Objective(beta=0.3, chunk_rows=7))
    assert output.loss.dtype == torch.float32
    wide = narrow.double()
    expected = reference(wide, Objective(beta=0.3), 0.3)
    # The logits are rounded to 8 bits: a relative 2 ** -9 each, of logits of size 2.
    assert_close(output.loss, expected, 2e-3)
    for actual, right in zip(narrow.gradients(output.loss), wide.gradients(expected), strict=True):
        assert actual.dtype == torch.bfloat16
        assert_close(actual, right, 1e-2)


def test_low_precision_does_not_lose_small_chunks() -> None:
    # 600 rows with the same gradient, a chunk each. A bfloat16 sum of equal parts stops growing after 256 of them.
    hidden = torch.ones(600, 1, dtype=torch.bfloat16)
    weight = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    teacher = torch.tensor([[math.log(3.0), 0.0]]).expand(600, 2)
    loss = fused_divergence(hidden, Head(weight), Logits(teacher), torch.ones(600), Objective(chunk_rows=1)).loss
    (gradient,) = torch.autograd.grad(loss, weight)
    # d FKL / dz = q - p = 1/2 - 3/4.
    torch.testing.assert_close(gradient.float(), torch.tensor([[-150.0], [150.0]]), rtol=2**-8, atol=0)


def test_autocast_multiplies_narrow_and_sums_wide() -> None:
    given = inputs(64, 50)
    expected = given.fused(Objective(beta=0.3))
    with torch.autocast("cpu", torch.bfloat16):
        output = given.fused(Objective(beta=0.3))
    assert output.loss.dtype == torch.float32
    assert not torch.equal(output.loss, expected.loss)
    assert_close(output.loss, expected.loss, 1e-2)
    for actual, right in zip(given.gradients(output.loss), given.gradients(expected.loss), strict=True):
        assert actual.dtype == torch.float32
        assert_close(actual, right, 2e-2)


@pytest.mark.parametrize("chunk", [None, 4])
def test_cross_entropy_against_torch(chunk: int | None) -> None:
    given = inputs(dtype=torch.float64)
    output = fused_cross_entropy(
        given.student_hidden, Head(given.student_weight), given.targets, given.row_weights, chunk_rows=chunk
    )
    logits = given.student_hidden @ given.student_weight.T
    values = torch.nn.functional.cross_entropy(logits, given.targets, reduction="none", ignore_index=-100)
    expected = (given.row_weights * values).sum()
    torch.testing.assert_close(output.loss, expected)
    torch.testing.assert_close(output.per_row_cross_entropy, values.detach())
    torch.testing.assert_close(given.gradients(output.loss), given.gradients(expected))


def test_inputs_that_do_not_fit() -> None:
    given = inputs()
    with pytest.raises(UserError, match="vocabulary_size"):
        replace(given, teacher_weight=torch.zeros(8, 3)).fused(Objective())
    with pytest.raises(UserError, match="between 1 and 7"):
        given.fused(Objective(vocabulary_size=8))
    with pytest.raises(UserError, match="row_weights"):
        replace(given, row_weights=torch.ones(3)).fused(Objective())
    with pytest.raises(UserError, match="targets"):
        replace(given, row_weights=torch.ones(13)).fused(Objective(cross_entropy_weight=0.5))
    with pytest.raises(UserError, match="targets"):
        fused_divergence(
            given.student_hidden,
            Head(given.student_weight),
            Hidden(given.teacher_hidden, Head(given.teacher_weight)),
            given.row_weights,
            Objective(cross_entropy_weight=0.5),
        )
    with pytest.raises(UserError, match="13 rows"):
        given.fused(Objective(beta=torch.zeros(3)))


@pytest.mark.parametrize(
    "change", [{"beta": 1.5}, {"temperature": 0.0}, {"cross_entropy_weight": -0.1}, {"chunk_rows": 0}]
)
def test_objectives_that_cannot_be_meant(change: dict[str, float]) -> None:
    with pytest.raises(UserError):
        Objective(**change)  # type: ignore[arg-type]
