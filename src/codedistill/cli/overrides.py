"""`key=value` arguments of the command line."""

from __future__ import annotations

from typing import Any

from codedistill.errors import UserError


def split_recipe(arguments: list[str] | None) -> tuple[str | None, list[str]]:
    """The recipe, if the first argument is one, and the overrides."""
    arguments = list(arguments or [])
    recipe = arguments.pop(0) if arguments and "=" not in arguments[0] else None
    return recipe, arguments


def evaluation_settings(overrides: list[str] | None, **unread: str) -> Any:
    """Evaluation settings from overrides such as evaluation.limit=10 or limit=10.

    unread: keys that have no effect in this verb, each with what to do instead.
    """
    from codedistill.recipe.load import load_evaluation
    from codedistill.recipe.model import recipe_fields
    from codedistill.recipe.sections import Evaluation

    instead = {name: f"use --{name}" for name in ("benchmark", "dtype", "output", "template")} | unread
    keys = [key for key in Evaluation.model_fields if key not in instead]
    for name in recipe_fields():
        if "." not in name and name not in ("evaluation", *Evaluation.model_fields):
            instead.setdefault(name, f"only evaluation keys are read: {', '.join(keys)}")
    for override in overrides or []:
        key = override.partition("=")[0].removeprefix("evaluation.")
        reason = instead.get(key) or instead.get(key.split(".")[0])
        if reason is not None:
            raise UserError(f"override {override}: has no effect here; {reason}", key=key, override=override)
    return load_evaluation({}, overrides or [])
