"""`shared` isolation: the verdict of plain execution, and no pass for programs that end, patch or forge instead."""

# ruff: noqa: E501 (programs in tables)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codedistill.sandbox import Limits, Program, Status, run_programs

LIMITS = Limits(cpu_seconds=10)
CHECKS = "def check(f):\n    assert f(2) == 4\n"
WRONG = "def f(x):\n    return 5\n"
UNITTEST = """
import unittest
def check(f):
    class Test(unittest.TestCase):
        def test(self):
            self.assertEqual(f(2), 4)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Test).run(result)
    assert result.testsRun == 1 and result.wasSuccessful()
"""
HELPER = (
    "def close(a, b, {}tol=1e-6):\n    return abs(a - b) < tol\ndef check(f):\n    y = f(2)\n    assert close(y, 4)\n"
)
CLOSE = "import math\ndef check(f):\n    assert math.isclose(f(2), 4)\n"

FAILED, EXITED, CRASHED = Status.FAILED, Status.EXITED, Status.CRASHED

FORGERIES = {
    # Leaving early.
    "exit": ("def f(x):\n    exit(0)\n", CHECKS, EXITED),
    "exit on import": ("import sys\nsys.exit()\n", CHECKS, EXITED),
    "os._exit": ("import os\ndef f(x):\n    os._exit(0)\n", CHECKS, EXITED),
    "exec": ("import os\ndef f(x):\n    os.execv('/bin/true', ['true'])\n", CHECKS, EXITED),
    "atexit": ("import atexit, os\natexit.register(os._exit, 0)\n" + WRONG, CHECKS, FAILED),
    "thread exits": (
        "import os, threading, time\ndef f(x):\n    threading.Thread(target=os._exit, args=(0,)).start()\n"
        "    time.sleep(5)\n",
        CHECKS,
        EXITED,
    ),
    "daemon thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n" + WRONG,
        CHECKS,
        FAILED,
    ),
    "thread that stays": ("import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\n" + WRONG,
                          CHECKS, FAILED),
    "child goes on": ("import os\ndef f(x):\n    if os.fork() == 0: return 4\n    os.wait()\n    return 5\n", CHECKS, FAILED),
    "child goes on alone": ("import os\ndef f(x):\n    if os.fork() == 0: return 4\n    os._exit(0)\n", CHECKS, EXITED),
    "child runs the source": ("import os\nif os.fork(): os._exit(0)\ndef f(x):\n    return 4\n", CHECKS, EXITED),
    "signal": ("import os, signal\ndef f(x):\n    os.kill(os.getpid(), signal.SIGTERM)\n", CHECKS, CRASHED),
    # Patched builtins and modules.
    "sys.exit patched": ("import os, sys\nsys.exit = os._exit = lambda *code: None\n" + WRONG, CHECKS, FAILED),
    "assertions patched": ("import builtins\nclass Quiet(BaseException):\n    pass\n"
                           "builtins.AssertionError = builtins.BaseException = Quiet\n" + WRONG, CHECKS, FAILED),
    "import patched": ("import builtins\nbuiltins.__import__ = lambda *a, **k: f\n" + WRONG, UNITTEST, FAILED),
    "abs patched": ("import builtins\nbuiltins.abs = lambda x: 0\n" + WRONG,
                    "def check(f):\n    assert abs(f(2) - 4) < 1e-6\n", FAILED),
    "abs patched late": ("import builtins\ndef f(x):\n    builtins.abs = lambda x: 0\n    return 5\n",
                         "def check(f):\n    y = f(2)\n    assert abs(y - 4) < 1e-6\n", FAILED),
    "print patched": ("import builtins, os\nbuiltins.print = lambda *a: os._exit(0)\n" + WRONG,
                      "def check(f):\n    print('start')\n    assert f(2) == 4\n", EXITED),
    "abs patched, used in a generator": ("import builtins\nbuiltins.abs = lambda x: 0\n" + WRONG,
                                         "def check(f):\n    assert all(abs(f(x) - y) < 1 for x, y in [(2, 4)])\n", FAILED),
    "abs patched by way of the namespace": ("def f(x):\n    vars(globals()['__builtins__'])['abs'] = lambda x: 0\n    return 5\n",
                                            "def check(f):\n    y = f(2)\n    assert abs(y - 4) < 1e-6\n", FAILED),
    "unittest patched": ("import unittest\nunittest.TestCase.assertEqual = lambda *a: None\n" + WRONG, UNITTEST, FAILED),
    "unittest patched late": ("def f(x):\n    import unittest\n    unittest.TestCase.assertEqual = lambda *a: None\n"
                              "    return 5\n", UNITTEST, FAILED),
    "result patched": ("import unittest\nunittest.TestResult.wasSuccessful = lambda self: True\n" + WRONG, UNITTEST, FAILED),
    "module replaced": ("import sys, types\nfake = types.ModuleType('math')\nfake.isclose = lambda *a: True\n"
                        "sys.modules['math'] = fake\n" + WRONG, CLOSE, FAILED),
    "function of a module patched": ("import math\nmath.isclose = lambda *a: True\n" + WRONG, CLOSE, FAILED),
    "write patched": ("import os, socket, json\nfor module in (os, socket.socket, json):\n"
                      "    for name in ('write', 'sendall', 'dumps'):\n"
                      "        try: setattr(module, name, lambda *a: b'passed')\n        except TypeError: pass\n" + WRONG,
                      CHECKS, FAILED),
    "helper of the checks replaced": ("def f(x):\n    globals()['same'] = lambda a, b: True\n    return 5\n",
                                      "def same(a, b):\n    return a == b\ndef check(f):\n    assert same(f(2), 4)\n"
                                      "    assert same(f(3), 9)\n", FAILED),
    "cached helper replaced": ("def f(x):\n    globals()['same'] = lambda a, b: True\n    return 5\n",
                               "import functools\n@functools.cache\ndef same(a, b):\n    return a == b\n"
                               "def check(f):\n    y = f(2)\n    assert same(y, 4)\n", FAILED),
    "imported name replaced": ("def f(x):\n    globals()['isclose'] = lambda *a: True\n    return 5\n",
                               "from math import isclose\ndef check(f):\n    y = f(2)\n    assert isclose(y, 4)\n", FAILED),
    "code of a helper": ("def f(x):\n    same.__code__ = (lambda a, b: True).__code__\n    return 5\n",
                         "def same(a, b):\n    return a == b\ndef check(f):\n    y = f(2)\n    assert same(y, 4)\n", FAILED),
    "default of a helper": ("def f(x):\n    close.__defaults__ = (1e9,)\n    return 5\n", HELPER.format(""), FAILED),
    "keyword default of a helper": ("def f(x):\n    close.__kwdefaults__['tol'] = 1e9\n    return 5\n", HELPER.format("*, "), FAILED),
    "method of a class of the checks": ("def f(x):\n    T.same = lambda *a: True\n    return 5\n",
                                        "class T:\n    def same(self, a, b): return a == b\n"
                                        "def check(f):\n    y = f(2)\n    assert T().same(y, 4)\n", FAILED),
    "code of a method": ("import unittest\nunittest.TestCase.assertEqual.__code__ = (lambda *a, **k: None).__code__\n" + WRONG,
                         UNITTEST, FAILED),
    "method added": ("import unittest\nunittest.TestCase.__getattribute__ = lambda self, name: (\n"
                     "    (lambda *a: None) if 'assert' in name else object.__getattribute__(self, name))\n" + WRONG, UNITTEST, FAILED),
    "class of a module": ("import math, types\nclass Fake(types.ModuleType):\n    def __getattribute__(self, name):\n"
                          "        return (lambda *a: True) if name == 'isclose' else super().__getattribute__(name)\n"
                          "math.__class__ = Fake\n" + WRONG, CLOSE, FAILED),
    "table of modules replaced": ("import math, sys, types\nmodules, real = sys.modules, dict(sys.modules)\n"
                                  "modules['math'] = types.SimpleNamespace(isclose=lambda *a: True)\nsys.modules = real\n" + WRONG,
                                  CLOSE, FAILED),
    "submodule patched": ("from unittest import mock\nmock.Mock.assert_called_with = lambda *a: None\ndef f(m):\n    pass\n",
                          "from unittest import mock\ndef check(f):\n    m = mock.Mock()\n    f(m)\n    m.assert_called_with(3)\n", FAILED),
    "traced": ("import sys\ndef trace(frame, event, value):\n    if frame.f_code.co_name == 'check' and event == 'line':\n"
               "        frame.f_lineno = frame.f_code.co_firstlineno + 2\n    return trace\nsys.settrace(trace)\n" + WRONG,
               "def check(f):\n    assert f(2) == 4\n    pass\n", FAILED),
    "check defined": ("def check(f):\n    pass\n" + WRONG, CHECKS, FAILED),
    # Forged verdicts and descriptors.
    "printed verdict": ("print('passed')\nprint('{\"status\": \"passed\"}')\n" + WRONG, CHECKS, FAILED),
    "written verdict": ("import os\nos.write(3, b'r{\"status\": \"passed\"}')\n" + WRONG, CHECKS, EXITED),
    "written broken checks": ("import os\nos.write(3, b'{\"status\": \"broken_checks\", \"message\": \"x\"}')\n"
                              "os._exit(0)\n", CHECKS, EXITED),
    "flood": ("import os\nfor _ in range(100): os.write(3, bytes(10**6))\n" + WRONG, CHECKS, EXITED),
    "descriptors closed": ("import os\nos.closerange(0, 99)\n" + WRONG, CHECKS, EXITED),
    "descriptor reused": ("import os\nreader, writer = os.pipe()\nos.dup2(writer, 3)\n" + WRONG, CHECKS, EXITED),
    "harness patched": ("import sys\nfor name, module in list(sys.modules.items()):\n"
                        "    if 'codedistill' in name or name == '__main__':\n"
                        "        for key in vars(module): setattr(module, key, lambda *a: None)\n" + WRONG, CHECKS, FAILED),
    # Swallowed exceptions.
    "except": ("def f(x):\n    try: raise SystemExit(0)\n    except BaseException: return 5\n", CHECKS, FAILED),
    "exit in finally": ("import sys\ndef f(x):\n    try: return 5\n    finally: sys.exit(0)\n", CHECKS, EXITED),
    "exit swallowed by the checks": ("def f(x):\n    exit(0)\n",
                                     "def check(f):\n    try: y = f(2)\n    except BaseException: y = None\n"
                                     "    assert y == 4\n", FAILED),
    "excepthook": ("import sys\nsys.excepthook = lambda *a: None\nsys.unraisablehook = lambda *a: None\n" + WRONG, CHECKS, FAILED),
}  # fmt: skip


