"""codedistill makes a small code model out of a large one, and shows exactly what was lost on the way.

from codedistill import distill, evaluate

run = distill()                                   # the embedded pair
run = distill("my-recipe.yaml", ["training.steps=100"])
result = evaluate("runs/my-recipe/model", "humaneval")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codedistill.errors import CodedistillError, InfrastructureError, UserError

if TYPE_CHECKING:
    from codedistill.api import (
        ModelResult,
        RunResult,
        compare,
        distill,
        evaluate,
        execute,
        generate,
        train,
    )
    from codedistill.progress import Watch
    from codedistill.recipe.load import load_recipe
    from codedistill.recipe.model import Recipe

__all__ = [
    "CodedistillError",
    "InfrastructureError",
    "ModelResult",
    "Recipe",
    "RunResult",
    "UserError",
    "Watch",
    "compare",
    "distill",
    "evaluate",
    "execute",
    "generate",
    "load_recipe",
    "train",
]

_HOMES = {"Recipe": "recipe.model", "Watch": "progress", "load_recipe": "recipe.load"}
"""The modules of the public names that are not in `api`."""


def __getattr__(name: str) -> object:
    """Import public names when they are first used: importing the package stays cheap."""
    if name == "__version__":
        from codedistill.runs.environment import package_version

        return package_version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'api')}"), name)
