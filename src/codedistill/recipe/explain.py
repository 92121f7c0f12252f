"""What is wrong with a recipe, in one line: where it comes from, the key and what to do about it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

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
"""What papers and other tools call our divergences and keys; with a section where the name alone says too little."""


IN_WORDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    "string_type": "should be text",
    "list_type": "should be a list of text",
    "dict_type": "should be a mapping of keys to values",
    "string_pattern_mismatch": "letters, digits, dots, dashes and underscores are allowed, the first a letter or digit",
}
"""What pydantic's kinds of errors mean for the author of a recipe."""


def explain(error: ValidationError, where: str, overrides: Sequence[str], known: Sequence[str]) -> str:
    """The first problem of several, with its cause: one of the `overrides`, or `where` the rest of the recipe is from.

    known: every key that a recipe may have.
    """
    first, *others = sorted(error.errors(include_url=False), key=_comes_later)
    more = f" (and {len(others)} more)" if others else ""
    message = _in_words(first, known)
    return f"{_cause(first, message, overrides) or where}: {message}{more}"


def near(name: str, known: Iterable[str]) -> list[str]:
    """The known name that is most like this one, if any is."""
    return difflib.get_close_matches(name, list(known), 1)


def _comes_later(problem: ErrorDetails) -> bool:
    """A key that is missing was likely written wrongly elsewhere, so what is unknown is said first."""
    return problem["type"] != "extra_forbidden"


def _in_words(problem: ErrorDetails, known: Sequence[str]) -> str:
    """A problem in one line."""
    location = [str(part) for part in problem["loc"]]
    key, kind, given = ".".join(location), problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return f"{key} is not a recipe key; {_suggest(location, known)}"
    if kind == "missing":
        return f"{key} is missing; add it, for example {key}=tiny/{key}"
    if kind == "model_type":
        return f"{key}: is a section with keys; write {key}={{}} for its defaults, not {given!r}"
    message = IN_WORDS.get(kind) or problem["msg"].removeprefix("Value error, ").replace("Input should", "should")
    instead = "" if isinstance(given, dict) or kind == "value_error" else f", not {given!r}"
    return f"{key + ': ' if key else ''}{message}{instead}"


def _suggest(location: list[str], known: Sequence[str]) -> str:
    names = (".".join(location), location[-1])
    if (other := next((OTHER_NAMES[n.lower()] for n in names if n.lower() in OTHER_NAMES), None)) in known:
        return f"did you mean {other}?"
    close = [k for k in known if k.split(".")[-1] == location[-1]]  # the right name in the wrong section
    if not close:
        others = [k for k in known if k != ".".join(location[:-1])]
        close = difflib.get_close_matches(".".join(location), others, 1, 0.6)
    if not close:
        tails = {k.split(".")[-1]: k for k in known}
        close = [tails[t] for t in difflib.get_close_matches(location[-1], list(tails), 1, 0.7)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    section = [k for k in known if k.rpartition(".")[0] == ".".join(location[:-1])]
    return f"known here: {', '.join(section)}"


def _cause(problem: ErrorDetails, message: str, overrides: Sequence[str]) -> str | None:
    """The override that a problem comes from. Of those at its place it is the one whose key the message mentions first,
    else the last that sets the whole place, else the last. A mention alone counts where the whole recipe is at fault.
    """
    place = [str(part) for part in problem["loc"]] or _place_named(message)
    body = message.removeprefix(f"{'.'.join(place)}: ")
    latest = list(reversed(overrides))  # of one key, the last value counts
    here = [each for each in latest if place and all(a == b for a, b in zip(_parts(each), place, strict=False))]
    mentioned: dict[int, str] = {}
    for override in here or ([] if problem["loc"] else latest):
        if (at := _mention(_parts(override), place, body)) is not None:
            mentioned.setdefault(at, override)
    whole = [override for override in here if len(_parts(override)) <= len(place)]
    found = mentioned[min(mentioned)] if mentioned else next(iter(whole + here), None)
    return f"override {found}" if found else None


def _parts(override: str) -> list[str]:
    return override.partition("=")[0].split(".")


def _place_named(message: str) -> list[str]:
    """The key that a message about the whole recipe begins with, as `loss.parameters: ...` does."""
    named = re.match(r"([\w.]+): ", message)
    return named[1].split(".") if named else []


def _mention(parts: list[str], place: list[str], body: str) -> int | None:
    """Where a message mentions a key: by its whole name, or by the name that it has inside the message's place."""
    names = {".".join(parts)}
    if parts[: len(place)] == place:
        names.add(".".join(parts[len(place) :]))
    found = [re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", body) for name in names if name]
    return min((match.start() for match in found if match), default=None)
