"""pass@k and accuracy loss."""

from __future__ import annotations

from math import comb


def pass_at_k(n: int, c: int, k: int) -> float:
    """The unbiased estimate of the chance that one of k samples is correct, from n samples of which c are.

    1 - C(n-c, k) / C(n, k), Chen et al. 2021, eq. 1; computed in integers and rounded once, so exact for any n.

    Raises:
        ValueError: not 0 <= c <= n or not 1 <= k <= n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n={n}, c={c}, k={k}")
    draws = comb(n, k)
    return (draws - comb(n - c, k)) / draws


def accuracy_loss(teacher: float, student: float) -> float:
    """How many percent of the teacher's accuracy the student lacks: (teacher - student) / teacher * 100.

    Negative where the student is better. An average over benchmarks is the average of these percentages.

    Raises:
        ValueError: the teacher's accuracy is not above 0.
    """
    if not teacher > 0:
        raise ValueError(f"accuracy loss needs a teacher above 0, got {teacher}")
    return (teacher - student) / teacher * 100
