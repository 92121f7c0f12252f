"""`data` isolation: plain data comes over as it is, everything else as nothing that could pass for an answer."""

# ruff: noqa: E501, DTZ001 (programs in tables; a date without a time zone)

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import math
from typing import Any, NamedTuple

import pytest

from codedistill.sandbox import Isolation, Limits, Program, Result, Status, run_programs, wire

LIMITS = Limits(cpu_seconds=10)

VALUES: list[Any] = [
    None, True, False, 0, -1, 2**2000, -(2**2000), 0.0, 1e308, math.inf, -math.inf, 1 + 2j, "", "a\0é😀\ud800", "\ud83d\ude00",
    b"\0\xff", bytearray(b"ab"), [], [1, "a", None, [2.5]], [2**2000, 1], (), (1,), ((), [()]), {}, {1: "a", (1, 2): [3], None: {}},
    set(), {1, "a"}, frozenset({(1, 2)}), range(1, 9, 2), ..., int, list,
    collections.Counter("aab"), collections.OrderedDict(b=1, a=2), collections.deque([1, 2], maxlen=3),
    decimal.Decimal("1.10"), fractions.Fraction(1, 3), array.array("d", [1.5]),
    datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2, 3, 4, 5, 6), datetime.time(1, 2), datetime.timedelta(1, 2, 3),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_plain_values_come_over_unchanged(value: Any) -> None:
    found = wire.loads(wire.dumps([value]))[0]
    assert type(found) is type(value)
    assert found == value
    assert repr(found) == repr(value)


def test_negative_zero_and_nan_come_over() -> None:
    zero, nan = wire.loads(wire.dumps([-0.0, math.nan]))
    assert math.copysign(1, zero) == -1
    assert math.isnan(nan)


class Point(NamedTuple):
    x: int


class Liar(float):
    def __float__(self) -> float:
        return 4.0

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = float.__hash__


class Color(enum.IntEnum):
    RED = 1


class Names(list):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        return iter([4])


@pytest.mark.parametrize(
    ("value", "plain"),
    [(Point(1), (1,)), (Liar(5.0), 5.0), (Color.RED, 1), (Names([5]), [5]), (collections.defaultdict(list, a=[1]), {"a": [1]})],
)  # fmt: skip
def test_a_subclass_comes_over_as_its_base_says(value: Any, plain: Any) -> None:
    (found,) = wire.loads(wire.dumps([value]))
    assert type(found) is type(plain)
    assert found == plain


def test_an_object_equals_nothing_and_keeps_its_truth() -> None:
    class Empty:
        def __eq__(self, other: object) -> bool:
            return True

        def __bool__(self) -> bool:
            return False

    found, other = wire.loads(wire.dumps([Empty(), object()]))
    assert found != 0
    assert not found
    assert other


@pytest.mark.parametrize("data", [b"", b"{", b"[1] 2", b'{"a":1,"b":2}', b'{"open":["/etc/passwd"]}', b'{"os.system":["id"]}',
                                  b'{"decimal.getcontext":[]}', b'{"type":"object"}', b'{"range":[1,2,0]}', b"\xff"])  # fmt: skip
