"""Responses that a teacher writes before training, kept in the run directory and made only once.

teacher_responses.jsonl    a row per example: id, prompt, response, finish, tokens
teacher_responses.json     what they were made from, with a fingerprint of it

The fingerprint covers the teacher (weights, settings, tokenizer), every prompt (so data and template) and the sampling.
Responses with the same fingerprint are used again; those of an interrupted call are gone on with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codedistill.errors import UserError
from codedistill.generation import Request, Sampling, generate
from codedistill.models import Loaded
from codedistill.runs.files import read_jsonl, write_json, write_jsonl

FILE = "teacher_responses.jsonl"


@dataclass(frozen=True)
class Order:
    """What is to be written: prompts by example id, by whom, how. `about` is put beside the fingerprint for people."""

    teacher: Loaded
    prompts: dict[int, str]
    sampling: Sampling
    about: dict[str, Any]

    def fingerprint(self) -> str:
        """SHA-256 of all that decides the responses. The batch size does not, and the seed only if tokens are drawn."""
        how = self.sampling
        seed = how.seed if how.temperature > 0 else None
        deciding = (how.max_new_tokens, float(how.temperature), seed)
        digest = hashlib.sha256(repr((sorted(self.prompts.items()), deciding)).encode())
        digest.update(self.teacher.fingerprint().encode())
        return digest.hexdigest()


def kept_responses(folder: Path, order: Order, fingerprint: str) -> list[dict[str, Any]] | None:
    """The folder's responses if they are whole and what `order` would give, else None."""
    if _about(folder / FILE).get("fingerprint") != fingerprint:
        return None
    try:
        rows = read_jsonl(folder / FILE)
    except UserError:
        return None
    whole = [row.get("id") for row in rows] == sorted(order.prompts)
    return rows if whole and all(isinstance(row.get("response"), str) for row in rows) else None


def responses_of(file: Path, order: Order, fingerprint: str, key: str) -> list[dict[str, Any]]:
    """The responses in a file that must fit, since recipe key `key` asks for it.

    Raises:
        UserError: they are damaged, or were made by another teacher, from other prompts or otherwise.
    """
    file = file / FILE if file.is_dir() else file
    rows = kept_responses(file.parent, order, fingerprint) if file.name == FILE else None
    if rows is not None:
        return rows
    about = _about(file)
    if not about:
        raise UserError(f"{key} {file}: is no {FILE} with its .json beside it; give one of another run, or no {key}")
    other = [f"{name} {about.get(name)} there" for name in order.about if about.get(name) != order.about[name]]
    why = ", ".join(other) or "other weights, other rows of data, or a damaged file"
    raise UserError(f"{key} {file}: does not fit this teacher, data, template and sampling: {why}; have them written")


def _about(file: Path) -> dict[str, Any]:
    """What the responses of a file were made from; empty where that is not known."""
    try:
        found = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_responses(
    order: Order, fingerprint: str, folder: Path, part: int, parts: int, count: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """This process's share of the responses; rows of an interrupted call are kept. `count`: done, of so many."""
    own = sorted(order.prompts)[part::parts]
    partial = folder / f".{FILE}.{part}-of-{parts}.partial"
    rows = {row["id"]: row for row in _earlier(partial, fingerprint)}
    wanted = [Request(i, order.prompts[i]) for i in own if i not in rows]
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("a", encoding="utf-8") as handle:
        for done in generate(order.teacher, wanted, order.sampling):
            row = {
                "id": done.index,
                "prompt": order.prompts[done.index],
                "response": done.text,
                "finish": done.finish.value,
                "tokens": done.tokens,
            }
            rows[done.index] = row
            handle.write(json.dumps(row) + "\n")
            handle.flush()
            count(len(rows), len(own))
    return [rows[i] for i in own]


def keep_responses(folder: Path, rows: Iterable[dict[str, Any]], fingerprint: str, about: dict[str, Any]) -> None:
    """Put the responses of all processes in place, the fingerprint last: a file with one is whole."""
    rows = sorted(rows, key=lambda row: row["id"])
    (folder / FILE).with_suffix(".json").unlink(missing_ok=True)
    write_jsonl(folder / FILE, rows)
    unfinished = sum(row["finish"] == "length" for row in rows)
    counts = {"responses": len(rows), "unfinished": unfinished}
    write_json((folder / FILE).with_suffix(".json"), {"fingerprint": fingerprint, **about, **counts})
    for partial in folder.glob(f".{FILE}.*.partial"):
        partial.unlink()


def _earlier(partial: Path, fingerprint: str) -> list[dict[str, Any]]:
    """Whole rows of an interrupted call with the same fingerprint; otherwise the file is begun anew."""
    text = partial.read_text(encoding="utf-8") if partial.exists() else ""
    first, *others = text[: text.rfind("\n") + 1].splitlines() or [""]
    head = json.dumps({"fingerprint": fingerprint})
    kept = others if first == head else []
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text("".join(line + "\n" for line in [head, *kept]), encoding="utf-8")
    return [json.loads(line) for line in kept]
