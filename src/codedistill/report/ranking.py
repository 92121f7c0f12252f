"""Which recipe keeps most of the teacher, in a sentence: the first thing that a comparison says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from codedistill.evaluation import Interval, accuracy_loss
from codedistill.report.groups import Group
from codedistill.report.load import Run
from codedistill.report.paired import difference
from codedistill.report.seeds import recipe_difference
from codedistill.report.text import percent


@dataclass(frozen=True)
class Ranked:
    """A recipe's runs on one benchmark: the mean of their students' pass@1, and what that is of the teacher's."""

    label: str
    runs: tuple[Run, ...]
    share: float
    kept: float | None

    @property
    def of_runs(self) -> str:
        return f" (mean of {len(self.runs)} runs)" if len(self.runs) > 1 else ""


def comparison_headlines(runs: Sequence[Run], groups: Sequence[Group], benchmarks: Sequence[str]) -> list[str]:
    """One sentence or two for each benchmark."""
    found = [(benchmark, ranking(runs, groups, benchmark)) for benchmark in benchmarks]
    several = len(benchmarks) > 1
    return [_sentences(b, ranked, f" on {b}" if several else "") for b, ranked in found if ranked]


def ranking(runs: Sequence[Run], groups: Sequence[Group], benchmark: str) -> list[Ranked]:
    """The recipes by their students' pass@1, the highest first; in the order given where it is the same."""
    found = []
    for group in groups:
        asked = [runs[i] for i in group.members if runs[i].table.row("student", benchmark) is not None]
        share = _share(asked, "student", benchmark)
        teacher = _share(asked, "teacher", benchmark)
        if share is not None:
            kept = 100 - accuracy_loss(teacher, share) if teacher else None
            found.append(Ranked(group.label, tuple(asked), share, kept))
    return sorted(found, key=lambda ranked: -ranked.share)


def _share(runs: Sequence[Run], who: str, benchmark: str) -> float | None:
    """The mean pass@1 of one of the models over the runs that have it."""
    rows = [row for run in runs if (row := run.table.row(who, benchmark)) is not None]
    return mean(row.pass_at_1 for row in rows) if rows else None


def _sentences(benchmark: str, ranked: Sequence[Ranked], where: str) -> str:
    best, *others = ranked
    solved = f"{percent(best.share)} of the tasks{where}{best.of_runs}{_kept(best)}"
    if not others:
        return f"{best.label}: the student solves {solved}."
    text = f"Of {len(ranked)} recipes, {best.label} has the best student: it solves {solved}."
    return f"{text} {_next(benchmark, best, others[0])}"


def _kept(ranked: Ranked) -> str:
    if ranked.kept is None:
        return ""
    return f" and {'keeps' if ranked.kept <= 100 else 'reaches'} {ranked.kept:.0f}% of the teacher's accuracy"


def _next(benchmark: str, best: Ranked, other: Ranked) -> str:
    """How far the second recipe is behind, and whether that may be chance."""
    lead = best.share - other.share
    if lead == 0:
        return f"{other.label} solves just as many."
    text = f"Next is {other.label} with {percent(other.share)}{other.of_runs}, {lead * 100:.1f} points less"
    interval = _interval(benchmark, best.runs, other.runs)
    if interval is None:
        return f"{text}."
    chance = ", so this may be chance" if interval.low <= 0 <= interval.high else ""
    return f"{text} (95% interval of the lead: {interval.low * 100:.1f} to {interval.high * 100:.1f}{chance})."


def _interval(benchmark: str, best: Sequence[Run], other: Sequence[Run]) -> Interval | None:
    """Of the difference of two recipes: over seeds if both have several, of the two runs if both have one."""
    if len(best) > 1 or len(other) > 1:
        crossed = recipe_difference(benchmark, list(best), list(other))
        return None if crossed is None else crossed.interval
    a, b = best[0].evaluated("student", benchmark), other[0].evaluated("student", benchmark)
    paired = difference(a, b, ("", "")) if a is not None and b is not None else None
    return None if paired is None else paired.paired.interval
