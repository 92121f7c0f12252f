"""Every error that codedistill raises on purpose.

CodedistillError          failed at run time: exit code 1
  UserError               what was asked for is wrong: exit code 2, one line, no traceback
  InfrastructureError     the machine failed, never the program under test: exit code 1
"""

from __future__ import annotations


class CodedistillError(Exception):
    """Base of all errors here. `exit_code` is what the command line returns for it.

    everywhere: of a run's processes all raise it at once, so that the first one may speak for them.
    """

    exit_code = 1
    everywhere = False


class UserError(CodedistillError):
    """The user's input is wrong. The message is one line: the file, the key or row, and what to do about it."""

    exit_code = 2


class InfrastructureError(CodedistillError):
    """The machine, not the input and not a program under test, is at fault."""


def first_line(error: Exception) -> str:
    """What another library says, short enough for one of our own lines."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
