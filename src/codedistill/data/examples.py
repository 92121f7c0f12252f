"""Examples from JSON, JSONL, Parquet and text files, from the hub, or from the embedded generator.

These shapes of row are understood:

- instruction/input/output (Alpaca), or problem/solution; with `system` or `history` such a row becomes a chat
- prompt/completion as text: the prompt is used as it is, without a template
- `messages`, or `conversations` of role/content or from/value, or prompt/completion as lists of such turns: the
  tokenizer's chat template, which also gets the row's `system` and `tools`
- `text`: no prompt, all of it is the response

A plain text file has a `text` on every line. Every file but Parquet may be packed as .gz. Rows that cannot be used are
counted and skipped.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from codedistill.errors import UserError, first_line
from codedistill.runs.files import parse_json, read_text

log = logging.getLogger(__name__)

EMBEDDED = ("tiny", "tiny/text")
SUFFIXES = (".json", ".jsonl", ".parquet", ".txt")
TINY_ROWS = 20_000
SHOWN = 3
"""How many of the skipped rows a warning shows."""

Rows = list[tuple[str, Any]]
"""Rows, each with its place in the source, such as `line 3`. A UserError stands for a row that cannot be read."""


@dataclass(frozen=True)
class Example:
    """One training example. Exactly one of `instruction`, `prompt` and `messages` is given.

    messages: the turns before the response. answer: the last turn as the row has it, if it holds more than text. tools:
    for the chat template. origin: file and row, for error messages.
    """

    id: int  # the row in the source, from 0
    response: str
    instruction: str | None = None
    input: str = ""
    prompt: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    answer: Mapping[str, Any] | None = None
    tools: list[Any] | None = None
    origin: str = field(default="data", compare=False)

    def template(self, chosen: str) -> str:
        """The template of its prompt. A prompt of its own stays as it is; messages use the tokenizer's template."""
        return "plain" if self.prompt is not None else "chat" if self.messages is not None else chosen


def load_examples(
    source: str, limit: int | None = None, key: str = "data.source", *, strict: bool = False
) -> list[Example]:
    """The usable examples among the first `limit` rows of a source. `key`: the recipe key that names it, for messages.

    Raises:
        UserError: no such file, an unreadable one, or one without a usable row; with `strict`, the first unusable row.
    """
    require_source(source, key)
    if source in EMBEDDED:
        from codedistill.tiny import datasets

        make = datasets.instructions if source == "tiny" else datasets.pretraining_text
        rows = _numbered(make(limit or TINY_ROWS))
    elif Path(source).exists():
        rows = _read(Path(source), key)[:limit]
    else:
        rows = _numbered(_from_hub(source, limit, f"{key} {source}"))
    if not rows:
        raise UserError(f"{key} {source}: holds no examples")
    examples: list[Example] = []
    faults: list[UserError] = []
    halves = 0
    for number, (place, row) in enumerate(rows):
        try:
            if isinstance(row, UserError):
                raise UserError(f"{key} {row}")
            clean, replaced = _clean(row)
            halves += replaced
            examples.append(_example(clean, number, f"{key} {source}: {place}"))
        except UserError as fault:
            if strict:
                raise
            faults.append(fault)
    if not examples:
        raise faults[0]
    if faults:
        shown = "; ".join(str(fault) for fault in faults[:SHOWN])
        log.warning("skipped %d of %d rows (data.strict=true refuses them): %s", len(faults), len(rows), shown)
    if halves:
        log.warning("%s %s: %d rows hold half a character (a lone surrogate); it became U+FFFD", key, source, halves)
    return examples


