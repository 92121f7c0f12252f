"""Where an exception came from: told by the process that it was raised in, read with distrust by the other one."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, NamedTuple

SOURCE_NAME = "<program>"
"""File name under which the source is compiled."""

MESSAGE_LIMIT = 500

_BY_THE_CALL = (TypeError, AttributeError)
"""What a call itself can raise, before any line of the program: wrong arguments, or nothing of that name."""


class Origin(NamedTuple):
    """What the other process told of an exception that it raised."""

    message: str
    line: int | None
    raised_in: str
    deliberate: bool

    @staticmethod
    def read(kind: type[BaseException], message: Any, fields: list[Any]) -> Origin:
        """Checks every field, because the other side may send anything."""
        line, raised_in, deliberate = (*fields, None, None, None)[:3]
        line = line if type(line) is int and line > 0 else None
        by_the_call = raised_in == "checks" and line is None and kind in _BY_THE_CALL
        return Origin(
            message[:MESSAGE_LIMIT] if type(message) is str else "",
            line,
            "checks" if by_the_call else "source",
            deliberate is True,
        )


def message_of(error: BaseException) -> str:
    """`str(error)`, whatever its class does."""
    try:
        message = str(error)
    except BaseException:
        return "its message could not be made"
    return str.__str__(message)[:MESSAGE_LIMIT]


def arguments_of(error: BaseException) -> tuple[Any, ...]:
    return _ARGUMENTS.__get__(error)


_ARGUMENTS: Any = BaseException.__dict__["args"]
_TRACEBACK: Any = BaseException.__dict__["__traceback__"]
_SYNTAX_ERROR_LINE: Any = SyntaxError.__dict__["lineno"]
# Read past what the program's class may have put in their places.


def place_of(error: BaseException, source_lines: Callable[[], list[bytes]]) -> list[Any]:
    """`line`, `raised_in` and `deliberate` of an exception that the program raised in this process."""
    innermost: types.TracebackType | None = None
    own: types.TracebackType | None = None
    step = _TRACEBACK.__get__(error)
    while step is not None:
        innermost = step
        if step.tb_frame.f_code.co_filename == SOURCE_NAME:
            own = step
        step = step.tb_next
    if own is not None:
        return [own.tb_lineno, "source", own is innermost and _is_raise(own, source_lines)]
    if isinstance(error, SyntaxError):
        return [_SYNTAX_ERROR_LINE.__get__(error), "source", False]
    return [None, "checks", False]  # the call itself failed, e.g. by a wrong number of arguments


def _is_raise(step: types.TracebackType, source_lines: Callable[[], list[bytes]]) -> bool:
    """Is the instruction that raised part of a `raise` statement?"""
    positions = list(step.tb_frame.f_code.co_positions())
    index = step.tb_lasti // 2
    if not 0 <= index < len(positions):
        return False
    line, _, column, _ = positions[index]
    lines = source_lines()
    if line is None or column is None or not 0 < line <= len(lines):
        return False
    return lines[line - 1][column:].startswith(b"raise")
