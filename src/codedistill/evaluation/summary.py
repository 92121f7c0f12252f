"""The results of one model on one benchmark in one row, checked against the identities that every row must obey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from codedistill.evaluation.metrics import pass_at_k
from codedistill.evaluation.statistics import Interval, share_interval, wilson_interval
from codedistill.evaluation.taxonomy import COMPLETE, Category

KS = (1, 5, 10, 100)


@dataclass(frozen=True)
class Summary:
    """Counts are of programs. `categories` holds every failing program's, wrong answers included.

    `pass_at` is k -> pass@k, for 1 and for those of `KS` of which every task has so many samples. `base_pass_at` is
    the same on EvalPlus's base inputs alone, and empty for other benchmarks.
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


def _by_task(rows: Sequence[Mapping[str, Any]], key: str) -> list[list[bool]]:
    by_task: dict[str, list[bool]] = {}
    for row in rows:
        by_task.setdefault(row["task_id"], []).append(bool(row[key]))
    return list(by_task.values())


def _mean_pass_at(by_task: Sequence[Sequence[bool]]) -> dict[int, float]:
    fewest = min(map(len, by_task))
    return {
        k: sum(pass_at_k(len(passed), sum(passed), k) for passed in by_task) / len(by_task) for k in KS if k <= fewest
    }


def summarize(rows: Sequence[Mapping[str, Any]]) -> Summary:
    """Summarise rows of results.jsonl: pass@k, and pass@1 with a 95% interval.

    The interval is Wilson's, of the programs for one sample a task; for more see `share_interval`.

    Raises:
        ValueError: no rows, or an identity of the taxonomy does not hold.
    """
    if not rows:
        raise ValueError("there are no results to summarise")
    by_task = _by_task(rows, "passed")
    shares = [sum(passed) / len(passed) for passed in by_task]
    correct = sum(bool(row["passed"]) for row in rows)
    categories = Counter(row["category"] for row in rows if row["category"] != Category.PASSED)
    complete = sum(row["category"] in COMPLETE for row in rows)
    single = len(rows) == len(by_task)
    interval = wilson_interval(correct, len(rows)) if single else share_interval(shares, len(rows))
    summary = Summary(
        tasks=len(by_task),
        samples=len(rows),
        pass_at=_mean_pass_at(by_task),
        interval=interval,
        complete=complete,
        incomplete=len(rows) - complete,
        correct=correct,
        categories=dict(sorted(categories.items(), key=lambda item: (-item[1], item[0]))),
        base_pass_at=_mean_pass_at(_by_task(rows, "base_passed")) if all("base_passed" in row for row in rows) else {},
    )
    check_identities(summary)
    return summary


class Counts(Protocol):
    """Counts of programs."""

    @property
    def samples(self) -> int: ...
    @property
    def complete(self) -> int: ...
    @property
    def incomplete(self) -> int: ...
    @property
    def correct(self) -> int: ...
    @property
    def categories(self) -> Mapping[str, int]: ...


def check_identities(counts: Counts) -> None:
    """Check the identities of table 13 of the AKD paper.

    complete + incomplete = samples; the categories other than wrong answers add up to incomplete; correct + wrong
    answers = complete.

    Raises:
        ValueError: one of them does not hold.
    """
    complete, incomplete, correct = counts.complete, counts.incomplete, counts.correct
    failing = sum(count for name, count in counts.categories.items() if name not in COMPLETE)
    wrong = counts.categories.get(Category.WRONG_ANSWER, 0)
    if complete + incomplete != counts.samples:
        raise ValueError(f"complete {complete} + incomplete {incomplete} is not {counts.samples} programs")
    if failing != incomplete:
        raise ValueError(f"the categories add up to {failing}, incomplete is {incomplete}")
    if correct + wrong != complete:
        raise ValueError(f"correct {correct} + wrong answers {wrong} is not complete {complete}")


def check_saved(row: Mapping[str, Any]) -> None:
    """The same for a row of a summary file, which may have been edited since. A row without any counts holds nothing.

    Raises:
        ValueError: an identity does not hold, or some of the counts are missing or are no counts.
    """
    names = ("samples", "complete", "incomplete", "correct")
    categories = row.get("categories")
    if categories is None and not any(name in row for name in names[1:]):
        return
    if not isinstance(categories, Mapping):
        raise ValueError("categories must be counts by name")
    for name, value in [*((name, row.get(name)) for name in names), *categories.items()]:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{name} must be a count, not {value!r}")
    check_identities(_Saved(row["samples"], row["complete"], row["incomplete"], row["correct"], categories))


class _Saved(NamedTuple):
    samples: int
    complete: int
    incomplete: int
    correct: int
    categories: Mapping[str, int]