def require_source(source: str, key: str = "data.source") -> None:
    """Fail early if a source cannot be read, without reading it. Does not ask the hub.

    Raises:
        UserError: no such file, an unknown kind of file, or a package that reading it needs is missing.
    """
    if source in EMBEDDED:
        return
    path, problem = Path(source), ""
    kind = _kind(path)
    if path.exists() and kind not in SUFFIXES:
        adapter = " (an adapter is a model, not data)" if (path / "adapter_config.json").exists() else ""
        what = "a folder" if path.is_dir() else "an unknown kind of file"
        problem = f"is {what}{adapter}; give one of {', '.join(SUFFIXES)}"
    elif not path.exists() and ("/" not in source or kind in SUFFIXES):
        problem = f"no such file; give a file, a hub id or one of {', '.join(EMBEDDED)}"
    elif not path.exists() and find_spec("datasets") is None:
        problem = "no such file; to fetch it as a hub id: pip install 'codedistill[hub]'"
    if problem:
        raise UserError(f"{key} {source}: {problem}", key=key, file=source)


def _numbered(rows: Iterable[Any]) -> Rows:
    return [(f"row {number}", row) for number, row in enumerate(rows, 1)]


def _clean(value: Any) -> tuple[Any, bool]:
    """A row with only whole characters, and whether that changed it. pandas writes an empty field as NaN: None."""
    if isinstance(value, str):
        try:
            value.encode()
            return value, False
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), True
    if isinstance(value, float) and value != value:
        return None, False
    if isinstance(value, Mapping):
        pairs = {key: _clean(each) for key, each in value.items()}
        return {key: each for key, (each, _) in pairs.items()}, any(changed for _, changed in pairs.values())
    if isinstance(value, list):
        parts = [_clean(each) for each in value]
        return [each for each, _ in parts], any(changed for _, changed in parts)
    return value, False


def _kind(path: Path) -> str:
    """The suffix of a file without .gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _read(path: Path, key: str) -> Rows:
    """The rows of a file, which may be packed. JSON is a list of rows or a row on every line, under either suffix."""
    kind = _kind(path)
    try:
        if kind == ".parquet":
            try:
                import pyarrow.parquet
            except ImportError:
                needed = "reading Parquet needs pyarrow: pip install 'codedistill[parquet]'"
                raise UserError(f"{path}: {needed}") from None
            return _numbered(pyarrow.parquet.read_table(path).to_pylist())
        text = read_text(path)
        if kind == ".txt":
            return [(f"line {n}", {"text": line}) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        return _numbered(parse_json(text, str(path))) if text.lstrip().startswith("[") else _json_lines(text, path)
    except UserError as error:
        raise UserError(f"{key} {error}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{key} {path}: cannot be read: {first_line(error)}") from None


def _json_lines(text: str, path: Path) -> Rows:
    rows: Rows = []
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would also cut at U+2028 inside a string
        if line.strip():
            place = f"line {number}"
            try:
                rows.append((place, parse_json(line, f"{path}: {place}")))
            except UserError as fault:
                rows.append((place, fault))
    return rows


def _from_hub(name: str, limit: int | None, where: str) -> list[Any]:
    from datasets import load_dataset

    try:
        return list(load_dataset(name, split=f"train[:{limit}]" if limit else "train"))
    except Exception as error:
        raise UserError(f"{where}: not a file, and the hub says: {first_line(error)}") from None


def _example(row: Any, number: int, where: str) -> Example:
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: a row is an object with fields, this is a {type(row).__name__}")
    row = {name: value for name, value in row.items() if value is not None}
    for_chat = [name for name in ("system", "history", "tools") if row.get(name)]  # only a chat template shows these
    no_place = f"field {for_chat[0]} has no place in a row of" if for_chat else ""
    if "messages" in row:
        return _chat(row["messages"], row, number, where)
    if "conversations" in row:
        return _chat(row["conversations"], row, number, where)
    if "prompt" in row and "completion" in row:
        if isinstance(row["prompt"], list) and isinstance(row["completion"], list):
            return _chat(row["prompt"] + row["completion"], row, number, where)
        if for_chat:
            raise UserError(f"{where}: {no_place} prompt and completion; give messages")
        return Example(number, _text(row, "completion", where), prompt=_text(row, "prompt", where), origin=where)
    for asked, answer in (("instruction", "output"), ("problem", "solution")):
        if asked in row and answer in row:
            given = (_text(row, "input", where) if "input" in row else "").strip()
            instruction, response = _text(row, asked, where), _text(row, answer, where)
            if for_chat:
                question = f"{instruction}\n{given}" if given else instruction
                pairs = [*_history(row, where), (question, response)]
                roles = ("user", "assistant")
                turns = [{"role": r, "content": text} for pair in pairs for r, text in zip(roles, pair, strict=True)]
                return _chat(turns, row, number, where)
            return Example(number, response, instruction=instruction, input=given, origin=where)
    if "text" in row:
        if for_chat:
            raise UserError(f"{where}: {no_place} text; give messages")
        return Example(number, _text(row, "text", where), prompt="", origin=where)
    raise UserError(
        f"{where}: has the fields {', '.join(map(str, row)) or 'none'}; "
        "needs instruction and output, prompt and completion, messages, conversations, or text"
    )


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    value = row[field]
    if not isinstance(value, str):
        raise UserError(f"{where}: field {field} is a {type(value).__name__}, needs to be text")
    return value


def _history(row: Mapping[str, Any], where: str) -> list[Any]:
    """Pairs of an earlier question and its answer."""
    pairs = list(row.get("history") or ())
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
            raise UserError(f"{where}: field history needs pairs of text, of a question and its answer")
    return pairs


SPEAKERS = {"human": "user", "gpt": "assistant", "observation": "tool"}
"""ShareGPT's names for roles."""


