"""Every divergence: values worked out by hand, an independent oracle, gradients, and what must hold for all of them."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import rel_entr
from torch import Tensor

from codedistill.errors import UserError
from codedistill.losses import DIVERGENCES, forward_kl, head_tail_gap, reverse_kl
from codedistill.losses.divergences import alpha_beta, generalized_jsd, skewed_forward_kl, skewed_reverse_kl

MINUS_INF = float("-inf")
# Finite for all inputs, also where one model lacks an entry that the other has.
BOUNDED = ("jsd", "skew_forward_kl", "skew_reverse_kl", "total_variation", "alpha_beta")


def logits_of(*probabilities: float) -> Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


def random_logits(rows: int, entries: int, seed: int = 0, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    draw = [torch.randn(rows, entries, dtype=torch.float64, generator=generator) * scale for _ in range(2)]
    return draw[0], draw[1]


# p = (1/2, 1/2), q = (3/4, 1/4): everything below is arithmetic on these two.
STUDENT, TEACHER = logits_of(3 / 4, 1 / 4), logits_of(1 / 2, 1 / 2)
BY_HAND = {
    "forward_kl": math.log(2) - math.log(3) / 2,
    "reverse_kl": 3 / 4 * math.log(3 / 2) + 1 / 4 * math.log(1 / 2),
    "jsd": (
        0.5 * (0.5 * math.log(0.5 / 0.625) + 0.5 * math.log(0.5 / 0.375))
        + 0.5 * (0.75 * math.log(0.75 / 0.625) + 0.25 * math.log(0.25 / 0.375))
    ),
    "skew_forward_kl": 0.5 * math.log(0.5 / 0.725) + 0.5 * math.log(0.5 / 0.275),
    "skew_reverse_kl": 0.75 * math.log(0.75 / 0.525) + 0.25 * math.log(0.25 / 0.475),
    "total_variation": 1 / 4,
    "alpha_beta": (
        -1 / 0.14 * (0.5**0.2 * (0.75**0.7 + 0.25**0.7) - 2 / 9 * 2 * 0.5**0.9 - 7 / 9 * (0.75**0.9 + 0.25**0.9))
    ),
    # Head: the first entry alone (1/2 is the whole head mass); both gaps are 1/4, so both divergences weigh the same.
    "akl": 0.5 * (math.log(2) - math.log(3) / 2) + 0.5 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)),
    # w = p / (p + q) = 2/5 and 2/3.
    "todi": (
        2 / 5 * 0.5 * math.log(2 / 3) + 3 / 5 * 0.75 * math.log(3 / 2)
        + 2 / 3 * 0.5 * math.log(2) + 1 / 3 * 0.25 * math.log(1 / 2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIVERGENCES)
def test_two_entries_by_hand(name: str) -> None:
    assert DIVERGENCES[name](STUDENT, TEACHER).item() == pytest.approx(BY_HAND[name], rel=1e-12)


def test_three_entries_by_hand() -> None:
    student, teacher = logits_of(0.2, 0.3, 0.5), logits_of(0.6, 0.3, 0.1)
    forward = 0.6 * math.log(3) + 0.1 * math.log(0.2)
    reverse = 0.2 * math.log(1 / 3) + 0.5 * math.log(5)
    assert forward_kl(student, teacher).item() == pytest.approx(forward, rel=1e-12)
    assert reverse_kl(student, teacher).item() == pytest.approx(reverse, rel=1e-12)
    # The head is the first entry (0.6 is above half the mass, but the likeliest is always head): gaps 0.4 and 0 + 0.4.
    head, tail = head_tail_gap(student, teacher)
    assert (head.item(), tail.item()) == pytest.approx((0.4, 0.4), rel=1e-12)
    # With a head mass of 0.95 the second entry joins: 0.4 + 0 and 0.4; with 0.05, still the first alone.
    head, tail = head_tail_gap(student, teacher, head_mass=0.95)
    assert (head.item(), tail.item()) == pytest.approx((0.4, 0.4), rel=1e-12)


def test_the_head_of_a_flat_teacher_is_longer_than_the_first_glance() -> None:
    student, _ = random_logits(3, 1000)
    teacher = torch.linspace(0, 0.01, 1000, dtype=torch.float64).expand(3, -1)
    p, q = teacher.softmax(-1), student.softmax(-1)
    head, tail = head_tail_gap(student, teacher, head_mass=0.9)
    order = p[0].argsort(descending=True)
    count = int((p[0][order].cumsum(0) <= 0.9).sum())
    assert count > 256
    torch.testing.assert_close(head, (p - q).abs()[:, order[:count]].sum(-1))
    torch.testing.assert_close(tail, (p - q).abs()[:, order[count:]].sum(-1))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_kl_against_scipy(temperature: float) -> None:
    student, teacher = random_logits(5, 33)
    p, q = (teacher / temperature).softmax(-1).numpy(), (student / temperature).softmax(-1).numpy()
    torch.testing.assert_close(forward_kl(student, teacher, temperature), torch.from_numpy(rel_entr(p, q).sum(-1)))
    torch.testing.assert_close(reverse_kl(student, teacher, temperature), torch.from_numpy(rel_entr(q, p).sum(-1)))


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.7, 0.0), (0.0, 0.3)])
def test_alpha_beta_is_continuous_at_its_special_points(alpha: float, beta: float) -> None:
    student, teacher = random_logits(4, 9, scale=1.0)
    at, near = (
        alpha_beta(student, teacher, 1.0, alpha, beta),
        alpha_beta(student, teacher, 1.0, alpha + 1e-5, beta + 2e-5),
    )
    torch.testing.assert_close(at, near, rtol=1e-3, atol=1e-5)


def test_divergences_that_have_another_name_too() -> None:
    student, teacher = random_logits(4, 9)
    torch.testing.assert_close(alpha_beta(student, teacher, 1.0, 1.0, 0.0), forward_kl(student, teacher))
    torch.testing.assert_close(alpha_beta(student, teacher, 1.0, 0.0, 1.0), reverse_kl(student, teacher))
    torch.testing.assert_close(skewed_forward_kl(student, teacher, alpha=0.0), forward_kl(student, teacher))
    torch.testing.assert_close(skewed_reverse_kl(student, teacher, alpha=0.0), reverse_kl(student, teacher))
    # The limits of Agarwal et al.: D / beta -> KL(p || q) and D / (1 - beta) -> KL(q || p).
    small = 1e-7
    torch.testing.assert_close(
        generalized_jsd(student, teacher, beta=small) / small, forward_kl(student, teacher), rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(
        generalized_jsd(student, teacher, beta=1 - small) / small, reverse_kl(student, teacher), rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(generalized_jsd(student, teacher), generalized_jsd(teacher, student))


@pytest.mark.parametrize("name", [name for name in DIVERGENCES if name not in ("akl", "todi")])
def test_gradcheck(name: str) -> None:
    student, teacher = random_logits(3, 5, scale=1.0)
    assert torch.autograd.gradcheck(lambda z: DIVERGENCES[name](z, teacher, 1.7), student.requires_grad_())


@pytest.mark.parametrize(("alpha", "beta"), [(1e-6, 0.7), (0.2, 1e-6), (1e-5, 1e-5), (1e-6, 0.0)])
def test_alpha_beta_keeps_its_digits_where_terms_cancel(alpha: float, beta: float) -> None:
    student, teacher = (each.float().requires_grad_() for each in random_logits(4, 9, scale=1.0))
    value = alpha_beta(student, teacher, 1.0, alpha, beta)
    limit = alpha_beta(student, teacher, 1.0, *(0.0 if each < 1e-4 else each for each in (alpha, beta)))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, limit, rtol=1e-4, atol=1e-6)
    gradients = [torch.autograd.grad(each.sum(), student)[0] for each in (value, limit)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def gaps_by_sorting(p: Tensor, q: Tensor, head_mass: float) -> list[tuple[float, float]]:
    """AKL's gaps in plain Python: the likeliest entry, then further ones while their sum stays within `head_mass`."""
    found = []
    for own, other in zip(p.tolist(), q.tolist(), strict=True):
        order = sorted(range(len(own)), key=lambda i: -own[i])
        head, mass = {order[0]}, own[order[0]]
        for i in order[1:]:
            mass += own[i]
            if mass <= head_mass:
                head.add(i)
        gaps = [abs(a - b) for a, b in zip(own, other, strict=True)]
        found.append((sum(gaps[i] for i in head), sum(g for i, g in enumerate(gaps) if i not in head)))
    return found


