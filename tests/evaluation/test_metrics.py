"""pass@k against counting all draws, the product form and exact fractions; the accuracy loss by hand."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest

from codedistill.evaluation import accuracy_loss, pass_at_k


@pytest.mark.parametrize("n", range(1, 8))
def test_is_the_share_of_draws_with_a_correct_sample(n: int) -> None:
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-15)


@pytest.mark.parametrize(("n", "c", "k"), [(200, 13, 1), (200, 13, 10), (200, 13, 100), (200, 1, 100), (1000, 3, 7)])
def test_agrees_with_the_product_form(n: int, c: int, k: int) -> None:
    """Chen et al. 2021, figure 3: 1 - prod(1 - k / i) for i from n - c + 1 to n."""
    assert pass_at_k(n, c, k) == pytest.approx(1 - math.prod(1 - k / i for i in range(n - c + 1, n + 1)), rel=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(20_000, 1, 1), (20_000, 1, 3), (20_000, 19_999, 5_000), (5_000, 7, 600)])
def test_is_correctly_rounded_for_large_n(n: int, c: int, k: int) -> None:
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert pass_at_k(n, c, k) == float(exact)


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (1, 0, 1, 0.0),
        (1, 1, 1, 1.0),
        (10, 3, 1, 0.3),
        (5, 1, 5, 1.0),
        (5, 3, 3, 1.0),
        (4, 2, 2, 5 / 6),
        (10, 0, 10, 0.0),
    ],
)
def test_by_hand(n: int, c: int, k: int, expected: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-15)


def test_grows_with_c_and_with_k() -> None:
    values = [pass_at_k(50, c, 5) for c in range(51)]
    assert values == sorted(values)
    values = [pass_at_k(50, 5, k) for k in range(1, 51)]
    assert values == sorted(values)


@pytest.mark.parametrize(("n", "c", "k"), [(0, 0, 1), (5, 6, 1), (5, -1, 1), (5, 2, 0), (5, 2, 6)])
def test_refuses_what_has_no_meaning(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="needs 0 <= c <= n and 1 <= k <= n"):
        pass_at_k(n, c, k)


@pytest.mark.parametrize(
    ("teacher", "student", "expected"),
    [(0.5, 0.25, 50.0), (0.4, 0.4, 0.0), (0.4, 0.5, -25.0), (0.3, 0.0, 100.0), (40.0, 30.0, 25.0)],
)
def test_accuracy_loss(teacher: float, student: float, expected: float) -> None:
    assert accuracy_loss(teacher, student) == pytest.approx(expected)


def test_accuracy_loss_needs_a_teacher_that_can_something() -> None:
    with pytest.raises(ValueError, match="above 0"):
        accuracy_loss(0.0, 0.0)