def test_bad_frames_are_refused(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.loads(data)


def run(source: str, checks: str) -> Result:
    return run_programs([Program(source, checks, "f", Isolation.DATA)], LIMITS)[0]


SOURCES = {
    "wrong": "def f(x):\n    return 5\n",
    "changing float": "class F(float):\n    def __eq__(s, o): return True\n    def __float__(s): return 4.0\n    __hash__ = None\n"
    "def f(x):\n    return F(5)\n",
    "object": "class F:\n    def __eq__(s, o): return True\n    def __float__(s): return 4.0\ndef f(x):\n    return F()\n",
    "object in a list": "class F:\n    def __eq__(s, o): return True\ndef f(x):\n    return [F()]\n",
    "builtins": "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.len = builtins.isinstance = lambda *a: 1\n"
    "def f(x):\n    return 5\n",
    "shadowed": "def all(x):\n    return True\nabs = lambda x: 0\ndef f(x):\n    return 5\n",
    "frames": "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n        for value in frame.f_locals.values():\n"
    "            if value == 4: return 4\n        frame = frame.f_back\n    return 5\n",
    "objects": "import gc\ndef f(x):\n    for thing in gc.get_objects():\n        if type(thing) is tuple and float('4.25') in thing: return 4\n"
    "    return 5\n",
    "answers written ahead": 'import os\nos.write(3, b\'r\')\ndef f(x):\n    return 4\n',
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("check", ["f(2) == 4", "abs(f(2) - 4) < 1e-6", "all(y == 4 for y in [f(2)])", "f(2) == [4]"])
def test_no_liar_passes(name: str, check: str) -> None:
    result = run(SOURCES[name], f"answers = (4.25, 4)\ndef check(f):\n    assert {check}\n")
    assert result.status in (Status.FAILED, Status.EXITED)  # EXITED: the protocol was broken


def test_arguments_are_copies() -> None:
    assert run(
        "def f(x):\n    x.append(1)\n    return x\n", "def check(f):\n    x = []\n    assert f(x) == [1] and x == []\n"
    ).passed


def test_iterators_come_over_by_their_items() -> None:
    assert run("def f(n):\n    yield from range(n)\n", "def check(f):\n    assert list(f(3)) == [0, 1, 2]\n").passed


@pytest.mark.parametrize(
    ("raised", "caught"),
    [
        ("ValueError('no')", "ValueError"),
        ("__import__('json').JSONDecodeError('no', '', 0)", "ValueError"),
        ("type('Own', (KeyError,), {})('no')", "LookupError"),
        ("UnicodeDecodeError('utf-8', b'', 0, 1, 'no')", "UnicodeError"),
    ],
)
def test_exceptions_are_caught_by_their_builtin_classes(raised: str, caught: str) -> None:
    checks = f"def check(f):\n    try: f()\n    except {caught} as error: assert 'no' in str(error)\n    else: assert False\n"
    assert run(f"def f():\n    raise {raised}\n", checks).passed


def test_an_interrupt_is_no_exception_that_checks_swallow() -> None:
    checks = "def check(f):\n    try: f()\n    except Exception: pass\n"
    assert run("def f():\n    raise KeyboardInterrupt\n", checks).error_type == "KeyboardInterrupt"


def test_checks_that_swallow_the_programs_end_do_not_pass() -> None:
    result = run(
        "import os\ndef f():\n    os._exit(0)\n", "def check(f):\n    try: f()\n    except BaseException: pass\n"
    )
    assert result.status is Status.EXITED


CONTAMINATIONS = {
    "precision of decimals": "import decimal\ndecimal.getcontext().prec = 3\n",
    "a builtin": "import builtins\nbuiltins.len = builtins.sum = lambda *x: 0\nbuiltins.Exception = None\n",
    "a module by another name": "import decimal as d\nsetattr(d, 'Decimal', int)\n",
    "the path": "import sys\nsys.path.clear()\nsys.modules.clear()\n",
    "recursion": "import sys\nsys.setrecursionlimit(60)\n",
    "a class": "import collections\ncollections.Counter.update = None\n",
    "a module by eval": 'eval(\'setattr(__import__("decimal"), "Decimal", int)\')\n',
}


@pytest.mark.parametrize("name", CONTAMINATIONS)
def test_checks_leave_nothing_behind(name: str) -> None:
    dirty = Program(
        "def f(x):\n    return 1\n", f"{CONTAMINATIONS[name]}def check(f):\n    assert f(1) == 1\n", "f", Isolation.DATA
    )
    clean = Program(
        "from decimal import Decimal\ndef f(x):\n    return Decimal(1) / Decimal(x)\n",
        "from decimal import Decimal\nfrom collections import Counter\n"
        "def check(f):\n    assert f(7) == Decimal(1) / Decimal(7) and len(Counter('ab')) == 2\n",
        "f",
        Isolation.DATA,
    )
    results = run_programs([clean, dirty, clean, dirty, clean], Limits(cpu_seconds=10, workers=1))
    assert [result.status for result in results[::2]] == [Status.PASSED] * 3, results


@pytest.mark.slow
def test_what_a_program_returned_is_not_kept() -> None:
    """Eight times a quarter of what the checks' process may use."""
    source = "def f():\n    return 'x' * (60 * 2**20)\n"
    checks = "def check(f):\n    global kept\n    kept = f()\n    assert len(kept) == 60 * 2**20\n"
    programs = [Program(source, f"{checks}# {number}\n", "f", Isolation.DATA) for number in range(8)]
    results = run_programs(programs, Limits(cpu_seconds=10, workers=1, memory_mb=256))
    assert [result.status for result in results] == [Status.PASSED] * 8


@pytest.mark.parametrize("isolation", Isolation)
def test_hashes_are_the_same_in_every_worker(isolation: Isolation) -> None:
    source = "print(hash('a'), list({'one', 'two', 'three', 'four'}))\ndef f():\n    return hash('a')\n"
    program = Program(source, "def check(f):\n    assert f() == hash('a')\n", "f", isolation)
    results = [run_programs([program], LIMITS)[0] for _ in range(3)]
    assert all(result.passed for result in results)
    assert len({result.stdout for result in results}) == 1
