"""A sandbox for tests: runs programs for real or returns prepared results, records the calls, and fails on demand.

    with FakeSandbox() as box:
        box.fail_after(4, InfrastructureError("no processes"))
        ...
    assert [len(call.programs) for call in box.calls] == [6]

For tests of code that calls `sandbox.run_programs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codedistill import sandbox
from codedistill.sandbox.model import Limits, Program, Result


@dataclass(frozen=True)
class Call:
    """One call of `run_programs`."""

    programs: tuple[Program, ...]
    limits: Limits


class FakeSandbox:
    """Takes the place of `sandbox.run_programs` while it is entered.

    `judge(program)` gives each result; without it, programs are run for real.
    """

    def __init__(self, judge: Callable[[Program], Result] | None = None) -> None:
        self.calls: list[Call] = []
        self._judge = judge
        self._left: int | None = None
        self._error: BaseException = KeyboardInterrupt()

    def fail_after(self, results: int | None, error: BaseException | None = None) -> None:
        """Raise `error` (default: KeyboardInterrupt) once so many more results have been given. None: never."""
        self._left, self._error = results, error or KeyboardInterrupt()

    def run_programs(
        self,
        programs: Sequence[Program],
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        on_result: Callable[[int, Result], None] | None = None,
    ) -> list[Result]:
        """As `sandbox.run_programs`."""
        self.calls.append(Call(tuple(programs), limits))

        def give(index: int, result: Result) -> None:
            if self._left == 0:
                raise self._error
            self._left = None if self._left is None else self._left - 1
            if on_result is not None:
                on_result(index, result)

        if self._judge is None:
            return self._real(programs, limits, give)
        results = [self._judge(program) for program in programs]
        for index, result in enumerate(results):
            give(index, result)
        return results

    def __enter__(self) -> FakeSandbox:
        self._real = sandbox.run_programs
        sandbox.run_programs = self.run_programs
        return self

    def __exit__(self, *_: object) -> None:
        sandbox.run_programs = self._real
