"""Checks that cannot judge are a fault of the checks, and never of the program; nor the other way round."""

from __future__ import annotations

import pytest

from codedistill.errors import ChecksError, UserError
from codedistill.sandbox import Limits, Program, Status, run_programs

LIMITS = Limits(wall_seconds=10)
GOOD = Program("def f():\n    return 1\n", "def check(f):\n    assert f() == 1\n", "f")

BROKEN = {
    "syntax": ("def check(f:\n", "SyntaxError: '(' was never closed"),
    "null byte": ("def check(f): pass\n\0", "source code string cannot contain null bytes"),
    "no check": ("def chek(f): pass\n", "they define no function `check`"),
    "missing module": ("import nothing_of_this_name\ndef check(f): pass\n", "No module named 'nothing_of_this_name'"),
    "missing module, late": (
        "def check(f):\n    assert f() == 1\n    from math import nothing\n",
        "ImportError: cannot import name 'nothing' from 'math'",
    ),
    "missing file": ("def check(f):\n    open('/nothing of this name')\n", "FileNotFoundError"),
    "error before the first call": (
        "def check(f):\n    expected = 1 / 0\n    assert f() == expected\n",
        "ZeroDivision",
    ),
    "fails whatever the program is": ("def check(f):\n    assert 1 == 2\n", "AssertionError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_checks_are_told_by_index(name: str) -> None:
    checks, reason = BROKEN[name]
    with pytest.raises(ChecksError) as caught:
        run_programs([GOOD, Program(GOOD.source, checks, "f"), GOOD], LIMITS)
    assert caught.value.index == 1
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UserError)


def test_a_broken_script_is_told() -> None:
    with pytest.raises(ChecksError, match="program 0: its checks are broken: ValueError"):
        run_programs([Program("def f():\n    return 1\n", "wanted = int('x')\nassert f() == wanted\n")], LIMITS)


# Source, checks that are sound: what they raise is the program's doing, though they have not called it.
PROGRAMS = {
    "cannot be called": ("class F: pass\nf = F()\n", "def check(f):\n    assert f() == 1\n"),
    "is no function": ("class F: pass\nf = F()\n", "def check(f):\n    assert callable(f)\n"),
    "is data": ("f = 5\n", "def check(f):\n    assert f() == 1\n"),
    "is of an odd class": (
        "class M(type): pass\nclass f(metaclass=M): pass\n",
        "def check(f):\n    assert type(f).__name__ == 'type'\n",
    ),
    "is a class": ("class f: pass\n", "import inspect\ndef check(f):\n    assert inspect.isfunction(f)\n"),
    "is not there": ("def g():\n    return 1\n", "def check(f):\n    assert f() == 1\n"),
    "helper is not there": ("def f():\n    return 1\n", "def check(f):\n    assert helper(f) == 1\n"),
    "own object": ("class f:\n    pass\n", "def check(f):\n    assert f() == f() + 1\n"),
    "wrong type of result": ("def f():\n    return None\n", "def check(f):\n    assert f() + 1 == 2\n"),
    "import error": ("def f():\n    import nothing_of_this_name\n", "def check(f):\n    assert f() == 1\n"),
    "import error by hand": ("def f():\n    raise ImportError('x')\n", "def check(f):\n    assert f() == 1\n"),
    "definitions looked up": ("def g():\n    return 1\n", "def check(g):\n    assert 'f' in globals()\n"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_cannot_make_sound_checks_look_broken(name: str) -> None:
    source, checks = PROGRAMS[name]
    (result,) = run_programs([Program(source, checks, "g" if name == "definitions looked up" else "f")], LIMITS)
    assert result.status is Status.FAILED, result
