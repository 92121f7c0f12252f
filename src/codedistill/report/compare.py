"""Several runs side by side: results, differences on the same tasks to the first recipe, means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codedistill.errors import UserError
from codedistill.report.facts import flat
from codedistill.report.groups import OWN_KEYS, Group, groups_of
from codedistill.report.load import Run, load_run
from codedistill.report.matched import matched
from codedistill.report.paired import HEADER, Difference
from codedistill.report.ranking import comparison_headlines
from codedistill.report.seeds import Repeated, repeated_recipes, seed_notes, seed_table
from codedistill.report.tables import MISSING, ResultRow, without
from codedistill.report.text import interval, p_value, percent, visible

FIRST_OUT = {
    "results": ("method", "base", "teacher", "seed", "accuracy loss", "95% interval"),
    "differences": ("equal", "tasks", "p", "worse", "better", "95% interval", "p (Holm)"),
    "seeds": ("peak memory", "training", "range", "runs", "deviation", "seeds", "accuracy loss", "95% interval"),
}
"""Columns of each table that a narrow terminal does without, the one that is missed least first."""

Cells = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class Comparison:
    """Runs in the order given. `labels` tells them apart, `groups` are the recipes, the first run's first.

    `differences` are the other recipes' students minus the first one's, `adjusted` their p after Holm's correction.
    """

    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    groups: tuple[Group, ...]
    differences: tuple[Difference, ...]
    adjusted: tuple[float, ...]
    repeated: tuple[Repeated, ...]
    notes: tuple[str, ...]

    @property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for run in self.runs for name in run.table.benchmarks))

    @property
    def headlines(self) -> list[str]:
        """Which recipe comes first, and by how much, on each benchmark."""
        return comparison_headlines(self.runs, self.groups, self.benchmarks)

    def results(self) -> Cells:
        """One row for each run and benchmark: the student with its interval, and the models around it."""
        header = ["run", "method", "benchmark", "seed", "teacher", "base", "student", "95% interval", "accuracy loss"]
        rows = [
            _cells(label, run, name)
            for name in self.benchmarks
            for label, run in zip(self.labels, self.runs, strict=True)
            if name in run.table.benchmarks
        ]
        return self._table(header, rows)

    def difference_table(self) -> Cells:
        """Paired differences with their p, as it is and after Holm's correction."""
        rows = [[*d.cells(), p_value(p)] for d, p in zip(self.differences, self.adjusted, strict=True)]
        return self._table([*HEADER, "p (Holm)"], rows)

    def seed_table(self) -> Cells:
        """What `seeds.seed_table` says of the recipes that were run with several seeds."""
        return self._table(*seed_table(self.repeated))

    def _table(self, header: list[str], rows: list[list[str]]) -> Cells:
        return (header, rows) if len(self.benchmarks) > 1 else without("benchmark", header, rows)

    def recipe_table(self) -> Cells:
        """The values that are not the same in all recipes, a column each; in all runs, where there is one recipe."""
        columns = [(group.label, group.members) for group in self.groups]
        if len(columns) == 1:
            columns = [(label, (i,)) for i, label in enumerate(self.labels)]
        header = ["", *(label for label, _ in columns)]
        recipes = [dict(flat(run.recipe)) for run in self.runs if run.recipe is not None]
        if len(recipes) < len(self.runs):
            return header, []
        rows = []
        for key in dict.fromkeys(key for recipe in recipes for key in recipe if key not in OWN_KEYS):
            found = [dict.fromkeys(recipes[i].get(key, MISSING) for i in members) for _, members in columns]
            cells = [", ".join(values) for values in found]  # the seeds of a recipe; all else is the same in its runs
            rows += [[key, *map(visible, cells)]] if len(set(cells)) > 1 else []
        return header, rows

    def print(self) -> None:
        """Write the headlines and the tables to standard output."""
        from codedistill.report.terminal import paragraph, render

        for text in self.headlines:
            print(paragraph(visible(text)))
        tables = [
            (self.results(), ("run", "method", "benchmark"), FIRST_OUT["results"]),
            (self.difference_table(), ("", "benchmark"), FIRST_OUT["differences"]),
            (self.seed_table(), ("recipe", "benchmark"), FIRST_OUT["seeds"]),
        ]
        for (header, rows), texts, first_out in tables:
            if rows:
                print(render(header, rows, sum(name in texts for name in header), first_out))
        for note in self.notes:
            print(paragraph(visible(note)), end="")

    def write(self, folder: Path) -> Path:
        """Write comparison.html, comparison.md and comparison.json into a folder; the path of the first.

        Raises:
            UserError: the folder cannot be written.
        """
        from codedistill.report.comparison import comparison_markdown, comparison_page
        from codedistill.runs.files import write_json, write_text

        folder = Path(folder)
        write_json(folder / "comparison.json", self.to_json())
        write_text(folder / "comparison.md", comparison_markdown(self))
        write_text(folder / "comparison.html", comparison_page(self, folder))
        return folder / "comparison.html"

    def to_json(self) -> dict[str, Any]:
        return {
            "headlines": self.headlines,
            "runs": [
                {"label": label, "path": str(run.path), "method": run.method, "seed": run.seed, **run.table.to_json()}
                for label, run in zip(self.labels, self.runs, strict=True)
            ],
            "differences": [
                {
                    "first": d.first,
                    "second": d.second,
                    "benchmark": d.benchmark,
                    "tasks": d.tasks,
                    "difference": d.paired.difference,
                    "interval": list(d.paired.interval),
                    "better": d.paired.wins,
                    "worse": d.paired.losses,
                    "p": d.paired.p,
                    "test": d.paired.test,
                    "p_holm": p,
                }
                for d, p in zip(self.differences, self.adjusted, strict=True)
            ],
            "seeds": [
                {"label": r.label, "benchmark": r.benchmark, "seeds": list(r.seeds), "pass@1": list(r.shares)}
                | {"mean": r.mean, "deviation": r.deviation, "accuracy_loss": r.accuracy_loss}
                | {"difference": r.difference.difference if r.difference else None}
                | {"interval": list(r.difference.interval) if r.difference else None}
                | {"training_seconds": r.seconds, "peak_memory_mb": r.peak_memory_mb}
                for r in self.repeated
            ],
            "notes": list(self.notes),
        }


