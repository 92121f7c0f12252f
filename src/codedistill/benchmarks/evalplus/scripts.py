"""EvalPlus's tasks as they lie on the hub: a script of inputs and results instead of the fields of its own format.

The scripts need numpy, one of them (HumanEval/32) fails with every program, and three (Mbpp/737, 787 and 794) pass with
every program. So the inputs are read out of them, and are checked as those of EvalPlus's own format are.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from codedistill.benchmarks.problems import Cases

INPUTS = re.compile(r"^ *inputs = (\[.*\]) *$", re.MULTILINE)
LOOP = re.compile(r"^ *for i, (?:\(inp, exp\)|inp) in enumerate\(.*\):\n(.+)", re.MULTILINE)
TOLERANCE = re.compile(r"assertion\(.+, ([\d.e-]+)\)$")


def cases_of(script: str, compare: str) -> Cases | None:
    """The inputs of a script of EvalPlus's; None where it is another kind of test. `compare` as in `Cases`.

    Raises:
        ValueError: the inputs are no plain data.
    """
    given, loop = INPUTS.search(script), LOOP.search(script)
    if given is None or loop is None:
        return None
    tolerance = TOLERANCE.search(loop.group(1).rstrip())
    return Cases((), _inputs(given.group(1)), "", float(tolerance.group(1)) if tolerance else 0.0, compare)


def _inputs(text: str) -> tuple[tuple[Any, ...], ...]:
    try:
        inputs = ast.literal_eval(_Infinities().visit(ast.parse(text, mode="eval")))
        return tuple(tuple(one) for one in inputs)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        raise ValueError("the inputs of test are no plain data") from None


class _Infinities(ast.NodeTransformer):
    """`inf` and `nan` as constants; a script imports them from math."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(float(node.id)) if node.id in ("inf", "nan") else node
