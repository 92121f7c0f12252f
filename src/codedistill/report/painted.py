"""Which runs share a colour in a comparison's charts, and the lines of the models around a student.

A recipe has one colour, so that its seeds are seen as one; where there is only one recipe, each run has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codedistill.report.groups import Group
from codedistill.report.load import Run

COLOURS = 10
"""Classes run0 to run9 in the style sheet; after them the colours come again, dashed and pale."""


@dataclass(frozen=True)
class Painted:
    """The runs, by position, that are drawn in one style, and what the legend calls them."""

    label: str
    style: str
    members: tuple[int, ...]


def painted(groups: Sequence[Group], labels: Sequence[str]) -> list[Painted]:
    """Every run in exactly one style."""
    if len(groups) == 1:
        return [Painted(labels[i], style(n), (i,)) for n, i in enumerate(groups[0].members)]
    return [Painted(group.label, style(n), group.members) for n, group in enumerate(groups)]


def style_by_run(groups: Sequence[Group]) -> dict[int, str]:
    """The style of each run, by its position."""
    runs = [i for group in groups for i in group.members]
    labels = [""] * (max(runs) + 1)
    return {i: paint.style for paint in painted(groups, labels) for i in paint.members}


def style(number: int) -> str:
    """Classes of the style sheet: no two of the first twenty are the same."""
    return f"run{number % COLOURS}{' again' if number // COLOURS % 2 else ''}"


def marks_of(run: Run, benchmark: str) -> dict[str, float]:
    """pass@1 of the teacher and the base student, where the run has them."""
    rows = {who: run.table.row(who, benchmark) for who in ("teacher", "base")}
    return {who: row.pass_at_1 for who, row in rows.items() if row is not None}