def compare(paths: Sequence[Path]) -> Comparison:
    """Read the runs and compare them; see `codedistill.report.compare_runs`."""
    if len(paths) < 2:
        raise UserError(f"a comparison needs at least two runs, got {len(paths)}")
    resolved = [path.resolve() for path in paths]
    for path in paths:
        if resolved.count(path.resolve()) > 1:
            raise UserError(f"{path}: given twice; give each run once")
    runs = [load_run(path) for path in paths]
    labels = _labels(runs)
    groups = groups_of(runs, labels)
    found = matched(runs, labels, groups)
    repeated = repeated_recipes(runs, groups)
    return Comparison(
        runs=tuple(runs),
        labels=tuple(labels),
        groups=groups,
        differences=found.differences,
        adjusted=found.adjusted,
        repeated=tuple(repeated),
        notes=(*found.notes, *seed_notes(repeated)),
    )


def _labels(runs: Sequence[Run]) -> list[str]:
    """Each run's name; its folder where names are not unique, its path where folders are not either."""
    for choice in ([run.name for run in runs], [run.path.resolve().name for run in runs]):
        if len(set(choice)) == len(runs):
            return choice
    return [str(run.path) for run in runs]


def _cells(label: str, run: Run, benchmark: str) -> list[str]:
    student = run.table.row("student", benchmark)
    return [
        visible(label),
        visible(run.method),
        visible(benchmark),
        MISSING if run.seed is None else str(run.seed),
        _share(run.table.row("teacher", benchmark)),
        _share(run.table.row("base", benchmark)),
        _share(student),
        interval(student.low, student.high)
        if student and student.low is not None and student.high is not None
        else MISSING,
        MISSING if student is None or student.accuracy_loss is None else f"{student.accuracy_loss:.1f}%",
    ]


def _share(row: ResultRow | None) -> str:
    return MISSING if row is None else percent(row.pass_at_1)
