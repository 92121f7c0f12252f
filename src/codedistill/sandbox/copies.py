"""Arguments travel by value: what the other side did to its copies is repeated here."""

from __future__ import annotations

from typing import Any


def replace_content(old: Any, new: Any) -> Any:
    """Give `old` the content of `new`, keeping the identity of `old` and of its parts where the types agree."""
    kind = type(old)
    if kind is not type(new):
        return new
    if kind is list:
        old[:] = [replace_content(old[i], item) if i < len(old) else item for i, item in enumerate(new)]
    elif kind is tuple and len(old) == len(new):
        parts = [replace_content(before, after) for before, after in zip(old, new, strict=True)]
        return old if all(a is b for a, b in zip(old, parts, strict=True)) else new
    elif issubclass(kind, dict):
        merged = {key: replace_content(old[key], item) if key in old else item for key, item in new.items()}
        old.clear()
        old.update(merged)
    elif kind is set:
        old.clear()
        old.update(new)
    elif kind is bytearray:
        old[:] = new
    elif hasattr(old, "extend") and hasattr(old, "clear"):
        old.clear()
        old.extend(new)
    else:
        return new
    return old