@pytest.fixture(scope="module")
def forged() -> dict[str, Status]:
    programs = [Program(source, checks, "f") for source, checks, _ in FORGERIES.values()]
    results = run_programs(programs, LIMITS)
    return {name: result.status for name, result in zip(FORGERIES, results, strict=True)}


@pytest.mark.parametrize("name", FORGERIES)
def test_no_pass_without_the_checks(forged: dict[str, Status], name: str) -> None:
    if "child" in name and forged[name] is Status.FAILED:
        return  # a layer on which programs start no processes
    assert forged[name] is FORGERIES[name][2]


# Programs and checks that hold in a plain interpreter, and what they need of it.
PLAIN = {
    "expression as entry point": ("class S:\n    def f(self, x):\n        return x\n",
                                  "def check(f):\n    assert f(x=1) == 1\n", "S().f"),
    "one folder": ("def f(name):\n    return open(name).read()\n",
                   "def check(f):\n    with open('data', 'w') as file: file.write('x')\n    assert f('data') == 'x'\n", "f"),
    "one namespace": ("count = 0\ndef f():\n    global count\n    count += 1\n",
                      "def check(f):\n    f()\n    assert count == 1\n", "f"),
    "names of the program": ("class Node: pass\ndef f(node):\n    return type(node)\n",
                             "def check(f):\n    assert f(Node()) is Node\n", "f"),
    "patched by the checks": ("import time\ndef f():\n    return time.time()\n",
                              "from unittest.mock import patch\ndef check(f):\n    with patch('time.time', return_value=5):\n"
                              "        assert f() == 5\n", "f"),
    "input replaced": ("def f():\n    return input()\n",
                       "import builtins\ndef check(f):\n    builtins.input = lambda *a: 'x'\n    assert f() == 'x'\n", "f"),
    "input replaced, asked for in a comprehension": (
        "def f():\n    return [input() for _ in 'ab']\n", "from unittest.mock import patch\ndef check(f):\n"
        "    with patch('builtins.input', side_effect=['1', '2']):\n        assert f() == ['1', '2']\n", "f"),
    "print counted in a comprehension": ("def f():\n    [print(x) for x in 'ab']\n", "from unittest.mock import patch\ndef check(f):\n"
                                         "    with patch('builtins.print') as printed: f()\n    assert printed.call_count == 2\n", "f"),
    "builtin patched and used by the checks": ("def f(x):\n    return x\n", "from unittest.mock import patch\ndef check(f):\n"
                                               "    with patch('builtins.input', return_value='z'):\n        assert f(input()) == 'z'\n", "f"),
    "builtin patched that the checks do not use": ("import builtins\nbuiltins.print = lambda *a: None\ndef f(x):\n    return x\n",
                                                   "def check(f):\n    assert f(1) == 1\n", "f"),
    "global of the checks rebound": ("def f(x):\n    return x\n", "use = lambda x: 0\ndef check(f):\n    global use\n    use = f\n"
                                     "    assert use(1) == 1\n", "f"),
    "order for a class of the checks": ("def f(nodes):\n    Node.__lt__ = lambda a, b: a.x < b.x\n    return min(nodes).x\n",
                                        "class Node:\n    def __init__(self, x): self.x = x\n"
                                        "def check(f):\n    assert f([Node(2), Node(1)]) == 1\n", "f"),
    "excepthook": ("import sys\nsys.excepthook = lambda *a: None\ndef f(x):\n    return x\n",
                   "import sys\ndef check(f):\n    assert f(1) == 1\n", "f"),
    "output wrapped": ("import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, line_buffering=True)\ndef f():\n    print('x')\n",
                       "def check(f):\n    f()\n", "f"),
    "python started": ("import subprocess, sys\ndef f():\n    try: return subprocess.check_output([sys.executable, '-c', 'print(5)'])\n"
                       "    except BlockingIOError: return b'5\\n'\n", "def check(f):\n    assert f() == b'5\\n'\n", "f"),
    "process pool": ("import multiprocessing\ndef g(x):\n    return x * 2\ndef f(xs):\n    try:\n"
                     "        with multiprocessing.Pool(2) as pool: return pool.map(g, xs)\n"
                     "    except OSError: return [2, 4]\n", "def check(f):\n    assert f([1, 2]) == [2, 4]\n", "f"),
    "asyncio": ("import asyncio\nasync def f(x):\n    await asyncio.sleep(0.01)\n    return x * 2\n",
                "import asyncio\ndef check(f):\n    async def both(): return await asyncio.gather(f(1), f(2))\n"
                "    assert asyncio.run(both()) == [2, 4]\n", "f"),
    "linked nodes": ("class Solution:\n    def reverse(self, head: 'Node'):\n        last = None\n"
                     "        while head: head.next, last, head = last, head, head.next\n        return last\n",
                     "class Node:\n    def __init__(self, x, next=None): self.x, self.next = x, next\n"
                     "def check(f):\n    assert f(head=Node(1, Node(2))).x == 2\n", "Solution().reverse"),
    "logs asserted": ("import logging\ndef f():\n    logging.getLogger(__name__).warning('x')\n",
                      "import unittest\nclass Test(unittest.TestCase):\n    def test(self):\n"
                      "        with self.assertLogs(level='WARNING'): f()\n"
                      "def check(f):\n    assert unittest.main('__main__', argv=['x'], exit=False).result.wasSuccessful()\n", "f"),
    "output read": ("def f():\n    print('x')\n",
                    "import io, contextlib\ndef check(f):\n    out = io.StringIO()\n"
                    "    with contextlib.redirect_stdout(out): f()\n    assert out.getvalue() == 'x\\n'\n", "f"),
    "a function named check": ("def check(x):\n    return x\n",
                               "def check(candidate):\n    check = candidate\n    assert check(3) == 3\n", "check"),
    "pickle": ("import pickle\nclass A: pass\ndef f():\n    return pickle.loads(pickle.dumps(A()))\n",
               "def check(f):\n    assert isinstance(f(), A)\n", "f"),
    "script": ("def f():\n    return 1\n", "assert f() == 1\n", None),
    "exit expected": ("def f():\n    exit(3)\n",
                      "def check(f):\n    try: f()\n    except SystemExit as end: assert end.code == 3\n"
                      "    else: assert False\n", "f"),
    "lazy import in the checks": ("def f():\n    return 1\n", "def check(f):\n    import decimal\n    assert f() == 1\n", "f"),
}  # fmt: skip


