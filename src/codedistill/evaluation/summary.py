"""From the verdicts on one model to one row of a table, checked against the identities of the paper's table 13."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from codedistill.evaluation.statistics import Interval, pass_at_k, share_interval, wilson_interval
from codedistill.evaluation.taxonomy import COMPLETE, Category

KS = (1, 5, 10, 100)


@dataclass(frozen=True)
class Summary:
    """One model on one benchmark. Counts are of programs; `categories` counts all failing ones, wrong answers included.

    `pass_at` maps k to pass@k for those of `KS` that do not exceed any task's number of samples. `base_pass_at` is the
    same on EvalPlus's base inputs alone, and empty for other benchmarks.
    """

    tasks: int
    samples: int
    pass_at: Mapping[int, float]
    interval: Interval
    complete: int
    incomplete: int
    correct: int
    categories: Mapping[str, int]
    base_pass_at: Mapping[int, float] = field(default_factory=dict)

    @property
    def pass_at_1(self) -> float:
        return self.pass_at[1]

    def to_json(self) -> dict[str, Any]:
        return {
            "tasks": self.tasks,
            "samples": self.samples,
            **{f"pass@{k}": value for k, value in self.pass_at.items()},
            **{f"base_pass@{k}": value for k, value in self.base_pass_at.items()},
            "interval": list(self.interval),
            "complete": self.complete,
            "incomplete": self.incomplete,
            "correct": self.correct,
            "categories": dict(self.categories),
        }


def _mean_pass_at(by_task: Sequence[Sequence[bool]]) -> dict[int, float]:
    fewest = min(map(len, by_task))
    return {
        k: sum(pass_at_k(len(passed), sum(passed), k) for passed in by_task) / len(by_task) for k in KS if k <= fewest
    }


class JudgedProgram(Protocol):
    """What a summary reads of a line of results.jsonl."""

    @property
    def task_id(self) -> str: ...
    @property
    def passed(self) -> bool: ...
    @property
    def base_passed(self) -> bool | None: ...
    @property
    def category(self) -> str: ...


def summarize(rows: Sequence[JudgedProgram]) -> Summary:
    """Summarize the verdicts on one benchmark: counts, pass@k, and a 95% interval of pass@1.

    With one sample per task it is Wilson's interval over the programs; with more, `share_interval`.

    Raises:
        ValueError: no rows, or an identity of the taxonomy does not hold.
    """
    if not rows:
        raise ValueError("there are no results to summarize")
    by_task: dict[str, list[bool]] = {}
    base: dict[str, list[bool]] = {}
    for row in rows:
        by_task.setdefault(row.task_id, []).append(row.passed)
        if row.base_passed is not None:
            base.setdefault(row.task_id, []).append(row.base_passed)
    shares = [sum(passed) / len(passed) for passed in by_task.values()]
    correct = sum(row.passed for row in rows)
    categories = Counter(row.category for row in rows if row.category != Category.PASSED)
    complete = sum(row.category in COMPLETE for row in rows)
    single = len(rows) == len(by_task)
    interval = wilson_interval(correct, len(rows)) if single else share_interval(shares, len(rows))
    incomplete = len(rows) - complete
    check_identities(len(rows), complete, incomplete, correct, categories)
    return Summary(
        tasks=len(by_task),
        samples=len(rows),
        pass_at=_mean_pass_at(list(by_task.values())),
        interval=interval,
        complete=complete,
        incomplete=incomplete,
        correct=correct,
        categories=dict(sorted(categories.items(), key=lambda item: (-item[1], item[0]))),
        base_pass_at=_mean_pass_at(list(base.values())) if sum(map(len, base.values())) == len(rows) else {},
    )


def check_identities(samples: int, complete: int, incomplete: int, correct: int, categories: Mapping[str, int]) -> None:
    """Check the identities of table 13 of the AKD paper.

    complete + incomplete = samples; the categories other than wrong answers add up to incomplete; correct + wrong
    answers = complete.

    Raises:
        ValueError: one of them does not hold.
    """
    failing = sum(count for name, count in categories.items() if name not in COMPLETE)
    wrong = categories.get(Category.WRONG_ANSWER, 0)
    if complete + incomplete != samples:
        raise ValueError(f"complete {complete} + incomplete {incomplete} is not {samples} programs")
    if failing != incomplete:
        raise ValueError(f"the categories add up to {failing}, incomplete is {incomplete}")
    if correct + wrong != complete:
        raise ValueError(f"correct {correct} + wrong answers {wrong} is not complete {complete}")
