"""Two models on the same tasks: the difference, its interval, and on how many tasks each is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codedistill.evaluation import Crossed, Interval, Paired, crossed_difference, paired_difference
from codedistill.report.blocks import Column, Table
from codedistill.report.load import Evaluated, Run
from codedistill.report.text import p_value, points, signed_interval

Shares = tuple[tuple[float, ...], ...]
"""Shares of passing samples, runs x tasks."""


@dataclass(frozen=True)
class Difference:
    """`first` minus `second` over the `tasks` that both were evaluated on.

    `paired` holds shares of passing samples. `p_holm` is p after Holm's correction, None for a single run's pairs.
    """

    first: str
    second: str
    benchmark: str
    tasks: int
    paired: Paired
    p_holm: float | None = None


def interval_of(difference: Paired | Crossed) -> Interval | None:
    """The difference's interval, or None if it has no width.

    It has none if the difference is the same on every task: resampling the tasks, or their variance, then says nothing
    about other tasks.
    """
    return difference.interval if difference.interval.high - difference.interval.low > 1e-9 else None


def chance(difference: Paired | Crossed, of: str = "") -> str:
    """The interval as a part of a sentence, such as "95% interval -5.0 to 10.0, so this may be chance"."""
    found = interval_of(difference)
    if found is None:
        return "the same on every task, so there is no interval"
    may_be = ", so this may be chance" if found.low <= 0 <= found.high else ""
    return f"95% interval{of} {found.low * 100:.1f} to {found.high * 100:.1f}{may_be}"


def kept(accuracy_loss: float | None) -> str:
    """The share of the teacher's accuracy as a part of a sentence; empty if it is unknown."""
    if accuracy_loss is None:
        return ""
    return f"{'keeps' if accuracy_loss >= 0 else 'reaches'} {100 - accuracy_loss:.0f}% of the teacher's accuracy"


def shared_tasks(evaluated: Sequence[Evaluated]) -> list[str]:
    """The tasks that all of them have, in the first one's order; none if the benchmark's data differ."""
    if len({one.summary and one.summary.sha256 for one in evaluated}) != 1:
        return []
    return [task for task in evaluated[0].results if all(task in one.results for one in evaluated)]


def difference(first: Evaluated, second: Evaluated, names: tuple[str, str]) -> Difference | None:
    """Compare two models on their shared tasks; None if they share none or the benchmark's data differ."""
    shared = shared_tasks((first, second))
    if not shared:
        return None
    paired = paired_difference([first.shares[task] for task in shared], [second.shares[task] for task in shared])
    return Difference(*names, first.benchmark, len(shared), paired)


def mean_difference(first: Shares, second: Shares) -> Crossed | Paired | None:
    """The difference of two means with its interval: over seeds if both have several runs, or of two runs.

    None if only one of them has several runs, or there is a single task for several runs.
    """
    if len(first) == len(second) == 1:
        return paired_difference(first[0], second[0])
    if min(len(first), len(second)) > 1 and len(first[0]) > 1:
        return crossed_difference(first, second)
    return None


def differences(run: Run) -> list[Difference]:
    """The distilled student minus the base student and minus the teacher, on each benchmark."""
    found = []
    for benchmark in run.table.benchmarks:
        student = run.evaluations.get(("student", benchmark))
        for who in ("base", "teacher"):
            other = run.evaluations.get((who, benchmark))
            if student is not None and other is not None:
                found.append(difference(student, other, ("student", who)))
    return [item for item in found if item is not None]


def difference_table(items: Sequence[Difference], benchmarks: bool) -> Table:
    """One row for each difference; `benchmarks` adds a column with the benchmark."""
    columns: list[Column[Difference]] = [
        Column("", lambda d: f"{d.first} minus {d.second}", "text"),
        Column("benchmark", lambda d: d.benchmark if benchmarks else None, "text"),
        Column("tasks", lambda d: str(d.tasks), spare=6),
        Column("difference", lambda d: points(d.paired.difference)),
        Column("95% interval", lambda d: signed_interval(interval_of(d.paired)), spare=2),
        Column("better", lambda d: str(d.paired.wins), spare=3),
        Column("worse", lambda d: str(d.paired.losses), spare=4),
        Column("equal", lambda d: str(d.tasks - d.paired.wins - d.paired.losses), spare=7),
        Column("p", lambda d: p_value(d.paired.p), spare=5),
        Column("p (Holm)", lambda d: None if d.p_holm is None else p_value(d.p_holm), spare=1),
    ]
    return Table.of("paired differences", columns, items)
