"""The inputs of EvalPlus's tasks, in the format of its releases and in that of the hub.

JSON has no tuples, sets and complex numbers, so EvalPlus converts some inputs of MBPP on loading, task by task. The
same conversions are here. On the hub a task is a script of inputs and results. The scripts need numpy, one of them
(HumanEval/32) fails with every program, and three (Mbpp/737, 787 and 794) pass with every program. So their inputs are
read and checked in the same way as those of the releases.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

from codedistill.benchmarks.problems import Cases

Arguments = list[Any]


def _tuples(value: Any) -> Any:
    """Every list in it, at any depth."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _list_of_tuples(value: Any) -> Any:
    return [tuple(item) for item in value]


def _on(change: Callable[[Any], Any], *places: int) -> Callable[[Arguments], Arguments]:
    """A change of the arguments in these places; without any, of all arguments."""
    return lambda given: [change(value) if not places or i in places else value for i, value in enumerate(given)]


_BY_CHANGE: list[tuple[Callable[[Arguments], Arguments], tuple[int, ...]]] = [
    (
        _on(tuple),
        (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809),
    ),
    (_on(_list_of_tuples), (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)),
    (_on(lambda value: tuple(tuple(item) if isinstance(item, list) else item for item in value)), (259, 278, 401, 445)),
    (_on(_tuples), (580, 615, 791)),
    (_on(_list_of_tuples, 0), (75, 413, 444, 753)),
    (_on(tuple, 0), (250, 307, 405, 446, 617, 720, 763, 808)),
    (_on(tuple, 1), (106, 750)),
    (_on(lambda items: [set(item) if isinstance(item, list) and item else {} for item in items], 0), (115,)),
    (lambda arguments: [float(arguments[0]), complex(arguments[1])], (124,)),
    (_on(complex), (252,)),
    (_on(lambda table: {key: tuple(value) for key, value in table.items()}, 0), (722,)),
]
MBPP_INPUTS = {number: change for change, numbers in _BY_CHANGE for number in numbers}
"""Number of the task in MBPP -> the conversion from its JSON arguments to those of the function."""

COMPARE = {
    "Mbpp": {
        **dict.fromkeys(("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly"), "set"),
        **dict.fromkeys(("larg_nnum", "intersection_array", "find_dissimilar", "Diff"), "set"),
        **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), "truth"),
        **{"are_equivalent": "any", "sum_div": "equal or zero", "surface_Area": "pyramid"},
        "digit_distance_nums": "digits",
    },
    "HumanEval": {"find_zero": "root"},
}
"""Tasks with several right outputs: family of the task id, entry point -> comparison."""


def comparison_of(task_id: str, entry_point: str) -> str:
    """How outputs of a task are compared, as in `values.same`."""
    return COMPARE.get(task_id.partition("/")[0], {}).get(entry_point, "equal")


def read_inputs(task_id: str, inputs: Sequence[Sequence[Any]]) -> tuple[tuple[Any, ...], ...]:
    """The arguments of each call, from JSON."""
    family, _, number = task_id.rpartition("/")
    change = MBPP_INPUTS.get(int(number)) if family == "Mbpp" and number.isdigit() else None
    return tuple(tuple(change(list(one)) if change else one) for one in inputs)


INPUTS = re.compile(r"^ *inputs = (\[.*\]) *$", re.MULTILINE)
LOOP = re.compile(r"^ *for i, (?:\(inp, exp\)|inp) in enumerate\(.*\):\n(.+)", re.MULTILINE)
TOLERANCE = re.compile(r"assertion\(.+, ([\d.e-]+)\)$")


def cases_of(script: str, task_id: str, entry_point: str) -> Cases | None:
    """The inputs of a script of EvalPlus; None for another kind of test.

    Raises:
        ValueError: the inputs are not plain data.
    """
    given, loop = INPUTS.search(script), LOOP.search(script)
    if given is None or loop is None:
        return None
    try:
        values = ast.literal_eval(_Infinities().visit(ast.parse(given.group(1), mode="eval")))
        inputs = tuple(tuple(one) for one in values)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        raise ValueError("the inputs of test are not plain data") from None
    tolerance = TOLERANCE.search(loop.group(1).rstrip())
    atol = float(tolerance.group(1)) if tolerance else 0.0
    return Cases((), inputs, atol=atol, compare=comparison_of(task_id, entry_point))


class _Infinities(ast.NodeTransformer):
    """`inf` and `nan` as constants; a script imports them from math."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(float(node.id)) if node.id in ("inf", "nan") else node
