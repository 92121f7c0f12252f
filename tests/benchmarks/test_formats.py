"""Each format as problems: prompts in HumanEval's form, checks that pass the reference and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codedistill.benchmarks import Problem, instruction_of, load_benchmark
from codedistill.benchmarks.loading import references
from tests.benchmarks.rows import EVALPLUS, HUMANEVAL, MBPP, write


def passes(problem: Problem, source: str) -> bool:
    """The verdict of the checks, in this process."""
    space: dict[str, Any] = {}
    exec(source, space)
    exec(problem.checks, space)
    try:
        space["check"](space[problem.entry_point])
    except (AssertionError, TypeError, NameError):
        return False
    return True


@pytest.mark.parametrize("rows", [HUMANEVAL, MBPP], ids=["humaneval", "mbpp"])
def test_the_reference_passes_and_the_empty_function_does_not(rows: Any, tmp_path: Path) -> None:
    path = str(write(tmp_path / "own.jsonl", rows))
    solutions = references(path)
    for problem in load_benchmark(path).problems:
        assert passes(problem, solutions[problem.task_id])
        space: dict[str, Any] = {}
        exec(problem.prompt + "    pass\n", space)  # the prompt is the beginning of a program
        assert space[problem.entry_point].__doc__
        assert not passes(problem, problem.prompt + "    pass\n")


def test_mbpp_in_humanevals_form(tmp_path: Path) -> None:
    problems = load_benchmark(str(write(tmp_path / "m.jsonl", MBPP))).problems
    assert problems[0].prompt == (
        'def twice(n):\n    """Write a function to double a number.\n\n    assert twice(2) == 4\n    """\n'
    )
    space: dict[str, Any] = {}
    exec(problems[1].prompt, space)
    doc = space["quote"].__doc__
    for text in [MBPP[1]["text"], *MBPP[1]["test_list"]]:
        assert text in doc
    assert problems[1].prompt.startswith("def quote(s, sign='\"'):\n")
    assert problems[3].entry_point == "sum"
    assert instruction_of(problems[0]) == ("Complete the following Python function.", problems[0].prompt)


def test_mbpp_plus_in_humanevals_form(tmp_path: Path) -> None:
    problems = load_benchmark(str(write(tmp_path / "m.jsonl", EVALPLUS))).problems
    assert problems[0].prompt == EVALPLUS[0]["prompt"]
    assert problems[2].task_id == "Mbpp/2"
    assert problems[2].prompt == (
        'def similar_elements(a, b):\n    """Write a function to find the shared elements.\n\n'
        '    assert similar_elements((3, 4), (4, 5)) == (4,)\n    """\n'
    )
    assert problems[3].prompt == 'def text_starta_endb(text):\n    """Write a function that matches a string."""\n'
    cases = problems[2].cases
    assert cases is not None
    assert cases.base == (((3, 4), (4, 5)),)  # lists in the file, tuples for the function
    assert (cases.compare, cases.atol) == ("set", 0.0)


def test_own_instruction(tmp_path: Path) -> None:
    rows = [HUMANEVAL[0] | {"instruction": "Add."}]
    (problem,) = load_benchmark(str(write(tmp_path / "m.jsonl", rows))).problems
    assert instruction_of(problem) == ("Add.", HUMANEVAL[0]["prompt"])


@pytest.mark.parametrize(
    ("code", "prompt"),
    [
        ("N = 3\ndef f(a, n=N):\n    return a", "def f(a, n=None):"),
        ("def f(a: int, *rest: int) -> int:\n    return a", "def f(a, *rest):"),
        ("def f():\n    return 1", "def f():"),
    ],
)
def test_signatures_need_nothing_around_them(code: str, prompt: str, tmp_path: Path) -> None:
    row = MBPP[0] | {"code": code, "test_list": ["assert f(1)"]}
    (problem,) = load_benchmark(str(write(tmp_path / "m.jsonl", [row]))).problems
    assert problem.prompt.startswith(prompt + "\n")


def test_tests_with_text_over_several_lines(tmp_path: Path) -> None:
    row = MBPP[0] | {"code": "def f(s):\n    return s", "test_list": ["assert f('''a\nb''') == 'a\\nb'"]}
    (problem,) = load_benchmark(str(write(tmp_path / "m.jsonl", [row]))).problems
    assert passes(problem, row["code"])


def test_lines_of_mbpp_end_in_one_way(tmp_path: Path) -> None:
    """Otherwise `\\r` would be in strings over several lines, and in what a model is asked."""
    code = "def f(s):\r\n    return s + '''a\r\nb'''\r\n"
    row = MBPP[0] | {
        "code": code,
        "test_list": ["assert f('') == (\r\n    'a\\nb')"],
        "test_setup_code": "x = 1\r\ny = 2",
    }
    path = str(write(tmp_path / "m.jsonl", [row]))
    (problem,) = load_benchmark(path).problems
    (reference,) = references(path).values()
    assert "\r" not in problem.prompt + problem.checks + reference
    assert passes(problem, reference)
