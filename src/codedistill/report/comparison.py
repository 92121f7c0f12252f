"""Several runs side by side, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codedistill.errors import UserError
from codedistill.report.differences import Difference, matched_differences
from codedistill.report.headlines import comparison_headlines
from codedistill.report.load import Run, load_run
from codedistill.report.recipes import BenchmarkResults, Recipe, RecipeResult, recipes_of, results_on


@dataclass(frozen=True)
class Comparison:
    """Runs in the order given, under names that tell them apart.

    Attributes:
        recipes: the runs grouped by recipe, the first run's first.
        results: what the recipes reach, for each benchmark.
        differences: the other recipes' students minus those of the first one.
        remarks: what a reader must know about the differences and means.
    """

    runs: tuple[Run, ...]
    recipes: tuple[Recipe, ...]
    results: tuple[BenchmarkResults, ...]
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]

    @property
    def headlines(self) -> list[str]:
        """Which recipe comes first, and by how much, on each benchmark."""
        return comparison_headlines(self.results)

    @property
    def repeated(self) -> list[RecipeResult]:
        """The recipes that were run at least twice, each with its benchmarks."""
        return [
            result
            for recipe in self.recipes
            for benchmark in self.results
            for result in benchmark.recipes
            if result.label == recipe.label and len(result.runs) > 1
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "headlines": self.headlines,
            "runs": [
                {"label": run.name, "path": str(run.path), "method": run.method, "seed": run.seed} | run.table.to_json()
                for run in self.runs
            ],
            "differences": [_difference_json(d) for d in self.differences],
            "seeds": [_recipe_json(result) for result in self.repeated],
            "notes": list(self.remarks),
        }


def compare(paths: Sequence[Path]) -> Comparison:
    """Read the runs and compare them; see `codedistill.report.compare_runs`."""
    if len(paths) < 2:
        raise UserError(f"a comparison needs at least two runs, got {len(paths)}")
    resolved = [path.resolve() for path in paths]
    for path in paths:
        if resolved.count(path.resolve()) > 1:
            raise UserError(f"{path}: given twice; give each run once")
    runs = _told_apart([load_run(path) for path in paths])
    recipes = recipes_of(runs)
    results = [results_on(name, recipes) for name in dict.fromkeys(b for run in runs for b in run.table.benchmarks)]
    differences, remarks = matched_differences(recipes)
    remarks += [
        f"Over seeds, means on {result.benchmark} are over the {result.tasks} tasks that all students were asked."
        for result in results
        if result.tasks and result.partial and any(len(recipe.runs) > 1 for recipe in result.recipes)
    ]
    return Comparison(tuple(runs), recipes, tuple(results), tuple(differences), tuple(remarks))


def _told_apart(runs: Sequence[Run]) -> list[Run]:
    """The runs under unique names: their own, else those of their folders, else their paths."""
    for choice in ([run.name for run in runs], [run.path.resolve().name for run in runs]):
        if len(set(choice)) == len(runs):
            return [replace(run, name=name) for run, name in zip(runs, choice, strict=True)]
    return [replace(run, name=str(run.path)) for run in runs]


def _difference_json(item: Difference) -> dict[str, Any]:
    return {
        "first": item.first,
        "second": item.second,
        "benchmark": item.benchmark,
        "tasks": item.tasks,
        "difference": item.paired.difference,
        "interval": list(item.paired.interval),
        "better": item.paired.wins,
        "worse": item.paired.losses,
        "p": item.paired.p,
        "test": item.paired.test,
        "p_holm": item.p_holm,
    }


def _recipe_json(result: RecipeResult) -> dict[str, Any]:
    return {
        "label": result.label,
        "benchmark": result.benchmark,
        "seeds": [run.seed for run in result.runs],
        "pass@1": list(result.pass_at_1),
        "mean": result.mean,
        "deviation": result.deviation,
        "accuracy_loss": result.accuracy_loss,
        "difference": result.difference.difference if result.difference else None,
        "interval": list(result.difference.interval) if result.difference else None,
        "training_seconds": result.seconds,
        "peak_memory_mb": result.peak_memory_mb,
    }
