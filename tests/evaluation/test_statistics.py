"""Intervals and tests against scipy, and against numbers computed by hand."""

from __future__ import annotations

import itertools
import random
import time

import numpy as np
import pytest
from scipy import stats

from codedistill.evaluation import bootstrap_interval, holm, paired_difference, share_interval, wilson_interval
from codedistill.evaluation.statistics import even_odds_p


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("correct", "total"), [(0, 1), (1, 1), (3, 10), (0, 164), (41, 164), (164, 164), (250, 500)])
def test_wilson_agrees_with_scipy(correct: int, total: int, level: float) -> None:
    expected = stats.binomtest(correct, total).proportion_ci(level, method="wilson")
    assert wilson_interval(correct, total, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_by_hand() -> None:
    # z = 1.959964: (0.5 + z^2 / 20 -+ z * sqrt(0.25 / 10 + z^2 / 400)) / (1 + z^2 / 10)
    assert wilson_interval(5, 10) == pytest.approx((0.236593, 0.763407), abs=1e-6)


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (2, 1), (-1, 5)])
def test_wilson_refuses_what_is_no_share(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match="needs 0 <= correct <= total"):
        wilson_interval(correct, total)


def test_one_sample_a_task_is_wilsons_interval() -> None:
    for passed in (0, 1, 7, 20):
        shares = [1.0] * passed + [0.0] * (20 - passed)
        assert share_interval(shares, 20) == pytest.approx(wilson_interval(passed, 20), abs=1e-12)


def test_several_samples_a_task_by_hand() -> None:
    # Mean 1/2, variance (4 * 1/16) / 3 = 1/12: worth 1/4 * 4 / (1/12) = 12 samples of the 20.
    assert share_interval([0.25, 0.75, 0.25, 0.75], 20) == pytest.approx(wilson_interval(6, 12))
    # Variance 0.01 / 3: worth 300, but there are only 20.
    assert share_interval([0.45, 0.55, 0.45, 0.55], 20) == pytest.approx(wilson_interval(10, 20))
    # Variance 1/3: worth 3, but there are 4 tasks.
    assert share_interval([0.0, 1.0, 0.0, 1.0], 20) == pytest.approx(wilson_interval(2, 4))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("tasks", [1, 2, 30])
def test_tasks_that_are_all_alike_do_not_make_the_mean_certain(share: float, tasks: int) -> None:
    low, high = share_interval([share] * tasks, 5 * tasks)
    assert (low, high) == pytest.approx(wilson_interval(share * tasks, tasks))
    assert high - low > 0.1
    assert low <= share <= high
    with pytest.raises(ValueError, match="at least one task"):
        share_interval([], 0)


def test_coverage_of_the_interval_of_several_samples() -> None:
    """About 95 of 100 hold the truth, near the ends too, where a bootstrap over the tasks holds it half of the time."""
    rng = np.random.default_rng(4)
    for a, b, least in ((2, 2, 0.92), (0.1, 2, 0.9), (1, 60, 0.92), (5, 0.3, 0.9)):
        held = 0
        for _ in range(300):
            shares = rng.binomial(5, rng.beta(a, b, 20)) / 5
            low, high = share_interval(list(shares), 100)
            held += low <= a / (a + b) <= high
        assert held / 300 >= least


def test_bootstrap_agrees_with_scipy() -> None:
    rng = random.Random(1)
    values = [rng.random() ** 2 for _ in range(120)]
    expected = stats.bootstrap(
        (values,), lambda x, axis: x.mean(axis=axis), method="percentile", n_resamples=20_000, rng=2
    ).confidence_interval
    assert bootstrap_interval(values) == pytest.approx((expected.low, expected.high), abs=0.004)


def test_bootstrap_of_a_coin_is_about_the_binomial() -> None:
    low, high = bootstrap_interval([1.0] * 60 + [0.0] * 40, level=0.9)
    expected = stats.binom.ppf([0.05, 0.95], 100, 0.6) / 100
    assert (low, high) == pytest.approx(tuple(expected), abs=0.011)


