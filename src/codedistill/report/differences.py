"""Two models on the same tasks: the difference, its interval, and on how many tasks each is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codedistill.evaluation import Paired, holm, paired_difference
from codedistill.report.blocks import Column, Table, table_of
from codedistill.report.load import Evaluated, Run
from codedistill.report.recipes import Recipe, shared_tasks
from codedistill.report.text import p_value, points, signed_interval


@dataclass(frozen=True)
class Difference:
    """`first` minus `second` over the `tasks` that both were asked.

    `paired` holds shares of passing samples. `p_holm` is p after Holm's correction, None for a single run's pairs.
    """

    first: str
    second: str
    benchmark: str
    tasks: int
    paired: Paired
    p_holm: float | None = None


def difference(first: Evaluated, second: Evaluated, names: tuple[str, str]) -> Difference | None:
    """Compare two models on their shared tasks; None if they share none or the benchmark's data differ."""
    shared = shared_tasks((first, second))
    if not shared:
        return None
    a, b = first.shares, second.shares
    paired = paired_difference([a[task] for task in shared], [b[task] for task in shared])
    return Difference(*names, first.benchmark, len(shared), paired)


def differences(run: Run) -> list[Difference]:
    """The distilled student minus the base student and minus the teacher, on each benchmark."""
    found = []
    for benchmark in run.table.benchmarks:
        student = run.evaluated("student", benchmark)
        for who in ("base", "teacher"):
            other = run.evaluated(who, benchmark)
            if student is not None and other is not None:
                found.append(difference(student, other, ("student", who)))
    return [item for item in found if item is not None]


def difference_table(items: Sequence[Difference], benchmarks: bool) -> Table:
    """One row for each difference; `benchmarks` says whether the benchmark is named."""
    columns: list[Column[Difference]] = [
        Column("", lambda d: f"{d.first} minus {d.second}", "text"),
        Column("benchmark", lambda d: d.benchmark if benchmarks else None, "text"),
        Column("tasks", lambda d: str(d.tasks), spare=6),
        Column("difference", lambda d: points(d.paired.difference)),
        Column("95% interval", lambda d: signed_interval(*d.paired.interval), spare=2),
        Column("better", lambda d: str(d.paired.wins), spare=3),
        Column("worse", lambda d: str(d.paired.losses), spare=4),
        Column("equal", lambda d: str(d.tasks - d.paired.wins - d.paired.losses), spare=7),
        Column("p", lambda d: p_value(d.paired.p), spare=5),
        Column("p (Holm)", lambda d: None if d.p_holm is None else p_value(d.p_holm), spare=1),
    ]
    return table_of("paired differences", columns, items)


def matched_differences(recipes: Sequence[Recipe]) -> tuple[list[Difference], list[str]]:
    """Students of the other recipes minus a student of the first one, on each benchmark; and remarks about the pairs.

    Holm's correction covers the recipes and benchmarks that are compared with the same run. Runs with another seed
    repeat the same question, so they are a family of their own: repeats must not make the correction stricter.
    """
    pairs, remarks = _pairs(recipes)
    found: list[tuple[Run, Difference]] = []
    for benchmark in recipes[0].runs[0].table.benchmarks:
        for later, first in pairs:
            a, b = later.evaluated("student", benchmark), first.evaluated("student", benchmark)
            if a is None or b is None:
                continue
            names = f"{later.name} and {first.name}"
            item = difference(a, b, (later.name, first.name))
            if item is None:
                remarks.append(f"{names} were not asked the same tasks of {benchmark}: no difference.")
                continue
            found.append((first, item))
            if item.tasks < max(len(a.results), len(b.results)):
                remarks.append(f"{names} share {item.tasks} tasks of {benchmark}.")
            if _asked(a) != _asked(b):
                remarks.append(f"{names} were asked {benchmark} with different prompts.")
    p_holm: dict[int, float] = {}
    for run in recipes[0].runs:
        family = [i for i, (first, _) in enumerate(found) if first is run]
        p_holm |= zip(family, holm([found[i][1].paired.p for i in family]), strict=True)
    return [replace(item, p_holm=p_holm[i]) for i, (_, item) in enumerate(found)], remarks


def _pairs(recipes: Sequence[Recipe]) -> tuple[list[tuple[Run, Run]], list[str]]:
    """Which run is compared with which run of the first recipe: the one with the same seed."""
    first, *others = recipes
    if not others:
        each_its_own = len({run.seed for run in first.runs}) == len(first.runs)
        remark = "All runs are of one recipe: the differences show what the seed alone changes."
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


def _asked(evaluated: Evaluated) -> tuple[str | None, str | None]:
    """How the prompts were made."""
    return (evaluated.summary.prompt_form, evaluated.summary.template) if evaluated.summary else (None, None)