def _chat(conversation: Any, row: Mapping[str, Any], number: int, where: str) -> Example:
    turns = conversation if isinstance(conversation, list) else []
    messages = [_turn(turn, where) for turn in turns]
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise UserError(f"{where}: messages needs two or more turns of role and content, the last by the assistant")
    if row.get("system"):
        if messages[0]["role"] == "system":
            raise UserError(f"{where}: has a field system and a system message; keep one of them")
        messages.insert(0, {"role": "system", "content": _text(row, "system", where)})
    if row.get("history") and "instruction" not in row and "problem" not in row:
        raise UserError(f"{where}: field history has no place beside messages; make it part of them")
    tools = row.get("tools") or None
    if isinstance(tools, str):
        tools = _json(tools, "tools", where) or None
    if tools is not None and not isinstance(tools, list):
        raise UserError(f"{where}: field tools is a {type(tools).__name__}, needs to be a list")
    answer = messages[-1] if messages[-1].keys() - {"role", "content"} else None
    return Example(
        number, messages[-1]["content"], messages=tuple(messages[:-1]), answer=answer, tools=tools, origin=where
    )


def _turn(turn: Any, where: str) -> dict[str, Any]:
    """A turn for the chat template: role, content, and its other fields, such as tool_calls."""
    if isinstance(turn, Mapping) and {"from", "value"} <= turn.keys():
        speaker, value = _text(turn, "from", where), _text(turn, "value", where)
        if speaker == "function_call":
            called = _json(value, "function_call", where)
            calls = [
                {"type": "function", "function": each} for each in (called if isinstance(called, list) else [called])
            ]
            return {"role": "assistant", "content": "", "tool_calls": calls}
        return {"role": SPEAKERS.get(speaker, speaker), "content": value}
    if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
        raise UserError(f"{where}: messages needs turns of role and content")
    kept = {name: value for name, value in turn.items() if value is not None}
    content = kept.get("content", "" if kept.get("tool_calls") else None)
    if isinstance(content, list) and all(isinstance(p, Mapping) and isinstance(p.get("text"), str) for p in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise UserError(f"{where}: messages needs turns whose content is text, this one's is {type(content).__name__}")
    return {**kept, "content": content}


def _json(text: str, field: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: {field} is not valid JSON") from None
