"""Exceptions as data: the class, the place, and whether a `raise` statement raised them."""

from __future__ import annotations

import gc
import types
from typing import Any

SOURCE_NAME = "<program>"
"""File name under which the source is compiled."""

CHECKS_NAME = "<checks>"
MESSAGE_LIMIT = 500
NAME_LIMIT = 100

_NAME: Any = type.__dict__["__name__"]
_TRACEBACK: Any = BaseException.__dict__["__traceback__"]
_SYNTAX_ERROR_LINE: Any = SyntaxError.__dict__["lineno"]
# Read through the built-in descriptors, past attributes of the program's own class.


def describe(error: BaseException, source: str) -> dict[str, Any]:
    """`status`, `error_type`, `message`, `line`, `raised_in` and `raised_deliberately` of a Result, as plain data."""
    if isinstance(error, MemoryError):
        gc.collect()
    line, raised_in, deliberate = _place(error, source)
    name = _NAME.__get__(type(error))  # the program chooses it
    return {
        "status": "memory" if isinstance(error, MemoryError) else "failed",
        "error_type": str.__str__(name) if name.isidentifier() and len(name) <= NAME_LIMIT else "Exception",
        "message": message_of(error),
        "line": line,
        "raised_in": raised_in,
        "raised_deliberately": deliberate,
    }


def message_of(error: BaseException) -> str:
    """`str(error)`, whatever its class does."""
    try:
        message = str(error)
    except BaseException:
        return "its message could not be made"
    return str.__str__(message)[:MESSAGE_LIMIT]


def _place(error: BaseException, source: str) -> tuple[int | None, str, bool]:
    innermost: types.TracebackType | None = None
    own: types.TracebackType | None = None
    checks = False
    step = _TRACEBACK.__get__(error)
    while step is not None:
        innermost, name = step, step.tb_frame.f_code.co_filename
        if name == SOURCE_NAME:
            own = step
        checks = checks or name == CHECKS_NAME
        step = step.tb_next
    if own is not None:
        return own.tb_lineno, "source", own is innermost and _is_raise(own, source)
    if isinstance(error, SyntaxError) and not checks:
        line = _SYNTAX_ERROR_LINE.__get__(error)
        return (line if type(line) is int and line > 0 else None), "source", False
    return None, "checks", False  # the call itself failed, e.g. by a wrong number of arguments


def _is_raise(step: types.TracebackType, source: str) -> bool:
    """Is the instruction that raised part of a `raise` statement?"""
    positions = list(step.tb_frame.f_code.co_positions())
    index = step.tb_lasti // 2
    if not 0 <= index < len(positions):
        return False
    line, _, column, _ = positions[index]
    lines = source.encode("utf-8", "surrogatepass").split(b"\n")
    if line is None or column is None or not 0 < line <= len(lines):
        return False
    return lines[line - 1][column:].startswith(b"raise")
