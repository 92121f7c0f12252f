"""Plain Python values: as JSON text and back, and when an output is as good as the reference's.

JSON's own types stand for themselves, other types are objects with a tag. The text of this file becomes part of
programs and checks, so it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import math
from typing import Any

HUGE = 1 << 4096
"""Larger integers are written in hexadecimal: Python limits the number of decimal digits."""

RELATIVE = 1e-7
INFINITY = float("inf")
FLOAT_TOLERANCE = 1e-6
"""Absolute, for a result of floats if the task sets no tolerance."""


def encode(value: Any) -> Any:
    """A value that json.dumps can write. An instance of a subclass becomes one of its plain base.

    Raises:
        TypeError: the value is not plain data.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (str, float)):
        return str(value) if isinstance(value, str) else float(value)
    if isinstance(value, int):
        return int(value) if abs(value) < HUGE else {"int": hex(value)}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": value.hex()}
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, (set, frozenset)):  # sorted: the order of a set of strings changes from process to process
        name = "set" if isinstance(value, set) else "frozenset"
        return {name: sorted((encode(item) for item in value), key=json.dumps)}
    raise TypeError(f"{type(value).__name__} is not plain data")


def is_longer(value: Any, characters: int) -> bool:
    """Whether `dumps(value)` surely has more characters than this; takes no more steps than `characters`."""
    waiting, least = [value], 0
    while waiting and least <= characters:
        item = waiting.pop()
        if isinstance(item, (str, bytes, bytearray, list, tuple, set, frozenset, dict)):
            least += len(item)
        if isinstance(item, (list, tuple, set, frozenset, dict)):
            waiting.extend(item)
        if isinstance(item, dict):
            waiting.extend(item.values())
    return least > characters


DECODERS: dict[str, Any] = {
    "int": lambda v: int(v, 16),
    "dict": dict,
    "complex": lambda v: complex(*v),
    "bytes": bytes.fromhex,
    "tuple": tuple,
    "frozenset": frozenset,
    "set": set,
}


def dumps(value: Any) -> str:
    return json.dumps(encode(value), separators=(",", ":"))


def loads(text: str) -> Any:
    def decode(value: dict[str, Any]) -> Any:
        ((tag, content),) = value.items()
        return DECODERS[tag](content)

    return json.loads(text, object_hook=decode)


def same(compare: str, output: Any, expected: Any, atol: float, arguments: Any) -> bool:
    """Whether the output of a call with `arguments` is as good as the reference's `expected`.

    An output that cannot be compared, such as None instead of a set, is not.
    """
    try:
        return bool(_is_as_good(compare, output, expected, atol, arguments))
    except (TypeError, ValueError, ArithmeticError):
        return False


def _is_as_good(compare: str, output: Any, expected: Any, atol: float, arguments: Any) -> Any:
    if compare == "set":  # the same elements; floats in the same order may also be nearly the same
        return set(output) == set(expected) or _equal(output, expected, atol)
    if compare == "truth":
        return truth(output) == expected
    if compare == "any":  # a function that returns nothing has not answered
        return output is not None
    if compare == "equal or zero":
        return output == 0 or _equal(output, expected, atol)
    if compare == "root":  # of the polynomial whose coefficients are the argument, as precise as the reference's
        distances = [abs(sum(c * math.pow(x, i) for i, c in enumerate(arguments[0]))) for x in (output, expected)]
        return distances[0] <= max(atol, 1e-4, distances[1])
    if compare == "pyramid":  # the surface of a square pyramid, with the second argument as slant height or as height
        side, height = arguments
        upright = round(side * side + 2 * side * math.sqrt(height * height + side * side / 4))
        return _equal(output, expected, atol) or abs(output - upright) <= atol
    if compare == "digits":  # the distance of two numbers digit by digit, aligned left or right
        first, second = map(str, arguments)
        width = max(len(first), len(second))
        pairs = zip(first.zfill(width), second.zfill(width))  # noqa: B905
        return _equal(output, expected, atol) or output == sum(abs(int(a) - int(b)) for a, b in pairs)
    return _equal(output, expected, atol)


def truth(value: Any) -> bool:
    """Whether something was found: a bool is the answer itself, anything else but None means yes."""
    return value if isinstance(value, bool) else value is not None


def _equal(output: Any, expected: Any, atol: float) -> bool:
    """Equal, or, for floats and with an `atol`, of the same type and close."""
    if output == expected:
        return True
    items = expected if isinstance(expected, (list, tuple)) else [expected]
    if not atol and all(isinstance(item, float) for item in items):
        atol = FLOAT_TOLERANCE
    return bool(atol) and type(output) is type(expected) and _close(output, expected, atol)


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
