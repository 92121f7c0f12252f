"""Which recipe keeps most of the teacher, in a sentence: the first thing that a comparison says.

All figures are of the tasks that every student was asked, so that they can be set against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from statistics import mean

from codedistill.evaluation import Crossed, Paired, accuracy_loss, crossed_difference, paired_difference
from codedistill.report.groups import Group
from codedistill.report.load import Evaluated, Run
from codedistill.report.paired import shared_tasks
from codedistill.report.text import percent


@dataclass(frozen=True)
class Ranked:
    """A recipe on one benchmark. `runs` has for each run the student's share of passing samples, task by task."""

    label: str
    runs: tuple[tuple[float, ...], ...]
    teacher: float | None

    @property
    def share(self) -> float:
        """The mean pass@1 of the students."""
        return mean(mean(tasks) for tasks in self.runs)

    @property
    def kept(self) -> float | None:
        """What that is of the teacher's, in percent."""
        return 100 - accuracy_loss(self.teacher, self.share) if self.teacher else None

    @property
    def of_runs(self) -> str:
        return f" (mean of {len(self.runs)} runs)" if len(self.runs) > 1 else ""


def comparison_headlines(runs: Sequence[Run], groups: Sequence[Group], benchmarks: Sequence[str]) -> list[str]:
    """One sentence or two for each benchmark that a student was asked."""
    several = len(benchmarks) > 1
    found = [_headline(runs, groups, benchmark, f" on {benchmark}" if several else "") for benchmark in benchmarks]
    return [text for text in found if text]


def ranking(runs: Sequence[Run], groups: Sequence[Group], benchmark: str, tasks: Sequence[str]) -> list[Ranked]:
    """The recipes by their students' pass@1 on the tasks, the highest first; in the order given where it is the same.

    Every student was asked all of the tasks. A teacher that was not counts as unknown.
    """
    found = []
    for group in groups:
        members = [runs[i] for i in group.members]
        asked = tuple(_shares(student, tasks) for student in _evaluated(members, "student", benchmark))
        teachers = [t for t in _evaluated(members, "teacher", benchmark) if all(task in t.verdicts for task in tasks)]
        teacher = mean(mean(_shares(t, tasks)) for t in teachers) if teachers else None
        if asked:
            found.append(Ranked(group.label, asked, teacher))
    return sorted(found, key=lambda ranked: -ranked.share)


def _evaluated(runs: Sequence[Run], who: str, benchmark: str) -> list[Evaluated]:
    return [found for run in runs if (found := run.evaluated(who, benchmark)) is not None]


def _shares(evaluated: Evaluated, tasks: Sequence[str]) -> tuple[float, ...]:
    shares = evaluated.shares
    return tuple(shares[task] for task in tasks)


def _headline(runs: Sequence[Run], groups: Sequence[Group], benchmark: str, where: str) -> str:
    students = _evaluated(runs, "student", benchmark)
    if not students:
        return ""
    tasks = shared_tasks(students)
    if not tasks:
        return f"The students were not asked the same tasks{where}, so there is no ranking."
    if any(len(student.verdicts) > len(tasks) for student in students):
        of = f"the {len(tasks)} tasks{where} that all students were asked"
    else:
        of = f"the tasks{where}"
    return _sentences(ranking(runs, groups, benchmark, tasks), of)


def _sentences(ranked: Sequence[Ranked], tasks: str) -> str:
    best, *others = ranked
    solved = f"{percent(best.share)} of {tasks}{best.of_runs}{_kept(best)}"
    if not others:
        return f"{best.label}: the student solves {solved}."
    text = f"Of {len(ranked)} recipes, {best.label} has the best student: it solves {solved}."
    return f"{text} {_next(best, others[0])}"


def _kept(ranked: Ranked) -> str:
    if ranked.kept is None:
        return ""
    return f" and {'keeps' if ranked.kept <= 100 else 'reaches'} {ranked.kept:.0f}% of the teacher's accuracy"


def _next(best: Ranked, other: Ranked) -> str:
    """How far the second recipe is behind, and whether that may be chance."""
    if isclose(best.share, other.share):
        return f"{other.label} solves just as many."
    compared = _compared(best, other)
    lead = best.share - other.share if compared is None else compared.difference
    text = f"Next is {other.label} with {percent(other.share)}{other.of_runs}, {lead * 100:.1f} points less"
    if compared is None:
        return f"{text}."
    low, high = compared.interval
    chance = ", so this may be chance" if low <= 0 <= high else ""
    return f"{text} (95% interval of the lead: {low * 100:.1f} to {high * 100:.1f}{chance})."


def _compared(best: Ranked, other: Ranked) -> Crossed | Paired | None:
    """The lead and its interval: over seeds if both recipes have several, of the two runs if both have one."""
    if len(best.runs) == len(other.runs) == 1:
        return paired_difference(best.runs[0], other.runs[0])
    if min(len(best.runs), len(other.runs)) > 1 and len(best.runs[0]) > 1:
        return crossed_difference(best.runs, other.runs)
    return None
