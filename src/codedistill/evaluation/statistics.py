"""How sure a number is, and whether two models differ on the same tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist
from typing import NamedTuple

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """Two models on the same tasks: mean difference a - b, its bootstrap interval, and McNemar's exact two-sided p.

    `wins` and `losses` count the tasks on which a is better and worse.
    """

    difference: float
    interval: Interval
    mcnemar_p: float
    wins: int
    losses: int


def wilson_interval(correct: int, total: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share of `correct` in `total` (Wilson 1927).

    Raises:
        ValueError: not 0 <= correct <= total, or total is 0.
    """
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"needs 0 <= correct <= total and total > 0, got {correct} of {total}")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, spread = correct / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    # At the ends the bound is the end itself; floating point would miss it by a hair.
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return Interval(low, high)


def bootstrap_interval(per_task: Sequence[float], seed: int = 0, level: float = 0.95) -> Interval:
    """Percentile bootstrap interval of the mean over tasks; the tasks are what is resampled.

    Raises:
        ValueError: no tasks.
    """
    import numpy as np

    values = np.asarray(per_task, dtype=float)
    if values.size == 0:
        raise ValueError("needs at least one task")
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 500):  # in parts: all the indices at once would take memory for nothing
        draws = rng.integers(0, values.size, (500, values.size))
        means[start : start + 500] = values[draws].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def paired_difference(a: Sequence[float], b: Sequence[float], seed: int = 0) -> Paired:
    """Compare two models task by task: `a` and `b` are their shares of passing samples, in the same order of tasks.

    Raises:
        ValueError: different numbers of tasks, or none.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"needs the same tasks for both, got {len(a)} and {len(b)}")
    differences = [float(x - y) for x, y in zip(a, b, strict=True)]
    wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    mean = sum(differences) / len(differences)
    return Paired(mean, bootstrap_interval(differences, seed), mcnemar_p(wins, losses), wins, losses)


def crossed_difference(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], seed: int = 0) -> Paired:
    """Compare two recipes that were run with several seeds each: `a` and `b` hold, per run, the shares by task.

    Both runs and tasks are random: the bootstrap draws runs of a, runs of b, and tasks (the same for both), each with
    replacement (Owen 2007's pigeonhole bootstrap for two crossed factors), so that the interval holds what another
    seed would have changed as well as what other tasks would. Wins, losses and p compare the means over runs by task.

    Raises:
        ValueError: a run has other tasks than another, or there are no runs or tasks.
    """
    import numpy as np

    if not a or not b or not a[0] or len({len(run) for run in (*a, *b)}) > 1:
        raise ValueError("needs runs with the same tasks for both")
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    rng, tasks = np.random.default_rng(seed), first.shape[1]
    tasks_drawn = rng.multinomial(tasks, np.full(tasks, 1 / tasks), RESAMPLES) / tasks
    means = []
    for runs in (first, second):
        n = len(runs)
        drawn = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
        means.append((drawn @ runs * tasks_drawn).sum(axis=1))
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    by_task = first.mean(axis=0) - second.mean(axis=0)
    wins, losses = int((by_task > 1e-12).sum()), int((by_task < -1e-12).sum())
    interval = Interval(float(low), float(high))
    return Paired(float(by_task.mean()), interval, mcnemar_p(wins, losses), wins, losses)


def mcnemar_p(wins: int, losses: int) -> float:
    """McNemar's exact test: the two-sided binomial p of `wins` against `losses` at even odds."""
    n = wins + losses
    tail = sum(comb(n, i) for i in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): adjusted p-values in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
