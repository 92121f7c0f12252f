"""Runs of one recipe: their common name, their students' results on a benchmark, and the pairs to compare."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import mean, stdev

from codedistill.evaluation import Crossed, Paired, accuracy_loss, holm
from codedistill.report.differences import Difference, Shares, difference, mean_difference, shared_tasks
from codedistill.report.load import Evaluated, Run
from codedistill.report.text import flat

OWN_KEYS = ("name", "output", "resume")
"""Recipe keys that differ between runs of the same recipe, as `training.seed` does."""


@dataclass(frozen=True)
class Recipe:
    """The runs of one recipe, at least one."""

    label: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class RecipeResult:
    """One recipe on one benchmark, over the tasks that the students of all recipes share.

    Attributes:
        runs: the runs whose student was evaluated on the benchmark.
        pass_at_1: of each run's student, with its `mean` and sample standard `deviation` (0 for one run).
        teacher: the teachers' mean pass@1 on the same tasks; None if no teacher was evaluated on all of them.
        base: the base students' shares on the same tasks; empty if none was evaluated on all of them.
        accuracy_loss: of the mean, in percent of the teacher's; None without a teacher that passes anything.
        seconds: mean training time of the runs that have metrics; `peak_memory_mb` is a mean of the same kind.
        difference: to the first recipe with several runs; None for that recipe and where it cannot be computed.
    """

    label: str
    benchmark: str
    runs: tuple[Run, ...]
    shares: Shares
    pass_at_1: tuple[float, ...]
    mean: float
    deviation: float
    teacher: float | None
    base: Shares
    accuracy_loss: float | None
    seconds: float | None
    peak_memory_mb: float | None
    difference: Crossed | Paired | None = None


@dataclass(frozen=True)
class BenchmarkResults:
    """All recipes on one benchmark, in the order given.

    Attributes:
        tasks: number of tasks that all students share. If it is 0, each recipe's result is over the tasks that its own
            runs share, and recipes cannot be compared.
        partial: some student was evaluated on more tasks than these.
    """

    benchmark: str
    tasks: int
    partial: bool
    recipes: tuple[RecipeResult, ...]


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
    """The whole words with which all labels begin (else end): `akd` for akd-0 and akd-1."""
    if len(labels) == 1:
        return labels[0]
    words = [re.split(r"([-_. /]+)", label) for label in labels]
    sides = (zip(*words, strict=False), zip(*(line[::-1] for line in words), strict=False))
    start, end = ([word[0] for word in takewhile(lambda word: len(set(word)) == 1, side)] for side in sides)
    shared = "".join(start).strip("-_. /") or "".join(reversed(end)).strip("-_. /")
    return shared or f"{labels[0]} and repeats"


def results_on(benchmark: str, recipes: Sequence[Recipe]) -> BenchmarkResults:
    """The results of the recipes' students on a benchmark."""

    def evaluated(runs: Iterable[Run], who: str) -> list[Evaluated]:
        return [found for run in runs if (found := run.evaluations.get((who, benchmark))) is not None]

    everyone = [student for recipe in recipes for student in evaluated(recipe.runs, "student")]
    shared = shared_tasks(everyone)
    results: list[RecipeResult] = []
    for recipe in recipes:
        runs = tuple(run for run in recipe.runs if ("student", benchmark) in run.evaluations)
        students = evaluated(runs, "student")
        tasks = shared or shared_tasks(students)
        if not (students and tasks):
            continue
        student, teachers, base = (
            tuple(tuple(one.shares[task] for task in tasks) for one in found if set(tasks) <= one.results.keys())
            for found in (students, evaluated(recipe.runs, "teacher"), evaluated(recipe.runs, "base"))
        )
        pass_at_1 = tuple(map(mean, student))
        teacher = mean(map(mean, teachers)) if teachers else None
        seconds = [run.training_seconds for run in runs if run.training_seconds is not None]
        memory = [run.peak_memory_mb for run in runs if run.peak_memory_mb is not None]
        result = RecipeResult(
            label=recipe.label,
            benchmark=benchmark,
            runs=runs,
            shares=student,
            pass_at_1=pass_at_1,
            mean=mean(pass_at_1),
            deviation=stdev(pass_at_1) if len(pass_at_1) > 1 else 0.0,
            teacher=teacher,
            base=base,
            accuracy_loss=accuracy_loss(teacher, mean(pass_at_1)) if teacher else None,
            seconds=mean(seconds) if seconds else None,
            peak_memory_mb=mean(memory) if memory else None,
        )
        results.append(result)
    several = [recipe.label for recipe in recipes if len(recipe.runs) > 1]
    first = next((r for r in results if [r.label] == several[:1] and len(r.runs) > 1), None)
    if shared and first is not None:
        results = [
            r if r is first or len(r.runs) < 2 else replace(r, difference=mean_difference(r.shares, first.shares))
            for r in results
        ]
    partial = any(len(student.results) > len(shared) for student in everyone)
    return BenchmarkResults(benchmark, len(shared), partial, tuple(results))


