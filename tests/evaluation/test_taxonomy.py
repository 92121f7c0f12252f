"""The taxonomy on programs that really run: sandbox, verdict, category."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codedistill.benchmarks import Benchmark, Problem
from codedistill.evaluation import Category, Verdict, classify, summarize
from codedistill.evaluation.taxonomy import TRUNCATED
from codedistill.harness.execute import execute
from codedistill.recipe.sections import Evaluation
from codedistill.runs.files import read_jsonl, write_jsonl
from codedistill.runs.schema import ResultRow
from tests.evaluation.taxonomy_cases import CASES, Case


def judged_rows(folder: Path, cases: list[Case], timeout: float) -> list[dict[str, Any]]:
    """Rows of results.jsonl, in the cases' order."""
    folder.mkdir()
    problems, samples = [], []
    for number, case in enumerate(cases):
        checks = f"def check(candidate):\n    assert {case.check}\n"
        problems.append(Problem(str(number), "def f(x):\n", "f", checks))
        completion = case.source if case.completion is None else case.completion
        row = {"task_id": str(number), "solution": case.source, "completion": completion}
        samples.append(row | {"finish": "length" if case.cut else "eos"})
    write_jsonl(folder / "samples.jsonl", samples)
    tasks = Benchmark("cases", tuple(problems), "0" * 64, "here")
    execute(folder / "samples.jsonl", tasks, Evaluation(timeout=timeout), folder)
    return read_jsonl(folder / "results.jsonl")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A row for every case, in their order. On a busy machine only those that are made to be slow may be too slow."""
    folder: Path = tmp_path_factory.mktemp("cases")
    rows = {
        slow: iter(judged_rows(folder / str(slow), [case for case in CASES if case.slow is slow], timeout))
        for slow, timeout in ((False, 20), (True, 1))
    }
    return [next(rows[case.slow]) for case in CASES]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{i}-{case.belongs}" for i, case in enumerate(CASES)])
def test_category(number: int, judged: list[dict[str, Any]]) -> None:
    case, row = CASES[number], judged[number]
    assert row["category"] == case.belongs, f"{case.source}\n{row}"


@pytest.mark.parametrize("category", Category)
def test_every_category_has_five_examples_and_three_that_look_alike(category: Category) -> None:
    belong = {case for case in CASES if case.belongs == category and case.near is None}
    alike = {case for case in CASES if case.near == category}
    assert len(belong) >= 5
    assert len(alike) >= 3
    assert all(case.belongs != category for case in alike)


def test_the_summary_of_all_cases_obeys_the_identities(judged: list[dict[str, Any]]) -> None:
    rows = [ResultRow.model_validate(row) for row in judged]
    summary, count = summarize(rows).to_json(), Counter(case.belongs for case in CASES)
    assert summary["complete"] + summary["incomplete"] == summary["samples"] == len(CASES)
    assert summary["correct"] == count[Category.PASSED] <= summary["complete"]
    assert summary["complete"] == count[Category.PASSED] + count[Category.WRONG_ANSWER]
    del count[Category.PASSED]
    assert summary["categories"] == dict(count)


def verdict(status: str, error: str | None = None, source: str = "def f(x):\n    pass\n", **more: Any) -> Verdict:
    fields: dict[str, Any] = {
        "message": "",
        "raised_in": None,
        "reached_checks": True,
        "raised_deliberately": False,
        "completion": source,
        "entry_point": "f",
    }
    return Verdict(status=status, error_type=error, source=source, **fields | more)


@pytest.mark.parametrize(
    ("status", "error", "category"),
    [
        ("passed", None, "passed"),
        ("timeout", "TimeoutError", "execution timeout"),
        ("timeout", None, "execution timeout"),
        ("memory", "MemoryError", "MemoryError"),
        ("crashed", "SIGSEGV", "crash"),
        ("exited", "SystemExit", "early exit"),
    ],
)
@pytest.mark.parametrize("source", ["", "def f(x):\n    pass\n", "while True: pass", "def f(", "\x00"])
def test_the_end_goes_before_the_source(status: str, error: str | None, category: str, source: str) -> None:
    assert classify(verdict(status, error, source)) == category


ODD = [
    "",
    "\x00",
    "def f(" * 300,
    "(" * 500,
    "x = '" + "a" * 9999,
    "\ufeffdef f(x): 1",
    "\ud800",
    "é = 1\n",
    "\f\n",
    "\\",
]


@pytest.mark.parametrize("error", ["AssertionError", "NameError", "SyntaxError", "ValueError", "Nonsense", None, ""])
@pytest.mark.parametrize("cut", [False, True])
def test_no_program_is_too_odd_to_have_a_category(error: str | None, cut: bool) -> None:
    for source in ODD:
        for message in ("", "name 'f' is not defined", "name is not defined", "'"):
            category = classify(verdict("failed", error, source, message=message, hit_token_limit=cut))
            assert isinstance(category, str)
            assert category not in ("", "passed")


@pytest.mark.parametrize("source", ["", "\n", "Let me think about it.\n"])
def test_a_completion_that_is_cut_off_before_its_answer_is_truncated(source: str) -> None:
    text = "<think>\nThe sum of"
    facts = {"message": "name 'f' is not defined", "completion": text, "reached_checks": False}
    if source.strip():
        source = "x = 1\n"
    assert classify(verdict("failed", "NameError", source, hit_token_limit=True, **facts)) == TRUNCATED
    assert classify(verdict("failed", "NameError", source, **facts)) == Category.MISSING_CONTENT


@pytest.mark.parametrize(
    ("source", "error", "message", "category"),
    [
        ("class A:\n    def f(self, x):\n        return None\n", "AssertionError", "", Category.EMPTY_FUNCTION),
        ("class A:\n    def f(self, x):\n        return x\n", "AssertionError", "", Category.WRONG_ANSWER),
        ("class A:\n    def f(self):\n        pass\n", "TypeError", "A.f() takes 1 positional argument but 2 given",
         Category.INCOMPATIBLE_OPERATION),
        ("class B:\n    def f(self, x):\n        return x\n", "NameError", "name 'A' is not defined",
         Category.WRONG_FUNCTION_NAME),
        ("x = 1\n", "NameError", "name 'A' is not defined", Category.MISSING_CONTENT),
    ],
)  # fmt: skip
def test_entry_points_that_are_expressions(source: str, error: str, message: str, category: str) -> None:
    assert classify(verdict("failed", error, source, message=message, entry_point="A().f")) == category


def test_a_message_may_hold_any_number() -> None:
    for digits in (1, 9, 10, 5000):
        found = verdict("failed", "SyntaxError", "x = (", message=f"bad (<program>, line {'9' * digits})")
        assert classify(found) == "SyntaxError"


@pytest.mark.parametrize(
    "piece", ["@a\n", "def f(x):\n    pass\n", "class ", "(", "x = 'a\n", "a, b c d\n", "- ", "x.y("]
)
def test_time_is_linear_in_the_source(piece: str) -> None:
    def seconds(size: int) -> float:
        start = time.process_time()
        source = piece * (size // len(piece))
        for error in ("SyntaxError", "NameError", "AssertionError", "IndentationError"):
            message = f"name 'f' is not defined (<program>, line {source.count(chr(10))})"
            classify(verdict("failed", error, source, message=message, hit_token_limit=True))
        return time.process_time() - start

    small = seconds(3_000)
    assert seconds(30_000) < 40 * small + 1


def test_the_case_table_is_about_what_it_says() -> None:
    assert CASES[0] == Case("passed", "def f(x):\n    return sum(x)\n")
    assert len(CASES) > 200
