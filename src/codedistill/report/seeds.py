"""Runs of one recipe that differ in their seed: their mean, and the difference to the first recipe's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from codedistill.evaluation import Crossed, accuracy_loss, crossed_difference
from codedistill.report.groups import Group
from codedistill.report.load import Evaluated, Run
from codedistill.report.paired import shared_tasks
from codedistill.report.tables import MISSING, without
from codedistill.report.text import duration, interval, percent, points, visible


@dataclass(frozen=True)
class Repeated:
    """Runs of one recipe with different seeds on one benchmark: the students' pass@1.

    `label` is the group's. `difference`: to the first recipe, None for that one itself and where tasks differ.
    `fewer_tasks`: how many tasks the difference is of, where some student was asked more of them; None else.
    `seconds` of training and `peak_memory_mb` are means over the runs that tell them.
    """

    label: str
    benchmark: str
    seeds: tuple[int | None, ...]
    shares: tuple[float, ...]
    teacher: float | None
    difference: Crossed | None
    fewer_tasks: int | None
    seconds: float | None
    peak_memory_mb: float | None

    @property
    def mean(self) -> float:
        return mean(self.shares)

    @property
    def deviation(self) -> float:
        """The sample standard deviation, n - 1 below."""
        return stdev(self.shares)

    @property
    def accuracy_loss(self) -> float | None:
        """Of the mean, in percent of the teacher's; None without a teacher that passes anything."""
        return accuracy_loss(self.teacher, self.mean) if self.teacher else None


def repeated_recipes(runs: Sequence[Run], groups: Sequence[Group]) -> list[Repeated]:
    """What the recipes that were run at least twice come to, in the order given."""
    several = [group for group in groups if len(group.members) > 1]
    return [
        _repeated(benchmark, asked, group.label, _asked(runs, several[0], benchmark))
        for group in several
        for benchmark in runs[group.members[0]].table.benchmarks
        if len(asked := _asked(runs, group, benchmark)) > 1
    ]


def seed_notes(repeated: Sequence[Repeated]) -> list[str]:
    """Where the means and their difference are not of the same tasks."""
    return [
        f"Over seeds, the difference of {other.label} to {repeated[0].label} is of the {other.fewer_tasks} tasks of "
        f"{other.benchmark} that all their students were asked; the means are of every task that each was asked."
        for other in repeated
        if other.fewer_tasks is not None
    ]


def seed_table(repeated: Sequence[Repeated]) -> tuple[list[str], list[list[str]]]:
    """A row for each recipe and benchmark; no rows where no recipe was run twice."""
    first = visible(repeated[0].label) if repeated else ""
    header = ["recipe", "benchmark", "runs", "seeds", "mean", "deviation", "range", "accuracy loss"]
    compared = [f"difference to {first}", "95% interval"]
    header += [*compared, "training", "peak memory"]
    rows = [_cells(group) for group in repeated]
    if all(group.difference is None for group in repeated):
        for name in compared:
            header, rows = without(name, header, rows)
    return header, rows


def _asked(runs: Sequence[Run], group: Group, benchmark: str) -> list[Run]:
    return [runs[i] for i in group.members if runs[i].table.row("student", benchmark) is not None]


def _repeated(benchmark: str, runs: list[Run], label: str, first: list[Run]) -> Repeated:
    students = [row for run in runs if (row := run.table.row("student", benchmark)) is not None]
    teacher = next((row for run in runs if (row := run.table.row("teacher", benchmark)) is not None), None)
    compared = [] if first and runs[0] is first[0] else [_students(group, benchmark) for group in (runs, first)]
    difference, tasks = _difference(*compared) if compared else (None, 0)
    more = any(len(student.verdicts) > tasks for group in compared for student in group)
    seconds = [time for run in runs if (time := run.training_seconds) is not None]
    return Repeated(
        label=label,
        benchmark=benchmark,
        seeds=tuple(run.seed for run in runs),
        shares=tuple(row.pass_at_1 for row in students),
        teacher=None if teacher is None else teacher.pass_at_1,
        difference=difference,
        fewer_tasks=tasks if difference is not None and more else None,
        seconds=mean(seconds) if seconds else None,
        peak_memory_mb=mean(peaks) if (peaks := [p for run in runs if (p := run.peak_memory_mb) is not None]) else None,
    )


def _students(runs: list[Run], benchmark: str) -> list[Evaluated]:
    return [found for run in runs if (found := run.evaluated("student", benchmark)) is not None]


def _difference(students: list[Evaluated], first: list[Evaluated]) -> tuple[Crossed | None, int]:
    """The mean of a recipe's students minus that of the first one's, and over how many tasks: those that all share.

    None for fewer than two tasks or fewer than two runs of each, and where the benchmark's data differ.
    """
    tasks = shared_tasks([*students, *first])
    if len(tasks) < 2 or min(len(students), len(first)) < 2:
        return None, len(tasks)
    a, b = ([_shares(one, tasks) for one in group] for group in (students, first))
    return crossed_difference(a, b), len(tasks)


def _shares(student: Evaluated, tasks: Sequence[str]) -> list[float]:
    shares = student.shares
    return [shares[task] for task in tasks]


def _cells(group: Repeated) -> list[str]:
    loss, paired = group.accuracy_loss, group.difference
    return [
        visible(group.label),
        visible(group.benchmark),
        str(len(group.shares)),
        ", ".join(MISSING if seed is None else str(seed) for seed in group.seeds),
        percent(group.mean),
        f"{group.deviation * 100:.1f} points",
        interval(min(group.shares), max(group.shares)),
        MISSING if loss is None else f"{loss:.1f}%",
        MISSING if paired is None else points(paired.difference),
        MISSING if paired is None else f"{paired.interval.low * 100:+.1f} to {paired.interval.high * 100:+.1f}",
        MISSING if group.seconds is None else duration(group.seconds),
        MISSING if group.peak_memory_mb is None else f"{group.peak_memory_mb:,.0f} MB",
    ]
