"""What checks cannot do here is told before they run."""

from __future__ import annotations

import pytest

from codedistill.errors import ChecksError
from codedistill.sandbox import Limits, Program, run_programs, unsupported_in_checks

# Checks that are right, a right source, and what is told of them.
UNSUPPORTED = {
    "derived": (
        "def check(f):\n    assert f().one() == 1\nclass More(Stack):\n    pass\n",
        "class Stack: pass\nclass f:\n    def one(self): return 1\n",
        ["class More derives from the program's Stack"],
    ),
    "derived from the parameter": (
        "def check(stack):\n    class More(stack): pass\n    assert More().one() == 1\n",
        "class f:\n    def one(self): return 1\n",
        ["class More derives from the program's stack"],
    ),
    "source": (
        "import inspect\ndef check(f):\n    assert 'return' in inspect.getsource(f)\n",
        "def f():\n    return 1\n",
        ["getsource: the program's source is not there"],
    ),
    "patched": (
        "from unittest.mock import patch\ndef check(f):\n    with patch('time.time', return_value=5):\n"
        "        assert f() == 5\n",
        "import time\ndef f():\n    return time.time()\n",
        ["patching time.time: the program has a module of its own"],
    ),
    "patched object": (
        "import time\nfrom unittest import mock\n@mock.patch.object(time, 'time', return_value=5)\n"
        "def check(f, time):\n    assert f() == 5\n",
        "import time\ndef f():\n    return time.time()\n",
        ["patching time.time: the program has a module of its own"],
    ),
    "package": (
        "import numpy.linalg\nfrom numpy import array\ndef check(f):\n    assert f() == 1\n",
        "def f():\n    return 1\n",
        [
            "import of numpy.linalg, which is not in Python's own library",
            "import of numpy, which is not in Python's own library",
        ],
    ),
    "main": (
        "import unittest\nclass Test(unittest.TestCase): pass\ndef check(f):\n    unittest.main()\n",
        "def f():\n    return 1\n",
        ["unittest.main: it ends the process of the checks; run a TestSuite and look at its result"],
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_does_not_work_is_told_and_does_not_work(name: str) -> None:
    checks, source, told = UNSUPPORTED[name]
    assert unsupported_in_checks(checks) == told
    try:
        (result,) = run_programs([Program(source, checks, "f")], Limits(wall_seconds=10))
    except ChecksError:
        return
    assert not result.passed


@pytest.mark.parametrize(
    "checks",
    [
        "def check(f):\n    assert f(1) == 2\n",
        "import unittest\nfrom collections import Counter\nclass Mine(Counter): pass\nclass More(Mine): pass\n"
        "class Test(unittest.TestCase):\n    pass\nclass E(Exception): pass\n",
        "from unittest.mock import patch\ndef check(f):\n    with patch('builtins.input', g):\n        f()\n",
        "import math, os.path\nfrom concurrent.futures import ThreadPoolExecutor\ncase = dict.fromkeys([1])\n",
        "def check(f:\n",
        "\0",
    ],
)
def test_nothing_is_told_of_other_checks(checks: str) -> None:
    assert unsupported_in_checks(checks) == []
