"""Results of one model in one row: pass@k, interval, counts, and the identities of the paper's table 13."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import pytest

from codedistill.evaluation import (
    Category,
    Summary,
    paired_by_task,
    paired_difference,
    pass_at_k,
    pass_shares,
    summarize,
    wilson_interval,
)
from codedistill.evaluation.taxonomy import COMPLETE


@dataclass
class Row:
    task_id: str
    passed: bool
    category: str
    base_passed: bool | None = None


def row(task: str, category: str = Category.PASSED) -> Row:
    return Row(task, category == Category.PASSED, category)


def test_one_sample_a_task_by_hand() -> None:
    rows = [row("0"), row("1", "wrong answer"), row("2", "missing key"), row("3", "missing key"), row("4", "E")]
    summary = summarize(rows)
    assert summary.to_json() == {
        "tasks": 5,
        "samples": 5,
        "pass@1": 0.2,
        "interval": list(wilson_interval(1, 5)),
        "complete": 2,
        "incomplete": 3,
        "correct": 1,
        "categories": {"missing key": 2, "E": 1, "wrong answer": 1},
    }


def test_several_samples_a_task_by_hand() -> None:
    good = {"a": 5, "b": 1, "c": 0}
    rows = [row(task, "passed" if i < c else "wrong answer") for task, c in good.items() for i in range(5)]
    summary = summarize(rows)
    assert summary.pass_at_1 == pytest.approx((1 + 0.2 + 0) / 3)
    assert summary.to_json()["pass@5"] == pytest.approx((1 + 1 + 0) / 3)
    assert "pass@10" not in summary.to_json()
    assert (summary.tasks, summary.samples, summary.correct) == (3, 15, 6)
    assert summary.interval == pytest.approx(wilson_interval(1.2, 3))  # of three tasks, not of fifteen programs


@pytest.mark.parametrize("category", ["passed", "wrong answer"])
def test_two_samples_of_one_task_are_not_certain(category: str) -> None:
    low, high = summarize([row("a", category), row("a", category)]).interval
    assert high - low > 0.7


def test_tasks_with_different_numbers_of_samples_count_the_same() -> None:
    rows = [row("a"), *[row("b", "wrong answer")] * 9]
    assert summarize(rows).pass_at_1 == 0.5
    assert summarize(rows).more_pass_at == {}


def test_pass_at_k_is_the_mean_over_tasks() -> None:
    rng = random.Random(0)
    rows, expected = [], []
    for task in range(7):
        right = [rng.random() < 0.3 for _ in range(12)]
        rows += [row(str(task), "passed" if r else "wrong answer") for r in right]
        expected.append(pass_at_k(12, sum(right), 10))
    assert summarize(rows).pass_at_10 == pytest.approx(sum(expected) / 7)


def test_the_order_of_rows_changes_nothing() -> None:
    rng = random.Random(3)
    rows = [row(str(i % 9), rng.choice(["passed", "wrong answer", "missing key"])) for i in range(45)]
    first = summarize(rows).to_json()
    rng.shuffle(rows)
    again = summarize(rows).to_json()
    for key in ("tasks", "samples", "complete", "incomplete", "correct", "categories"):
        assert again[key] == first[key]
    assert again["pass@1"] == pytest.approx(first["pass@1"])


def test_identities_hold_for_any_mixture() -> None:
    rng = random.Random(1)
    names = [*Category, "ZeroDivisionError", "early exit"]
    for _ in range(100):
        rows = [row(str(i % 20), rng.choice(names)) for i in range(rng.randint(20, 80))]
        summary = summarize(rows)
        assert summary.complete + summary.incomplete == len(rows)
        assert summary.incomplete == sum(n for name, n in summary.categories.items() if name not in COMPLETE)
        assert summary.correct <= summary.complete


SOUND = summarize([row("0"), row("1", "wrong answer"), row("2", "missing key"), row("3", "E")])


BROKEN = pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"complete": 3}, "complete 3 \\+ incomplete 2 is not 4"),
        ({"samples": 5}, "complete 2 \\+ incomplete 2 is not 5"),
        ({"complete": 3, "incomplete": 1}, "add up to 2, incomplete is 1"),
        ({"categories": {"wrong answer": 1, "missing key": 1}}, "add up to 1, incomplete is 2"),
        ({"correct": 2}, "correct 2 \\+ wrong answers 1 is not complete 2"),
        ({"correct": 0}, "correct 0 \\+ wrong answers 1 is not complete 2"),
        ({"correct": 3, "complete": 2}, "correct 3"),
    ],
)


@BROKEN
def test_a_broken_identity_is_an_error(change: dict[str, Any], message: str) -> None:
    assert Summary(**SOUND.to_json()) == SOUND
    with pytest.raises(ValueError, match=message):
        Summary(**SOUND.to_json() | change)


def test_a_passing_program_with_a_failure_s_category_is_an_error() -> None:
    with pytest.raises(ValueError, match="is not complete"):
        summarize([replace(row("0"), passed=False)])
    with pytest.raises(ValueError, match="is not complete"):
        summarize([replace(row("0", "missing key"), passed=True)])


def test_no_rows() -> None:
    with pytest.raises(ValueError, match="no results"):
        summarize([])


def test_tasks_with_broken_checks_are_left_out_of_every_number() -> None:
    judged = [row("0"), row("0", "wrong answer"), row("1", "missing key"), row("1", "missing key")]
    broken = [row("2", "broken checks"), row("2", "unbalanced delimiters"), row("3", "broken checks")]
    assert summarize([*judged, *broken]).to_json() == {
        **summarize(judged).to_json(),
        "tasks_without_verdict": 2,
        "without_verdict": 3,
    }
    assert pass_shares([*judged, *broken]) == {"0": 0.5, "1": 0.0}
    with pytest.raises(ValueError, match="no results"):
        summarize(broken)


def test_pairs_are_of_tasks_that_both_have() -> None:
    a, b = {"0": 1.0, "1": 1.0, "2": 0.0, "3": 1.0}, {"1": 0.0, "0": 1.0, "2": 0.0, "9": 1.0}
    found = paired_by_task(a, b)
    assert found == paired_difference([1.0, 1.0, 0.0], [1.0, 0.0, 0.0])
    assert found is not None
    assert found.difference == pytest.approx(1 / 3)
    assert (found.wins, found.losses) == (1, 0)
    assert paired_by_task({"0": 1.0}, {"1": 1.0}) is None
