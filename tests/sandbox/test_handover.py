"""Programs and checks live in two processes: what crosses over means the same on both sides."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import math
from typing import Any

import pytest

from codedistill.sandbox import Limits, Program, Result, Status, run_programs, wire
from codedistill.sandbox.copies import replace_content
from codedistill.sandbox.remote import Remote

LIMITS = Limits(wall_seconds=10)


def _nothing(tag: str, payload: Any) -> Any:
    raise wire.WireError("no references here")


def _refuse(value: Any) -> Any:
    raise AssertionError(f"{value!r} is plain")


VALUES = [
    None,
    True,
    0,
    -(2**1023),
    2**1024,
    -(10**5000),  # its decimal text is longer than the interpreter likes
    0.1,
    math.inf,
    "",
    'quote " and \\ and \x00 and \ud800 and é',
    b"\x00\xff",
    bytearray(b"ab"),
    1 + 2j,
    [],
    [1, [2, [3.5, "x", None]]],
    (1, (2,), []),
    {1: "a", (1, 2): [3], None: {}, "d": {"t": 1}},
    {1, 2},
    frozenset({"a"}),
    range(3, 30, 4),
    ...,
    int,
    type(None),
    collections.Counter("hello"),
    collections.OrderedDict([("b", 1), ("a", 2)]),
    collections.deque([1, 2], maxlen=3),
    decimal.Decimal("1.10"),
    fractions.Fraction(2, 6),
    datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC),
    datetime.date(2024, 2, 29),
    datetime.time(1, 2, 3),
    datetime.timedelta(days=-1, microseconds=5),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_plain_values_come_over_unchanged(value: Any) -> None:
    decoded = wire.make_decoder(_nothing)(wire.dumps(wire.pack(value, _refuse)))
    assert decoded == value
    assert type(decoded) is type(value)
    if not isinstance(value, int):
        assert repr(decoded) == repr(value)  # the order, and the types within


def test_not_a_number_comes_over() -> None:
    assert math.isnan(wire.make_decoder(_nothing)(wire.dumps(wire.pack(math.nan, _refuse))))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b'{"q":1}',
        b'{"d":[[[],1]]}',
        b'{"x":[0,"f"]}',
        b'{"t":1,"l":2}',
        b'{"i":"zz"}',
        b"[" * 10**6,
    ],
)
def test_bad_frames_are_refused(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.make_decoder(_nothing)(data)


def test_replace_content_keeps_identity() -> None:
    inner: list[int] = [1]
    old = [inner, {"a": inner}]
    assert replace_content(old, [[1, 2], {"a": [3], "b": 4}]) is old
    assert old == [[3], {"a": [3], "b": 4}]  # the inner list is one object: the last content given to it holds
    assert old[0] is inner


# Sources, checks: each pair is correct.
CORRECT = {
    "argument changed in place": (
        "def f(x, more):\n    x.append(3)\n    x[0] = 9\n    more['k'].add(1)\n",
        "def check(f):\n    x, more = [1], {'k': set()}\n    assert f(x, more) is None\n"
        "    assert x == [9, 3] and more == {'k': {1}}\n",
    ),
    "keyword arguments": (
        "def f(a, *rest, b=1, **kw):\n    return a, rest, b, kw\n",
        "def check(f):\n    assert f(1, 2, b=3, c=4) == (1, (2,), 3, {'c': 4})\n",
    ),
    "generator": (
        "def f(n):\n    yield from range(n)\n",
        "def check(f):\n    assert list(f(3)) == [0, 1, 2]\n    assert sum(f(4)) == 6\n    assert next(f(1)) == 0\n",
    ),
    "callback": (
        "def f(g, x):\n    return [g(i) for i in x]\n",
        "def check(f):\n    seen = []\n    assert f(lambda i: seen.append(i) or i * 2, [1, 2]) == [2, 4]\n"
        "    assert seen == [1, 2]\n",
    ),
    "function from a function": (
        "def f(n):\n    return lambda x: x + n\n",
        "def check(f):\n    assert f(2)(3) == 5\n    assert callable(f(1))\n",
    ),
    "class": (
        "class f:\n    kind = 'stack'\n    def __init__(self):\n        self.items = []\n"
        "    def push(self, x):\n        self.items.append(x)\n        return self\n"
        "    def __len__(self):\n        return len(self.items)\n    def __getitem__(self, i):\n"
        "        return self.items[i]\n    def __str__(self):\n        return f'<{self.items}>'\n",
        "def check(f):\n    s = f()\n    assert s.push(1).push(2) is s\n    assert len(s) == 2 and s[1] == 2\n"
        "    assert str(s) == '<[1, 2]>' and s.items == [1, 2] and s.kind == 'stack'\n"
        "    s.items = [5]\n    assert list(s) == [5]\n",
    ),
    "expected exception": (
        "class Own(KeyError): pass\ndef f(x):\n    raise Own('no', x)\n",
        "def check(f):\n    try:\n        f(3)\n    except KeyError as error:\n        assert error.args == ('no', 3)\n"
        "    else:\n        assert False\n",
    ),
    "exception from a callback": (
        "def f(g):\n    try:\n        g()\n    except ZeroDivisionError:\n        return 'caught'\n",
        "def check(f):\n    assert f(lambda: 1 / 0) == 'caught'\n",
    ),
    "types": (
        "def f(x, kind):\n    return isinstance(x, kind), type(x), kind\n",
        "def check(f):\n    assert f(1, int) == (True, int, int)\n"
        "    assert f('', (int, str)) == (True, str, (int, str))\n",
    ),
    "named tuple and enumeration": (
        "from collections import namedtuple\nfrom enum import IntEnum\nP = namedtuple('P', 'x y')\n"
        "class E(IntEnum):\n    A = 3\ndef f():\n    return P(1, E.A)\n",
        "def check(f):\n    assert f() == (1, 3)\n",
    ),
    "no hash order": (
        "def f(x):\n    return set(x), {k: 1 for k in x}\n",
        "def check(f):\n    assert f('abc') == ({'a', 'b', 'c'}, {'a': 1, 'b': 1, 'c': 1})\n",
    ),
    "deep value": (
        "def f(n):\n    x = []\n    for _ in range(n):\n        x = [x]\n    return x\n",
        "def check(f):\n    x, n = f(200), 0\n    while x:\n        x, n = x[0], n + 1\n    assert n == 200\n",
    ),
    "its own print": (
        "def f(x):\n    print('value', x)\n    return x\n",
        "def check(f):\n    assert f(1) == 1\n",
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    next: 'P | None' = None\n"
        "def f():\n    return P(1, P(2))\n",
        "def check(f):\n    assert f().next.x == 2\n    assert repr(f()) == 'P(x=1, next=P(x=2, next=None))'\n",
    ),
    "names of a tuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f():\n    return P(1, 2)\n",
        "def check(f):\n    assert f().x == 1 and f() == (1, 2) and f()._asdict() == {'x': 1, 'y': 2}\n",
    ),
    "default of a dictionary": (
        "from collections import defaultdict\ndef f(make):\n    return defaultdict(make, {1: [2]})\n",
        "def check(f):\n    d = f(list)\n    assert d[1] == [2] and d[7] == []\n    assert f(lambda: 5)[3] == 5\n",
    ),
    "isinstance": (
        "class N: pass\nclass f(N):\n    def make(self): return N()\n    def kind(self): return N\n",
        "def check(f):\n    kind = f().kind()\n    assert isinstance(f(), f) and isinstance(f().make(), kind)\n"
        "    assert not isinstance(3, f) and not isinstance(f().make(), f) and issubclass(f, kind)\n",
    ),
    "the same object": (
        "def f(a):\n    return a\n",
        "class C: pass\ndef check(f):\n    for a in ([1], {}, C(), C):\n        assert f(a) is a\n",
    ),
    "with": (
        "class f:\n    on = None\n    def __enter__(self):\n        self.on = True\n        return self\n"
        "    def __exit__(self, *error):\n        self.on = False\n",
        "def check(f):\n    with f() as x:\n        assert x.on\n    assert not x.on\n",
    ),
    "comparison of own objects": (
        "class f:\n    def __init__(self, v): self.v = v\n    def __lt__(self, other): return self.v < other.v\n"
        "    def __eq__(self, other): return self.v == other.v\n    def __hash__(self): return 1\n",
        "def check(f):\n    assert f(1) < f(2) and f(1) == f(1) and f(1) != f(2)\n    assert f(1) != 1\n"
        "    assert [x.v for x in sorted([f(2), f(1)])] == [1, 2] and len({f(1), f(1), f(2)}) == 2\n"
        "    assert [f(1)] == [f(1)] and {f(1): 2} == {f(1): 2} and f(1) in [f(2), f(1)]\n",
    ),
    "arithmetic of own objects": (
        "class f:\n    def __init__(self, v): self.v = v\n    def __add__(self, other): return f(self.v + other.v)\n"
        "    def __pow__(self, other): return self.v ** other.v\n",
        "def check(f):\n    assert (f(1) + f(2)).v == 3 and f(2) ** f(3) == 8\n",
    ),
    "exception as a value": (
        "def f(): return ValueError('x'), KeyError\n",
        "def check(f):\n    error, kind = f()\n"
        "    assert isinstance(error, ValueError) and str(error) == 'x' and kind is KeyError\n",
    ),
    "exception of its own": (
        "class E(Exception):\n    def __init__(self, code):\n        super().__init__('no')\n        self.code = code\n"
        "def f(get):\n    if get: return E\n    raise E(5)\n",
        "def check(f):\n    E = f(True)\n    try:\n        f(False)\n    except E as error:\n"
        "        assert error.code == 5 and str(error) == 'no'\n    else:\n        assert False\n",
    ),
    "printed text": (
        "def f():\n    print('hi')\n",
        "import contextlib, io\ndef check(f):\n    with contextlib.redirect_stdout(io.StringIO()) as text:\n"
        "        f()\n    assert text.getvalue() == 'hi\\n'\n",
    ),
    "input": (
        "import sys\ndef f():\n    return input('?') + '!', sys.stdin.readline()\n",
        "import io, sys\nfrom unittest.mock import patch\ndef check(f):\n    sys.stdin = io.StringIO('abc\\n')\n"
        "    with patch('builtins.input', return_value='a'):\n        assert f() == ('a!', 'abc\\n')\n",
    ),
    "seed": (
        "import random\ndef f():\n    return random.random()\n",
        "import random\ndef check(f):\n    random.seed(3)\n    found = f()\n    random.seed(3)\n"
        "    assert found == random.random()\n",
    ),
    "signature and description": (
        "def f(a, b: int = 2, *c):\n    'hello'\n",
        "import inspect\ndef check(f):\n    assert str(inspect.signature(f)) == '(a, b: int = 2, *c)'\n"
        "    assert f.__doc__ == 'hello' and f.__name__ == 'f'\n",
    ),
    "assertRaises": (
        "def f():\n    raise ValueError('bad value')\n",
        "import unittest\ndef check(f):\n    case = unittest.TestCase()\n    case.assertRaises(ValueError, f)\n"
        "    with case.assertRaisesRegex(ValueError, 'bad') as caught:\n        f()\n"
        "    assert str(caught.exception) == 'bad value'\n",
    ),
    "coroutine": (
        "async def f(): return 3\n",
        "import asyncio\ndef check(f):\n    assert asyncio.run(f()) == 3\n",
    ),
    "nodes of the checks": (
        "def f(node):\n    last = None\n    while node is not None:\n"
        "        node.next, last, node = last, node, node.next\n    return last\n",
        "class Node:\n    def __init__(self, value, next=None):\n        self.value, self.next = value, next\n"
        "def check(f):\n    b = Node(2)\n    a = Node(1, b)\n    assert f(a) is b and b.next is a and a.next is None\n",
    ),
    "comparison of the checks' objects": (
        "def f(items):\n    return max(items), sorted(items)[0], items[0] == items[1]\n",
        "from functools import total_ordering\n@total_ordering\nclass C:\n    def __init__(self, v): self.v = v\n"
        "    def __eq__(self, other): return self.v == other.v\n    def __lt__(self, other): return self.v < other.v\n"
        "def check(f):\n    a, b = C(1), C(2)\n    found = f([b, a])\n    assert found[0] is b and found[1] is a\n",
    ),
}


@pytest.fixture(scope="module")
def correct() -> dict[str, Result]:
    results = run_programs([Program(source, checks, "f") for source, checks in CORRECT.values()], LIMITS)
    return dict(zip(CORRECT, results, strict=True))


@pytest.mark.parametrize("name", CORRECT)
def test_correct_program_passes(correct: dict[str, Result], name: str) -> None:
    assert correct[name].status is Status.PASSED, correct[name]
    assert correct[name].stdout == ("value 1\n" if name == "its own print" else "")


# Bodies of classes whose objects would be the expected answer, if they had a say in it.
LIARS = {
    "equal": "def __eq__(self, other): return True\n    __hash__ = None",
    "contains": "def __contains__(self, other): return True",
    "ordered": "def __lt__(self, other): return True\n    __gt__ = __le__ = __ge__ = __lt__",
    "sums up": "def __add__(self, other): return other\n    __radd__ = __sub__ = __rsub__ = __add__",
    "learns": "def __rsub__(self, other): return 0\n    def __abs__(self): return 0",
    "same hash": "def __hash__(self): return hash(4)\n    def __eq__(self, other): return True",
    "many": "def __iter__(self): return iter([L(), L()])\n    def __eq__(self, other): return True",
}


@pytest.mark.parametrize(
    "assertion", ["f() == 4", "4 == f()", "f() in (3, 4)", "4 in f()", "3 < f() < 5", "abs(4 - f()) < 1"]
)
def test_the_expected_answer_is_never_in_the_programs_hands(assertion: str) -> None:
    checks = f"def check(f):\n    assert {assertion}\n"
    sources = [f"class L:\n    {body}\ndef f():\n    return L()\n" for body in LIARS.values()]
    results = run_programs([Program(source, checks, "f") for source in sources], LIMITS)
    assert [name for name, result in zip(LIARS, results, strict=True) if result.status is not Status.FAILED] == []


# What a program does to the object that it will be judged with.
MEDDLERS = {
    "method": "case.right = lambda x: True",
    "private data": "case._wanted = 5",
    "function in the data": "case.close = lambda *x: True",
    "class": "type(case).right = lambda x: True",
    "its class": "case.__class__ = int",
    "module": "case.math.isclose = lambda *x: True",
    "data of a module": "case.math.tau = 5",
    "data of a class": "case.kind.wanted = 5",
    "data of an exception": "case.error.wanted = 5",
    "function": "case.right.__func__.__code__ = (lambda self, x: True).__code__",
}


@pytest.mark.parametrize("name", MEDDLERS)
def test_what_the_checks_judge_with_stays_as_it_is(name: str) -> None:
    checks = """
