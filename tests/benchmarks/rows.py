"""Small benchmark files in every format."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HUMANEVAL: list[dict[str, Any]] = [
    {
        "task_id": "HumanEval/0",
        "prompt": 'from typing import List\n\n\ndef add_all(x: List[int]) -> int:\n    """ Sum of x. """\n',
        "entry_point": "add_all",
        "canonical_solution": "    return sum(x)\n",
        "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n",
    },
    {
        "task_id": "HumanEval/1",
        "prompt": 'def half(n):\n    """ Half of n. """\n',
        "entry_point": "half",
        "canonical_solution": "    return n / 2\n",
        "test": "def check(candidate):\n    assert abs(candidate(3) - 1.5) < 1e-6\n",
    },
]

MBPP: list[dict[str, Any]] = [
    {
        "task_id": 10,
        "text": "Write a function to double a number.",
        "code": "def twice(n):\r\n    return 2 * n",
        "test_list": ["assert twice(2) == 4"],
        "test_setup_code": "",
        "challenge_test_list": [],
    },
    {
        "task_id": 11,
        "text": 'Write a function to quote \\n and """ in a string.',
        "code": "import re\r\ndef helper(s):\r\n\treturn s\r\n"
        "def quote(s, sign='\"'):\r\n\treturn sign + helper(s) + sign",
        "test_list": ['assert quote("a") == \'"a"\'', "assert set(quote('b', sign='*')) == {'*', 'b'}"],
        "test_setup_code": "",
        "challenge_test_list": [],
    },
    {
        "task_id": 510,
        "text": "Write a function to sum the values of a tree.",
        "code": "class Node:\n    def __init__(self, value):\n        self.value = value\n"
        "def sum_tree(root):\n    return root.value",
        "test_list": ["assert sum_tree(root) == 3"],
        "test_setup_code": "root = Node(3)",
        "challenge_test_list": [],
    },
    {
        "task_id": 511,
        "text": "Write a function to add.",
        "code": "def sum(a, b):\n    return a + b",
        "test_list": ["assert sum(10,15) == 25"],
        "test_setup_code": "",
        "challenge_test_list": [],
    },
]

EVALPLUS = [
    {
        "task_id": "HumanEval/0",
        "prompt": 'def mean(x):\n    """ Mean of x. """\n',
        "entry_point": "mean",
        "canonical_solution": "    return sum(x) / len(x)\n",
        "contract": '\n    assert isinstance(x, list), "invalid inputs" # $_CONTRACT_$\n    assert x\n',
        "base_input": [[[1, 2]], [[3]]],
        "plus_input": [[[0.1, 0.2, 0.7]], [[]], [[10, -10]]],
        "atol": 1e-6,
    },
    {
        "task_id": "HumanEval/32",
        "prompt": 'def find_zero(xs: list):\n    """ A zero of a polynomial. """\n',
        "entry_point": "find_zero",
        "canonical_solution": "    return -xs[0] / xs[1]\n",
        "contract": "\n    assert len(xs) == 2\n",
        "base_input": [[[1, 2]]],
        "plus_input": [[[-6, 1]]],
        "atol": 1e-4,
    },
    {
        "task_id": 2,
        "prompt": "'''\nWrite a function to find the shared elements.\n'''",
        "entry_point": "similar_elements",
        "canonical_solution": "\ndef similar_elements(a, b):\n  return tuple(set(a) & set(b))\n",
        "contract": "\n  assert isinstance(a, tuple)\n  assert isinstance(b, tuple)\n",
        "assertion": "\nassert similar_elements((3, 4), (4, 5)) == (4,)\n",
        "base_input": [[[3, 4], [4, 5]]],
        "plus_input": [[["a", "b", "c"], ["c", "b"]]],
        "atol": 0,
    },
    {
        "task_id": 794,
        "prompt": "'''\nWrite a function that matches a string.\n'''",
        "entry_point": "text_starta_endb",
        "canonical_solution": "import re\ndef text_starta_endb(text):\n  return re.search('a.*b$', text)\n",
        "contract": "",
        "base_input": [["aabbbb"], ["aabAbbbc"]],
        "plus_input": {},
        "atol": 0,
    },
]

HELPERS = """import numpy as np
{imports}
def is_floats(x) -> bool:
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return isinstance(x, float)


def assertion(out, exp, atol):
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if out != exp and atol != 0:
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert out == exp, f"out: {{out}}, exp: {{exp}}"


"""
"""What EvalPlus's scripts on the hub begin with."""