@pytest.mark.parametrize(("temperature", "head_mass"), [(1.0, 0.5), (2.0, 0.3), (2.0, 0.8)])
def test_akl_weighs_by_gaps_that_are_constants_to_the_gradient(temperature: float, head_mass: float) -> None:
    student, teacher = random_logits(3, 9, scale=1.0)
    student.requires_grad_()
    p, q = (teacher / temperature).softmax(-1), (student / temperature).softmax(-1)
    gaps = gaps_by_sorting(p, q, head_mass)
    share = torch.tensor([head / (head + tail) for head, tail in gaps], dtype=torch.float64)
    expected = share * (p * (p / q).log()).sum(-1) + (1 - share) * (q * (q / p).log()).sum(-1)
    _assert_same_gradient(DIVERGENCES["akl"](student, teacher, temperature, head_mass=head_mass), expected, student)
    found = torch.stack(head_tail_gap(student, teacher, temperature, head_mass), -1)
    torch.testing.assert_close(found, torch.tensor(gaps, dtype=torch.float64))


def test_todi_weighs_every_entry_by_constants_to_the_gradient() -> None:
    student, teacher = random_logits(3, 5)
    student.requires_grad_()
    p, q = teacher.softmax(-1), student.softmax(-1)
    weight = (p / (p + q)).detach()
    expected = (weight * p * (p / q).log() + (1 - weight) * q * (q / p).log()).sum(-1)
    _assert_same_gradient(DIVERGENCES["todi"](student, teacher), expected, student)
    torch.testing.assert_close(expected, forward_kl(student, teacher) + reverse_kl(student, teacher))


