"""Reference solutions, run in the sandbox like any program: for expected outputs, and for their time.

Expected outputs are kept in the user's cache folder, in a file named after the hashes of the data and of the rules.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from codedistill import sandbox
from codedistill.benchmarks import Benchmark, Problem
from codedistill.benchmarks.evalplus.plus import (
    OUTPUT_MARK,
    cases_text,
    checks_of,
    expected_program,
    rules_hash,
)
from codedistill.benchmarks.loading import references
from codedistill.errors import InfrastructureError, UserError
from codedistill.progress import Watch
from codedistill.runs.files import write_text

log = logging.getLogger(__name__)

LIMITS = sandbox.Limits(cpu_seconds=200, idle_seconds=20, memory_mb=4096, output_bytes=256 * 2**20)
"""For a reference solution on all its inputs. The slowest one of MBPP+ computes for about 20 s."""

PATIENCE = 10
"""A reference solution is timed for this many times a program's limit at most."""

PARTS = ("base", "plus")


def with_checks(tasks: Benchmark, watch: Watch | None = None) -> Benchmark:
    """The benchmark with checks for every problem; one that has them all comes back as it is.

    Raises:
        UserError: a reference solution fails, or all inputs of a problem are left out.
        InfrastructureError: the sandbox failed.
    """
    wanting = [problem for problem in tasks.problems if problem.cases is not None and not problem.checks]
    if not wanting:
        return tasks
    file = cache_folder() / f"{tasks.sha256[:40]}-{rules_hash()[:16]}.json"
    known = _read(file)
    missing = [problem for problem in wanting if problem.task_id not in known]
    if missing:
        known |= _compute(missing, _place(tasks), watch or Watch())
        _write(file, known)
    ready = {problem.task_id: _bind(problem, known[problem.task_id], tasks.source) for problem in wanting}
    return replace(tasks, problems=tuple(ready.get(problem.task_id, problem) for problem in tasks.problems))


def reference_seconds(tasks: Benchmark, problems: Sequence[Problem], timeout: float, watch: Watch) -> dict[str, float]:
    """CPU time of the reference solutions of these problems in the sandbox, by task id.

    Without problems that have no solution, or one that fails or takes more than PATIENCE * `timeout`.

    Raises:
        InfrastructureError: the sandbox failed.
    """
    try:
        solutions = references(_place(tasks))
    except UserError:  # a benchmark that was made in memory
        return {}
    timed = [problem for problem in problems if problem.task_id in solutions]
    if not timed:
        return {}
    names = ", ".join(problem.task_id for problem in timed[:3]) + (" and others" if len(timed) > 3 else "")
    watch.stage(f"timing the reference solutions of {len(timed)} tasks at which programs ran out of time: {names}")
    programs = [
        sandbox.Program(solutions[p.task_id], p.checks, p.entry_point, sandbox.Isolation(p.isolation)) for p in timed
    ]
    limits = replace(LIMITS, cpu_seconds=PATIENCE * timeout, idle_seconds=max(10.0, timeout))
    seconds = {}
    for problem, result in zip(timed, sandbox.run_programs(programs, limits), strict=True):
        if result.passed:
            seconds[problem.task_id] = result.cpu_seconds
        elif result.status is sandbox.Status.TIMEOUT:
            log.warning(
                "%s: %s: programs ran out of time, and so did the reference solution (%s)",
                tasks.source, problem.task_id, result.message,
            )  # fmt: skip
    return seconds


def _place(tasks: Benchmark) -> str:
    """Where the benchmark's rows can be read again."""
    return tasks.source if Path(tasks.source).is_file() else tasks.name


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/codedistill/expected, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codedistill" / "expected"


def _compute(problems: list[Problem], source: str, watch: Watch) -> dict[str, Any]:
    """Task id -> what `_bind` needs, by running the reference solutions.

    Raises:
        UserError: a reference solution fails, or all inputs of a problem are left out.
    """
    watch.stage(f"running {len(problems)} reference solutions for their expected outputs")
    solutions = references(source)
    for problem in problems:
        if problem.task_id not in solutions:
            raise UserError(f"{source}: {problem.task_id}: has no canonical_solution to get expected outputs from")
    found = _run(problems, solutions, source, watch)
    for task_id, outputs in found.items():
        why = outputs["left_out"]
        if len(why) == outputs["inputs"]:
            reason = why[0] if why else "there are none"
            raise UserError(f"{source}: {task_id}: all of {len(why)} inputs are left out: {reason}")
    return found


def _run(problems: list[Problem], solutions: Mapping[str, str], source: str, watch: Watch) -> dict[str, Any]:
    programs = [
        sandbox.Program(
            expected_program(problem, solutions[problem.task_id]), "def check(candidate): pass", problem.entry_point
        )
        for problem in problems
    ]
    found = {}
    count = watch.counter("references", len(programs))
    for problem, result in zip(problems, sandbox.run_programs(programs, LIMITS, count), strict=True):
        where = f"{source}: {problem.task_id}"
        if not result.passed:
            raise UserError(f"{where}: the reference solution fails: {result.error_type}: {result.message}")
        found[problem.task_id] = _outputs(problem, result.stdout, where)
    return found


def _outputs(problem: Problem, stdout: str, where: str) -> dict[str, Any]:
    """The output of an `expected_program`: cases, seconds, number of inputs, and the reasons of those left out."""
    assert problem.cases is not None
    inputs = [*problem.cases.base, *problem.cases.plus]
    try:
        *rows, last = [json.loads(part.partition("\n")[0]) for part in stdout.split(OUTPUT_MARK)[1:]]
        pairs = list(zip(inputs, rows, strict=True))
        seconds = last["seconds"]
    except (ValueError, LookupError):
        raise InfrastructureError(f"{where}: the outputs take more than {LIMITS.output_bytes} bytes") from None
    why = [row["left_out"] for row in rows if "left_out" in row]
    cases = cases_text([(PARTS[row["part"]], given, row["out"]) for given, row in pairs if "out" in row])
    return {"cases": cases, "seconds": seconds, "inputs": len(inputs), "left_out": why}


def _bind(problem: Problem, found: Mapping[str, Any], source: str) -> Problem:
    why = found["left_out"]
    if why:
        log.warning(
            "%s: %s: %d of %d inputs are left out: %s", source, problem.task_id, len(why), found["inputs"], why[0]
        )
    return replace(
        problem,
        checks=checks_of(problem, found["cases"]),
        reference_seconds=found["seconds"],
        inputs_left_out=len(why),
    )


def _read(file: Path) -> dict[str, Any]:
    """The cache; empty if it cannot be read, and is then made again."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: Path, known: Mapping[str, Any]) -> None:
    try:
        write_text(file, json.dumps(known))
    except (UserError, OSError) as error:
        log.warning("expected outputs are not kept: %s", error)
