"""Validation errors of a recipe in one line: the file or override, the key, and how to fix it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from codedistill.errors import UserError, closest

OTHER_NAMES = {
    "kl": "forward_kl",
    "fkl": "forward_kl",
    "forward": "forward_kl",
    "rkl": "reverse_kl",
    "reverse": "reverse_kl",
    "js": "jsd",
    "generalized_jsd": "jsd",
    "skl": "skew_forward_kl",
    "srkl": "skew_reverse_kl",
    "tv": "total_variation",
    "tvd": "total_variation",
    "ab": "alpha_beta",
    "abkd": "alpha_beta",
    "lambda": "gkd.student_fraction",
    "lmbda": "gkd.student_fraction",
    "t": "loss.temperature",
    "model": "student",
    "model_name_or_path": "student",
    "student_model": "student",
    "teacher_model": "teacher",
    "teacher_model_name_or_path": "teacher",
    "num_layers": "student.keep_layers",
    "data.path": "data.source",
    "data.file": "data.source",
    "data.dataset": "data.source",
    "dataset": "data.source",
    "dataset_name": "data.source",
    "max_seq_length": "data.max_length",
    "lr": "training.learning_rate",
    "lr_scheduler_type": "training.schedule",
    "max_steps": "training.steps",
    "num_epochs": "training.epochs",
    "num_train_epochs": "training.epochs",
    "per_device_train_batch_size": "training.micro_batch_size",
    "gradient_accumulation_steps": "training.micro_batch_size",
    "bf16": "training.precision",
    "save_steps": "training.checkpoint_every",
    "save_total_limit": "training.keep_checkpoints",
    "r": "lora.rank",
    "target_modules": "lora.targets",
    "evaluation.tasks": "evaluation.benchmarks",
    "num_samples": "evaluation.samples",
    "output_dir": "output",
    "resume_from_checkpoint": "resume",
}
"""Names of our divergences and keys in papers and other tools, with a section where the name alone is ambiguous."""

IN_WORDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    "string_type": "should be text",
    "list_type": "should be a list of text",
    "dict_type": "should be a mapping of keys to values",
    "string_pattern_mismatch": "letters, digits, dots, dashes and underscores are allowed, the first a letter or digit",
}
"""Pydantic's error types in words for the author of a recipe."""


@dataclass(frozen=True)
class Override:
    """A `key=value` argument: its text as written, the key's parts and the value."""

    text: str
    path: tuple[str, ...]
    value: Any


def explain(
    error: ValidationError, kind: str, known: Sequence[str], where: str | Path, overrides: Sequence[Override] = ()
) -> UserError:
    """The first fault of a validation as an error that names its cause.

    kind: the object of the validation, such as "a recipe". known: all its keys. where: its file, or a word for its
    origin; the cause, unless an override sets the key, a section around it or a part of it.
    """
    # A missing key may be a misspelled one, so unknown keys come first.
    first, *others = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    place = [str(part) for part in first["loc"]]
    keys = [".".join([*place, key]) for key in first.get("ctx", {}).get("keys", ())] or [".".join(place)]
    cause = next(
        (
            each
            for key in keys
            for each in reversed(overrides)
            if all(a == b for a, b in zip(each.path, key.split("."), strict=False))
        ),
        None,
    )
    file = where if isinstance(where, Path) and cause is None else None
    source = f"override {cause.text}" if cause else where.name if isinstance(where, Path) else where
    more = f" (and {len(others)} more)" if others else ""
    return UserError(
        f"{source}: {_in_words(first, kind, known)}{more}",
        file=None if file is None else str(file),
        key=keys[0],
        override=None if cause is None else cause.text,
    )


def _in_words(problem: ErrorDetails, kind: str, known: Sequence[str]) -> str:
    location = [str(part) for part in problem["loc"]]
    key, error, given = ".".join(location), problem["type"], problem["input"]
    if error == "extra_forbidden":
        return f"{key} is not {kind} key; {_suggest(location, known)}"
    if error == "missing":
        return f"{key} is missing; add it, for example {key}=tiny/{key}"
    if error == "model_type":
        return f"{key}: is a section with keys; write {key}={{}} for its defaults, not {given!r}"
    message = IN_WORDS.get(error) or problem["msg"].removeprefix("Value error, ").replace("Input should", "should")
    ours = error == "value_error" or "keys" in problem.get("ctx", {})
    instead = "" if ours or isinstance(given, dict) else f", not {given!r}"
    return f"{key + ': ' if key else ''}{message}{instead}"


def _suggest(location: list[str], known: Sequence[str]) -> str:
    key, name = ".".join(location), location[-1]
    other = OTHER_NAMES.get(key.lower()) or OTHER_NAMES.get(name.lower()) or ""
    if other not in known:
        other = other.rpartition(".")[2]  # of a single section
    if other in known:
        return f"did you mean {other}?"
    if close := [k for k in known if k.split(".")[-1] == name]:  # the right name in the wrong section
        return f"did you mean {' or '.join(close)}?"
    parent = ".".join(location[:-1])
    if near := closest(key, [k for k in known if k != parent]):
        return f"did you mean {near}?"
    tails = {k.split(".")[-1]: k for k in known}
    if near := closest(name, tails, 0.7):
        return f"did you mean {tails[near]}?"
    return f"known here: {', '.join(k for k in known if k.rpartition('.')[0] == parent)}"
