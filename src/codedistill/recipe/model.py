"""The recipe: every knob of a run, validated at the door.

Unknown keys, wrong types and contradictions are errors. `recipe.load` reads the file that a recipe comes from.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, field_validator, model_validator

from codedistill.methods.settings import METHODS, Beta, Gkd, Loss, Minillm, Seqkd
from codedistill.recipe.explain import OTHER_NAMES, near
from codedistill.recipe.sections import Data, Evaluation, Lora, Model, Section, Training


class Recipe(Section):
    """A whole run. `codedistill recipes show tiny` prints one."""

    name: str = Field(
        "run",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="what the run is called; default: the recipe file's own name",
    )
    teacher: Model | None = Field(None, description="the large model; every method but `sft` needs one")
    student: Model = Field(description="the small model that is trained")
    method: str = Field("akd", description=f"the objective: {', '.join(METHODS)}; see methods.md")
    template: Literal["alpaca", "starcoder", "instruct_eval", "chat", "plain"] | None = Field(
        None,
        description="how an instruction becomes a prompt; default: alpaca, or what the data's rows bring with them",
    )
    data: Data = Field(Data(), description="what is trained on")
    training: Training = Field(Training(), description="the optimiser and the loop")
    loss: Loss = Field(Loss(), description="how student and teacher are compared")
    beta: Beta = Field(Beta(), description="the mix of forward and reverse KL")
    seqkd: Seqkd = Field(Seqkd(), description="responses that the teacher writes before training")
    gkd: Gkd = Field(Gkd(), description="responses that the student writes while it learns")
    minillm: Minillm = Field(Minillm(), description="reverse KL by policy gradient")
    lora: Lora | None = Field(None, description="low-rank adapters instead of full training; default: off")
    evaluation: Evaluation = Field(Evaluation(), description="which benchmarks judge the models, and how")
    output: str | None = Field(
        None, description="the run directory; default: `runs/NAME`, or `runs/NAME-2` and so on where that is taken"
    )
    resume: Literal["never", "auto"] = Field("never", description="auto: go on from the newest whole checkpoint")

    @field_validator("lora", mode="before")
    @classmethod
    def _on_or_off(cls, lora: object) -> object:
        if isinstance(lora, bool):
            raise ValueError(f"write lora={'{}' if lora else 'null'}, not {str(lora).lower()}")
        return lora

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        if method not in METHODS:
            close = near(method, METHODS)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"should be {', '.join(repr(name) for name in METHODS)}, not {method!r}{hint}")
        return method

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if METHODS[self.method].teacher and self.teacher is None:
            raise ValueError(f"method {self.method} needs a teacher")
        if METHODS[self.method].warm and self.student.architecture is not None:
            raise ValueError(f"method {self.method} starts from a student that can answer; train one with method=sft")
        for key, reason in self.unread().items():
            section, name = key.split(".")
            if name in getattr(self, section).model_fields_set:
                raise ValueError(f"{key} would have no effect with {reason}")
        self._check_precision()
        if self.loss.divergence is not None or self.loss.parameters:
            self._check_divergence()
        return self

    @property
    def instructions_template(self) -> str:
        """The template of instructions, which do not bring a prompt of their own."""
        return self.template or "alpaca"

    @property
    def divergence(self) -> str | None:
        """What the method compares the two models by; None: it has its own objective."""
        return self.loss.divergence or METHODS[self.method].divergence

    @property
    def asks_teacher(self) -> bool:
        """The teacher is needed while the student learns, not only before."""
        return METHODS[self.method].teacher and not self._text_only

    @property
    def _text_only(self) -> bool:
        section, _, rest = (METHODS[self.method].text_only or "").partition(".")
        name, _, value = rest.partition("=")
        return bool(section) and getattr(getattr(self, section), name) == value

    def divergence_parameters(self) -> dict[str, float]:
        """Every parameter of the divergence, defaults included."""
        from codedistill.methods import divergence  # not above: torch would slow down every recipe

        return divergence.divergence_parameters(self.divergence or "") | self.loss.parameters

    def unread(self) -> dict[str, str]:
        """Keys of the sections that would have no effect in this recipe, each with what makes it so."""
        entry, idle = METHODS[self.method], {}
        for key in _keys_of({key for other in METHODS.values() for key in other.reads} - set(entry.reads)):
            idle[key] = f"method {self.method}; remove it or use method={_readers(key)}"
        if "beta" in entry.reads and self.divergence != "akd":
            idle |= dict.fromkeys(_keys_of({"beta"}), "this loss.divergence; remove it or set loss.divergence=akd")
        if self._text_only:
            compared = {key for key in entry.reads if key.startswith("loss.")} | {"beta"}
            idle |= dict.fromkeys(_keys_of(compared), f"{entry.text_only}; remove one of them")
        for name in type(self).model_fields:
            section = getattr(self, name)
            for key, reason in section.unread().items() if isinstance(section, Section) else ():
                idle.setdefault(f"{name}.{key}", f"{name}.{reason}; remove it")
        return idle

    def dump(self) -> dict[str, Any]:
        """The resolved recipe as plain data: every value that is used, and none that is not.
        It is a recipe again, and its dump is the same: resuming compares them.
        """
        resolved, idle = self.model_dump(mode="json"), self.unread()
        if "loss.divergence" not in idle:
            resolved["loss"]["divergence"] = self.divergence
            resolved["loss"]["parameters"] = self.divergence_parameters()
        for key in idle:
            section, name = key.split(".")
            del resolved[section][name]
        return {name: value for name, value in resolved.items() if value != {}}

    def _check_precision(self) -> None:
        dtype, precision = self.student.dtype, self.training.precision
        if dtype == "float16":
            raise ValueError(
                "student.dtype float16: its range is too small for Adam; use float32 with training.precision=bfloat16"
            )
        if precision == "bfloat16" and dtype != "float32":
            raise ValueError(
                f"training.precision bfloat16: keeps float32 weights, student.dtype is {dtype}; drop one of them"
            )

    def _check_divergence(self) -> None:
        from codedistill.losses import DIVERGENCES
        from codedistill.methods.divergence import check_divergence

        known = [*DIVERGENCES, *(["akd"] if "beta" in METHODS[self.method].reads else [])]
        name = str(self.divergence)
        if name in METHODS and name not in known:
            raise ValueError(
                f"loss.divergence {name} is a method of its own: use method={name}, without loss.divergence"
            )
        if name not in known:
            close = [OTHER_NAMES[name.lower()]] if name.lower() in OTHER_NAMES else near(name, known)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise ValueError(f"loss.divergence {name} is not one that method {self.method} knows; {hint}")
        check_divergence(name, self.loss.parameters)


def _keys_of(reads: set[str]) -> list[str]:
    """The dotted keys behind names of keys and of whole sections, in a steady order."""
    every = [key for key in recipe_keys() if "." in key]
    return [key for key in every if key in reads or key.split(".")[0] in reads]


def _readers(key: str) -> str:
    """The methods that read a key."""
    section = key.split(".")[0]
    return " or ".join(name for name, entry in METHODS.items() if key in entry.reads or section in entry.reads)


def recipe_keys(model: type[BaseModel] = Recipe, prefix: str = "") -> list[str]:
    """Every dotted key that a recipe may have, sections included."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        section = _section_of(field.annotation)
        if section:
            keys += recipe_keys(section, f"{prefix}{name}.")
    return keys


def _section_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
        if get_args(candidate) and candidate is not annotation and (found := _section_of(candidate)):
            return found
    return None
