"""The fused pass against the plain float64 reference: values, gradients, chunks, masks, what changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from codedistill.losses import DIVERGENCES, BetaShare, Head, Hidden, Objective, fused_divergence, head_tail_gap
from tests.losses.fused_cases import TOLERANCE, Inputs, compare, inputs


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("rows", "entries"), [(13, 7), (1, 7), (5, 2), (40, 301)])
def test_mix_against_the_reference(
    rows: int, entries: int, beta: float, temperature: float, dtype: torch.dtype
) -> None:
    objective = Objective(beta=beta, temperature=temperature, chunk_rows=4)
    compare(inputs(rows, entries, dtype), objective, beta, TOLERANCE[dtype])


@pytest.mark.parametrize(
    "objective",
    [
        Objective(beta=0.4, temperature=2.0, squared_temperature=True),
        Objective(beta=0.4, temperature=2.0, cross_entropy_weight=0.3),
        Objective(beta=0.4, cross_entropy_weight=1.0),
        Objective(beta=0.4, temperature=0.5, squared_temperature=True, cross_entropy_weight=0.3, chunk_rows=2),
    ],
)
def test_shares_and_switches_against_the_reference(objective: Objective) -> None:
    compare(inputs(dtype=torch.float64), objective, 0.4, 1e-12)


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("name", [None, "jsd"])
def test_a_cross_entropy_weight_for_every_row(name: str | None, chunk: int | None) -> None:
    share = torch.arange(13, dtype=torch.float64) % 4 / 3  # 0, 1/3, 2/3, 1
    objective = Objective(
        beta=0.4,
        temperature=2.0,
        squared_temperature=True,
        cross_entropy_weight=share,
        divergence=None if name is None else DIVERGENCES[name],
        chunk_rows=chunk,
    )
    compare(inputs(dtype=torch.float64), objective, 0.4, 1e-12)


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("chunk", [None, 3])
def test_every_divergence_by_autograd_per_block(name: str, chunk: int | None) -> None:
    given = inputs(dtype=torch.float64)
    objective = Objective(divergence=DIVERGENCES[name], temperature=1.5, cross_entropy_weight=0.2, chunk_rows=chunk)
    compare(given, objective, 0.0, 1e-12)
    mixed = given.fused(Objective(beta=0.5, temperature=1.5))
    other = given.fused(objective)
    torch.testing.assert_close(other.forward_kl, mixed.forward_kl)
    torch.testing.assert_close(other.per_row_reverse_kl, mixed.per_row_reverse_kl)


class _Recomputed(torch.autograd.Function):
    """gradcheck calls backward repeatedly, a fused loss allows it once: so each backward is a new pass."""

    @staticmethod
    def forward(ctx, given: Inputs, objective: Objective, hidden: Tensor, weight: Tensor):  # type: ignore[no-untyped-def]
        ctx.given, ctx.objective = given, objective
        ctx.save_for_backward(hidden, weight)
        return replace(given, student_hidden=hidden, student_weight=weight).fused(objective).loss

    @staticmethod
    def backward(ctx, outer: Tensor):  # type: ignore[no-untyped-def]
        leaves = [each.detach().requires_grad_() for each in ctx.saved_tensors]
        with torch.enable_grad():
            now = replace(ctx.given, student_hidden=leaves[0], student_weight=leaves[1])
            return (None, None, *torch.autograd.grad(now.fused(ctx.objective).loss, leaves, outer))


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_gradcheck(beta: float, temperature: float) -> None:
    given = inputs(5, 6, torch.float64)
    objective = Objective(beta=beta, temperature=temperature, cross_entropy_weight=0.1, chunk_rows=2)
    leaves = (given.student_hidden, given.student_weight)
    assert torch.autograd.gradcheck(lambda *pair: _Recomputed.apply(given, objective, *pair), leaves)


def test_two_entries_by_hand() -> None:
    # The student's hidden state is its logits: q = (3/4, 1/4), and the teacher's p = (1/2, 1/2). At beta = 1/4:
    hidden = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64, requires_grad=True)
    eye = torch.eye(2, dtype=torch.float64)
    teacher = Hidden(torch.zeros(1, 2, dtype=torch.float64), Head(eye))
    output = fused_divergence(hidden, Head(eye), teacher, torch.tensor([2.0]), Objective(beta=0.25))
    forward = math.log(2) - math.log(3) / 2
    reverse = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert output.loss.item() == pytest.approx(2 * (0.75 * forward + 0.25 * reverse), rel=1e-14)
    assert output.forward_kl.item() == pytest.approx(2 * forward, rel=1e-14)
    assert output.per_row_reverse_kl.tolist() == pytest.approx([reverse], rel=1e-14)
    (gradient,) = torch.autograd.grad(output.loss, hidden)
    first = 2 * (0.75 * (0.75 - 0.5) + 0.25 * 0.75 * (math.log(1.5) - reverse))
    assert gradient[0].tolist() == pytest.approx([first, -first], rel=1e-13)


@pytest.mark.parametrize("chunk", [1, 2, 5, 9, 100])
def test_chunk_size_changes_nothing(chunk: int) -> None:
    given = inputs(dtype=torch.float64)
    whole, cut = (given.fused(Objective(beta=0.3, chunk_rows=rows)) for rows in (None, chunk))
    torch.testing.assert_close(cut.per_row_forward_kl, whole.per_row_forward_kl, rtol=1e-13, atol=0)
    for actual, expected in zip(given.gradients(cut.loss), given.gradients(whole.loss), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)


def test_small_blocks_within_a_chunk_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs(dtype=torch.float64)
    whole = given.gradients(given.fused(Objective(beta=0.3)).loss)
    monkeypatch.setattr("codedistill.losses.fused.BLOCK_BYTES", 2 * 7 * 8)
    monkeypatch.setattr("codedistill.losses.rows.CHUNK_BYTES", 2 * 5 * 7 * 8)
    for actual, expected in zip(given.gradients(given.fused(Objective(beta=0.3)).loss), whole, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("entries", [1, 7])
def test_no_rows_and_one_entry(entries: int) -> None:
    for given in (inputs(0, entries), inputs(4, 1)):
        output = given.fused(Objective(beta=0.3, cross_entropy_weight=0.5))
        assert (output.loss.item(), output.forward_kl.item(), output.reverse_kl.item()) == (0.0, 0.0, 0.0)
        assert not any(bool(each.any()) for each in given.gradients(output.loss))
        assert output.per_row_forward_kl.shape == given.row_weights.shape


def test_masked_rows_never_meet_a_head() -> None:
    given = inputs(dtype=torch.float64)
    hidden = given.student_hidden.detach().clone()
    hidden[2::3] = math.nan
    poisoned = replace(given, student_hidden=hidden.requires_grad_())
    objective = Objective(beta=0.3, cross_entropy_weight=0.2)
    clean, masked = given.fused(objective), poisoned.fused(objective)
    torch.testing.assert_close(masked.loss, clean.loss)
    for actual, expected in zip(poisoned.gradients(masked.loss), given.gradients(clean.loss), strict=True):
        torch.testing.assert_close(actual, expected)
        assert bool(actual.isfinite().all())
    nothing = replace(given, row_weights=torch.zeros(13))
    assert nothing.fused(objective).loss.item() == 0.0


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_a_constant_added_to_either_model_changes_nothing(beta: float) -> None:
    given = inputs(dtype=torch.float64)
    plain = given.fused(Objective(beta=beta))
    shifted = given.fused(
        Objective(beta=beta),
        Head(given.student_weight, torch.full((7,), -15.0, dtype=torch.float64)),
        Head(given.teacher_weight, torch.full((7,), 9.0, dtype=torch.float64)),
    )
    torch.testing.assert_close(shifted.loss, plain.loss, rtol=1e-12, atol=0)
    for actual, expected in zip(given.gradients(shifted.loss), given.gradients(plain.loss), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_identical_models_are_exactly_zero(dtype: torch.dtype) -> None:
    given = inputs(dtype=dtype)
    same = replace(given, teacher_hidden=given.student_hidden.detach(), teacher_weight=given.student_weight.detach())
    output = same.fused(Objective(beta=0.3, temperature=0.7))
    assert (output.loss.item(), output.forward_kl.item(), output.reverse_kl.item()) == (0.0, 0.0, 0.0)
    assert not any(bool(each.any()) for each in same.gradients(output.loss))


def test_padding_of_either_vocabulary_changes_nothing() -> None:
    given = inputs(dtype=torch.float64)
    plain = given.fused(Objective(beta=0.3))
    hidden_gradient, weight_gradient = given.gradients(plain.loss)
    wide_weight = torch.cat([given.student_weight.detach(), torch.full((3, 5), 7.0, dtype=torch.float64)])
    padded = replace(
        given,
        student_weight=wide_weight.requires_grad_(),
        teacher_weight=torch.cat([given.teacher_weight, torch.full((9, 3), -2.0, dtype=torch.float64)]),
    )
    output = padded.fused(Objective(beta=0.3, vocabulary_size=7))
    torch.testing.assert_close(output.loss, plain.loss)
    actual = padded.gradients(output.loss)
    torch.testing.assert_close(actual[0], hidden_gradient)
    torch.testing.assert_close(actual[1][:7], weight_gradient)
    assert not bool(actual[1][7:].any())


def test_beta_per_row_and_by_share() -> None:
    given = inputs(dtype=torch.float64)
    per_row = torch.linspace(0, 1, 13, dtype=torch.float64)
    for chunk in (None, 4):  # betas of exactly 0 and 1 beside others, and alone
        compare(given, Objective(beta=per_row, chunk_rows=chunk), per_row, 1e-12)
    plain = given.fused(Objective())
    forward, reverse = plain.per_row_forward_kl, plain.per_row_reverse_kl
    active = given.row_weights != 0
    share = torch.where(active, reverse / (forward + reverse), torch.zeros_like(forward))
    compare(given, Objective(beta=BetaShare(), chunk_rows=4), share, 1e-12)
    examples = torch.arange(13) // 5 + 3
    means = torch.zeros(13, dtype=torch.float64)
    for example in examples.unique():
        of = (examples == example) & active
        means[of] = reverse[of].mean() / (forward[of].mean() + reverse[of].mean())
    objective = Objective(beta=BetaShare(examples), chunk_rows=4)
    compare(given, objective, means, 1e-12)
    torch.testing.assert_close(given.fused(objective).per_row_beta, means)


def test_gaps_are_reported_on_request() -> None:
    given = inputs(dtype=torch.float64)
    output = given.fused(Objective(head_mass=0.5, temperature=2.0, chunk_rows=4))
    student = given.student_hidden.detach() @ given.student_weight.detach().T
    head, tail = head_tail_gap(student, given.teacher_hidden @ given.teacher_weight.T, 2.0)
    active = given.row_weights != 0
    torch.testing.assert_close(output.per_row_head_gap, head * active)
    torch.testing.assert_close(output.per_row_tail_gap, tail * active)
    assert given.fused(Objective()).per_row_head_gap is None
