"""Differences between recipes with several seeds each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from codedistill.evaluation import crossed_difference


def test_by_hand() -> None:
    found = crossed_difference([[0.04, 0.06, 0.04, 0.06], [0.06, 0.08, 0.06, 0.08]], [[0.01] * 4, [0.01] * 4])
    assert found.difference == pytest.approx(0.05)
    # Runs: of 0.05 and 0.07, variance 2e-4 over 2. Tasks: of 0.04, 0.06, 0.04, 0.06, variance 4e-4 / 3 over 4.
    spread = 1e-4 + 1e-4 / 3
    degrees = 12 / 7  # (4 / 3)^2 / (1^2 / 1 + (1 / 3)^2 / 3)
    half = stats.t.ppf(0.975, degrees) * spread**0.5
    assert found.interval == pytest.approx((0.05 - half, 0.05 + half))


def test_no_difference_is_beyond_1() -> None:
    assert crossed_difference([[1, 0], [0, 1]], [[0, 0], [0, 1]]).interval == (-1, 1)


def test_without_tasks_in_the_way_it_is_welchs_interval() -> None:
    """Every task goes as all others of its run, so that nothing is left but the runs."""
    a, b = [0.5, 0.7, 0.4], [0.1, 0.35, 0.2, 0.22]
    found = crossed_difference([[x] * 5 for x in a], [[x] * 5 for x in b])
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high))


def test_runs_that_agree_leave_the_paired_interval_of_the_tasks() -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.random(200) < 0.7).astype(float), (rng.random(200) < 0.5).astype(float)
    found = crossed_difference([list(a)] * 2, [list(b)] * 3)
    expected = stats.ttest_1samp(a - b, 0).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high))


def test_the_same_runs_differ_by_nothing() -> None:
    found = crossed_difference([[1, 0, 1]] * 3, [[1, 0, 1]] * 5)
    assert (found.difference, found.interval) == (0, (0, 0))


def made_runs(rng: np.random.Generator, tasks: Sequence[float], number: int, between: float) -> list[list[float]]:
    """Verdicts of runs that are equally good on average, and by `between` better or worse each."""
    chances = [np.clip(np.asarray(tasks) + rng.normal(0, between), 0, 1) for _ in range(number)]
    return [[float(x) for x in rng.random(len(tasks)) < chance] for chance in chances]


@pytest.mark.parametrize("runs", [(2, 2), (2, 5), (3, 3), (5, 5)])
@pytest.mark.parametrize("between", [0.0, 0.05, 0.15])
def test_coverage(runs: tuple[int, int], between: float) -> None:
    """A difference of 0 lies outside of a 95% interval about once in twenty times, however much the runs vary."""
    rng = np.random.default_rng(2)
    held, rounds = 0, 300
    for _ in range(rounds):
        tasks = rng.beta(1, 1, 100).tolist()
        a, b = (made_runs(rng, tasks, number, between) for number in runs)
        low, high = crossed_difference(a, b).interval
        held += low <= 0 <= high
    assert held / rounds >= 0.9
    if between == 0.15 and runs == (5, 5):
        assert held / rounds <= 0.985


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([], []),
        ([[1, 0]], [[1, 0], [0, 0]]),
        ([[1, 0], [0, 0]], [[1, 0]]),
        ([[1], [0]], [[1], [0]]),
        ([[1, 0], [0, 0]], [[1, 0], [0]]),
        ([[], []], [[], []]),
    ],
)
def test_needs_runs_with_the_same_tasks(a: list[list[float]], b: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="needs at least two runs of each, all with the same tasks"):
        crossed_difference(a, b)
