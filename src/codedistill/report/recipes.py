"""Runs of one recipe: what they are called together, and what their students reach on a benchmark."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import mean, stdev

from codedistill.evaluation import Crossed, Paired, accuracy_loss, crossed_difference, paired_difference
from codedistill.report.facts import flat
from codedistill.report.load import Evaluated, Run

OWN_KEYS = ("name", "output", "resume")
"""Recipe keys that differ between runs of the same recipe, as `training.seed` does."""


@dataclass(frozen=True)
class Recipe:
    """The runs of one recipe, at least one."""

    label: str
    runs: tuple[Run, ...]


def recipes_of(runs: Sequence[Run]) -> tuple[Recipe, ...]:
    """Runs grouped by recipe, the first run's first; a run without a recipe file is a recipe of its own."""
    groups: dict[str, list[Run]] = {}
    for i, run in enumerate(runs):
        values = {k: v for k, v in flat(run.recipe or {}) if k not in (*OWN_KEYS, "training.seed")}
        key = str(i) if run.recipe is None else json.dumps(values, sort_keys=True)
        groups.setdefault(key, []).append(run)
    names = [common_name([run.name for run in group]) for group in groups.values()]
    return tuple(
        Recipe(f"{group[0].name} and repeats" if len(group) > 1 and names.count(name) > 1 else name, tuple(group))
        for name, group in zip(names, groups.values(), strict=True)
    )


def common_name(labels: Sequence[str]) -> str:
    """What the labels begin (else end) with, in whole words: `akd` for akd-0 and akd-1."""
    if len(labels) == 1:
        return labels[0]
    words = [re.split(r"([-_. /]+)", label) for label in labels]
    start = "".join(_common_start(words))
    end = "".join(reversed(_common_start([line[::-1] for line in words])))
    return start.strip("-_. /") or end.strip("-_. /") or f"{labels[0]} and repeats"


def _common_start(lines: Sequence[Sequence[str]]) -> list[str]:
    return [words[0] for words in takewhile(lambda words: len(set(words)) == 1, zip(*lines, strict=False))]


def shared_tasks(evaluated: Sequence[Evaluated]) -> list[str]:
    """The tasks that all of them have, in the first one's order; none if the benchmark's data differ."""
    if len({one.sha256 for one in evaluated}) != 1:
        return []
    return [task for task in evaluated[0].results if all(task in one.results for one in evaluated)]


@dataclass(frozen=True)
class RecipeResult:
    """One recipe on one benchmark, over the tasks that the students of all recipes share.

    Attributes:
        runs: the runs whose student was asked the benchmark.
        shares: shares of passing samples, runs x tasks.
        teacher: the teachers' mean pass@1 on the same tasks; None if no teacher was asked them all.
        difference: to the first recipe with several runs; None for that recipe and where it cannot be computed.
    """

    label: str
    benchmark: str
    runs: tuple[Run, ...]
    shares: tuple[tuple[float, ...], ...]
    teacher: float | None
    difference: Crossed | Paired | None = None

    @property
    def pass_at_1(self) -> tuple[float, ...]:
        """pass@1 of each run's student."""
        return tuple(mean(tasks) for tasks in self.shares)

    @property
    def mean(self) -> float:
        return mean(self.pass_at_1)

    @property
    def deviation(self) -> float:
        """Sample standard deviation (n - 1) over the runs; there must be at least two."""
        return stdev(self.pass_at_1)

    @property
    def accuracy_loss(self) -> float | None:
        """Of the mean, in percent of the teacher's; None without a teacher that passes anything."""
        return accuracy_loss(self.teacher, self.mean) if self.teacher else None

    @property
    def seconds(self) -> float | None:
        """Mean training time of the runs that have metrics."""
        return _mean_of([run.training_seconds for run in self.runs])

    @property
    def peak_memory_mb(self) -> float | None:
        """Mean peak memory of training of the runs that recorded it."""
        return _mean_of([run.peak_memory_mb for run in self.runs])

    def lead(self, other: RecipeResult) -> Crossed | Paired | None:
        """The difference to another recipe with its interval: over seeds if both have several runs, or of two runs.

        None if one of them has several runs and the other has not, or there is a single task for several runs.
        """
        if len(self.runs) == len(other.runs) == 1:
            return paired_difference(self.shares[0], other.shares[0])
        if min(len(self.runs), len(other.runs)) > 1 and len(self.shares[0]) > 1:
            return crossed_difference(self.shares, other.shares)
        return None


@dataclass(frozen=True)
class BenchmarkResults:
    """All recipes on one benchmark, in the order given.

    Attributes:
        tasks: number of tasks that all students share. If it is 0, each recipe's result is over the tasks that its own
            runs share, and recipes cannot be compared.
        partial: some student was asked more tasks than these.
    """

    benchmark: str
    tasks: int
    partial: bool
    recipes: tuple[RecipeResult, ...]

    @property
    def ranked(self) -> list[RecipeResult]:
        """The highest mean first; in the order given if means are equal."""
        return sorted(self.recipes, key=lambda result: -result.mean)


def results_on(benchmark: str, recipes: Sequence[Recipe]) -> BenchmarkResults:
    """What the recipes' students reach on a benchmark."""
    students = {recipe.label: _evaluated(recipe.runs, "student", benchmark) for recipe in recipes}
    everyone = [student for found in students.values() for _, student in found]
    shared = shared_tasks(everyone)
    results = []
    for recipe in recipes:
        own = students[recipe.label]
        tasks = shared or shared_tasks([student for _, student in own])
        if own and tasks:
            teachers = [t for _, t in _evaluated(recipe.runs, "teacher", benchmark) if set(tasks) <= t.results.keys()]
            teacher = _mean_of([mean(_shares(one, tasks)) for one in teachers])
            runs, shares = tuple(run for run, _ in own), tuple(_shares(student, tasks) for _, student in own)
            results.append(RecipeResult(recipe.label, benchmark, runs, shares, teacher))
    several = [recipe.label for recipe in recipes if len(recipe.runs) > 1]
    first = next((r for r in results if [r.label] == several[:1] and len(r.runs) > 1), None)
    if shared and first is not None:
        results = [r if r is first or len(r.runs) < 2 else replace(r, difference=r.lead(first)) for r in results]
    partial = any(len(student.results) > len(shared) for student in everyone)
    return BenchmarkResults(benchmark, len(shared), partial, tuple(results))


def _evaluated(runs: Sequence[Run], who: str, benchmark: str) -> list[tuple[Run, Evaluated]]:
    return [(run, found) for run in runs if (found := run.evaluated(who, benchmark)) is not None]


def _shares(evaluated: Evaluated, tasks: Sequence[str]) -> tuple[float, ...]:
    shares = evaluated.shares
    return tuple(shares[task] for task in tasks)


def _mean_of(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return mean(found) if found else None
