"""Rows of a samples file of any tool."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codedistill import benchmarks
from codedistill.errors import UserError
from codedistill.runs.files import (
    numbered_rows,
)

SAMPLES, PARTIAL, REQUEST = "samples.jsonl", "samples.partial.jsonl", "request.json"


VERDICTS = ("results.jsonl", "results.partial.jsonl", "summary.json")
"""What `codedistill.harness.execute` makes of samples in the same folder."""


Rows = dict[tuple[str, int], dict[str, Any]]
"""Samples by task id and number."""


def read_samples(path: Path, tasks: benchmarks.Benchmark) -> list[dict[str, Any]]:
    """Rows with task_id, sample, completion, solution and finish, from any tool's samples file, which may be a .gz.

    A row needs `task_id` and `solution` (a whole program) or `completion` (what the model wrote). `sample` numbers
    the samples of a task; those without it are counted, around the numbers that others have.

    Raises:
        UserError: a row is malformed or is there twice, by the number of its line.
    """
    problems = {problem.task_id: problem for problem in tasks.problems}
    lines: dict[tuple[str, int], int] = {}
    rows = []
    for number, row in numbered_rows(path):
        where, given_id = f"{path}: line {number}", row.get("task_id")
        problem = problems.get(given_id) if isinstance(given_id, str) else None
        problem = problem or tasks.find(given_id)
        if problem is None:
            raise UserError(f"{where}: task_id {given_id!r} is not a task of {tasks.name}; check --benchmark")
        sample = _read_sample(row, problem, where)
        rows.append(sample)
        if sample["sample"] is not None:
            first = lines.setdefault((problem.task_id, sample["sample"]), number)
            if first != number:
                raise UserError(f"{where}: sample {sample['sample']} of {problem.task_id} is on line {first} already")
    if not rows:
        raise UserError(f"{path}: holds no samples")
    _number_the_others(rows, set(lines))
    return rows


def _read_sample(row: Mapping[str, Any], problem: benchmarks.Problem, where: str) -> dict[str, Any]:
    """A row in our form; its number is None where it has none."""
    whole = row.get("solution") is not None
    given = row["solution"] if whole else row.get("completion")
    if not isinstance(given, str):
        raise UserError(f"{where}: needs completion or solution as text")
    sample = row.get("sample")
    if "sample" in row and (isinstance(sample, bool) or not isinstance(sample, int)):
        raise UserError(f"{where}: sample {sample!r} is not a number; without one the samples are counted")
    return {
        "task_id": problem.task_id,
        "sample": sample,
        "completion": row.get("completion") if isinstance(row.get("completion"), str) else given,
        "solution": given if whole else benchmarks.program_source(problem, given),
        "finish": row.get("finish"),
    }


def _number_the_others(rows: list[dict[str, Any]], taken: set[tuple[str, int]]) -> None:
    """Samples without a number get their place among their task's, or the first number behind it that is free."""
    seen: Counter[str] = Counter()
    for row in rows:
        task_id = row["task_id"]
        if row["sample"] is None:
            free = next(n for n in itertools.count(seen[task_id]) if (task_id, n) not in taken)
            row["sample"] = free
            taken.add((task_id, free))
        seen[task_id] += 1