import math
from math import tau
class Case:
    def __init__(self):
        self._wanted, self.math, self.close, self.free = 4, math, math.isclose, 0
        self.kind, self.error = Kind, Error()
    def right(self, x):
        wanted = {self._wanted, self.kind.wanted, self.error.wanted, 4 if self.math.tau == tau else 5}
        return self.math.isclose(x, self._wanted) and self.close(x, 4) or x in wanted
class Kind:
    wanted = 4
class Error(Exception):
    wanted = 4
def check(f):
    case = Case()
    found = f(case)
    assert case.right(found)
"""
    source = f"def f(case):\n    try:\n        {MEDDLERS[name]}\n    except Exception: pass\n    return 5\n"
    (result,) = run_programs([Program(source, checks, "f")], LIMITS)
    assert (result.status, result.error_type) == (Status.FAILED, "AssertionError")
    free = "def f(case):\n    case.free = 1\n    return case.free + 3\n"
    assert run_programs([Program(free, checks, "f")], LIMITS)[0].passed


SCRIPTS = [
    ("def add(a, b):\n    return a + b\n", "assert add(1, 2) == 3\nassert add([1], [2]) == [1, 2]\n", Status.PASSED),
    ("def add(a, b):\n    return a - b\n", "assert add(1, 2) == 3\n", Status.FAILED),
    ("def add(a, b):\n    return 1\n", "import math\nassert math.isclose(add(1, 2), 1.0)\n", Status.PASSED),
    ("def sum(a, b):\n    return a + b\n", "assert sum(1, 2) == 3\n", Status.PASSED),
    ("def abs(x):\n    return 0\ndef f(x):\n    return -x\n", "assert abs(f(1)) == 1\n", Status.PASSED),
    ("def other(x):\n    return x\n", "assert wanted(1) == 1\n", Status.FAILED),
    ("class Node:\n    def __init__(self, v):\n        self.v = v\n", "n = Node(3)\nassert n.v == 3\n", Status.PASSED),
]


def test_scripts_without_entry_point() -> None:
    results = run_programs([Program(source, checks) for source, checks, _ in SCRIPTS], LIMITS)
    assert [result.status for result in results] == [status for _, _, status in SCRIPTS]


def test_where_an_exception_comes_from() -> None:
    checks = "def check(f):\n    assert f(0) == 1\n"
    sources = [
        "def f(x):\n    y = 1\n    return y / x\n",
        "def f(x):\n    if x == 0:\n        raise ValueError('never zero')\n",
        "def f(x):\n    return 2\n",
        "x = 1\nx = = 2\n",
        "def f():\n    return 1\n",
        "import nothing_of_this_name\n",
        "def g(x):\n    return 1\n",
    ]
    results = run_programs([Program(source, checks, "f") for source in sources], LIMITS)
    told = [(r.error_type, r.line, r.raised_in, r.reached_checks, r.raised_deliberately) for r in results]
    assert told == [
        ("ZeroDivisionError", 3, "source", True, False),
        ("ValueError", 3, "source", True, True),
        ("AssertionError", None, "checks", True, False),
        ("SyntaxError", 2, "source", False, False),
        ("TypeError", None, "checks", True, False),
        ("ModuleNotFoundError", 1, "source", False, False),
        ("NameError", None, "checks", False, False),
    ]
    assert results[1].message == "never zero"


def test_a_remote_object_equals_itself_alone() -> None:
    class Peer:
        touched = False

    one, other = Remote(Peer(), 1), Remote(Peer(), 1)  # type: ignore[arg-type]
    assert one == one
    assert one != other
    assert one != 1


def test_checks_keep_their_own_module_though_it_is_loaded_late() -> None:
    lie = "class Day:\n    def total_seconds(self): return 0\nclass datetime:\n    timedelta = lambda days: Day()\n"
    checks = "assert datetime.timedelta(days=1).total_seconds() == f()\n"
    programs = [Program(f"{start}def f():\n    return {end}\n", checks) for start, end in ((lie, 0), (lie, 86_400))]
    results = run_programs(programs, LIMITS)
    assert [result.status for result in results] == [Status.FAILED, Status.PASSED]
