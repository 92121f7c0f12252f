"""`key=value` arguments of the command line."""

from __future__ import annotations

import difflib
from typing import Any

from codedistill.errors import UserError


def split_recipe(arguments: list[str] | None) -> tuple[str | None, list[str]]:
    """The recipe, if the first argument is one, and the overrides."""
    arguments = list(arguments or [])
    recipe = arguments.pop(0) if arguments and "=" not in arguments[0] else None
    return recipe, arguments


def evaluation_settings(overrides: list[str] | None, **unread: str) -> Any:
    """Evaluation settings from overrides such as evaluation.limit=10 or limit=10; `unread` are those with no effect."""
    from codedistill.recipe.load import load_evaluation

    whole = {}
    for override in overrides or []:
        name = override.partition("=")[0].removeprefix("evaluation.")
        if (reason := _not_read(name, unread)) is not None:
            raise UserError(f"override {override}: {reason}")
        whole[f"evaluation.{override.removeprefix('evaluation.')}"] = override
    try:
        return load_evaluation({}, list(whole))
    except UserError as error:  # it quotes the override with its section, which need not be what was written
        message = str(error)
        for long, written in whole.items():
            message = message.replace(f"override {long}:", f"override {written}:")
            message = message.replace(f"override {long!r}:", f"override {written!r}:")
        raise UserError(message) from None


def _not_read(name: str, unread: dict[str, str]) -> str | None:
    """Why a key sets nothing of this evaluation; None: it does."""
    from codedistill.recipe.model import recipe_keys
    from codedistill.recipe.sections import Evaluation

    known = [key for key in Evaluation.model_fields if key != "benchmarks"]
    if name in unread:
        return f"has no effect here; {unread[name]}"
    if name.split(".")[0] in Evaluation.model_fields:
        return None
    if name in ("benchmark", "dtype", "output", "template"):
        return f"has no effect here; use --{name}"
    if close := difflib.get_close_matches(name, known, 1):
        return f"is not an evaluation key; did you mean {close[0]}?"
    if name in recipe_keys() or name.split(".")[0] in recipe_keys():
        return f"has no effect here; only evaluation keys are read: {', '.join(known)}"
    return f"is not an evaluation key; known here: {', '.join(known)}"
