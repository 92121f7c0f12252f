"""When an output is as good as the reference's. This file's text goes into checks: it needs nothing of ours."""

from __future__ import annotations

from typing import Any

RELATIVE = 1e-7
INFINITY = float("inf")
FLOAT_TOLERANCE = 1e-6
"""Absolute, for a result of floats where the task sets no tolerance."""


def same(compare: str, output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    """Whether `output` of a call with `arguments` passes. `compare` is one of `COMPARISONS`."""
    return bool(COMPARISONS[compare](output, expected, atol, arguments))


def _equal(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    if output == expected:
        return True
    if not atol and _is_floats(expected):
        atol = FLOAT_TOLERANCE
    return bool(atol) and _close(output, expected, atol)


def _is_floats(value: Any) -> bool:
    """A float, or a list or tuple of nothing else."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return all(isinstance(item, float) for item in items)


def _close(output: Any, expected: Any, atol: float) -> bool:
    """Numbers within atol + RELATIVE * |expected|, whatever else equal; the same shape."""
    if isinstance(expected, (list, tuple)):
        return (
            isinstance(output, (list, tuple))
            and isinstance(output, list) == isinstance(expected, list)
            and len(output) == len(expected)
            and all(_close(a, b, atol) for a, b in zip(output, expected))  # noqa: B905
        )
    if isinstance(expected, (int, float)) and isinstance(output, (int, float)):
        if expected != expected:
            return output != output
        near = abs(output - expected) <= atol + RELATIVE * abs(expected) < INFINITY
        return bool(output == expected or near)
    return bool(output == expected)


def _same_set(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    return set(output) == set(expected)


def truth(value: Any) -> bool:
    """Whether something was found: a bool says it itself, everything but None is a yes."""
    return value if isinstance(value, bool) else value is not None


def _same_truth(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    return truth(output) == expected


def _root(output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    """A root of the polynomial whose coefficients are the argument: any will do."""
    return abs(sum(c * output**i for i, c in enumerate(arguments[0]))) <= max(atol, 1e-4)


COMPARISONS = {"equal": _equal, "set": _same_set, "truth": _same_truth, "root": _root}