def matched_differences(recipes: Sequence[Recipe]) -> tuple[list[Difference], list[str]]:
    """Students of the other recipes minus a student of the first one, on each benchmark; and remarks about the pairs.

    Holm's correction covers the recipes and benchmarks that are compared with the same run. Runs with another seed
    repeat the same question, so they are a family of their own: repeats must not make the correction stricter.
    """
    pairs, remarks = _pairs(recipes)
    found: list[tuple[Run, Difference]] = []
    for benchmark in recipes[0].runs[0].table.benchmarks:
        for later, first in pairs:
            a, b = (run.evaluations.get(("student", benchmark)) for run in (later, first))
            if a is None or b is None:
                continue
            names = f"{later.name} and {first.name}"
            item = difference(a, b, (later.name, first.name))
            if item is None:
                remarks.append(f"{names} share no tasks of {benchmark}: no difference.")
                continue
            found.append((first, item))
            if item.tasks < max(len(a.results), len(b.results)):
                remarks.append(f"{names} share {item.tasks} tasks of {benchmark}.")
            prompts = {(e.summary.prompt_form, e.summary.template) if e.summary else (None, None) for e in (a, b)}
            if len(prompts) > 1:
                remarks.append(f"{names} had different prompts on {benchmark}.")
    p_holm: dict[int, float] = {}
    for run in recipes[0].runs:
        family = [i for i, (first, _) in enumerate(found) if first is run]
        p_holm |= zip(family, holm([found[i][1].paired.p for i in family]), strict=True)
    return [replace(item, p_holm=p_holm[i]) for i, (_, item) in enumerate(found)], remarks


def _pairs(recipes: Sequence[Recipe]) -> tuple[list[tuple[Run, Run]], list[str]]:
    """Each run of another recipe with the run of the first recipe that has the same seed; and remarks."""
    first, *others = recipes
    if not others:
        each_its_own = len({run.seed for run in first.runs}) == len(first.runs)
        remark = "All runs have one recipe: the differences show the effect of the seed alone."
        return [(run, first.runs[0]) for run in first.runs[1:]], [remark] if each_its_own else []
    partners = {run.seed: run for run in reversed(first.runs)}
    pairs: list[tuple[Run, Run]] = []
    remarks = []
    for recipe in others:
        same = [(run, partners[run.seed]) for run in recipe.runs if run.seed in partners]
        pairs += same or [(recipe.runs[0], first.runs[0])]
        if not same:
            remarks.append(f"{recipe.label} and {first.label} share no seed: their first runs are the pair.")
        elif len(same) < len(recipe.runs):
            alone = ", ".join(run.name for run in recipe.runs if run.seed not in partners)
            remarks.append(f"{alone}: not in a pair, since {first.label} has no run with that seed.")
    return pairs, remarks
