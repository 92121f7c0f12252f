"""pass@k and accuracy loss, their uncertainty, and whether two models differ on the same tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist, fmean, variance
from typing import NamedTuple

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """Two models on the same tasks: the mean difference a - b, its bootstrap interval and its p-value.

    `wins` and `losses` count the tasks on which a is better and worse. `p` is two-sided, exact and computed from these
    two counts: McNemar's test for one sample per task, the sign test for several.
    """

    difference: float
    interval: Interval
    p: float
    test: str
    wins: int
    losses: int


@dataclass(frozen=True)
class Crossed:
    """Two recipes with several runs each on the same tasks: the mean difference a - b and its interval."""

    difference: float
    interval: Interval


def pass_at_k(n: int, c: int, k: int) -> float:
    """The unbiased estimate of the probability that at least one of k samples is correct, given c correct ones of n.

    1 - C(n-c, k) / C(n, k), Chen et al. 2021, eq. 1. Computed in integers and rounded once, so it is exact for any n.

    Raises:
        ValueError: not 0 <= c <= n or not 1 <= k <= n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n={n}, c={c}, k={k}")
    draws = comb(n, k)
    return (draws - comb(n - c, k)) / draws


def accuracy_loss(teacher: float, student: float) -> float:
    """The share of the teacher's accuracy that the student lost, in percent: (teacher - student) / teacher * 100.

    Negative if the student is better. The average over benchmarks is the mean of these percentages.

    Raises:
        ValueError: the teacher's accuracy is not positive.
    """
    if not teacher > 0:
        raise ValueError(f"accuracy loss needs a teacher above 0, got {teacher}")
    return (teacher - student) / teacher * 100


def wilson_interval(correct: float, total: float, level: float = 0.95) -> Interval:
    """Wilson's score interval for the share of `correct` in `total` (Wilson 1927).

    Raises:
        ValueError: not 0 <= correct <= total, or total is 0.
    """
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"needs 0 <= correct <= total and total > 0, got {correct} of {total}")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, spread = correct / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    # At 0 and 1 the bound is exact; floating point would miss it slightly.
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return Interval(low, high)


def share_interval(per_task: Sequence[float], samples: int, level: float = 0.95) -> Interval:
    """Wilson's interval for the mean of `per_task`, the share of passing samples of each task.

    Samples of one task are not independent, so the interval is computed at the effective sample size (Kish 1965, Dean
    and Pagano 2015): the number of independent samples whose mean has the observed variance between tasks. It is at
    least the number of tasks and at most `samples`, the number of all samples. If all tasks have the same share, it is
    the number of tasks; a bootstrap over tasks would give an interval of width 0.

    Raises:
        ValueError: no tasks.
    """
    tasks = len(per_task)
    if tasks == 0:
        raise ValueError("needs at least one task")
    mean, spread = fmean(per_task), variance(per_task) if tasks > 1 else 0.0
    worth = tasks if spread == 0 else min(max(mean * (1 - mean) * tasks / spread, tasks), samples)
    return wilson_interval(mean * worth, worth, level)


def bootstrap_interval(per_task: Sequence[float], seed: int = 0, level: float = 0.95) -> Interval:
    """Percentile bootstrap interval of the mean, resampling tasks.

    Raises:
        ValueError: no tasks.
    """
    import numpy as np

    values = np.asarray(per_task, dtype=float)
    if values.size == 0:
        raise ValueError("needs at least one task")
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 500):  # in chunks, to save memory
        draws = rng.integers(0, values.size, (500, values.size))
        means[start : start + 500] = values[draws].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def paired_difference(a: Sequence[float], b: Sequence[float], seed: int = 0) -> Paired:
    """Compare two models task by task. `a` and `b` are their shares of passing samples, in the same order of tasks.

    Raises:
        ValueError: the numbers of tasks differ or are 0.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"needs the same tasks for both, got {len(a)} and {len(b)}")
    differences = [float(x - y) for x, y in zip(a, b, strict=True)]
    wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    test = "McNemar" if {*a, *b} <= {0, 1} else "sign test"
    return Paired(
        fmean(differences), bootstrap_interval(differences, seed), even_odds_p(wins, losses), test, wins, losses
    )


def crossed_difference(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], level: float = 0.95) -> Crossed:
    """Compare two recipes that were run with several seeds each. `a` and `b` hold the shares by task of each run.

    Runs and tasks are both random. The variance is the sum of three parts, for a's runs, b's runs and the tasks, each
    divided by its number. The quantile is Student's with the degrees of freedom of Welch and Satterthwaite, because the
    variance of few runs is poorly known. The interaction of run and task is in two of the parts, so the interval is
    conservative.

    Raises:
        ValueError: the runs have different tasks, or there are fewer than two runs of a recipe or two tasks.
    """
    import numpy as np
    from scipy.special import stdtrit

    if min(len(a), len(b)) < 2 or len(a[0]) < 2 or len({len(run) for run in (*a, *b)}) > 1:
        raise ValueError("needs at least two runs of each, all with the same tasks, at least two")
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    by_task = first.mean(axis=0) - second.mean(axis=0)
    parts = [values.var(ddof=1) / values.size for values in (first.mean(axis=1), second.mean(axis=1), by_task)]
    freedom = [len(first) - 1, len(second) - 1, by_task.size - 1]
    difference, spread, half = float(by_task.mean()), sum(parts), 0.0
    if spread > 0:
        degrees = spread**2 / sum(part**2 / free for part, free in zip(parts, freedom, strict=True))
        half = float(stdtrit(degrees, 0.5 + level / 2) * spread**0.5)
    return Crossed(difference, Interval(max(-1.0, difference - half), min(1.0, difference + half)))


def even_odds_p(wins: int, losses: int) -> float:
    """The exact two-sided p-value of `wins` against `losses` at even odds: McNemar's test or the sign test."""
    from scipy.special import bdtr

    n = wins + losses
    return min(1.0, 2 * float(bdtr(min(wins, losses), n, 0.5))) if n else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): the adjusted p-values, in the order of `p_values`."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