NEVER_ASSERTS = """import numpy as np


def assertion(out, exp, atol):
    if isinstance(out, bool):
        exact_match = out == exp
    else:
        exact_match = exp == (out is not None)


"""

LOOP = "for i, (inp, exp) in enumerate(zip(inputs, results)):\n"


def mbpp_hub_row(number: int, name: str, code: str, test: str, example: str) -> dict[str, Any]:
    about = {"source_file": "", "test_imports": [], "test_list": [example], "prompt": f"Write {name}."}
    return {"task_id": number, "code": code, "test": test, **about}


MBPP_HUB = [
    mbpp_hub_row(
        2,
        "similar_elements",
        "def similar_elements(a, b):\n  return tuple(set(a) & set(b))\n",
        HELPERS.format(imports="from math import inf\n")
        + "inputs = [[(3, 4), (4, 5)], [(3, inf), (inf, 3)]]\nresults = [(4,), (3, inf)]\n"
        + LOOP
        + "    assertion(similar_elements(*inp), exp, 0)\n",
        "assert set(similar_elements((3, 4), (4, 5))) == {4}",
    ),
    mbpp_hub_row(
        124,
        "angle_complex",
        "import cmath\ndef angle_complex(a, b):\n  return cmath.phase(a + b)\n",
        HELPERS.format(imports="")
        + "inputs = [[0.0, 1j], [2.0, (1-1j)]]\nresults = [1.5707963267948966, -0.32175055439664224]\n"
        + LOOP
        + "    assertion(angle_complex(*inp), exp, 0.0001)\n",
        "assert math.isclose(angle_complex(0,1j), 1.5707963267948966, rel_tol=0.001)",
    ),
    mbpp_hub_row(
        794,
        "text_starta_endb",
        "import re\ndef text_starta_endb(text):\n  return re.search('a.*?b$', text)\n",
        NEVER_ASSERTS
        + "inputs = [['aabbbb'], ['aabAbbbc']]\nresults = [True, False]\n"
        + LOOP
        + "    assertion(text_starta_endb(*inp), exp, 0)\n",
        'assert text_starta_endb("aabbbb")',
    ),
]
"""MBPP+ as it lies on the hub: scripts."""

HUMANEVAL_HUB = [
    {
        "task_id": "HumanEval/32",
        "prompt": "import math\n\n\ndef poly(xs: list, x: float):\n"
        "    return sum(c * x**i for i, c in enumerate(xs))\n\n\n"
        'def find_zero(xs: list):\n    """ A zero of a polynomial. """\n',
        "canonical_solution": "    return -xs[0] / xs[1]\n",
        "entry_point": "find_zero",
        "test": "import math\n\ndef _poly(xs: list, x: float):\n"
        "    return sum([c * math.pow(x, i) for i, c in enumerate(xs)])\n\n\n\n"
        "def check(candidate):\n    inputs = [[[1, 2]], [[-6, 1]]]\n    results = [-0.5, 6.0]\n    "
        + LOOP
        + "        assert _poly(*candidate(*inp), inp) <= 0.0001\n",
    },
    {
        "task_id": "HumanEval/83",
        "prompt": 'def starts_one_ends(n):\n    """ How many numbers of n digits start or end with 1. """\n',
        "canonical_solution": "    return 1 if n == 1 else 18 * 10 ** (n - 2)\n",
        "entry_point": "starts_one_ends",
        "test": HELPERS.format(imports="")
        + "def ref_func(n):\n    return 1 if n == 1 else 18 * 10 ** (n - 2)\n\n\n"
        + "def check(candidate):\n    inputs = [[1], [5], [1000], [100000]]\n    for i, inp in enumerate(inputs):\n"
        + "        assertion(candidate(*inp), ref_func(*inp), 0)\n",
    },
    {
        "task_id": "HumanEval/4",
        "prompt": 'def mean(x):\n    """ Mean of x. """\n',
        "canonical_solution": "    return sum(x) / len(x)\n",
        "entry_point": "mean",
        "test": HELPERS.format(imports="")
        + "def check(candidate):\n    inputs = [[[1.0, 2.0]], [[0.1, 0.2, 0.6]]]\n    results = [1.5, 0.3]\n    "
        + LOOP
        + "        assertion(candidate(*inp), exp, 1e-06)\n",
    },
]
"""HumanEval+ as it lies on the hub: HumanEval's fields, and scripts."""


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path
