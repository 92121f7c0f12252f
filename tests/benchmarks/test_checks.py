"""Checks that use the prompt's helpers, and checks that cannot judge anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codedistill.benchmarks import Benchmark, load_benchmark
from codedistill.benchmarks.formats import with_helpers
from codedistill.benchmarks.loading import references
from codedistill.errors import UserError
from codedistill.harness.limits import require_checks
from codedistill.sandbox import Program, Status, run_programs
from tests.benchmarks.rows import HUMANEVAL, MBPP, write


@pytest.fixture(scope="module")
def humaneval() -> Benchmark:
    return load_benchmark("humaneval")


@pytest.mark.parametrize(
    ("task", "entry_point", "helper"),
    [
        ("HumanEval/32", "find_zero", "poly"),
        ("HumanEval/38", "decode_cyclic", "encode_cyclic"),
        ("HumanEval/50", "decode_shift", "encode_shift"),
    ],
)
def test_a_program_cannot_redefine_what_it_is_checked_by(
    task: str, entry_point: str, helper: str, humaneval: Benchmark
) -> None:
    problem = humaneval.find(task)
    assert problem is not None
    cheats = [f"def {name}(*a):\n    return {value}\n" for value in ("0", "a[0]") for name in (entry_point, helper)]
    right = references(humaneval.source)[task]
    sources = [cheats[0] + cheats[1], cheats[2] + cheats[3], right]
    results = run_programs([Program(source, problem.checks, problem.entry_point) for source in sources])
    assert [result.passed for result in results] == [False, False, True]


def test_the_helpers_come_with_what_they_need() -> None:
    prompt = (
        "from __future__ import annotations\nimport math\nimport os.path as p, re\n"
        "from typing import (\n    List,\n)\n\n"
        "SCALE = 2\nUNUSED = 3\n\n@staticmethod\ndef deep(x: List):\n    return SCALE * x\n\n"
        "class Outer:\n    def f(self, x):\n        return math.floor(deep(x))\n\ndef other():\n    return f(1)\n\n"
        "def f(x):\n    '''Uses Outer and re.'''\n"
    )
    checks = "def check(candidate):\n    assert Outer().f(3) == candidate(3) and p\n"
    wanted = (
        prompt.split("UNUSED = 3")[0].split("annotations\n")[1] + prompt.split("UNUSED = 3")[1].split("def other")[0]
    )
    found = with_helpers(checks, prompt, "f")
    assert found.split() == (wanted + checks).split()
    assert with_helpers("def other(): pass\n" + checks, prompt, "f").count("def other") == 1


def test_imports_from_the_future_stay_first() -> None:
    prompt = "def helper():\n    return 1\n\ndef f(x):\n"
    checks = "from __future__ import annotations\n\ndef check(candidate: No):\n    assert helper() == candidate(1)\n"
    found = with_helpers(checks, prompt, "f")
    assert "def helper" in found
    names: dict[str, Any] = {}
    exec(compile(found, "<checks>", "exec", dont_inherit=True), names)
    names["check"](lambda x: x)


def test_a_coroutine_keeps_its_decorators() -> None:
    prompt = "def twice(g):\n    return g\n\n@twice\nasync def helper():\n    return 1\n\ndef f(x):\n"
    found = with_helpers("def check(candidate):\n    assert helper()\n", prompt, "f")
    assert "def twice(g):" in found
    assert "@twice\nasync def helper" in found


@pytest.mark.parametrize(
    "checks",
    [
        "def check(candidate):\n    assert candidate(1)\n",
        "def check(candidate):\n    assert f(1) and candidate(1)\n",
        "def helper():\n    return 2\n\ndef check(candidate):\n    assert helper() == candidate(1)\n",
        "from other import helper\n\ndef check(candidate):\n    assert helper() == candidate(1)\n",
    ],
)
def test_checks_that_need_nothing_stay_as_they_are(checks: str) -> None:
    assert with_helpers(checks, "def helper():\n    return 1\n\ndef f(x):\n", "f") == checks


BROKEN = [
    HUMANEVAL[0] | {"test": "def check(candidate)\n    pass\n"},
    HUMANEVAL[0] | {"test": "def check(c):\n    pass\nreturn\n"},
    HUMANEVAL[0] | {"test": "nonlocal check\ndef check(c):\n    pass\n"},
    HUMANEVAL[0] | {"test": "\x00"},
    HUMANEVAL[0] | {"test": "check(" * 9999},
    HUMANEVAL[0] | {"test": "assert add_all([1]) == 1\n"},
    HUMANEVAL[0] | {"test": "check\n"},
    HUMANEVAL[0] | {"test": "async def check(c):\n    assert 0\n"},
    HUMANEVAL[0] | {"test": "def check(c):\n    yield\n    assert 0\n"},
    HUMANEVAL[0] | {"entry_point": "add_all; print"},
    HUMANEVAL[0] | {"entry_point": "1 + 1"},
    HUMANEVAL[0] | {"entry_point": ""},
    HUMANEVAL[0] | {"entry_point": "class"},
]
BROKEN_MBPP = [
    MBPP[0] | {"test_list": ["assert twice(2) == 4", "assert twice(2 == 4"]},
    MBPP[0] | {"test_list": ["assert twice(2) == 4", "assert twice('''2''' == 4"]},
]


@pytest.mark.parametrize("number", range(len(BROKEN) + len(BROKEN_MBPP)))
def test_a_task_that_cannot_judge_is_broken_and_the_others_are_not(number: int, tmp_path: Path) -> None:
    row = [*BROKEN, *BROKEN_MBPP][number]
    good = HUMANEVAL[1] if number < len(BROKEN) else MBPP[1]
    path = str(write(tmp_path / "own.jsonl", [good, row]))
    right = references(path)
    programs = [Program(right[p.task_id], p.checks, p.entry_point) for p in load_benchmark(path).problems]
    sound, broken = run_programs(programs)
    assert (sound.status, broken.status) == (Status.PASSED, Status.BROKEN_CHECKS)
    assert "\n" not in broken.message


@pytest.mark.parametrize("row", [*BROKEN, *BROKEN_MBPP])
def test_a_benchmark_of_broken_tasks_is_refused(row: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", [row])
    tasks = load_benchmark(str(path))
    with pytest.raises(UserError) as caught:
        require_checks(tasks)
    assert str(caught.value).startswith(f"{path}: {tasks.problems[0].task_id}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry_point", "name"), [("f", "f"), ("Solution().twoSum", "Solution"), ("Solution(3).a.b", "Solution")]
)
def test_an_entry_point_may_be_an_expression(entry_point: str, name: str, tmp_path: Path) -> None:
    row = HUMANEVAL[0] | {"entry_point": entry_point}
    (problem,) = load_benchmark(str(write(tmp_path / "own.jsonl", [row]))).problems
    assert (problem.entry_point, problem.name) == (entry_point, name)


@pytest.mark.parametrize(
    "test",
    [
        "check = lambda c: None\n",
        "from operator import truth as check\n",
        "if True:\n    def check(candidate):\n        assert candidate([1]) == 1\n",
        "class check:\n    def __init__(self, candidate):\n        assert candidate([1]) == 1\n",
        "def check(candidate):\n    assert candidate([1]) is 1\n",
    ],
)
def test_every_way_to_define_check_will_do(test: str, tmp_path: Path) -> None:
    (problem,) = load_benchmark(str(write(tmp_path / "own.jsonl", [HUMANEVAL[0] | {"test": test}]))).problems
    assert problem.checks == test
