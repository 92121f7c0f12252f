"""The sentences that a page starts with: what a run achieved, and which recipe of a comparison comes first."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose

from codedistill.report.differences import Difference
from codedistill.report.recipes import BenchmarkResults, RecipeResult
from codedistill.report.results import ResultsTable, TableRow
from codedistill.report.text import percent, points


def run_headlines(method: str, table: ResultsTable, differences: Sequence[Difference]) -> list[str]:
    """One sentence for each benchmark: how far the student came, and how much of the teacher's accuracy it keeps."""
    several, sentences = len(table.benchmarks) > 1, []
    for benchmark in table.benchmarks:
        student = table.row("student", benchmark)
        if student is not None:
            change = next((d for d in differences if (d.second, d.benchmark) == ("base", benchmark)), None)
            subject = f"{method} on {benchmark}" if several else method
            sentences.append(f"{subject}: {_achieved(student, table.row('base', benchmark), change)}.")
    return sentences


def _achieved(student: TableRow, base: TableRow | None, change: Difference | None) -> str:
    end = percent(student.pass_at_1)
    of = f"of {student.tasks} tasks" if student.samples == student.tasks else f"pass@1 on {student.tasks} tasks"
    text = f"the student solves {end} {of}"
    if base is not None:
        text = f"the student went from {percent(base.pass_at_1)} to {end} {of}"
    if change is not None:
        low, high = change.paired.interval
        chance = ", so this may be chance" if low <= 0 <= high else ""
        text += f" ({points(change.paired.difference)}, 95% interval {low * 100:.1f} to {high * 100:.1f}{chance})"
    kept = _kept(student.accuracy_loss)
    return f"{text}, and {kept}" if kept else text


def comparison_headlines(results: Sequence[BenchmarkResults]) -> list[str]:
    """One or two sentences for each benchmark that a student was asked, over the tasks that all students share."""
    sentences = []
    for result in results:
        where = f" on {result.benchmark}" if len(results) > 1 else ""
        if not result.tasks:
            if result.partial:
                sentences.append(f"The students were not asked the same tasks{where}, so there is no ranking.")
            continue
        asked = f"the {result.tasks} tasks{where} that all students were asked"
        tasks = asked if result.partial else f"the tasks{where}"
        best, *others = result.ranked
        kept = _kept(best.accuracy_loss)
        solved = f"{percent(best.mean)} of {tasks}{_mean_of_runs(best)}{f' and {kept}' if kept else ''}"
        if others:
            lead = _lead(best, others[0])
            text = f"Of {len(result.recipes)} recipes, {best.label} has the best student: it solves {solved}. {lead}"
        else:
            text = f"{best.label}: the student solves {solved}."
        sentences.append(text)
    return sentences


def _kept(accuracy_loss: float | None) -> str:
    if accuracy_loss is None:
        return ""
    kept = 100 - accuracy_loss
    return f"{'keeps' if kept <= 100 else 'reaches'} {kept:.0f}% of the teacher's accuracy"


def _mean_of_runs(result: RecipeResult) -> str:
    return f" (mean of {len(result.runs)} runs)" if len(result.runs) > 1 else ""


def _lead(best: RecipeResult, other: RecipeResult) -> str:
    """How far the second recipe is behind, and whether that may be chance."""
    if isclose(best.mean, other.mean):
        return f"{other.label} solves just as many."
    lead = best.lead(other)
    behind = best.mean - other.mean if lead is None else lead.difference
    text = f"Next is {other.label} with {percent(other.mean)}{_mean_of_runs(other)}, {behind * 100:.1f} points less"
    if lead is None:
        return f"{text}."
    low, high = lead.interval
    chance = ", so this may be chance" if low <= 0 <= high else ""
    return f"{text} (95% interval of the lead: {low * 100:.1f} to {high * 100:.1f}{chance})."
