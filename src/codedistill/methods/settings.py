"""The table of methods, and the sections of a recipe that belong to them. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from codedistill.recipe.sections import Section


class Loss(Section):
    """How student and teacher are compared."""

    divergence: str | None = Field(
        None,
        description="a name in losses.md, or `akd`: the mix that `beta` controls; default: the method's own",
    )
    parameters: dict[str, float] = Field(
        default_factory=dict, description="of the divergence, such as `{beta: 0.3}` for `jsd`"
    )
    temperature: float = Field(1.0, gt=0, description="divides both models' logits in the divergence")
    squared_temperature: bool = Field(False, description="multiply the divergence by temperature ** 2")
    cross_entropy_weight: float = Field(0.0, ge=0, le=1, description="c in (1 - c) divergence + c cross entropy")
    normalization: Literal["sample", "token"] = Field(
        "sample",
        description="sample: mean over each example's tokens, then over examples; token: mean over a step's tokens",
    )
    chunk_rows: int | None = Field(
        None,
        ge=1,
        description="token positions that are compared at once; changes memory and speed only; default: by memory",
    )


def _one_or_two(value: object) -> object:
    """A list of two numbers is meant as a pair; anything else that is no number cannot be meant."""
    numbers = tuple(value) if isinstance(value, list | tuple) and len(value) == 2 else (value,)
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers):
        raise ValueError(f"should be a number in [0, 1] or a range of two, such as [0.1, 0.6], not {value!r}")
    return numbers if len(numbers) == 2 else value


class Beta(Section):
    """The mix of the two divergences: beta is the share of the reverse KL. The equations are in losses.md."""

    strategy: str = Field(
        "M3", description="how beta moves: M1, M2, M3, fixed, or beyond the paper: per_token, per_example, gap"
    )
    initial: Annotated[float | tuple[float, float], BeforeValidator(_one_or_two)] = Field(
        (0.1, 0.6), description="the first beta: a number from 0 to 1, or a range that it is drawn from"
    )
    learning_rate: float = Field(0.01, gt=0, description="of beta's own optimiser")
    regulariser: Literal["eq13", "algorithm1", "none"] = Field(
        "eq13", description="what keeps beta away from some values: equation 13 or algorithm 1 of the paper, or nothing"
    )
    regulariser_weight: float = Field(0.5, ge=0, description="lambda of equation 14: how strong the regulariser is")
    epsilon: float = Field(1e-4, gt=0, description="keeps the regulariser's logarithms finite")
    smoothing: float = Field(0.9, ge=0, lt=1, description="gap: share of the old beta that is kept at each step")
    head_mass: float = Field(0.5, gt=0, lt=1, description="gap: the teacher's probability that makes up its head")

    @model_validator(mode="after")
    def _in_range(self) -> Beta:
        bounds = self.initial if isinstance(self.initial, tuple) else (self.initial, self.initial)
        if not 0 <= bounds[0] <= bounds[1] <= 1:
            raise ValueError("initial is a number in [0, 1] or a rising pair of them")
        if self.strategy == "fixed" and isinstance(self.initial, tuple):
            raise ValueError("a fixed beta needs beta.initial, one number in [0, 1]")
        if self.strategy not in STRATEGY_KEYS:
            from codedistill.losses import BETA_CONTROLLERS  # not above: torch would slow down every recipe

            if self.strategy not in BETA_CONTROLLERS:
                raise ValueError(f"strategy should be one of {', '.join(BETA_CONTROLLERS)}, not {self.strategy!r}")
        return self

    def unread(self) -> dict[str, str]:
        read = STRATEGY_KEYS.get(self.strategy, frozenset(Beta.model_fields))
        idle = {key: f"strategy={self.strategy}" for key in Beta.model_fields if key not in {*read, "strategy"}}
        if self.regulariser == "none" and "regulariser" in read:
            idle |= dict.fromkeys(("regulariser_weight", "epsilon"), "regulariser=none")
        return idle


STRATEGY_KEYS: dict[str, frozenset[str]] = {
    "M1": frozenset({"initial", "learning_rate"}),
    "M2": frozenset({"initial", "learning_rate", "regulariser", "regulariser_weight", "epsilon"}),
    "M3": frozenset({"initial", "learning_rate", "regulariser", "regulariser_weight", "epsilon"}),
    "fixed": frozenset({"initial"}),
    "per_token": frozenset(),
    "per_example": frozenset(),
    "gap": frozenset({"initial", "smoothing", "head_mass"}),
}
"""What each strategy of beta reads; one that is not listed here may read everything."""


class Seqkd(Section):
    """Responses that the teacher writes before training."""

    objective: Literal["divergence", "cross_entropy"] = Field(
        "divergence", description="what the student learns on them; cross_entropy is Kim and Rush's form"
    )
    temperature: float = Field(0.0, ge=0, description="of the teacher's sampling; 0: greedy")
    seed: int = Field(0, ge=0, description="of the teacher's sampling")
    max_new_tokens: int = Field(512, ge=1, description="the longest response that the teacher may write")
    batch_size: int = Field(32, ge=1, description="prompts that the teacher answers at once")
    responses: str | None = Field(None, description="teacher_responses.jsonl of another run; must fit this one")

    def unread(self) -> dict[str, str]:
        return {"seed": "temperature=0"} if self.temperature == 0 else {}


class Gkd(Section):
    """Responses that the student writes while it learns."""

    student_fraction: float = Field(
        0.5, ge=0, le=1, description="lambda: share of the examples whose response the student writes"
    )
    temperature: float = Field(1.0, ge=0, description="of the student's sampling; 0: greedy")
    max_new_tokens: int = Field(256, ge=1, description="the longest response that is written")
    batch_size: int = Field(32, ge=1, description="responses written at once")

    def unread(self) -> dict[str, str]:
        keys = ("temperature", "max_new_tokens", "batch_size")
        return dict.fromkeys(keys, "student_fraction=0") if self.student_fraction == 0 else {}


class Minillm(Section):
    """Reverse KL by policy gradient. Defaults are those of Gu et al. 2024 and of the settings that they published."""

    teacher_share: float = Field(0.2, ge=0, lt=1, description="alpha: the teacher's part in choosing each token")
    max_new_tokens: int = Field(256, ge=1, description="the longest response that is written")
    batch_size: int = Field(32, ge=1, description="responses written at once")
    updates: int = Field(4, ge=1, description="optimiser steps on each batch of responses (PPO epochs)")
    reward_scaling: float = Field(0.5, gt=0, description="rewards are (log p - log q) / scaling")
    reward_clip: float = Field(100.0, gt=0, description="rewards are clipped to +- this")
    gamma: float = Field(0.95, ge=0, le=1, description="discount of later rewards")
    length_normalised: bool = Field(True, description="divide each return by the number of rewards in it")
    whiten: bool = Field(True, description="returns of a step get mean 0 and variance 1")
    clip: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="PPO: how far the ratio of the student's new to its old probabilities may move from 1",
    )
    single_step: bool = Field(True, description="take each token's own reward as an exact mean over the vocabulary")
    corpus: str | None = Field(
        None, description="plain text for the language-modelling loss: a source like `data.source`"
    )
    corpus_limit: int | None = Field(None, ge=1, description="use only this many rows, the first ones")
    corpus_weight: float = Field(1.0, ge=0, description="how much the language-modelling loss counts")
    corpus_teacher_share: float = Field(
        0.5, ge=0, le=1, description="the share of KL from the teacher in it; the rest is cross entropy on the text"
    )

    def unread(self) -> dict[str, str]:
        keys = ("corpus_limit", "corpus_weight", "corpus_teacher_share")
        return dict.fromkeys(keys, "corpus=null") if self.corpus is None else {}


@dataclass(frozen=True)
class MethodEntry:
    """A method as the recipe knows it, before any of it is imported.

    build: `module:name` of a function or class that makes the method from its ingredients. reads: recipe keys or whole
    sections that not every method reads; set for a method that does not read them, they are errors. teacher: the method
    needs one. divergence: what it compares the two models by, unless it reads loss.divergence and the recipe names
    another. rewrite: `module:name` of a function that makes other examples of the data's before training starts. warm:
    a student with random weights is refused. text_only: the key=value with which the student learns from text alone,
    and the teacher is asked for nothing else.
    """

    build: str
    reads: tuple[str, ...] = ()
    teacher: bool = True
    divergence: str | None = None
    rewrite: str | None = None
    warm: bool = False
    text_only: str | None = None


SOFT = ("loss.temperature", "loss.squared_temperature", "loss.cross_entropy_weight")
"""Keys of every comparison with a teacher."""

CHOICE = ("loss.divergence", "loss.parameters")
"""Keys of a method that leaves the divergence to the recipe."""

METHODS: dict[str, MethodEntry] = {
    "sft": MethodEntry("codedistill.methods.sft:SupervisedFineTuning", teacher=False),
    "kd": MethodEntry("codedistill.methods.kd:Distillation", (*SOFT, *CHOICE), divergence="forward_kl"),
    "rkd": MethodEntry("codedistill.methods.kd:Distillation", SOFT, divergence="reverse_kl"),
    "akd": MethodEntry("codedistill.methods.kd:Distillation", (*SOFT, "beta"), divergence="akd"),
    "seqkd": MethodEntry(
        "codedistill.methods.seqkd:on_teacher_responses",
        (*SOFT, *CHOICE, "beta", "seqkd"),
        divergence="forward_kl",
        rewrite="codedistill.methods.seqkd:teacher_examples",
        text_only="seqkd.objective=cross_entropy",
    ),
    "gkd": MethodEntry(
        "codedistill.methods.gkd:OnPolicyDistillation", (*SOFT, *CHOICE, "beta", "gkd"), divergence="jsd", warm=True
    ),
    "minillm": MethodEntry("codedistill.methods.minillm:MiniLLM", ("minillm",), warm=True),
}
"""Every method by its name in a recipe."""
