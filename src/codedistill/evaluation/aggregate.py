"""From the verdicts on one model to one row of a table, checked against the identities of the paper's table 13."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from codedistill.evaluation.statistics import Paired, paired_difference, pass_at_k, share_interval, wilson_interval
from codedistill.evaluation.taxonomy import COMPLETE, OTHER_ENDS, Category

KS = (1, 5, 10, 100)

Fraction = Annotated[float, Field(ge=0, le=1)]


class JudgedProgram(Protocol):
    """The part of a line of results.jsonl that a summary needs."""

    @property
    def task_id(self) -> str: ...
    @property
    def passed(self) -> bool: ...
    @property
    def base_passed(self) -> bool | None: ...
    @property
    def category(self) -> str: ...


Row = TypeVar("Row", bound=JudgedProgram)


class Summary(BaseModel):
    """One model on one benchmark. Counts are of programs; `categories` counts every failing one, wrong answers too.

    `pass_at_k` is absent where some task has fewer than k samples. `base_pass_at_k` is the same on EvalPlus's base
    inputs alone, and absent for other benchmarks. `interval` is the 95% interval of pass@1. All of them leave out tasks
    with broken checks: `tasks_without_verdict` and their programs, `without_verdict`. In JSON `pass_at_1` is "pass@1".
    """

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=lambda name: name.replace("pass_at_", "pass@"),
    )

    tasks: NonNegativeInt
    samples: NonNegativeInt
    pass_at_1: Fraction
    pass_at_5: Fraction | None = None
    pass_at_10: Fraction | None = None
    pass_at_100: Fraction | None = None
    base_pass_at_1: Fraction | None = None
    base_pass_at_5: Fraction | None = None
    base_pass_at_10: Fraction | None = None
    base_pass_at_100: Fraction | None = None
    interval: Annotated[tuple[float, float], Field(strict=False)]  # JSON has no tuples
    complete: NonNegativeInt
    incomplete: NonNegativeInt
    correct: NonNegativeInt
    categories: dict[str, NonNegativeInt]
    tasks_without_verdict: NonNegativeInt = 0
    without_verdict: NonNegativeInt = 0

    @model_validator(mode="after")
    def _identities(self) -> Summary:
        """Table 13 of the AKD paper: complete and incomplete programs are all; the categories add up to both."""
        failing = sum(count for name, count in self.categories.items() if name not in COMPLETE)
        wrong = self.categories.get(Category.WRONG_ANSWER, 0)
        if self.complete + self.incomplete != self.samples:
            raise ValueError(f"complete {self.complete} + incomplete {self.incomplete} is not {self.samples} programs")
        if failing != self.incomplete:
            raise ValueError(f"the categories add up to {failing}, incomplete is {self.incomplete}")
        if self.correct + wrong != self.complete:
            raise ValueError(f"correct {self.correct} + wrong answers {wrong} is not complete {self.complete}")
        return self

    @property
    def more_pass_at(self) -> dict[str, float]:
        """The shares beside pass@1 by their keys in the file, such as "pass@5"."""
        keys = [f"{base}pass@{k}" for base in ("", "base_") for k in KS][1:]
        values = {key: getattr(self, key.replace("@", "_at_")) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """Plain data with the file's keys: the fields that were given, in the order of their declaration."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def summarize(rows: Sequence[JudgedProgram]) -> Summary:
    """Summarize the verdicts on one benchmark: counts, pass@k, and a 95% interval of pass@1.

    With one sample per task it is Wilson's interval over the programs; with more, `share_interval`.

    Raises:
        ValueError: no program has a verdict, or an identity of the taxonomy does not hold.
    """
    judged = with_verdict(rows)
    if not judged:
        raise ValueError("there are no results to summarize")
    passed = _by_task([(row.task_id, row.passed) for row in judged])
    base = _by_task([(row.task_id, row.base_passed) for row in judged if row.base_passed is not None])
    correct, complete = sum(row.passed for row in judged), sum(row.category in COMPLETE for row in judged)
    categories = Counter(row.category for row in judged if row.category != Category.PASSED)
    if len(judged) == len(passed):
        interval = wilson_interval(correct, len(judged))
    else:
        interval = share_interval(list(pass_shares(judged).values()), len(judged))
    values: dict[str, Any] = {
        "tasks": len(passed),
        "samples": len(judged),
        **_mean_pass_at(passed, "pass@"),
        "interval": interval,
        "complete": complete,
        "incomplete": len(judged) - complete,
        "correct": correct,
        "categories": dict(sorted(categories.items(), key=lambda item: (-item[1], item[0]))),
    }
    if sum(map(len, base.values())) == len(judged):
        values |= _mean_pass_at(base, "base_pass@")
    if len(judged) < len(rows):
        values["tasks_without_verdict"] = len({row.task_id for row in rows}) - len(passed)
        values["without_verdict"] = len(rows) - len(judged)
    return Summary.model_validate(values)


def with_verdict(rows: Sequence[Row]) -> list[Row]:
    """The rows of the tasks that have a verdict. Broken checks say nothing about any program of their task."""
    broken = {row.task_id for row in rows if row.category == OTHER_ENDS["broken_checks"]}
    return [row for row in rows if row.task_id not in broken]


def pass_shares(rows: Sequence[JudgedProgram]) -> dict[str, float]:
    """The share of passing samples of each task that has a verdict."""
    passed = _by_task([(row.task_id, row.passed) for row in with_verdict(rows)])
    return {task: sum(verdicts) / len(verdicts) for task, verdicts in passed.items()}


def paired_by_task(a: Mapping[str, float], b: Mapping[str, float]) -> Paired | None:
    """`paired_difference` of two models' `pass_shares` over the tasks that both have; None if there are none."""
    shared = [task for task in a if task in b]
    return paired_difference([a[task] for task in shared], [b[task] for task in shared]) if shared else None


def _by_task(verdicts: Sequence[tuple[str, bool]]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {}
    for task, passed in verdicts:
        found.setdefault(task, []).append(passed)
    return found


def _mean_pass_at(by_task: Mapping[str, Sequence[bool]], name: str) -> dict[str, float]:
    """The mean over tasks of pass@k, by `name` and k, for those of `KS` that no task has too few samples for."""
    fewest = min(map(len, by_task.values()))
    return {
        f"{name}{k}": sum(pass_at_k(len(passed), sum(passed), k) for passed in by_task.values()) / len(by_task)
        for k in KS
        if k <= fewest
    }
