"""Plain Python values as JSON text and back. JSON's own types stand for themselves, others are objects with a tag.

This file's text also goes into programs and checks, so it needs nothing but the standard library.
"""

from __future__ import annotations

import json
from typing import Any

HUGE = 1 << 4096


def encode(value: Any) -> Any:
    """What json.dumps can write. A subclass goes as its plain base.

    Raises:
        TypeError: the value is no plain data.
    """
    if value is None or isinstance(value, (bool, str)):
        return value if not isinstance(value, str) else str(value)
    if isinstance(value, int):
        return int(value) if abs(value) < HUGE else {"int": hex(value)}
    if isinstance(value, float):
        return float(value)
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
    """Whether `dumps(value)` certainly takes more than so many characters, found out in no more steps than that."""
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


def _decode_object(value: dict[str, Any]) -> Any:
    ((tag, content),) = value.items()
    return DECODERS[tag](content)


def dumps(value: Any) -> str:
    return json.dumps(encode(value), separators=(",", ":"))


def loads(text: str) -> Any:
    return json.loads(text, object_hook=_decode_object)
