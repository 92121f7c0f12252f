"""Where an exception came from, and how it travels from the program's process to that of the checks."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable
from typing import Any, NamedTuple

SOURCE_NAME = "<program>"
"""File name under which the source is compiled."""

MESSAGE_LIMIT = 500


class Origin(NamedTuple):
    """An exception as told by the process that it was raised in."""

    error_type: str
    bases: tuple[str, ...]
    """Names of the class's ancestors, nearest first."""
    message: str
    arguments: tuple[Any, ...]
    line: int | None
    raised_in: str
    deliberate: bool

    def to_wire(self, pack: Callable[[Any], Any]) -> list[Any]:
        fields = [self.error_type, self.bases, self.message, self.arguments, self.line, self.raised_in, self.deliberate]
        return [pack(field) for field in fields]

    @staticmethod
    def from_wire(fields: Any) -> Origin:
        """Checks every field, because the other side may send anything."""
        if type(fields) is not list or len(fields) != 7:
            return _UNREADABLE
        error_type, bases, message, args, line, raised_in, deliberate = fields
        if type(error_type) is not str or type(message) is not str or type(bases) is not tuple:
            return _UNREADABLE
        if type(args) is not tuple or not all(type(base) is str for base in bases):
            return _UNREADABLE
        return Origin(
            error_type[:200],
            bases,
            message[:MESSAGE_LIMIT],
            args,
            line if type(line) is int and line > 0 else None,
            "checks" if raised_in == "checks" else "source",
            deliberate is True,
        )


_UNREADABLE = Origin("Exception", ("Exception",), "the exception could not be read", (), None, "source", False)


def describe(error: BaseException, source_lines: Callable[[], list[bytes]]) -> Origin:
    """What `error`, raised here by the program, looks like. Never raises, whatever the program's class does."""
    try:
        message = str(error)
    except BaseException:
        message = "its message could not be made"
    line, raised_in, deliberate = _place(error, source_lines)
    kind = type(error)
    return Origin(
        str(kind.__name__),
        tuple(str(base.__name__) for base in kind.__mro__),
        str.__str__(message)[:MESSAGE_LIMIT] if isinstance(message, str) else "",
        error.args if type(error.args) is tuple else (),
        line,
        raised_in,
        deliberate,
    )


def _place(error: BaseException, source_lines: Callable[[], list[bytes]]) -> tuple[int | None, str, bool]:
    innermost: types.TracebackType | None = None
    own: types.TracebackType | None = None
    step = error.__traceback__
    while step is not None:
        innermost = step
        if step.tb_frame.f_code.co_filename == SOURCE_NAME:
            own = step
        step = step.tb_next
    if own is None:
        if isinstance(error, SyntaxError):
            return error.lineno, "source", False
        return None, "checks", False  # the call itself failed, e.g. by a wrong number of arguments
    return own.tb_lineno, "source", own is innermost and _is_raise(own, source_lines)


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


def rebuild(fields: Any) -> BaseException:
    """An exception of the nearest builtin class, which carries its Origin as `codedistill_origin`."""
    origin = Origin.from_wire(fields)
    base: type[BaseException] = Exception
    for name in origin.bases:
        candidate = getattr(builtins, name, None)
        if isinstance(candidate, type) and issubclass(candidate, BaseException):
            base = candidate
            break
    if not issubclass(base, Exception):
        # KeyboardInterrupt and its like must not stop the checks' own process on the way.
        base = Exception
    kind = base if base.__name__ == origin.error_type else type(origin.error_type.replace("\0", ""), (base,), {})
    try:
        error = kind(*origin.arguments)
    except Exception:
        error = Exception(origin.message)
    error.codedistill_origin = origin
    return error


def origin_of(error: BaseException) -> Origin | None:
    origin = getattr(error, "codedistill_origin", None)
    return origin if isinstance(origin, Origin) else None
