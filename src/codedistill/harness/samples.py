"""Samples files of any tool, read as rows of ours."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

from codedistill import benchmarks
from codedistill.errors import UserError
from codedistill.harness.foreign import sample_rows
from codedistill.runs.schema import SampleRow


def read_samples(path: Path, tasks: benchmarks.Benchmark) -> list[SampleRow]:
    """The rows of a samples file, which may be a .gz or one of the forms of other tools in `harness.foreign`.

    A row needs `task_id` and `solution` (a whole program) or `completion` (the model's text). `sample` numbers the
    samples of a task. A row without it gets its place among its task's rows, or the next number that is free.

    Raises:
        UserError: a row is malformed or a sample is there twice; the message names its place.
    """
    problems = {problem.task_id: problem for problem in tasks.problems}
    places: dict[tuple[str, int], str] = {}
    rows: list[tuple[SampleRow, bool]] = []
    for place, given in sample_rows(path, tasks):
        where, task_id = f"{path}: {place}", given.get("task_id")
        problem = problems.get(task_id) if isinstance(task_id, str) else None
        problem = problem or tasks.find(task_id)
        if problem is None:
            raise UserError(f"{where}: task_id {task_id!r} is not a task of {tasks.name}; check --benchmark")
        row, is_numbered = _sample(given, problem, where)
        rows.append((row, is_numbered))
        if is_numbered and places.setdefault(row.key, place) != place:
            raise UserError(f"{where}: sample {row.sample} of {row.task_id} is on {places[row.key]} already")
    if not rows:
        raise UserError(f"{path}: contains no samples")
    taken, seen = set(places), Counter[str]()
    numbered = []
    for row, is_numbered in rows:
        if not is_numbered:
            free = next(n for n in itertools.count(seen[row.task_id]) if (row.task_id, n) not in taken)
            row = row.model_copy(update={"sample": free})
            taken.add(row.key)
        seen[row.task_id] += 1
        numbered.append(row)
    return numbered


def _sample(given: dict[str, Any], problem: benchmarks.Problem, where: str) -> tuple[SampleRow, bool]:
    """A row of any tool in our form, and whether it is numbered."""
    completion, solution = given.get("completion"), given.get("solution")
    text = completion if solution is None else solution
    if not isinstance(text, str):
        raise UserError(f"{where}: needs completion or solution as text")
    number = given.get("sample")
    if "sample" in given and (isinstance(number, bool) or not isinstance(number, int)):
        raise UserError(f"{where}: sample {number!r} is not an integer; leave it out to have the samples counted")
    finish = given["finish"] if isinstance(given.get("finish"), str) else None
    prompt = given["prompt"] if isinstance(given.get("prompt"), str) else ""
    row = SampleRow(
        task_id=problem.task_id,
        sample=number or 0,
        completion=completion if isinstance(completion, str) else text,
        solution=benchmarks.program_source(problem, text, finish=finish, prompt=prompt) if solution is None else text,
        finish=finish,
    )
    return row, number is not None
