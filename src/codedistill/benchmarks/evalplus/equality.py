"""When an output is as good as the reference's. This file's text goes into checks: it needs nothing of ours."""

from __future__ import annotations

import math
from typing import Any

RELATIVE = 1e-7
INFINITY = float("inf")
FLOAT_TOLERANCE = 1e-6
"""Absolute, for a result of floats where the task sets no tolerance."""


def same(compare: str, output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    """Whether `output` of a call with `arguments` passes. `compare` is one of `COMPARISONS`.

    An output that cannot be compared, such as None where a set is wanted, does not pass.
    """
    try:
        return bool(COMPARISONS[compare](output, expected, atol, arguments))
    except (TypeError, ValueError, ArithmeticError):
        return False


def _equal(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    if output == expected:
        return True
    if not atol and _is_floats(expected):
        atol = FLOAT_TOLERANCE
    return bool(atol) and type(output) is type(expected) and _close(output, expected, atol)


def _is_floats(value: Any) -> bool:
    """A float, or a list or tuple of nothing else."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return all(isinstance(item, float) for item in items)


def _close(output: Any, expected: Any, atol: float) -> bool:
    """Numbers within atol + RELATIVE * |expected|, in lists and tuples of the same shape."""
    if isinstance(expected, (list, tuple)):
        return (
            isinstance(output, (list, tuple))
            and len(output) == len(expected)
            and all(_close(a, b, atol) for a, b in zip(output, expected))  # noqa: B905
        )
    if not isinstance(expected, (int, float, complex)) or not isinstance(output, (int, float, complex)):
        return False
    if expected != expected:
        return output != output
    return bool(output == expected or abs(output - expected) <= atol + RELATIVE * abs(expected) < INFINITY)


def _same_set(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    """The same elements; floats one by one, in their order, may also be nearly the same."""
    return set(output) == set(expected) or _equal(output, expected, atol, arguments)


def truth(value: Any) -> bool:
    """Whether something was found: a bool says it itself, everything but None is a yes."""
    return value if isinstance(value, bool) else value is not None


def _same_truth(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    return bool(truth(output) == expected)


def _root(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    """A root of the polynomial whose coefficients are the argument: any that is as good as the reference's will do."""
    return _distance(output, arguments[0]) <= max(atol, 1e-4, _distance(expected, arguments[0]))


def _distance(x: Any, coefficients: Any) -> float:
    return float(abs(sum(c * math.pow(x, i) for i, c in enumerate(coefficients))))


def _any(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    """Whatever it is, but a function that gives nothing has answered nothing."""
    return output is not None


def _equal_or_zero(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    return bool(output == 0) or _equal(output, expected, atol, arguments)


def _pyramid(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    """The surface of a square pyramid, the second argument taken as its slant height or as its height."""
    side, height = arguments
    upright = round(side * side + 2 * side * math.sqrt(height * height + side * side / 4))
    return _equal(output, expected, atol, arguments) or abs(output - upright) <= atol


def _digits(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    """The distance of two numbers digit by digit, set flush left or flush right."""
    first, second = map(str, arguments)
    width = max(len(first), len(second))
    flush_right = sum(abs(int(a) - int(b)) for a, b in zip(first.zfill(width), second.zfill(width)))  # noqa: B905
    return _equal(output, expected, atol, arguments) or bool(output == flush_right)


COMPARISONS = {
    "equal": _equal,
    "set": _same_set,
    "truth": _same_truth,
    "root": _root,
    "any": _any,
    "equal or zero": _equal_or_zero,
    "pyramid": _pyramid,
    "digits": _digits,
}
