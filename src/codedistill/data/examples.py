"""Examples from JSON, JSONL or Parquet files, from the hub, or from the embedded generator.

These shapes of row are understood:

- instruction/input/output (Alpaca), or problem/solution
- prompt/completion as text: the prompt is used as it is, without a template
- `messages`, or `conversations` of role/content or from/value, or prompt/completion as lists of such turns: the
  tokenizer's chat template; the last assistant turn is the response
- `text`: no prompt, all of it is the response

A plain text file has a `text` on every line. Every file but Parquet may be packed as .gz.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codedistill.errors import UserError, first_line
from codedistill.runs.files import json_lines, parse_json, read_text

TINY_ROWS = 20_000


@dataclass(frozen=True)
class Example:
    """One training example. Exactly one of `instruction`, `prompt`, `messages` says what is asked."""

    id: int  # the row in the source, from 0
    response: str
    instruction: str | None = None
    input: str = ""
    prompt: str | None = None
    messages: tuple[Mapping[str, str], ...] | None = None

    def template(self, chosen: str) -> str:
        """The template of its prompt: one that it brings stays as it is, messages go through the tokenizer's own."""
        return "plain" if self.prompt is not None else "chat" if self.messages is not None else chosen


def load_examples(source: str, limit: int | None = None, key: str = "data.source") -> list[Example]:
    """All examples of a source, at most `limit`; `key` is the recipe key that names it, for errors.

    Raises:
        UserError: no such file, an unreadable one, an empty one, or a row without the needed fields (by number).
    """
    if source in EMBEDDED:
        rows: list[Any] = EMBEDDED[source](limit or TINY_ROWS)
    elif (path := Path(source)).exists():
        rows = _read(path, key)[:limit]
    else:
        rows = _from_hub(source, limit, f"{key} {source}")
    if not rows:
        raise UserError(f"{key} {source}: holds no examples")
    return [_example(row, number, f"{key} {source}: row {number + 1}") for number, row in enumerate(rows)]


def _tiny(count: int) -> list[dict[str, str]]:
    from codedistill.tiny.datasets import instructions

    return instructions(count)


def _tiny_text(count: int) -> list[dict[str, str]]:
    from codedistill.tiny.datasets import pretraining_text

    return pretraining_text(count)


EMBEDDED: dict[str, Callable[[int], list[Any]]] = {"tiny": _tiny, "tiny/text": _tiny_text}


def _read(path: Path, key: str) -> list[Any]:
    reader = READERS.get(_kind(path))
    if reader is None:
        raise UserError(f"{key} {path}: unknown kind of file; give one of {', '.join(READERS)}")
    try:
        return reader(path)
    except UserError as error:
        raise UserError(f"{key} {error}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{key} {path}: cannot be read: {first_line(error)}") from None


def _kind(path: Path) -> str:
    """The ending that tells what is in a file, packed or not."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _read_json(path: Path) -> list[Any]:
    rows = parse_json(read_text(path), str(path))
    if not isinstance(rows, list):
        raise ValueError("a JSON data file is a list of rows")
    return rows


def _read_jsonl(path: Path) -> list[Any]:
    return [row for _, row in json_lines(read_text(path), str(path))]


def _read_parquet(path: Path) -> list[Any]:
    import pyarrow.parquet

    rows: list[Any] = pyarrow.parquet.read_table(path).to_pylist()
    return rows


def _read_lines(path: Path) -> list[Any]:
    return [{"text": line} for line in read_text(path).splitlines() if line.strip()]


READERS: dict[str, Callable[[Path], list[Any]]] = {
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".txt": _read_lines,
}


def _from_hub(name: str, limit: int | None, where: str) -> list[Any]:
    if "/" not in name or _kind(Path(name)) in READERS:
        raise UserError(f"{where}: no such file; give a file, a hub id or one of {', '.join(EMBEDDED)}")
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(f"{where}: no such file; to fetch it as a hub id: pip install 'codedistill[hub]'") from None
    try:
        return list(load_dataset(name, split=f"train[:{limit}]" if limit else "train"))
    except Exception as error:
        raise UserError(f"{where}: not a file, and the hub says: {first_line(error)}") from None


def _example(row: Any, number: int, where: str) -> Example:
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: a row is an object with fields, this is a {type(row).__name__}")
    if "messages" in row:
        return _chat(row["messages"], number, where)
    if "conversations" in row:
        return _chat(_turns(row["conversations"], where), number, where)
    if "prompt" in row and "completion" in row:
        if isinstance(row["prompt"], list) and isinstance(row["completion"], list):
            return _chat(row["prompt"] + row["completion"], number, where)
        return Example(number, _text(row, "completion", where), prompt=_text(row, "prompt", where))
    for asked, answer in (("instruction", "output"), ("problem", "solution")):
        if asked in row and answer in row:
            given = _text(row, "input", where) if row.get("input") is not None else ""
            return Example(number, _text(row, answer, where), instruction=_text(row, asked, where), input=given.strip())
    if "text" in row:
        return Example(number, _text(row, "text", where), prompt="")
    raise UserError(
        f"{where}: has the fields {', '.join(map(str, row)) or 'none'}; "
        "needs instruction and output, prompt and completion, messages, conversations, or text"
    )


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    value = row[field]
    if not isinstance(value, str):
        raise UserError(f"{where}: field {field} is a {type(value).__name__}, needs to be text")
    return value


def _turns(conversation: Any, where: str) -> Any:
    """ShareGPT's turns, {"from": "human", "value": ...}, as messages; others stay as they are."""
    if not isinstance(conversation, list):
        return conversation
    return [
        {"role": _speaker(turn, where), "content": turn["value"]}
        if isinstance(turn, Mapping) and {"from", "value"} <= turn.keys()
        else turn
        for turn in conversation
    ]


def _speaker(turn: Mapping[str, Any], where: str) -> str:
    name = _text(turn, "from", where)
    return SPEAKERS.get(name, name)


SPEAKERS = {"human": "user", "gpt": "assistant"}


def _chat(messages: Any, number: int, where: str) -> Example:
    turns = messages if isinstance(messages, list) else []
    sound = all(isinstance(turn, Mapping) and isinstance(turn.get("content"), str) and "role" in turn for turn in turns)
    if len(turns) < 2 or not sound or turns[-1]["role"] != "assistant":
        raise UserError(f"{where}: messages needs two or more turns of role and content, the last by the assistant")
    before = tuple({"role": str(turn["role"]), "content": turn["content"]} for turn in turns[:-1])
    return Example(number, turns[-1]["content"], messages=before)
