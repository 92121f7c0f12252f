"""What checks change of the process that, to them, is the program's as well, and what that means to the program.

The standard output, where they read what the program prints; `input` and the standard input, where they say what it
reads; the seed of `random`. Nothing comes back but the printed text.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Surroundings:
    """The checks' side: notices what is different from the start."""

    def __init__(self, names: set[str]) -> None:
        """`names`: all that the checks use."""
        self._stdout, self._stdin, self._input = sys.stdout, sys.stdin, builtins.input
        self._seeded = False
        if names & {"seed", "setstate"}:
            self._watch_random()

    def _watch_random(self) -> None:
        import random  # here and below: few checks use it, and it takes long to load

        random.seed, random.setstate = self._noticing(random.seed), self._noticing(random.setstate)

    def _noticing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def seed(*args: Any, **kwargs: Any) -> Any:
            self._seeded = True
            return function(*args, **kwargs)

        return seed

    def changes(self) -> dict[str, Any]:
        """For `changed`, on the other side. Empty most of the time."""
        found: dict[str, Any] = {}
        if sys.stdout is not self._stdout:
            found["stdout"] = True
        if sys.stdin is not self._stdin:
            found["stdin"] = sys.stdin
        if builtins.input is not self._input:
            found["input"] = builtins.input
        if self._seeded:
            import random

            found["random"] = random.getstate()
            self._seeded = False
        return found


@contextlib.contextmanager
def changed(changes: dict[str, Any], printed: Callable[[str], None]) -> Iterator[None]:
    """The program's side: the same for the time of one request. `printed` is given what was printed meanwhile."""
    kept = sys.stdout, sys.stdin, builtins.input
    output = io.StringIO()
    if "stdout" in changes:
        sys.stdout = output
    sys.stdin = changes.get("stdin", sys.stdin)
    builtins.input = changes.get("input", builtins.input)
    if "random" in changes:
        import random

        random.setstate(changes["random"])
    try:
        yield
    finally:
        sys.stdout, sys.stdin, builtins.input = kept
        if "stdout" in changes:
            printed(output.getvalue())
