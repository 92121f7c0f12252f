"""Runs of one recipe that differ in their seed: their mean, and the difference to the first recipe's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from codedistill.evaluation import Crossed, accuracy_loss, crossed_difference
from codedistill.report.facts import flat
from codedistill.report.load import Run
from codedistill.report.tables import MISSING
from codedistill.report.text import duration, interval, percent, visible

OWN_KEYS = ("name", "output", "resume")
"""Recipe keys that differ between runs of the same recipe."""


@dataclass(frozen=True)
class Repeated:
    """Runs of one recipe with different seeds on one benchmark: the students' pass@1.

    `label` is its first run's. `difference`: to the first recipe, None for that one itself and where tasks differ.
    `seconds` of training and `peak_memory_mb` are means over the runs that tell them.
    """

    label: str
    benchmark: str
    seeds: tuple[int | None, ...]
    shares: tuple[float, ...]
    teacher: float | None
    difference: Crossed | None
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


def repeated_recipes(runs: Sequence[Run], labels: Sequence[str]) -> list[Repeated]:
    """Groups of at least two runs whose recipes differ in name, output and seed alone, in the order given."""
    groups: dict[str, list[int]] = {}
    for i, run in enumerate(runs):
        if run.recipe is not None:
            recipe = {k: v for k, v in flat(run.recipe) if k not in (*OWN_KEYS, "training.seed")}
            groups.setdefault(json.dumps(recipe, sort_keys=True), []).append(i)
    members = [group for group in groups.values() if len(group) > 1]
    return [
        _repeated(benchmark, asked, labels[group[0]], _asked(runs, members[0], benchmark))
        for group in members
        for benchmark in runs[group[0]].table.benchmarks
        if len(asked := _asked(runs, group, benchmark)) > 1
    ]


def seed_table(groups: Sequence[Repeated]) -> tuple[list[str], list[list[str]]]:
    """A row for each group; no rows where no recipe was run twice."""
    first = visible(groups[0].label) if groups else ""
    header = ["recipe of", "benchmark", "runs", "seeds", "mean", "deviation", "range", "accuracy loss"]
    header += [f"minus {first}", "95% interval", "training", "peak memory"]
    return header, [_cells(group) for group in groups]


def _asked(runs: Sequence[Run], members: Sequence[int], benchmark: str) -> list[Run]:
    return [runs[i] for i in members if runs[i].table.row("student", benchmark) is not None]


def _repeated(benchmark: str, runs: list[Run], label: str, first: list[Run]) -> Repeated:
    students = [row for run in runs if (row := run.table.row("student", benchmark)) is not None]
    teacher = next((row for run in runs if (row := run.table.row("teacher", benchmark)) is not None), None)
    seconds = [sum(step.seconds or 0.0 for step in run.steps) for run in runs if run.steps]
    return Repeated(
        label=label,
        benchmark=benchmark,
        seeds=tuple(run.seed for run in runs),
        shares=tuple(row.pass_at_1 for row in students),
        teacher=None if teacher is None else teacher.pass_at_1,
        difference=None if first and runs[0] is first[0] else _difference(benchmark, runs, first),
        seconds=mean(seconds) if seconds else None,
        peak_memory_mb=mean(peaks) if (peaks := [p for run in runs if (p := run.peak_memory_mb) is not None]) else None,
    )


def _difference(benchmark: str, runs: list[Run], first: list[Run]) -> Crossed | None:
    """Over the tasks that all runs were asked; None for fewer than two tasks or runs, or where the data differ."""
    found = [[e for run in group if (e := run.evaluated("student", benchmark))] for group in (runs, first)]
    everyone = [*found[0], *found[1]]
    tasks = [task for task in everyone[0].verdicts if all(task in other.verdicts for other in everyone)]
    if len(tasks) < 2 or len(found[1]) < 2 or len({other.sha256 for other in everyone}) > 1:
        return None
    a, b = ([[shares[task] for task in tasks] for e in group if (shares := e.shares)] for group in found)
    return crossed_difference(a, b)


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
        MISSING if paired is None else f"{paired.difference * 100:+.1f}",
        MISSING if paired is None else f"{paired.interval.low * 100:+.1f} to {paired.interval.high * 100:+.1f}",
        MISSING if group.seconds is None else duration(group.seconds),
        MISSING if group.peak_memory_mb is None else f"{group.peak_memory_mb:,.0f} MB",
    ]
