"""EvalPlus's benchmarks as they lie on the hub: scripts of inputs and results become cases."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from codedistill.benchmarks import Benchmark, load_benchmark
from codedistill.benchmarks.loading import references
from codedistill.errors import UserError
from codedistill.harness.expected import with_checks
from codedistill.sandbox import Program, run_programs
from tests.benchmarks.rows import HELPERS, HUMANEVAL, HUMANEVAL_HUB, LOOP, MBPP_HUB, write


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def load(rows: Any, folder: Path) -> Benchmark:
    return with_checks(load_benchmark(str(write(folder / "hub.jsonl", rows))))


def passing(tasks: Benchmark, programs: dict[str, str]) -> dict[str, bool]:
    wanted = [problem for problem in tasks.problems if problem.task_id in programs]
    results = run_programs([Program(programs[p.task_id], p.checks, p.entry_point) for p in wanted])
    return {p.task_id: r.passed for p, r in zip(wanted, results, strict=True)}


@pytest.mark.parametrize("rows", [HUMANEVAL_HUB, MBPP_HUB], ids=["HumanEval+", "MBPP+"])
def test_references_pass_and_empty_functions_do_not(rows: Any, tmp_path: Path) -> None:
    tasks = load(rows, tmp_path)
    assert passing(tasks, references(tasks.source)) == {p.task_id: True for p in tasks.problems}
    empty = {p.task_id: p.prompt + "    pass\n" for p in tasks.problems}
    assert passing(tasks, empty) == dict.fromkeys(empty, False)
    assert [problem.inputs_left_out for problem in tasks.problems] == [0] * len(rows)


def test_what_is_read_out_of_a_script(tmp_path: Path) -> None:
    humaneval, mbpp = load(HUMANEVAL_HUB, tmp_path), load(MBPP_HUB, tmp_path)
    cases = {problem.task_id: problem.cases for problem in (*humaneval.problems, *mbpp.problems)}
    read = {task: (case.plus, case.atol, case.compare) for task, case in cases.items() if case}
    assert read == {
        "HumanEval/32": ((([1, 2],), ([-6, 1],)), 0.0, "root"),
        "HumanEval/83": (((1,), (5,), (1000,), (100000,)), 0.0, "equal"),
        "HumanEval/4": ((([1.0, 2.0],), ([0.1, 0.2, 0.6],)), 1e-6, "equal"),
        "Mbpp/2": ((((3, 4), (4, 5)), ((3, math.inf), (math.inf, 3))), 0.0, "set"),
        "Mbpp/124": (((0.0, 1j), (2.0, 1 - 1j)), 1e-4, "equal"),
        "Mbpp/794": ((("aabbbb",), ("aabAbbbc",)), 0.0, "truth"),
    }
    assert mbpp.problems[0].prompt.startswith('def similar_elements(a, b):\n    """Write similar_elements.\n')


def test_wrong_and_other_right_programs(tmp_path: Path) -> None:
    humaneval, mbpp = load(HUMANEVAL_HUB, tmp_path), load(MBPP_HUB, tmp_path)
    wrong = {
        "HumanEval/32": "def find_zero(xs):\n    return -0.5\n",
        "HumanEval/83": "def starts_one_ends(n):\n    return 1 if n == 1 else 18 * 10 ** (n - 2) + n // 100000\n",
        "HumanEval/4": "def mean(x):\n    return sum(x) / len(x) + 1e-5\n",
    }
    assert passing(humaneval, wrong) == dict.fromkeys(wrong, False)
    wrong = {
        "Mbpp/2": "def similar_elements(a, b):\n    return (4,)\n",
        "Mbpp/124": "def angle_complex(a, b):\n    return 1.5708\n",
        "Mbpp/794": "def text_starta_endb(text):\n    return True\n",  # the script's own assertion lets it pass
    }
    assert passing(mbpp, wrong) == dict.fromkeys(wrong, False)
    right = {
        "Mbpp/2": "def similar_elements(a, b):\n    return [x for x in b if x in a]\n",
        "Mbpp/794": "def text_starta_endb(text):\n    return 'a' in text and text[-1] == 'b'\n",
    }
    assert passing(mbpp, right) == dict.fromkeys(right, True)


def test_results_are_not_read(tmp_path: Path) -> None:
    """They may be numbers of more digits than Python reads."""
    row = HUMANEVAL_HUB[2]
    test = row["test"].replace("[1.5, 0.3]", "[" + "7" * 5000 + ", 0.3]")
    assert passing(
        load([row | {"test": test}], tmp_path), {"HumanEval/4": "def mean(x):\n    return sum(x) / len(x)\n"}
    )


def test_a_large_result_is_compared_in_full(tmp_path: Path) -> None:
    tasks = load([HUMANEVAL_HUB[1]], tmp_path)
    near = "def starts_one_ends(n):\n    return 1 if n == 1 else 18 * 10 ** (n - 2) + (n == 100000)\n"
    assert passing(tasks, {"HumanEval/83": near}) == {"HumanEval/83": False}


def test_tests_of_ones_own_stay_as_they_are(tmp_path: Path) -> None:
    test = "def check(candidate):\n    inputs = [[1, 2]]\n    for one in inputs:\n        assert candidate(one) == 3\n"
    (problem,) = load([HUMANEVAL[0] | {"test": test}], tmp_path).problems
    assert (problem.cases, problem.checks) == (None, test)


@pytest.mark.parametrize("inputs", ["[[open]]", "[[1], 2]", "[[1 +]]"])
def test_inputs_that_are_no_data_are_an_error_of_their_line(inputs: str, tmp_path: Path) -> None:
    test = f"{HELPERS}inputs = {inputs}\nresults = []\n{LOOP}    assertion(similar_elements(*inp), exp, 0)\n"
    with pytest.raises(UserError, match=r"hub\.jsonl: line 2: "):
        load([MBPP_HUB[1], MBPP_HUB[0] | {"test": test}], tmp_path)
