"""Programs under the limits of their tasks. Where the task itself is slow, a program gets more time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from codedistill import sandbox
from codedistill.benchmarks import Benchmark, Problem
from codedistill.errors import UserError
from codedistill.harness.expected import reference_seconds
from codedistill.progress import Watch
from codedistill.sandbox.checks_text import examine

Programs = Mapping[int, tuple[str, Problem]]
"""By number: source, and the problem that it solves."""

Keep = Callable[[int, sandbox.Result], None]

FACTOR = 4
"""A program may take this many times the CPU time of a slow reference solution."""


def judge(programs: Programs, tasks: Benchmark, timeout: float, keep: Keep, watch: Watch) -> None:
    """Run every program; call `keep(number, result)` once for each, as results come.

    The reference solutions of tasks at which a program ran out of time are timed too. Where they are slow, the program
    is run again with more time, and only that result counts.

    Raises:
        InfrastructureError: the sandbox failed.
    """
    late: dict[int, sandbox.Result] = {}

    def keep_unless_late(number: int, result: sandbox.Result) -> None:
        if result.status is sandbox.Status.TIMEOUT and programs[number][1].cases is None:
            late[number] = result
        else:
            keep(number, result)

    _run(programs, timeout, keep_unless_late)
    if not late:
        return
    slow = {problem.task_id: problem for _, problem in map(programs.__getitem__, late)}
    seconds = reference_seconds(tasks, list(slow.values()), timeout, watch)
    again = {}
    for number, result in late.items():
        source, problem = programs[number]
        timed = replace(problem, reference_seconds=seconds.get(problem.task_id, 0.0))
        if limits_of(timed, timeout) == limits_of(problem, timeout):
            keep(number, result)
        else:
            again[number] = (source, timed)
    _run(again, timeout, keep)


def require_checks(tasks: Benchmark) -> None:
    """Refuse a benchmark that can judge no program, before a model writes any.

    Raises:
        UserError: the checks of all tasks are broken. If those of some are, the sandbox says so for each program.
    """
    faults = [None if p.cases else examine(p.checks, p.entry_point).fault for p in tasks.problems]
    if faults and all(faults):
        raise UserError(f"{tasks.source}: {tasks.problems[0].task_id}: its checks are broken: {faults[0]}")


def limits_of(problem: Problem, timeout: float) -> sandbox.Limits:
    """`timeout` of CPU time, or FACTOR times that of a slow reference solution, in whole seconds."""
    wanted = FACTOR * problem.reference_seconds
    return sandbox.Limits(cpu_seconds=timeout if wanted <= timeout else math.ceil(wanted))


def _run(programs: Programs, timeout: float, keep: Keep) -> None:
    """All programs, those with the shortest limits first."""
    by_limits: dict[sandbox.Limits, list[int]] = {}
    for number, (_, problem) in programs.items():
        by_limits.setdefault(limits_of(problem, timeout), []).append(number)
    for limits, numbers in sorted(by_limits.items(), key=lambda item: item[0].cpu_seconds):
        wanted = [
            sandbox.Program(source, problem.checks, problem.entry_point, sandbox.Isolation(problem.isolation))
            for source, problem in map(programs.__getitem__, numbers)
        ]

        def named(index: int, result: sandbox.Result, numbers: list[int] = numbers) -> None:
            keep(numbers[index], result)

        sandbox.run_programs(wanted, limits, named)
