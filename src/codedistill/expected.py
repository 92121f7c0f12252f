"""Expected outputs of benchmarks that check by input: the reference solutions are run in the sandbox, once.

What they gave lies in the user's cache folder, in a file named after the data's hash.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from codedistill import sandbox
from codedistill.benchmarks import Benchmark, Problem
from codedistill.benchmarks.plus import OUTPUT_MARK, checks_of, expected_program
from codedistill.benchmarks.references import references
from codedistill.errors import InfrastructureError, UserError
from codedistill.run_directory import write_text
from codedistill.watch import Watch

log = logging.getLogger(__name__)

LIMITS = sandbox.Limits(wall_seconds=600, memory_mb=4096, output_bytes=256 * 2**20)
"""For a reference solution on all its inputs."""

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
    file = cache_folder() / f"{tasks.sha256}.json"
    known, programs = _read(file), references(tasks.source)
    keys = {problem.task_id: _key(problem, programs[problem.task_id]) for problem in wanting}
    missing = [problem for problem in wanting if keys[problem.task_id] not in known]
    if missing:
        known |= _compute(missing, programs, keys, tasks.source, watch or Watch())
        _write(file, known)
    ready = {problem.task_id: _bind(problem, known[keys[problem.task_id]], tasks.source) for problem in wanting}
    return replace(tasks, problems=tuple(ready.get(problem.task_id, problem) for problem in tasks.problems))


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/codedistill/expected, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codedistill" / "expected"


def _key(problem: Problem, reference: str) -> str:
    """The hash of everything that decides the outputs: reference, inputs, contract, and the code that runs them."""
    return hashlib.sha256(expected_program(problem, reference).encode("utf-8", "surrogatepass")).hexdigest()


def _compute(
    problems: list[Problem], programs: Mapping[str, str], keys: Mapping[str, str], source: str, watch: Watch
) -> dict[str, Any]:
    todo = [
        sandbox.Program(
            expected_program(problem, programs[problem.task_id]), "def check(candidate): pass", problem.entry_point
        )
        for problem in problems
    ]
    watch.stage(f"running {len(todo)} reference solutions for their expected outputs")
    finished = 0

    def count(index: int, result: sandbox.Result) -> None:
        nonlocal finished
        finished += 1
        watch.count("references", finished, len(todo))

    found = {}
    for problem, result in zip(problems, sandbox.run_programs(todo, LIMITS, count), strict=True):
        where = f"{source}: {problem.task_id}"
        if not result.passed:
            raise UserError(f"{where}: the reference solution fails: {result.error_type}: {result.message}")
        found[keys[problem.task_id]] = _lines(result.stdout, where)
    return found


def _lines(stdout: str, where: str) -> dict[str, Any]:
    """What a program of `expected_program` printed."""
    try:
        rows = [json.loads(part.partition("\n")[0]) for part in stdout.split(OUTPUT_MARK)[1:]]
        return {"seconds": rows[-1]["seconds"], "rows": rows[:-1]}
    except (json.JSONDecodeError, LookupError):
        raise InfrastructureError(
            f"{where}: the reference solution's outputs take more than {LIMITS.output_bytes} bytes"
        ) from None


def _bind(problem: Problem, found: Mapping[str, Any], source: str) -> Problem:
    assert problem.cases is not None
    inputs = [*problem.cases.base, *problem.cases.plus]
    pairs = list(zip(inputs, found["rows"], strict=True))
    outputs = [(PARTS[row["part"]], given, row["out"]) for given, row in pairs if "out" in row]
    if len(outputs) < len(inputs):
        first = next(row["left_out"] for _, row in pairs if "left_out" in row)
        where = f"{source}: {problem.task_id}: {len(inputs) - len(outputs)} of {len(inputs)} inputs are left out"
        if not outputs:
            raise UserError(f"{where}: {first}")
        log.warning("%s: %s", where, first)
    left_out = len(inputs) - len(outputs)
    return replace(
        problem, checks=checks_of(problem, outputs), reference_seconds=found["seconds"], inputs_left_out=left_out
    )


def _read(file: Path) -> dict[str, Any]:
    """The cache, or nothing where it cannot be read: then it is made again."""
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
