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
    from codedistill.config import Recipe, load_recipe
    from codedistill.pipeline import RunResult, distill, evaluate
    from codedistill.verdicts import ModelResult
    from codedistill.watch import Watch

__version__ = "0.1.0"

__all__ = [
    "CodedistillError",
    "InfrastructureError",
    "ModelResult",
    "Recipe",
    "RunResult",
    "UserError",
    "Watch",
    "distill",
    "evaluate",
    "load_recipe",
]

_HOMES = {
    "ModelResult": "verdicts",
    "Recipe": "config",
    "RunResult": "pipeline",
    "Watch": "watch",
    "distill": "pipeline",
    "evaluate": "pipeline",
    "load_recipe": "config",
}


def __getattr__(name: str) -> object:
    """Import public names when they are first used: importing the package stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
