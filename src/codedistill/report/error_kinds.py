"""Kinds of errors by model or run: the counts as a table, and the most frequent kinds as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codedistill.report.blocks import Chart, Grid, Table, Text, plain_table
from codedistill.report.plots import bar_chart
from codedistill.report.results import TableRow

CHARTED = 8
"""Kinds with bars of their own; the last bar is for all others together."""


@dataclass(frozen=True)
class Bars:
    """A bar for each kind: the mean over some columns of the table."""

    name: str
    style: str
    rows: tuple[TableRow, ...]

    def mean(self, kinds: Sequence[str]) -> float:
        """The number of programs of these kinds, as a mean over the rows."""
        return sum(row.categories.get(kind, 0) for row in self.rows for kind in kinds) / len(self.rows)


def kinds_of_errors(rows: Sequence[TableRow]) -> list[str]:
    """All kinds, by the highest count that any row has."""
    counts = {kind: [row.categories.get(kind, 0) for row in rows] for row in rows for kind in row.categories}
    return sorted(counts, key=lambda kind: (-max(counts[kind]), -sum(counts[kind]), kind))


def error_table(columns: Mapping[str, TableRow], benchmark: str) -> Table:
    """Correct programs, then each kind of error, then all programs; a column for each model or run."""
    rows = list(columns.values())
    lines = [["passed", *(str(row.correct) for row in rows)]]
    lines += [[kind, *(str(row.categories.get(kind, 0)) for row in rows)] for kind in kinds_of_errors(rows)]
    lines += [["all programs", *(str(row.samples) for row in rows)]]
    return plain_table(f"programs by kind of error on {benchmark}", ["", *columns], lines)


def charted_kinds(kinds: Sequence[str]) -> dict[str, list[str]]:
    """The kinds that each bar counts, by the bar's name."""
    if len(kinds) <= CHARTED:
        return {kind: [kind] for kind in kinds}
    rest = list(kinds[CHARTED - 1 :])
    return {kind: [kind] for kind in kinds[: CHARTED - 1]} | {f"{len(rest)} other kinds": rest}


def error_grid(
    columns: Mapping[str, TableRow], bars: Sequence[Bars], benchmark: str, title: str, note: str = ""
) -> Grid:
    """The chart with the table beside it, or below if the table is wide."""
    table = error_table(columns, benchmark)
    kinds = charted_kinds(kinds_of_errors(list(columns.values())))
    chart: Chart | Text = Text("No program failed.")
    if kinds:
        counts = {name: [bar.mean(together) for bar in bars] for name, together in kinds.items()}
        svg = bar_chart(title, counts, [bar.style for bar in bars])
        chart = Chart("", svg, tuple((bar.name, bar.style) for bar in bars))
    return Grid((chart, table), "beside" if len(table.columns) <= 5 else "below", note)