def test_bootstrap_is_the_same_for_the_same_seed() -> None:
    values = [0.1 * i for i in range(10)]
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)
    assert bootstrap_interval([0.25] * 8) == (0.25, 0.25)
    with pytest.raises(ValueError, match="at least one task"):
        bootstrap_interval([])


@pytest.mark.parametrize(("wins", "losses"), [*itertools.product(range(6), range(6)), (30, 11), (164, 0), (700, 650)])
def test_p_is_the_exact_binomial_tests(wins: int, losses: int) -> None:
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert even_odds_p(wins, losses) == pytest.approx(expected, abs=1e-12)


def test_p_by_hand() -> None:
    assert even_odds_p(5, 0) == 2 / 32
    assert even_odds_p(1, 5) == pytest.approx(2 * (1 + 6) / 64)
    assert even_odds_p(3, 3) == 1.0
    assert even_odds_p(0, 0) == 1.0


def test_p_of_many_tasks_takes_no_time() -> None:
    start = time.perf_counter()
    assert even_odds_p(20_000, 19_000) == pytest.approx(stats.binomtest(20_000, 39_000).pvalue, rel=1e-9)
    assert even_odds_p(1_000_000, 999_000) == pytest.approx(stats.binomtest(1_000_000, 1_999_000).pvalue, rel=1e-7)
    assert even_odds_p(5_000, 0) == 0.0  # below what a float holds
    assert time.perf_counter() - start < 1


def test_the_test_is_called_by_its_name() -> None:
    assert paired_difference([1.0, 0.0, 1.0], [1, 1, 0]).test == "McNemar"
    assert paired_difference([1.0, 0.5], [1.0, 0.0]).test == "sign test"
    assert paired_difference([1.0, 0.0], [1.0, 1 / 3]).test == "sign test"


def test_paired_difference_by_hand() -> None:
    a = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    b = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    paired = paired_difference(a, b)
    assert (paired.wins, paired.losses, paired.difference) == (5, 1, 0.5)
    assert paired.p == pytest.approx(2 * (1 + 6) / 64)
    other = paired_difference(b, a)
    assert (other.wins, other.losses, other.difference, other.p) == (1, 5, -0.5, paired.p)


def test_paired_bootstrap_resamples_tasks_and_not_models() -> None:
    """Two models that differ by 0.1 on every task: pairing makes the difference certain, however much tasks differ."""
    b = [(i % 10) / 10 for i in range(50)]
    a = [x + 0.1 for x in b]
    paired = paired_difference(a, b)
    assert paired.interval == pytest.approx((0.1, 0.1))
    unpaired = bootstrap_interval(a)
    assert unpaired.high - unpaired.low > 0.1


def test_paired_bootstrap_agrees_with_scipy() -> None:
    rng = random.Random(5)
    a = [float(rng.random() < 0.6) for _ in range(164)]
    b = [float(rng.random() < 0.45) for _ in range(164)]
    expected = stats.bootstrap(
        (a, b),
        lambda x, y, axis: (x - y).mean(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        rng=1,
    ).confidence_interval
    assert paired_difference(a, b).interval == pytest.approx((expected.low, expected.high), abs=0.01)


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [1.0, 0.0])])
def test_paired_difference_needs_the_same_tasks(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="same tasks"):
        paired_difference(a, b)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([0.04], [0.04]),
        # sorted .01 .03 .04 -> 3 * .01 = .03, 2 * .03 = .06, max(.06, .04) = .06
        ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
        # the last is smaller than the one before it times two: it must not come out as more significant
        ([0.01, 0.02, 0.025, 0.026], [0.04, 0.06, 0.06, 0.06]),
        ([0.5, 0.6, 0.001], [1.0, 1.0, 0.003]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_by_hand(given: list[float], expected: list[float]) -> None:
    assert holm(given) == pytest.approx(expected)


def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order() -> None:
    rng = random.Random(0)
    for _ in range(200):
        given = [rng.random() ** 3 for _ in range(rng.randint(1, 9))]
        adjusted = holm(given)
        assert all(p <= q <= min(1.0, len(given) * p) + 1e-12 for p, q in zip(given, adjusted, strict=True))
        by_rank = [q for _, q in sorted(zip(given, adjusted, strict=True))]
        assert by_rank == sorted(by_rank)