def _assert_same_gradient(actual: Tensor, expected: Tensor, leaf: Tensor) -> None:
    torch.testing.assert_close(actual, expected)
    pair = [torch.autograd.grad(each.sum(), leaf, retain_graph=True)[0] for each in (actual, expected)]
    torch.testing.assert_close(*pair)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_identical_models_agree(name: str) -> None:
    _, teacher = random_logits(4, 7)
    student = teacher.clone().requires_grad_()
    value = DIVERGENCES[name](student, teacher)
    value.sum().backward()
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)
    torch.testing.assert_close(student.grad, torch.zeros_like(student), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_no_divergence_is_negative_and_none_sees_a_constant(name: str) -> None:
    student, teacher = random_logits(50, 6, scale=3.0)
    value = DIVERGENCES[name](student, teacher)
    assert bool((value >= 0).all())
    torch.testing.assert_close(DIVERGENCES[name](student - 15.0, teacher + 7.0), value)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_entries_that_neither_model_has_change_nothing(name: str) -> None:
    student, teacher = random_logits(4, 6)
    gap = torch.full((4, 2), MINUS_INF, dtype=torch.float64)
    bare, wide = student.clone().requires_grad_(), torch.cat([student, gap], 1).requires_grad_()
    plain, padded = DIVERGENCES[name](bare, teacher), DIVERGENCES[name](wide, torch.cat([teacher, gap], 1))
    torch.testing.assert_close(padded, plain)
    plain.sum().backward()
    padded.sum().backward()
    assert bare.grad is not None
    assert wide.grad is not None
    torch.testing.assert_close(wide.grad[:, :6], bare.grad)
    assert not bool(wide.grad[:, 6:].any())


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("who", ["student", "teacher"])
def test_an_entry_that_one_model_lacks(name: str, who: str) -> None:
    student, teacher = random_logits(2, 4)
    (student if who == "student" else teacher)[:, 1] = MINUS_INF
    value = DIVERGENCES[name](student.requires_grad_(), teacher)
    infinite = {"student": {"forward_kl", "akl", "todi"}, "teacher": {"reverse_kl", "akl", "todi"}}[who]
    assert not bool(value.isnan().any())
    assert bool(value.isinf().all()) == (name in infinite)
    if name not in infinite:
        value.sum().backward()
        assert student.grad is not None
        assert bool(student.grad.isfinite().all())


def test_p_of_zero_drops_the_forward_term() -> None:
    student, teacher = logits_of(0.2, 0.3, 0.5), logits_of(0.25, 0.75, 0.0)
    assert forward_kl(student, teacher).item() == pytest.approx(0.25 * math.log(1.25) + 0.75 * math.log(2.5), rel=1e-12)
    assert reverse_kl(student, teacher).item() == math.inf


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_stay_finite(name: str, dtype: torch.dtype) -> None:
    student = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], dtype=dtype, requires_grad=True)
    teacher = torch.tensor([[-1e4, 1e4, 0.0], [1e4, 1e4, -1e4]], dtype=dtype)
    value = DIVERGENCES[name](student, teacher)
    value.sum().backward()
    assert student.grad is not None
    assert bool(value.isfinite().all())
    assert bool(student.grad.isfinite().all())
    if name in ("forward_kl", "reverse_kl"):
        log2 = math.log(2)
        right = {"forward_kl": [2e4, (2e4 + log2 - log2) / 2], "reverse_kl": [2e4, 2e4 / 2]}[name]
        torch.testing.assert_close(value, torch.tensor(right, dtype=dtype))


