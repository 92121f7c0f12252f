"""The table of methods, and the sections of a recipe that belong to them. Nothing here imports torch.

A new method is a class in a file of its own and one entry in METHODS. If it has settings of its own, they are a section
here, named in the entry: the recipe then has a section with the method's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from codedistill.losses.beta_config import BetaConfig
from codedistill.recipe.sections import Section, key


class Loss(Section):
    """The comparison of student and teacher."""

    divergence: str | None = key(
        None, "a name in losses.md, or `akd`: the mix that `beta` controls; default: the method's own"
    )
    parameters: dict[str, float] = key({}, "parameters of the divergence, such as `{beta: 0.3}` for `jsd`")
    temperature: float = key(1.0, "divides both models' logits in the divergence", gt=0)
    squared_temperature: bool = key(False, "multiply the divergence by temperature ** 2")
    cross_entropy_weight: float = key(0.0, "c in (1 - c) divergence + c cross entropy", ge=0, le=1)
    normalization: Literal["sample", "token"] = key(
        "sample",
        "`sample`: mean over each example's tokens, then over examples; `token`: mean over a step's tokens",
    )
    chunk_rows: int | None = key(
        None,
        "token positions that are compared at once; changes memory and speed only; default: by memory",
        free=True,
        ge=1,
    )


class Beta(BetaConfig, Section):
    __doc__ = BetaConfig.__doc__


class Seqkd(Section):
    """Responses that the teacher writes before training."""

    objective: Literal["divergence", "cross_entropy"] = key(
        "divergence", "the loss on the responses; cross_entropy is Kim and Rush's form"
    )
    temperature: float = key(0.0, "the teacher's sampling temperature; 0: greedy", ge=0)
    seed: int = key(0, "seed of the teacher's sampling", ge=0)
    max_new_tokens: int = key(512, "maximum length of a response, in tokens", ge=1)
    batch_size: int = key(32, "prompts that the teacher answers at once", free=True, ge=1)
    responses: str | None = key(None, "teacher_responses.jsonl of another run; must fit this one", free=True)

    def ineffective(self) -> dict[str, str]:
        return {"seed": "temperature=0"} if self.temperature == 0 else {}


class Gkd(Section):
    """Responses that the student writes while it learns."""

    student_fraction: float = key(0.5, "lambda: share of the examples whose response the student writes", ge=0, le=1)
    temperature: float = key(1.0, "the student's sampling temperature; 0: greedy", ge=0)
    max_new_tokens: int = key(256, "maximum length of a response, in tokens", ge=1)
    batch_size: int = key(32, "responses written at once", free=True, ge=1)

    def ineffective(self) -> dict[str, str]:
        keys = ("temperature", "max_new_tokens", "batch_size")
        return dict.fromkeys(keys, "student_fraction=0") if self.student_fraction == 0 else {}


class Minillm(Section):
    """Reverse KL by policy gradient. The defaults are those of Gu et al. 2024 and of their published settings."""

    teacher_share: float = key(0.2, "alpha: the teacher's share of the sampling distribution", ge=0, lt=1)
    max_new_tokens: int = key(256, "maximum length of a response, in tokens", ge=1)
    batch_size: int = key(32, "responses written at once", free=True, ge=1)
    updates: int = key(4, "optimizer steps on each batch of responses (PPO epochs)", ge=1)
    reward_scaling: float = key(0.5, "rewards are (log p - log q) / scaling", gt=0)
    reward_clip: float = key(100.0, "rewards are clipped to +- this", gt=0)
    gamma: float = key(0.95, "discount of later rewards", ge=0, le=1)
    length_normalised: bool = key(True, "divide each return by the number of rewards in it")
    whiten: bool = key(True, "scale the returns of a step to mean 0 and variance 1")
    clip: float = key(
        0.2, "PPO: how far the ratio of the student's new to its old probabilities may move from 1", gt=0, lt=1
    )
    single_step: bool = key(True, "compute each token's own reward as an exact mean over the vocabulary")
    corpus: str | None = key(None, "plain text for the language-modeling loss: a source like `data.source`")
    corpus_limit: int | None = key(None, "number of rows to use, from the start; default: all", ge=1)
    corpus_weight: float = key(1.0, "weight of the language-modeling loss", ge=0)
    corpus_teacher_share: float = key(
        0.5, "share of the teacher's KL in the language-modeling loss; the rest is cross entropy", ge=0, le=1
    )

    def ineffective(self) -> dict[str, str]:
        keys = ("corpus_limit", "corpus_weight", "corpus_teacher_share")
        return dict.fromkeys(keys, "corpus=null") if self.corpus is None else {}


@dataclass(frozen=True)
class MethodEntry:
    """A method as the recipe knows it, before any of it is imported.

    build: `module:name` of a function or class that makes the method from a `MethodContext`. settings: the method's own
    section. reads: keys or whole sections that only some methods read; they are errors with any other method.
    teacher: the method needs one. divergence: its default, which a method that reads loss.divergence may replace.
    rewrite: `module:name` of a function that replaces the data's examples before training
    starts. warm: a student with random weights is refused. text_only: the key=value with which the student learns from
    text alone, and the losses need no teacher.
    """

    build: str
    reads: tuple[str, ...] = ()
    settings: type[Section] | None = None
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
        (*SOFT, *CHOICE, "beta"),
        Seqkd,
        divergence="forward_kl",
        rewrite="codedistill.methods.seqkd:teacher_examples",
        text_only="seqkd.objective=cross_entropy",
    ),
    "gkd": MethodEntry(
        "codedistill.methods.gkd:OnPolicyDistillation", (*SOFT, *CHOICE, "beta"), Gkd, divergence="jsd", warm=True
    ),
    "minillm": MethodEntry("codedistill.methods.minillm:MiniLLM", settings=Minillm, warm=True),
}
"""Every method by its name in a recipe."""


def readers(key: str) -> list[str]:
    """The methods that read a key or section; none if all do."""
    section = key.split(".")[0]
    return [
        name
        for name, entry in METHODS.items()
        if {key, section} & set(entry.reads) or (section == name and entry.settings is not None)
    ]
