"""Small benchmark files in every format."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HUMANEVAL = [
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

MBPP = [
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

MBPP_HUB = [
    {
        "task_id": 2,
        "code": "def shared(a, b):\n  return tuple(set(a) & set(b))\n",
        "prompt": "Write a function to find the shared elements.",
        "source_file": "",
        "test_imports": [],
        "test_list": ["assert set(shared((3, 4), (4, 5))) == {4}"],
        "test": (
            "import numpy as np\nfrom math import inf\n\ndef is_floats(x):\n    if isinstance(x, np.ndarray):\n"
            "        return x.dtype == np.float64\n    return isinstance(x, float)\n\n"
            "def assertion(out, exp, atol):\n    if is_floats(exp) and atol == 0:\n        atol = 1e-6\n"
            "    if out != exp and atol != 0:\n        assert np.allclose(out, exp, rtol=1e-07, atol=atol)\n"
            '    else:\n        assert set(out) == set(exp), f"out: {out}"\n\n'
            "inputs = [[(3, 4), (4, 5)]]\nresults = [(4,)]\n"
            "for i, (inp, exp) in enumerate(zip(inputs, results)):\n    assertion(shared(*inp), exp, 0)\n"
        ),
    }
]


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path