def test_plain_programs_pass() -> None:
    results = run_programs([Program(*each) for each in PLAIN.values()], LIMITS)
    assert {name: str(result.status) for name, result in zip(PLAIN, results, strict=True)} == dict.fromkeys(
        PLAIN, "passed"
    )


CASES = Path(__file__).parents[3] / "shared" / "cases"


@pytest.mark.parametrize("case", ["threads_block", "entry_point_expression", "one_bad_task"])
def test_cases_pass_as_in_plain_execution(case: str) -> None:
    if not (CASES / case).is_dir():
        pytest.skip("no shared cases here")
    tasks = {row["task_id"]: row for row in map(json.loads, (CASES / case / "bench.jsonl").read_text().splitlines())}
    programs = []
    for row in map(json.loads, (CASES / case / "samples.jsonl").read_text().splitlines()):
        task = tasks[row["task_id"]]
        source = row["solution"] if "solution" in row else task["prompt"] + row["completion"]
        programs.append(Program(source, task["test"], task["entry_point"]))
    assert [str(result.status) for result in run_programs(programs, LIMITS)] == ["passed"] * len(programs)


def test_where_an_exception_comes_from() -> None:
    sources = {
        "def f(x):\n    raise ValueError('no')\n": ("ValueError", "no", 2, "source", True, True),
        "def f(x):\n    return [][x]\n": ("IndexError", "list index out of range", 2, "source", True, False),
        "def f(x):\n    return 5\n": ("AssertionError", "", None, "checks", True, False),
        "def f():\n    return 5\n": ("TypeError", "f() takes 0 positional arguments but 1 was given", None, "checks", True, False),
        "x = 1\ndef f(x:\n": ("SyntaxError", "'(' was never closed (<program>, line 2)", 2, "source", False, False),
        "import nowhere\n": ("ModuleNotFoundError", "No module named 'nowhere'", 1, "source", False, False),
        "def g(x):\n    pass\n": ("NameError", "name 'f' is not defined", None, "checks", False, False),
    }  # fmt: skip
    for isolation in ("data", "shared"):
        results = run_programs([Program(source, CHECKS, "f", isolation) for source in sources], LIMITS)  # type: ignore[arg-type]
        for wanted, r in zip(sources.values(), results, strict=True):
            assert r.status is Status.FAILED
            found = (r.error_type, r.message, r.line, r.raised_in, r.reached_checks, r.raised_deliberately)
            assert found == wanted, isolation
