"""Several runs side by side, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from statistics import mean
from typing import Any

from codedistill.errors import UserError
from codedistill.report.differences import Difference, chance, interval_of, kept, mean_difference
from codedistill.report.load import Run, load_run
from codedistill.report.recipes import (
    BenchmarkResults,
    Recipe,
    RecipeResult,
    matched_differences,
    recipes_of,
    results_on,
)
from codedistill.report.text import percent


@dataclass(frozen=True)
class Comparison:
    """Runs in the order given, under unique names.

    Attributes:
        recipes: the runs grouped by recipe, the first run's first.
        results: the recipes' results on each benchmark.
        repeated: the results of the recipes with at least two runs, by recipe and then by benchmark.
        differences: the other recipes' students minus those of the first one.
        remarks: notes on the differences and means.
        headlines: the ranking on each benchmark, in sentences.
    """

    runs: tuple[Run, ...]
    recipes: tuple[Recipe, ...]
    results: tuple[BenchmarkResults, ...]
    repeated: tuple[RecipeResult, ...]
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]
    headlines: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of comparison.json. An interval is null where it cannot be computed."""
        runs, differences, seeds = [], [], []
        for run in self.runs:
            names = {"label": run.name, "path": str(run.path), "method": run.summary.method, "seed": run.seed}
            runs.append(names | {"models": [row.to_json() for row in run.table.rows]})
        for d in self.differences:
            pair: dict[str, Any] = {"first": d.first, "second": d.second, "benchmark": d.benchmark, "tasks": d.tasks}
            pair |= {"difference": d.paired.difference, "interval": interval_of(d.paired)}
            pair |= {"better": d.paired.wins, "worse": d.paired.losses}
            differences.append(pair | {"p": d.paired.p, "test": d.paired.test, "p_holm": d.p_holm})
        for r in self.repeated:
            recipe: dict[str, Any] = {"label": r.label, "benchmark": r.benchmark, "seeds": [run.seed for run in r.runs]}
            recipe |= {"pass@1": r.pass_at_1, "mean": r.mean, "deviation": r.deviation}
            recipe |= {"accuracy_loss": r.accuracy_loss, "difference": r.difference and r.difference.difference}
            recipe |= {"interval": interval_of(r.difference) if r.difference else None}
            seeds.append(recipe | {"training_seconds": r.seconds, "peak_memory_mb": r.peak_memory_mb})
        content: dict[str, Any] = {"headlines": self.headlines, "runs": runs, "differences": differences}
        return content | {"seeds": seeds, "notes": self.remarks}


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """Load finished runs and compare them; differences are to the first run's recipe.

    Raises:
        UserError: fewer than two runs, the same one twice, or a file is missing or malformed.
    """
    if len(paths) < 2:
        raise UserError(f"a comparison needs at least two runs, got {len(paths)}")
    resolved = [Path(path).resolve() for path in paths]
    for path, real in zip(paths, resolved, strict=True):
        if resolved.count(real) > 1:
            raise UserError(f"{path}: given twice; give each run once")
    runs = [load_run(Path(path)) for path in paths]
    for names in ([run.name for run in runs], [path.name for path in resolved], list(map(str, paths))):
        if len(set(names)) == len(runs):
            runs = [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
            break
    recipes = recipes_of(runs)
    results = [results_on(name, recipes) for name in dict.fromkeys(b for run in runs for b in run.table.benchmarks)]
    differences, remarks = matched_differences(recipes)
    remarks += [
        f"Over seeds, means on {result.benchmark} are over the {result.tasks} tasks that all students share."
        for result in results
        if result.tasks and result.partial and any(len(recipe.runs) > 1 for recipe in result.recipes)
    ]
    repeated = [
        result
        for recipe in recipes
        for on_benchmark in results
        for result in on_benchmark.recipes
        if result.label == recipe.label and len(result.runs) > 1
    ]
    return Comparison(
        runs=tuple(runs),
        recipes=recipes,
        results=tuple(results),
        repeated=tuple(repeated),
        differences=tuple(differences),
        remarks=tuple(remarks),
        headlines=tuple(comparison_headlines(results)),
    )


def comparison_headlines(results: Sequence[BenchmarkResults]) -> list[str]:
    """The ranking of the recipes on each benchmark, over the tasks that all students share.

    Where no distilled student is better than the base student, another sentence says so before it.
    """
    sentences = []
    for result in results:
        where = f" on {result.benchmark}" if len(results) > 1 else ""
        if not result.tasks:
            if result.partial:
                sentences.append(f"The students share no tasks{where}, so there is no ranking.")
            continue
        shared = f"the {result.tasks} tasks{where} that all students share"
        tasks = shared if result.partial else f"the tasks{where}"
        best, *others = sorted(result.recipes, key=lambda r: -r.mean)  # as given where means are equal
        base = max((r.base for r in result.recipes if r.base), key=lambda runs: mean(map(mean, runs)), default=None)
        place = "has the best student"
        if base is not None and (solved := mean(map(mean, base))) > best.mean - 1e-9:
            more = "as many as the best distilled student"
            if not isclose(solved, best.mean):
                lead = mean_difference(base, best.shares)
                more = f"{(solved - best.mean) * 100:.1f} points more than {best.label}"
                more += f" ({chance(lead)})" if lead else ""
            text = f"No distilled student is better than the base student, which solves {percent(solved)} of {tasks}"
            sentences.append(f"{text}, {more}.")
            place = "comes closest"
        keeps = kept(best.accuracy_loss)
        solved_by_best = f"{percent(best.mean)} of {tasks}{_mean_of_runs(best)}{f' and {keeps}' if keeps else ''}"
        if others:
            ranking = f"Of {len(result.recipes)} recipes, {best.label} {place}: it solves {solved_by_best}."
            sentences.append(f"{ranking} {_lead(best, others[0])}")
        else:
            sentences.append(f"{best.label}: the student solves {solved_by_best}.")
    return sentences


def _mean_of_runs(result: RecipeResult) -> str:
    return f" (mean of {len(result.runs)} runs)" if len(result.runs) > 1 else ""


def _lead(best: RecipeResult, other: RecipeResult) -> str:
    """The distance of the second recipe, and whether that may be chance."""
    if isclose(best.mean, other.mean):
        return f"{other.label} solves just as many."
    lead = mean_difference(best.shares, other.shares)
    behind = best.mean - other.mean if lead is None else lead.difference
    text = f"Next is {other.label} with {percent(other.mean)}{_mean_of_runs(other)}, {behind * 100:.1f} points less"
    return f"{text}." if lead is None else f"{text} ({chance(lead, ' of the lead:')})."