@pytest.mark.parametrize("name", DIVERGENCES)
def test_shapes_and_dtypes(name: str) -> None:
    empty = torch.zeros(0, 5)
    assert DIVERGENCES[name](empty, empty).shape == (0,)
    one = torch.randn(3, 1)
    torch.testing.assert_close(DIVERGENCES[name](one, one + 1.0), torch.zeros(3))
    student, teacher = random_logits(2, 5)
    assert DIVERGENCES[name](student, teacher).dtype == torch.float64
    narrow = DIVERGENCES[name](student.bfloat16(), teacher.bfloat16())
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(
        narrow,
        DIVERGENCES[name](student.bfloat16().double(), teacher.bfloat16().double()).float(),
        rtol=1e-4,
        atol=1e-6,
    )


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = random_logits(2, 5)
    forward_kl(student.requires_grad_(), teacher.requires_grad_()).sum().backward()
    assert teacher.grad is None


@pytest.mark.parametrize("name", DIVERGENCES)
def test_inputs_that_cannot_be_meant(name: str) -> None:
    student, teacher = random_logits(2, 5)
    with pytest.raises(UserError, match="shared vocabulary"):
        DIVERGENCES[name](student[:, :4], teacher)
    with pytest.raises(UserError, match="temperature"):
        DIVERGENCES[name](student, teacher, 0.0)


def test_parameters_that_cannot_be_meant() -> None:
    for beta in (0.0, 1.0, -0.1):
        with pytest.raises(UserError, match="strictly"):
            generalized_jsd(STUDENT, TEACHER, beta=beta)
    for skewed in (skewed_forward_kl, skewed_reverse_kl):
        with pytest.raises(UserError, match="alpha"):
            skewed(STUDENT, TEACHER, alpha=1.0)
    for alpha, beta in ((-0.5, 0.7), (0.5, -0.5), (math.nan, 0.5)):
        with pytest.raises(UserError, match="at least 0"):
            alpha_beta(STUDENT, TEACHER, alpha=alpha, beta=beta)
    for mass in (0.0, 1.0, 7.0):
        with pytest.raises(UserError, match="head_mass"):
            head_tail_gap(STUDENT, TEACHER, head_mass=mass)
        with pytest.raises(UserError, match="head_mass"):
            DIVERGENCES["akl"](STUDENT, TEACHER, head_mass=mass)
