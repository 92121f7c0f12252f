"""The errors that codedistill raises on purpose.

CodedistillError          failed at run time: exit code 1
  UserError               the user's input is wrong: exit code 2, one line, no traceback
    ChecksError           the checks of a program cannot judge any: names the program by its index
  InfrastructureError     the machine failed, never the program under test: exit code 1
"""

from __future__ import annotations


class CodedistillError(Exception):
    """Base of all errors here. `exit_code` is the exit code of the command line.

    everywhere: raised on every rank at the same step; only rank 0 prints it.
    """

    exit_code = 1
    everywhere = False


class UserError(CodedistillError):
    """The user's input is wrong. The message is one line: the file, the key or row, and how to fix it."""

    exit_code = 2


class ChecksError(UserError):
    """The checks of one program are broken: no program could pass them. Raised by `sandbox.run_programs`.

    `index` is the program's place among those that were run, `reason` what the checks raised, in one line: for a
    message that names the task.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"program {index}: its checks are broken: {reason}")
        self.index = index
        self.reason = reason


class InfrastructureError(CodedistillError):
    """The machine is at fault, not the input and not a program under test."""


def first_line(error: Exception) -> str:
    """The first line of another library's error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
