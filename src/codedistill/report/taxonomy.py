"""Kinds of errors, by model: the table, and what a chart of it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codedistill.report.tables import ResultRow
from codedistill.report.text import visible

CHARTED = 8
"""Categories with bars of their own; the rest is one bar."""


@dataclass(frozen=True)
class Taxonomy:
    """`names` are the models; `counts` has a row of programs by model for each category, the most frequent first."""

    names: tuple[str, ...]
    who: tuple[str, ...]
    passed: tuple[int | None, ...]
    programs: tuple[int, ...]
    counts: dict[str, tuple[int, ...]]

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of text: right programs, then each kind of error, then all."""
        rows = [["passed", *("-" if n is None else str(n) for n in self.passed)]]
        rows += [[visible(name), *map(str, counts)] for name, counts in self.counts.items()]
        rows.append(["all programs", *map(str, self.programs)])
        return ["", *self.names], rows

    def charted(self) -> dict[str, tuple[int, ...]]:
        """The most frequent categories, and the sum of the others."""
        if len(self.counts) <= CHARTED:
            return dict(self.counts)
        items = list(self.counts.items())
        rest = [counts for _, counts in items[CHARTED - 1 :]]
        return dict(items[: CHARTED - 1]) | {f"{len(rest)} other kinds": tuple(map(sum, zip(*rest, strict=True)))}


def taxonomy(rows: Sequence[ResultRow], names: Sequence[str]) -> Taxonomy:
    """The categories of some results, by the highest count that any of them has."""
    found = {name for row in rows for name in row.categories}
    counts = {name: tuple(row.categories.get(name, 0) for row in rows) for name in found}
    order = sorted(counts, key=lambda name: (-max(counts[name]), -sum(counts[name]), name))
    return Taxonomy(
        names=tuple(names),
        who=tuple(row.who for row in rows),
        passed=tuple(row.correct for row in rows),
        programs=tuple(row.samples for row in rows),
        counts={name: counts[name] for name in order},
    )
