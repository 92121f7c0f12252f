"""Programs under their checks: each under the limits of its task, and no timeout where the task itself is slow."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from codedistill import sandbox
from codedistill.benchmarks import Benchmark, Problem
from codedistill.errors import ChecksError, UserError

log = logging.getLogger(__name__)

Programs = Mapping[int, tuple[str, Problem]]
"""Number -> source and the problem that it is for."""

Report = Callable[[int, sandbox.Result], None]

SLOW = 16
"""A reference solution that takes a SLOWth of the time limit may not make it on a busy machine: CPU time decides."""

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
        UserError: the checks of a task are broken, so that no program could pass them.
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
    """`timeout` of wall time. Where the reference solution is slow: four times its CPU time, under any load."""
    if SLOW * problem.reference_seconds <= timeout:
        return sandbox.Limits(wall_seconds=timeout)
    cpu = max(timeout, math.ceil(FACTOR * problem.reference_seconds))
    return sandbox.Limits(wall_seconds=8 * cpu, cpu_seconds=cpu)


def warn_of_checks(tasks: Benchmark) -> None:
    """Say once which tasks have checks that may fail right programs, since program and checks run in two processes."""
    # Checks by input are ours and hand over plain data.
    found = {
        problem.task_id: why
        for problem in tasks.problems
        if problem.cases is None and (why := sandbox.unsupported_in_checks(problem.checks))
    }
    if found:
        first = next(iter(found))
        log.warning(
            "%s: right programs may fail the checks of %d tasks; %s: %s",
            tasks.source,
            len(found),
            first,
            found[first][0],
        )


def _run(programs: Programs, timeout: float, report: Report) -> None:
    """All programs, those with the shortest limits first."""
    by_limits: dict[sandbox.Limits, list[int]] = {}
    for number, (_, problem) in programs.items():
        by_limits.setdefault(limits_of(problem, timeout), []).append(number)
    for limits, numbers in sorted(by_limits.items(), key=lambda item: item[0].wall_seconds):
        wanted = [programs[number] for number in numbers]
        try:
            sandbox.run_programs(
                [sandbox.Program(source, problem.checks, problem.entry_point) for source, problem in wanted],
                limits,
                lambda index, result, numbers=numbers: report(numbers[index], result),  # type: ignore[misc]
            )
        except ChecksError as error:
            task_id = wanted[error.index][1].task_id
            raise UserError(f"{task_id}: its checks are broken: {error.reason}; mend the benchmark") from None
