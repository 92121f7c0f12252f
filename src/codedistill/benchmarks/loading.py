"""A benchmark by its name, by a file, or by both: `mbpp=/data/mbpp.jsonl`. And its reference solutions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from codedistill.benchmarks.checks import fault_of_checks
from codedistill.benchmarks.formats import format_of, task_id_of
from codedistill.benchmarks.problems import Benchmark, Problem
from codedistill.benchmarks.sources import BENCHMARKS, Data, find, read_file
from codedistill.errors import UserError, closest


def load_benchmark(name_or_path: str, limit: int | None = None) -> Benchmark:
    """A benchmark by name, from a file in one of the known formats, or by `name=path`; `limit` keeps the first tasks.

    A task whose checks cannot judge any program is `broken`; the others stay usable.

    Raises:
        UserError: there is no such benchmark, a row is malformed (by line), or all tasks are broken.
    """
    name, data = read_benchmark(name_or_path)
    problems: dict[str, Problem] = {}
    first_fault = ""
    for number, row in data.rows:
        where = f"{data.source}: {data.unit} {number}"
        shape = format_of(data.rows[0][1])
        shape.check(row, where)
        try:
            problem = shape.problem(row)
            fault = fault_of_checks(problem)
        except (UserError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise UserError(f"{where}: {error}") from None
        if problem.task_id in problems:
            raise UserError(f"{where}: task_id {problem.task_id} occurs twice")
        if problem.cases is not None or _gives_data(name_or_path, problem.task_id):
            problem = replace(problem, isolation="data")
        problems[problem.task_id] = replace(problem, broken=fault)
        first_fault = first_fault or (f"{where}: {fault}" if fault else "")
    if not problems:
        raise UserError(f"benchmark {name_or_path}: holds no tasks")
    if all(problem.broken for problem in problems.values()):
        raise UserError(first_fault)
    return Benchmark(name, tuple(problems.values())[:limit], data.sha256, data.source, len(problems))


def references(name_or_path: str) -> dict[str, str]:
    """Task id -> whole reference program, for the tasks that have one. No model may see them.

    Raises:
        UserError: there is no such benchmark.
    """
    _, data = read_benchmark(name_or_path)
    shape = format_of(data.rows[0][1])
    found = {task_id_of(row): shape.reference(row) for _, row in data.rows}
    return {task_id: source for task_id, source in found.items() if source is not None}


def _gives_data(name_or_path: str, task_id: str) -> bool:
    """Whether a task exchanges plain data only with its checks: those of named benchmarks do, but for a few."""
    known = None if Path(name_or_path).is_file() else BENCHMARKS.get(name_or_path.partition("=")[0])
    return known is not None and task_id not in known.shared


def read_benchmark(name_or_path: str) -> tuple[str, Data]:
    """Name and raw rows. An existing path takes precedence over a name."""
    if Path(name_or_path).is_file():
        return Path(name_or_path).name.split(".")[0], read_file(Path(name_or_path))
    name, given, path = name_or_path.partition("=")
    known = BENCHMARKS.get(name)
    if known is None:
        raise UserError(_unknown(name_or_path))
    if given and not Path(path).is_file():
        raise UserError(f"benchmark {name}: no such file: {path}")
    data = read_file(Path(path)) if given else find(name, known)
    if known.keep is not None:
        data = replace(data, rows=tuple(row for row in data.rows if known.keep(row[1])))
    return name, data


def _unknown(name: str) -> str:
    if Path(name).suffix in (".jsonl", ".json", ".gz") or "/" in name:
        return f"benchmark {name}: no such file; known names: {', '.join(BENCHMARKS)}"
    near = closest(name.replace("-", "_").replace("+", "_plus").lower(), BENCHMARKS, 0.5)
    hint = f"did you mean {near}?" if near else "give a name or a file;"
    return f"benchmark {name!r} does not exist; {hint} known: {', '.join(BENCHMARKS)}"
