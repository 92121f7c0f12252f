"""The tasks that a page shows as examples, chosen by rule: one of each kind first, gains and losses alike."""

from __future__ import annotations

from collections.abc import Mapping

from codedistill.report.blocks import Answer, ShownTask
from codedistill.report.load import Evaluated, Run
from codedistill.report.results import NAMES, style_of
from codedistill.report.text import clipped

SHOWN = 5

PROMPT_LIMIT, PROGRAM_LIMIT, MESSAGE_LIMIT = 3000, 4000, 500
"""Characters of a prompt, a program and a message that a page shows; the files have everything."""

KINDS = {
    "fixed": "the distilled student solves what the base student does not",
    "lost": "the distilled student fails where the teacher succeeds",
    "broken": "the distilled student fails where the base student succeeds",
    "fail": "every model fails",
    "pass": "every model passes",
    "beyond": "the distilled student solves what the teacher does not",
}
"""Kinds of tasks by which models solve them, in the order in which they are shown."""


def chosen_tasks(run: Run, benchmark: str, limit: int = SHOWN) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """Up to `limit` tasks that every evaluated model was asked, with their kinds; and how many tasks each kind has.

    Kinds take turns. Within a kind the benchmark's order decides, but a task whose category for the student was not
    shown yet goes first. The first sample decides, since it is the one that is shown.
    """
    models = _models(run, benchmark)
    main = models.get("student") or next(iter(models.values()), None)
    by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for task in main.samples if main else ():
        if all(task in model.samples for model in models.values()):
            by_kind[kind_of({who: model.results[task][0].passed for who, model in models.items()})].append(task)
    counts = {kind: len(tasks) for kind, tasks in by_kind.items()}
    chosen: list[tuple[str, str]] = []
    seen: set[str] = set()
    while main and len(chosen) < limit and any(by_kind.values()):
        for kind, left in by_kind.items():
            if left and len(chosen) < limit:
                task = next((t for t in left if main.results[t][0].category not in seen), left[0])
                left.remove(task)
                seen.add(main.results[task][0].category)
                chosen.append((task, kind))
    return chosen, counts


def kind_of(passed: Mapping[str, bool]) -> str:
    """The kind of a task by who solves it; the student is compared with the base student and teacher if they exist."""
    student = passed.get("student", next(iter(passed.values())))
    base, teacher = passed.get("base", student), passed.get("teacher", student)
    if student:
        return "fixed" if not base else "beyond" if not teacher else "pass"
    return "broken" if base else "lost" if teacher else "fail"


def shown_tasks(run: Run, benchmark: str) -> list[ShownTask]:
    """The chosen tasks with each model's program."""
    chosen, counts = chosen_tasks(run, benchmark)
    models = _models(run, benchmark)
    main = models.get("student") or next(iter(models.values()), None)
    return [
        ShownTask(
            title=f"{task}: {KINDS[kind]}",
            note="The only task of this kind." if counts[kind] == 1 else f"One of {counts[kind]} tasks of this kind.",
            prompt=clipped(main.samples[task].prompt, PROMPT_LIMIT) if main else "",
            answers=tuple(_answer(model, task) for model in models.values()),
        )
        for task, kind in chosen
    ]


def _models(run: Run, benchmark: str) -> dict[str, Evaluated]:
    return {evaluated.who: evaluated for evaluated in run.evaluations if evaluated.benchmark == benchmark}


def _answer(model: Evaluated, task: str) -> Answer:
    results = model.results[task]
    passed = sum(row.passed for row in results)
    return Answer(
        name=NAMES.get(model.who, model.who),
        style=style_of(model.who),
        passed=results[0].passed,
        verdict="passed" if results[0].passed else results[0].category,
        remark=f"{passed} of {len(results)} samples pass" if len(results) > 1 else "",
        message=clipped(results[0].message, MESSAGE_LIMIT),
        program=clipped(model.samples[task].solution.strip("\n"), PROGRAM_LIMIT),
    )
