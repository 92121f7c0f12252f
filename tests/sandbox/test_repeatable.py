"""A verdict depends on the program and its checks: not on the worker, and not on what ran in it before."""

from __future__ import annotations

import pytest

from codedistill.sandbox import Limits, Program, Status, run_programs
from codedistill.sandbox.traces import may_leave_traces

ONE_WORKER = Limits(wall_seconds=10, workers=1)

SOURCE = """
from decimal import Decimal
def f(x):
    return Decimal(1) / Decimal(x)
"""
PURE = "from decimal import Decimal\ndef check(f):\n    assert f(7) == Decimal(1) / Decimal(7)\n"

CONTAMINATIONS = {
    "precision of decimals": "import decimal\ndecimal.getcontext().prec = 3\n",
    "a builtin": "import builtins\nbuiltins.len = builtins.sum = lambda *x: 0\nbuiltins.Exception = None\n",
    "a module": "import decimal\ndecimal.Decimal = int\n",
    "a module by another name": "import decimal as d\nsetattr(d, 'Decimal', int)\n",
    "the path": "import sys\nsys.path.clear()\nsys.modules.clear()\n",
    "recursion": "import sys\nsys.setrecursionlimit(60)\n",
    "output": "import sys\nsys.stdout = None\n",
    "a module by eval": 'eval(\'setattr(__import__("decimal"), "Decimal", int)\')\n',
}


@pytest.mark.parametrize("name", CONTAMINATIONS)
def test_checks_leave_nothing_behind(name: str) -> None:
    dirty = Program("def f(x):\n    return 1\n", f"{CONTAMINATIONS[name]}def check(f):\n    assert f(1) == 1\n", "f")
    clean = Program(SOURCE, PURE, "f")
    results = run_programs([clean, dirty, clean, dirty, clean], ONE_WORKER)
    assert [result.status for result in results[::2]] == [Status.PASSED] * 3, results


def test_what_a_program_returned_is_not_kept() -> None:
    """Ten times half of what the checks' process may use."""
    source = "def f():\n    return 'x' * (60 * 2**20)\n"
    checks = "def check(f):\n    global kept\n    kept = f()\n    assert len(kept) == 60 * 2**20\n"
    programs = [Program(source, f"{checks}# {number}\n", "f") for number in range(10)]
    results = run_programs(programs, Limits(wall_seconds=10, workers=1, memory_mb=256))
    assert [result.status for result in results] == [Status.PASSED] * 10


@pytest.mark.parametrize(
    ("checks", "may"),
    [
        ("def check(f):\n    assert f([1, 2]) == sorted([2, 1])\n    x = {}\n    x['a'] = 1\n", False),
        ("import math\ndef check(f):\n    assert math.isclose(f(1), 1.0)\n", False),
        ("import random\ndef check(f):\n    assert f(1)\n", True),
        ("def check(f):\n    import random\n    assert f(1)\n", True),
        ("import math\nmath.pi = 3\n", True),
        ("import math\ndel math.pi\n", True),
        ("from math import *\n", True),
        ("class C:\n    pass\nC.x = 1\n", True),
        ("def check(f):\n    f.__globals__['x'] = 1\n", True),
        ("def check(f):\n    return [setattr(f, 'x', 1) for _ in range(1)]\n", True),
    ],
)
def test_what_may_leave_traces(checks: str, may: bool) -> None:
    assert may_leave_traces(compile(checks, "<checks>", "exec")) is may


def test_hashes_are_the_same_in_every_worker() -> None:
    source = "print(hash('a'), list({'one', 'two', 'three', 'four', 'five'}))\ndef f():\n    return 1\n"
    program = Program(source, "def check(f):\n    assert f() == 1\n", "f")
    told = {run_programs([program], ONE_WORKER)[0].stdout for _ in range(4)}
    assert len(told) == 1


def test_the_checks_hash_as_the_program_does() -> None:
    program = Program("def f():\n    return hash('a')\n", "def check(f):\n    assert f() == hash('a')\n", "f")
    assert run_programs([program], ONE_WORKER)[0].status is Status.PASSED
