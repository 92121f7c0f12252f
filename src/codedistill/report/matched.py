"""Every recipe against the first one, task by task: runs with the same seed are the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codedistill.evaluation import holm
from codedistill.report.groups import Group
from codedistill.report.load import Run
from codedistill.report.paired import Difference, difference


@dataclass(frozen=True)
class Matched:
    """Differences with their p after Holm's correction, and in words what stands in the way of others."""

    differences: tuple[Difference, ...]
    adjusted: tuple[float, ...]
    notes: tuple[str, ...]


def matched(runs: Sequence[Run], labels: Sequence[str], groups: Sequence[Group]) -> Matched:
    """The later runs' students minus the first recipe's, on each benchmark.

    Holm's correction is for the recipes and benchmarks that are set against the same run. Another seed asks the same
    question again: its rows are a family of their own, since repeats must not make the correction harder.
    """
    pairs, notes = _pairs(runs, labels, groups)
    found: list[tuple[int, Difference]] = []
    for benchmark in runs[0].table.benchmarks:
        for later, first in pairs:
            result, remarks = _difference(runs, labels, (later, first), benchmark)
            notes += remarks
            found += [] if result is None else [(first, result)]
    return Matched(tuple(result for _, result in found), tuple(_adjusted(found)), tuple(notes))


def _pairs(
    runs: Sequence[Run], labels: Sequence[str], groups: Sequence[Group]
) -> tuple[list[tuple[int, int]], list[str]]:
    """Which run is set against which of the first recipe's, by position."""
    first, *others = groups
    if not others:
        notes = ["All runs are of one recipe: the differences show what the seed alone changes."]
        seeds = {run.seed for run in runs}
        return [(i, first.members[0]) for i in first.members[1:]], notes if len(seeds) == len(runs) else []
    partners = {runs[i].seed: i for i in reversed(first.members)}
    pairs, notes = [], []
    for group in others:
        same = [(i, partners[runs[i].seed]) for i in group.members if runs[i].seed in partners]
        pairs += same or [(group.members[0], first.members[0])]
        if not same:
            notes.append(f"{group.label} and {first.label} have no seed in common: their first runs are the pair.")
        elif len(same) < len(group.members):
            alone = [labels[i] for i in group.members if runs[i].seed not in partners]
            notes.append(f"{', '.join(alone)}: in no pair, since {first.label} was not run with that seed.")
    return pairs, notes


def _difference(
    runs: Sequence[Run], labels: Sequence[str], pair: tuple[int, int], benchmark: str
) -> tuple[Difference | None, list[str]]:
    """The difference of two runs' students, None where there is none; and what to know about it."""
    (run, first), (label, first_label) = [runs[i] for i in pair], [labels[i] for i in pair]
    a, b = run.evaluated("student", benchmark), first.evaluated("student", benchmark)
    if a is None or b is None:
        return None, []
    result = difference(a, b, (label, first_label))
    if result is None:
        return None, [f"{label} and {first_label} were not asked the same tasks of {benchmark}: no difference."]
    notes = []
    if result.tasks < max(len(a.answers), len(b.answers)):
        notes.append(f"{label} and {first_label} share {result.tasks} tasks of {benchmark}.")
    if (a.prompt_form, a.template) != (b.prompt_form, b.template):
        notes.append(f"{label} and {first_label} were asked {benchmark} with different prompts.")
    return result, notes


def _adjusted(found: Sequence[tuple[int, Difference]]) -> list[float]:
    """Holm's p in the order given, corrected within the rows that share the run of the first recipe."""
    adjusted = [0.0] * len(found)
    for partner in {first for first, _ in found}:
        family = [i for i, (first, _) in enumerate(found) if first == partner]
        for i, p in zip(family, holm([found[i][1].paired.p for i in family]), strict=True):
            adjusted[i] = p
    return adjusted
