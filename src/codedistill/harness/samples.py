"""Samples files of any tool, as rows of samples.jsonl.

A file is read only if its meaning is certain. Besides rows of `task_id` with `completion` or `solution`, these forms
are read:

bigcode         a JSON list of lists: the programs of each task, in the benchmark's order
EvalPlus        folders such as HumanEval_0 with 0.py, 1.py, ...; a list of programs in `solution`
lm-eval         `doc` with the task and `resps` with the model's texts
OpenCompass     a JSON object: task id -> texts, or number -> `prediction` with the task id in `gold`
others          one of `generation`, `response`, `output`, `prediction` and `generated_text` in place of `completion`
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codedistill.benchmarks import Benchmark, Problem, program_source
from codedistill.benchmarks.extraction.syntax import defines
from codedistill.errors import UserError
from codedistill.runs.files import numbered_rows, parse_json, read_bytes, read_text
from codedistill.runs.schema import SampleRow

TEXTS = ("generation", "response", "output", "prediction", "generated_text")
"""Fields with the model's text. `generation` comes first: beside it, `output` is what it was extracted from."""


def read_samples(path: Path, tasks: Benchmark) -> list[SampleRow]:
    """The rows of a samples file, which may be a .gz or in a form listed above.

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


def _sample(given: dict[str, Any], problem: Problem, where: str) -> tuple[SampleRow, bool]:
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
    tokens = given["tokens"] if type(given.get("tokens")) is int and given["tokens"] >= 0 else None
    row = SampleRow(
        task_id=problem.task_id,
        sample=number or 0,
        completion=completion if isinstance(completion, str) else text,
        solution=program_source(problem, text, finish=finish, prompt=prompt) if solution is None else text,
        finish=finish,
        tokens=tokens,
    )
    return row, number is not None


def sample_rows(path: Path, tasks: Benchmark) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a samples file or folder, each with its place in it, such as "line 3".

    Rows have `task_id`, `completion` or `solution`, and any other fields of the file. They are not validated further.

    Raises:
        UserError: it cannot be read, or it is not certain which task or text a row means.
    """
    if path.is_dir():
        return list(_folder(path))
    text = read_text(path).lstrip()
    if text.startswith("[") or (text.startswith("{") and not _is_jsonl(text)):
        content = parse_json(text, str(path))
        if isinstance(content, dict):
            rows = list(_mapping(content, path))
        elif content and all(isinstance(item, list) for item in content):
            return _in_order(content, path, tasks)
        else:
            rows = [(f"row {number}", row) for number, row in enumerate(content, 1)]
    else:
        rows = [(f"line {number}", row) for number, row in numbered_rows(path)]
    return [(place, sample) for place, row in rows for sample in _samples(row, f"{path}: {place}")]


def samples_hash(path: Path) -> str:
    """SHA-256 of a samples file's unpacked content, or of a folder's programs with their names.

    Raises:
        UserError: it cannot be read.
    """
    if not path.is_dir():
        return hashlib.sha256(read_bytes(path)).hexdigest()
    return hashlib.sha256(repr([(place, row["solution"]) for place, row in _folder(path)]).encode()).hexdigest()


def _is_jsonl(text: str) -> bool:
    """Whether every line is a row, and not the whole text one JSON object."""
    line, _, rest = text.partition("\n")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return line.strip() != "{"  # a damaged row is reported by its line
    return not isinstance(row, dict) or not row.keys().isdisjoint(("task_id", "doc")) or bool(rest.strip())


def _folder(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in sorted(each for each in path.iterdir() if each.is_dir()):
        files = [file for file in folder.glob("*.py") if file.stem.isdigit()]
        for file in sorted(files, key=lambda file: int(file.stem)):
            row = {"task_id": folder.name, "sample": int(file.stem), "solution": read_text(file)}
            yield f"{folder.name}/{file.name}", row


def _mapping(content: dict[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        place = f"key {key!r}"
        if not isinstance(value, dict):
            yield place, {"task_id": key, "completion": value}
        elif isinstance(value.get("gold"), str) and "prediction" in value:
            yield place, {"task_id": value["gold"], "completion": value["prediction"]}
        else:
            raise UserError(f"{path}: {place}: needs texts, or prediction and the task's id in gold")


def _in_order(content: list[list[Any]], path: Path, tasks: Benchmark) -> list[tuple[str, dict[str, Any]]]:
    """Programs without task ids. The functions that they define show whether they follow the benchmark's order."""
    if len(content) > len(tasks.problems):
        raise UserError(f"{path}: has programs of {len(content)} tasks, {tasks.name} has {len(tasks.problems)}")
    pairs = list(zip(tasks.problems, content, strict=False))
    named = [any(isinstance(text, str) and defines(text, problem.name) for text in texts) for problem, texts in pairs]
    if 2 * sum(named) <= len(content):
        raise UserError(f"{path}: does not define the functions of {tasks.name} in order; give rows with task_id")
    return [
        (f"list {number}", {"task_id": problem.task_id, "completion": text})
        for number, (problem, texts) in enumerate(pairs, 1)
        for text in texts
    ]


def _samples(row: Any, where: str) -> list[dict[str, Any]]:
    """The samples of one row: several if its text is a list."""
    if not isinstance(row, dict):
        raise UserError(f"{where}: not a JSON object")
    if isinstance(row.get("doc"), dict) and isinstance(row.get("resps"), list):
        if "task_id" not in row["doc"]:
            raise UserError(f"{where}: doc has no task_id")
        texts = [text for each in row["resps"] for text in (each if isinstance(each, list) else [each])]
        return [{"task_id": row["doc"]["task_id"], "completion": text} for text in texts]
    name = next((name for name in ("solution", "completion") if row.get(name) is not None), None)
    if name is None:
        found = [text for text in TEXTS if row.get(text) is not None]
        if found[:1] != ["generation"] and any(row[text] != row[found[0]] for text in found):
            raise UserError(f"{where}: has {' and '.join(found)}; rename the one to judge to completion")
        if not found:
            return [row]
        row = row | {"completion": row[found[0]]}
        name = "completion"
    if not isinstance(row[name], list):
        return [row]
    if "sample" in row and len(row[name]) != 1:
        raise UserError(f"{where}: sample numbers {len(row[name])} texts of {name}; leave it out")
    return [row | {name: text} for text in row[name]]
