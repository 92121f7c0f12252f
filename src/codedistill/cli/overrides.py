"""`key=value` arguments of the verbs that evaluate."""

from __future__ import annotations

from typing import Any

from codedistill.errors import UserError


def evaluation_settings(overrides: list[str] | None, *unread: str) -> Any:
    """Evaluation settings from overrides such as evaluation.limit=10 or limit=10.

    unread: keys that have no effect in this verb.

    Raises:
        UserError: an unknown key or one without effect, or a wrong value.
    """
    from codedistill.recipe.load import load_evaluation
    from codedistill.recipe.model import recipe_fields
    from codedistill.recipe.sections import Evaluation

    read = [key for key in Evaluation.model_fields if key not in ("benchmarks", *unread)]
    known = {key.removeprefix("evaluation.").split(".")[0] for key in recipe_fields()}
    options = {"benchmark": "benchmark", "benchmarks": "benchmark"} | {k: k for k in ("dtype", "output", "template")}
    for override in overrides or []:
        key = override.partition("=")[0].removeprefix("evaluation.")
        name = key.split(".")[0]
        if name not in read and name in known | options.keys():
            instead = f"use --{options[name]}" if name in options else f"only these keys are read: {', '.join(read)}"
            raise UserError(f"override {override}: has no effect here; {instead}", key=key, override=override)
    return load_evaluation({}, overrides or [])
