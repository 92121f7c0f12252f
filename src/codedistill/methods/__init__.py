"""Training methods: objects with `loss(batch)`. A new method is one class and one entry in `METHODS`.

base.py        what the loop asks of a method, what a method is built from, and how rows are weighted
sft.py         cross entropy on the data set's responses
kd.py          a divergence from the teacher: KD, RKD, AKD and their relatives
seqkd.py       either of the two on responses that the teacher wrote
gkd.py         a divergence on responses that the student writes as it learns
minillm.py     reverse KL by policy gradient
policy.py      its rewards, returns, weights and clipping
writing.py     responses from the student, or from student and teacher together
divergence.py  divergences by name

Nothing here imports torch until a method is built: the recipe is checked against this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codedistill.methods.base import Ingredients, Method, Rewrite

__all__ = ["METHODS", "MethodEntry", "build_method"]


@dataclass(frozen=True)
class MethodEntry:
    """What is known of a method before it is built.

    build: the method from its ingredients. reads: recipe keys or whole sections that not every method reads; set for a
    method that does not read them, they are errors. teacher: it needs one. divergence: what it compares the two models
    by, unless it reads loss.divergence and the recipe names another. rewrite: makes other examples of the data's
    before training starts. warm: a student with random weights is refused. text_only: the key=value with which the
    student learns from text alone, and the teacher is asked for nothing else.
    """

    build: Callable[[Ingredients], Method]
    reads: tuple[str, ...] = ()
    teacher: bool = True
    divergence: str | None = None
    rewrite: Callable[[], Rewrite] | None = None
    warm: bool = False
    text_only: str | None = None


def _sft(given: Ingredients) -> Method:
    from codedistill.methods.sft import SupervisedFineTuning

    return SupervisedFineTuning(given)


def _distillation(given: Ingredients) -> Method:
    from codedistill.methods.kd import Distillation

    return Distillation(given)


def _seqkd(given: Ingredients) -> Method:
    return (_distillation if given.recipe.asks_teacher else _sft)(given)


def _teacher_writes() -> Rewrite:
    from codedistill.methods.seqkd import teacher_examples

    return teacher_examples


def _gkd(given: Ingredients) -> Method:
    from codedistill.methods.gkd import OnPolicyDistillation

    return OnPolicyDistillation(given)


def _minillm(given: Ingredients) -> Method:
    from codedistill.methods.minillm import MiniLLM

    return MiniLLM(given)


SOFT = ("loss.temperature", "loss.squared_temperature", "loss.cross_entropy_weight")
"""Keys of every comparison with a teacher."""

CHOICE = ("loss.divergence", "loss.parameters")
"""Keys of a method that leaves the divergence to the recipe."""

METHODS: dict[str, MethodEntry] = {
    "sft": MethodEntry(_sft, teacher=False),
    "kd": MethodEntry(_distillation, (*SOFT, *CHOICE), divergence="forward_kl"),
    "rkd": MethodEntry(_distillation, SOFT, divergence="reverse_kl"),
    "akd": MethodEntry(_distillation, (*SOFT, "beta"), divergence="akd"),
    "seqkd": MethodEntry(
        _seqkd,
        (*SOFT, *CHOICE, "beta", "seqkd"),
        divergence="forward_kl",
        rewrite=_teacher_writes,
        text_only="seqkd.objective=cross_entropy",
    ),
    "gkd": MethodEntry(_gkd, (*SOFT, *CHOICE, "beta", "gkd"), divergence="jsd", warm=True),
    "minillm": MethodEntry(_minillm, ("minillm",), warm=True),
}


def build_method(given: Ingredients) -> Method:
    """The method of a recipe over a student and its teacher."""
    return METHODS[given.recipe.method].build(given)
