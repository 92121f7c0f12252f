"""Training methods: objects with `loss(batch)`. A new method is one class, and one entry in
`settings.METHODS`.

settings.py    the table of methods and their sections of the recipe
base.py        what the loop asks of a method, what a method is built from, and how rows are weighted
sft.py         cross entropy on the data set's responses
kd.py          a divergence from the teacher: KD, RKD, AKD and their relatives
seqkd.py       either of the two on responses that the teacher wrote
gkd.py         a divergence on responses that the student writes as it learns
minillm.py     reverse KL by policy gradient
policy.py      its rewards, returns, weights and clipping
writing.py     responses from the student, or from student and teacher together
divergence.py  divergences by name

Nothing here imports torch until a method is built.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from codedistill.methods.settings import METHODS

if TYPE_CHECKING:
    from codedistill.methods.base import Ingredients, Method

__all__ = ["METHODS", "build_method", "import_named"]


def build_method(given: Ingredients) -> Method:
    """The method of a recipe over a student and its teacher."""
    method: Method = import_named(METHODS[given.recipe.method].build)(given)
    return method


def import_named(name: str) -> Any:
    """What `module:name` of a table stands for."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
