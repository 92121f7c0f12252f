"""Responses that a teacher writes before training, kept in the run directory and written only once.

teacher_responses.jsonl    one row per example: id, prompt, response, finish, tokens
teacher_responses.json     their provenance, with a fingerprint of it

The fingerprint covers the teacher (weights, settings, tokenizer), every prompt (so data and template) and the sampling.
Responses with the same fingerprint are reused; an interrupted call is continued.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codedistill.errors import UserError
from codedistill.generation import Request, Sampling, generator_for
from codedistill.models import Loaded
from codedistill.runs.files import append_jsonl, read_jsonl, read_unfinished, write_json, write_jsonl

FILE = "teacher_responses.jsonl"


@dataclass(frozen=True)
class Order:
    """The responses to write: the teacher, a prompt per example id, the sampling.

    provenance: written beside the fingerprint, for people.
    """

    teacher: Loaded
    prompts: dict[int, str]
    sampling: Sampling
    provenance: dict[str, Any]

    def fingerprint(self) -> str:
        """SHA-256 of everything that the responses depend on. The seed counts only if tokens are drawn."""
        seed = self.sampling.seed if self.sampling.temperature > 0 else None
        deciding = (self.sampling.max_new_tokens, float(self.sampling.temperature), seed)
        digest = hashlib.sha256(repr((sorted(self.prompts.items()), deciding)).encode())
        digest.update(self.teacher.fingerprint().encode())
        return digest.hexdigest()


def kept_responses(folder: Path, order: Order, fingerprint: str) -> list[dict[str, Any]] | None:
    """The responses in the folder if they are complete and have this fingerprint, else None."""
    if _provenance(folder / FILE).get("fingerprint") != fingerprint:
        return None
    try:
        rows = read_jsonl(folder / FILE)
    except UserError:
        return None
    complete = [row.get("id") for row in rows] == sorted(order.prompts)
    return rows if complete and all(isinstance(row.get("response"), str) for row in rows) else None


def responses_of(file: Path, order: Order, fingerprint: str, key: str) -> list[dict[str, Any]]:
    """The responses in a file that recipe key `key` names.

    Raises:
        UserError: they are damaged, or come from another teacher, other prompts or another sampling.
    """
    file = file / FILE if file.is_dir() else file
    rows = kept_responses(file.parent, order, fingerprint) if file.name == FILE else None
    if rows is not None:
        return rows
    theirs, ours = _provenance(file), order.provenance
    if not theirs:
        raise UserError(
            f"{key} {file}: not a {FILE} with its .json beside it; name one of another run, or remove {key}"
        )
    differences = [f"{name} {theirs.get(name)} there" for name in ours if theirs.get(name) != ours[name]]
    why = ", ".join(differences) or "other weights, other data rows, or a damaged file"
    raise UserError(
        f"{key} {file}: does not fit this teacher, data, template and sampling: {why}; remove {key} to write new ones"
    )


def _provenance(file: Path) -> dict[str, Any]:
    """The provenance of a file of responses; empty if it is missing or damaged."""
    try:
        values = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def write_responses(
    order: Order, fingerprint: str, folder: Path, part: int, parts: int, count: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """The responses of one process, number `part` of `parts`. Rows of an interrupted call with the same fingerprint
    are kept. count: called with (responses done, total).

    Raises:
        UserError: the disk is full.
    """
    own = sorted(order.prompts)[part::parts]
    partial = folder / f".{FILE}.{part}-of-{parts}.partial"
    head = {"fingerprint": fingerprint}
    first, *kept = read_unfinished(partial) or [{}]
    rows = {row["id"]: row for row in kept if row.get("id") in order.prompts} if first == head else {}
    write_jsonl(partial, [head, *rows.values()])
    wanted = [Request(i, order.prompts[i]) for i in own if i not in rows]
    for done in generator_for(order.teacher).generate(wanted, order.sampling):
        rows[done.index] = {
            "id": done.index,
            "prompt": order.prompts[done.index],
            "response": done.text,
            "finish": done.finish.value,
            "tokens": done.tokens,
        }
        append_jsonl(partial, rows[done.index])
        count(len(rows), len(own))
    return [rows[i] for i in own]


def keep_responses(folder: Path, rows: Iterable[dict[str, Any]], fingerprint: str, provenance: dict[str, Any]) -> None:
    """Put the responses of all processes in place. The fingerprint comes last: a file that has one is complete."""
    rows = sorted(rows, key=lambda row: row["id"])
    (folder / FILE).with_suffix(".json").unlink(missing_ok=True)
    write_jsonl(folder / FILE, rows)
    counts = {"responses": len(rows), "unfinished": sum(row["finish"] == "length" for row in rows)}
    write_json((folder / FILE).with_suffix(".json"), {"fingerprint": fingerprint, **provenance, **counts})
    for partial in folder.glob(f".{FILE}.*.partial"):
        partial.unlink()
