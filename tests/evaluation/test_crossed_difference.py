"""Differences between recipes with several seeds each."""

from __future__ import annotations

import numpy as np
import pytest

from codedistill.evaluation import crossed_difference, paired_difference


def test_by_hand() -> None:
    found = crossed_difference([[1, 1, 0, 0], [1, 0, 0, 0]], [[0, 1, 0, 1]])
    assert found.difference == pytest.approx((2 / 4 + 1 / 4) / 2 - 2 / 4)
    assert (found.wins, found.losses) == (1, 2)  # by task: 1 > 0, 0.5 < 1, 0 = 0, 0 < 1
    assert found.mcnemar_p == 1.0


def test_the_same_runs_differ_by_nothing_when_they_agree() -> None:
    found = crossed_difference([[1, 0, 1]] * 3, [[1, 0, 1]] * 5)
    assert found.difference == 0
    assert found.interval == (0, 0)


def test_one_run_each_is_the_paired_bootstrap() -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.random(200) < 0.7).astype(float), (rng.random(200) < 0.5).astype(float)
    crossed, paired = crossed_difference([list(a)], [list(b)]), paired_difference(list(a), list(b))
    assert crossed.difference == pytest.approx(paired.difference)
    assert crossed.interval == pytest.approx(paired.interval, abs=0.01)
    assert crossed.mcnemar_p == paired.mcnemar_p


def test_the_seeds_are_in_the_interval() -> None:
    """Tasks that all go the same way leave nothing but the seeds: of two runs, half of the draws hold both."""
    found = crossed_difference([[1.0] * 50, [0.0] * 50], [[0.0] * 50])
    assert found.difference == 0.5
    assert found.interval == pytest.approx((0, 1))


def test_coverage() -> None:
    """The interval of 95% holds the truth in about 95 of 100 made experiments; of tasks alone it would in far fewer."""
    rng, held, held_by_tasks = np.random.default_rng(2), 0, 0
    for number in range(60):
        tasks = rng.normal(0.5, 0.2, 100)
        runs = [list(tasks + rng.normal(0, 0.1) + rng.normal(0, 0.1, 100)) for _ in range(10)]
        a, b = runs[:5], runs[5:]
        low, high = crossed_difference(a, b, seed=number).interval
        held += low <= 0 <= high
        alone = paired_difference(list(np.mean(a, axis=0)), list(np.mean(b, axis=0))).interval
        held_by_tasks += alone.low <= 0 <= alone.high
    assert 0.84 <= held / 60 <= 0.99
    assert held_by_tasks / 60 < 0.6


@pytest.mark.parametrize(("a", "b"), [([], [[1.0]]), ([[1.0]], []), ([[1.0]], [[1.0, 0.0]]), ([[]], [[]])])
def test_refused(a: list[list[float]], b: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="same tasks"):
        crossed_difference(a, b)
