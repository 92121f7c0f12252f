"""Training methods: objects with `loss(batch)`. A new method is one class and one entry in `settings.METHODS`.

settings.py    the table of methods, and their sections of the recipe
base.py        the interface to the loop: Method, its context and results, row weights
sft.py         cross entropy on the responses of the data
kd.py          a divergence from the teacher: KD, RKD, AKD and their relatives
seqkd.py       either of the two on responses that the teacher writes before training
gkd.py         a divergence on responses that the student writes during training
minillm.py     reverse KL by policy gradient

Nothing here imports torch until a method is built.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING

from codedistill.methods.settings import METHODS

if TYPE_CHECKING:
    from codedistill.methods.base import Method, MethodContext

__all__ = ["METHODS", "build_method"]


def build_method(context: MethodContext) -> Method:
    """The method of the context's recipe."""
    method: Method = resolve_name(METHODS[context.recipe.method].build)(context)
    return method
