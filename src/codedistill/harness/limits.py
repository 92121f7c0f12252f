"""Programs under their checks: each under the limits of its task, and no timeout where the task itself is slow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from codedistill import sandbox
from codedistill.benchmarks import Problem

Programs = Mapping[int, tuple[str, Problem]]
"""Number -> source and the problem that it is for."""

Report = Callable[[int, sandbox.Result], None]

FACTOR = 4
"""A program may take so many times the CPU time of a slow reference solution."""


def judge(
    programs: Programs,
    timeout: float,
    time_references: Callable[[Sequence[Problem]], Mapping[str, float]],
    report: Report,
) -> None:
    """Run every program; `report(number, result)` is called once for each, as results come.

    `time_references` gives CPU seconds by task id. It is asked only for tasks at which a program ran out of time.

    Raises:
        InfrastructureError: the sandbox failed.
    """
    late: dict[int, sandbox.Result] = {}

    def take(number: int, result: sandbox.Result) -> None:
        if result.status is sandbox.Status.TIMEOUT and programs[number][1].cases is None:
            late[number] = result
        else:
            report(number, result)

    _run(programs, timeout, take)
    if not late:
        return
    seconds = time_references(list({(p := programs[number][1]).task_id: p for number in late}.values()))
    again = {}
    for number, result in late.items():
        source, problem = programs[number]
        timed = replace(problem, reference_seconds=seconds.get(problem.task_id, 0.0))
        if limits_of(timed, timeout) == limits_of(problem, timeout):
            report(number, result)
        else:
            again[number] = (source, timed)
    _run(again, timeout, report)


def limits_of(problem: Problem, timeout: float) -> sandbox.Limits:
    """`timeout` of CPU time, or FACTOR times that of a slow reference solution, in whole seconds."""
    wanted = FACTOR * problem.reference_seconds
    return sandbox.Limits(cpu_seconds=timeout if wanted <= timeout else math.ceil(wanted))


def _run(programs: Programs, timeout: float, report: Report) -> None:
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
            report(numbers[index], result)

        sandbox.run_programs(wanted, limits, named)
