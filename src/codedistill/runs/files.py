"""Reading files, and writing them so that a file is whole or absent."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from codedistill.errors import UserError


class Record(BaseModel):
    """The content of a file or of a line. Values are never converted: "1" and true are not numbers."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", populate_by_name=True)

    def to_json(self) -> dict[str, Any]:
        """Plain data with the file's keys: the fields that were given, in the order of the declaration."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


Model = TypeVar("Model", bound=Record)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, if they do not exist.

    Raises:
        UserError: it cannot be made, for example because a file has its name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output {path}: cannot be used: {error.strerror}; choose another output") from None


def write_text(path: Path, text: str) -> None:
    """Write to a temporary file and rename it, so that readers see the old content or the new, never a part.

    Raises:
        UserError: the disk is full or the folder cannot be written to.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # distinct names for processes that write the same file
    make_folder(path.parent)
    try:
        with aside.open("w", encoding="utf-8", errors="surrogatepass") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(
            f"{path}: cannot be written: {error.strerror}; free some space or choose another output"
        ) from None


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    write_text(path, yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows))


def append_jsonl(path: Path, row: Mapping[str, Any]) -> None:
    """Append a line.

    Raises:
        UserError: the disk is full or the file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(row, ensure_ascii=True) + "\n")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror}; free some space, then continue with the same command"
        ) from None


def load(model: type[Model], value: Any, where: str) -> Model:
    """Plain data as a model.

    Raises:
        UserError: it does not fit; the message names `where` and the first field at fault.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
    if fault["type"] == "missing":
        problem = "is missing"
    elif fault["type"] == "extra_forbidden":
        problem = "is not known here; was the file written by a newer version of codedistill?"
    else:
        problem = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        if fault["type"] == "value_error":
            problem += "; evaluate again, or put the file back as it was"
    if field:
        where += f": {field if field.isprintable() else ascii(field)}"  # a key may hold control characters
    raise UserError(f"{where}: {problem}")


def write_model(path: Path, record: Record) -> None:
    write_json(path, record.to_json())


def write_rows(path: Path, rows: Iterable[Record]) -> None:
    write_jsonl(path, (row.to_json() for row in rows))


def append_row(path: Path, row: Record) -> None:
    append_jsonl(path, row.to_json())


def read_model(path: Path, model: type[Model]) -> Model:
    """A JSON file.

    Raises:
        UserError: it cannot be read or does not fit the model; the message names the file and the field.
    """
    return load(model, parse_json(read_text(path), str(path)), str(path))


def read_rows(path: Path, model: type[Model]) -> list[Model]:
    """The lines of a JSONL file.

    Raises:
        UserError: it cannot be read, or a line does not fit the model; the message names file, line and field.
    """
    return [load(model, row, f"{path}: line {number}") for number, row in numbered_rows(path)]


def read_bytes(path: Path) -> bytes:
    """A file's content, unpacked if its name ends in .gz.

    Raises:
        UserError: it cannot be read.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_text(path: Path) -> str:
    """A text file in UTF-8, unpacked if its name ends in .gz, without the byte order mark that some editors add.

    Raises:
        UserError: it cannot be read or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file.

    Raises:
        UserError: it cannot be read, or a line is not a JSON object; the message names the line.
    """
    return [row for _, row in numbered_rows(path)]


def numbered_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Rows of a JSONL file with their line numbers, from 1. Empty lines are skipped but counted.

    Raises:
        UserError: as in `read_jsonl`.
    """
    rows = []
    for number, row in json_lines(read_text(path), str(path)):
        if not isinstance(row, dict):
            raise UserError(f"{path}: line {number}: not a JSON object")
        rows.append((number, row))
    return rows


def json_lines(text: str, where: str) -> Iterator[tuple[int, Any]]:
    """The values of JSON lines with their line numbers, from 1. Empty lines are skipped but counted.

    Raises:
        UserError: a line is not JSON; the message begins with `where`.
    """
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would also cut at U+2028 inside a string
        if line.strip():
            yield number, parse_json(line, f"{where}: line {number}")


def parse_json(text: str, where: str) -> Any:
    """A JSON value.

    Raises:
        UserError: the text is not JSON that Python can read; the message begins with `where`.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}: " if error.lineno > 1 else ""
        reason = f"{line}{error.msg}"
    except ValueError:
        reason = "a number has too many digits"
    except RecursionError:
        reason = "nested too deeply"
    raise UserError(f"{where}: not valid JSON: {reason}")


def read_unfinished(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file that is appended to; none if there is no file.

    Skips a row that a killed process left incomplete, and ends its line so that the next row can be appended.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        path.write_bytes(content + b"\n")
    rows = []
    for line in content.split(b"\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def set_aside(files: Iterable[Path]) -> Path | None:
    """Move files of one folder to its first free subfolder of earlier-1, earlier-2, ...; None: no file exists."""
    found = [file for file in files if file.exists()]
    if not found:
        return None
    number = 1
    while (target := found[0].parent / f"earlier-{number}").exists():
        number += 1
    make_folder(target)
    for file in found:
        file.rename(target / file.name)
    return target
