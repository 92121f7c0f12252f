"""Which tasks to show. One task of each kind first, so that gains and losses are both seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codedistill.report.load import Answer, Evaluated, Run

SHOWN = 5

KINDS = {
    "fixed": "the distilled student solves what the base student does not",
    "lost": "the distilled student fails where the teacher succeeds",
    "broken": "the distilled student fails where the base student succeeds",
    "fail": "every model fails",
    "pass": "every model passes",
    "beyond": "the distilled student solves what the teacher does not",
}
"""Kinds of tasks by what the models made of them; the order is the order in which they are shown."""


@dataclass(frozen=True)
class Shown:
    """One task: its kind, how many tasks of the benchmark are of that kind, and the answers by who gave them."""

    task_id: str
    kind: str
    of_kind: int
    prompt: str
    answers: Mapping[str, Answer]
    verdicts: Mapping[str, tuple[bool, ...]]

    @property
    def how_many(self) -> str:
        return "The only such task." if self.of_kind == 1 else f"One of {self.of_kind} such tasks."

    @property
    def why(self) -> str:
        return KINDS[self.kind]


def shown(run: Run, benchmark: str, limit: int = SHOWN) -> list[Shown]:
    """Up to `limit` tasks of a benchmark that every evaluated model was asked.

    Kinds take turns. Within a kind the benchmark's own order decides, but a task whose category for the student was not
    shown yet goes first. Verdicts are those of the first sample, the one that is shown.
    """
    models = {e.who: e for e in run.evaluations if e.benchmark == benchmark}
    if not models:
        return []
    main = models.get("student") or next(iter(models.values()))
    tasks = [task for task in main.answers if all(task in e.answers for e in models.values())]
    by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for task in tasks:
        by_kind[kind_of({who: e.answers[task].passed for who, e in models.items()})].append(task)
    counts = {kind: len(found) for kind, found in by_kind.items()}
    chosen: list[tuple[str, str]] = []
    seen: set[str] = set()
    while len(chosen) < limit and any(by_kind.values()):
        for kind, left in by_kind.items():
            if left and len(chosen) < limit:
                task = next((t for t in left if main.answers[t].category not in seen), left[0])
                left.remove(task)
                seen.add(main.answers[task].category)
                chosen.append((kind, task))
    return [_shown(models, main, task, kind, counts[kind]) for kind, task in chosen]


def kind_of(passed: Mapping[str, bool]) -> str:
    """The kind of a task from who solves it; `student` is compared with whichever of `base` and `teacher` is there."""
    student = passed.get("student", next(iter(passed.values())))
    base, teacher = passed.get("base", student), passed.get("teacher", student)
    if student:
        return "fixed" if not base else "beyond" if not teacher else "pass"
    return "broken" if base else "lost" if teacher else "fail"


def _shown(models: Mapping[str, Evaluated], main: Evaluated, task: str, kind: str, of_kind: int) -> Shown:
    return Shown(
        task_id=task,
        kind=kind,
        of_kind=of_kind,
        prompt=main.answers[task].prompt,
        answers={who: evaluated.answers[task] for who, evaluated in models.items()},
        verdicts={who: evaluated.verdicts[task] for who, evaluated in models.items()},
    )
