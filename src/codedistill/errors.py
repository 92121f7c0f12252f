"""The errors that codedistill raises on purpose.

CodedistillError          failed at run time: exit code 1
  UserError               the user's input is wrong: exit code 2, one line, no traceback
  InfrastructureError     the machine failed, never the program under test: exit code 1
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class CodedistillError(Exception):
    """Base of all errors here. `exit_code` is the exit code of the command line.

    everywhere: raised on every rank at the same step; only rank 0 prints it.
    """

    exit_code = 1
    everywhere = False


class UserError(CodedistillError):
    """The user's input is wrong. The message is one line: the file, the key or row, and how to fix it.

    file, key, override: the same as data, where they are known: the file at fault, the dotted recipe key, and the
    `key=value` argument that set it.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, file: str | None = None, key: str | None = None, override: str | None = None
    ) -> None:
        super().__init__(message)
        self.file, self.key, self.override = file, key, override


class InfrastructureError(CodedistillError):
    """The machine is at fault, not the input and not a program under test."""


def is_memory_fault(error: Exception) -> bool:
    """Whether Python, torch or an accelerator found no memory; torch has a class of its own for accelerators alone."""
    text = str(error).lower()
    torchs = isinstance(error, RuntimeError) and ("out of memory" in text or "allocate memory" in text)
    return torchs or isinstance(error, MemoryError)


@contextmanager
def memory_for(what: str, *keys: str) -> Iterator[None]:
    """Turn an exhausted memory, of the machine or of an accelerator, into one line.

    Raises:
        UserError: there is not enough memory for `what`; names the recipe keys to lower.
    """
    try:
        yield
    except Exception as error:
        if not is_memory_fault(error):
            raise
        reason = first_line(error).partition("DefaultCPUAllocator: ")
        raise UserError(
            f"not enough memory for {what} ({reason[2] or reason[0]}); lower {' or '.join(keys)}", key=keys[0]
        ) from None


def first_line(error: Exception) -> str:
    """The first line of another library's error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is most similar to this one, if any is."""
    return next(iter(difflib.get_close_matches(name, list(known), 1, cutoff)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a name that does not exist: the most similar known name, or else all of them."""
    near = closest(name, known := list(known))
    return f"did you mean {near}?" if near else f"known: {', '.join(known)}"
