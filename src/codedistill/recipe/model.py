"""The recipe: every setting of a run, validated before anything starts.

Unknown keys, wrong types and contradictions are errors. `recipe.load` reads the file of a recipe.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, TypeVar, get_args

from pydantic import create_model, field_validator, model_validator
from pydantic.fields import FieldInfo

from codedistill.errors import did_you_mean
from codedistill.methods.settings import METHODS, Beta, Loss, readers
from codedistill.prompts import TEMPLATES
from codedistill.recipe.explain import OTHER_NAMES
from codedistill.recipe.sections import Data, Evaluation, Lora, Model, Section, Training, key, wrong

S = TypeVar("S", bound=Section)


class Recipe(Section):
    """A whole run. `recipe_model` adds the sections of methods; `load_recipe` makes a recipe."""

    name: str = key(
        "run",
        "name of the run; default: the name of the recipe file",
        free=True,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
    )
    teacher: Model | None = key(None, "the large model; every method but `sft` needs one")
    student: Model = key(..., "the small model that is trained")
    method: str = key("akd", f"the objective: {', '.join(METHODS)}; see methods.md")
    template: str | None = key(
        None,
        "the prompt template for instructions; default: alpaca. Rows of data with a prompt of their own need none",
    )
    data: Data = key(Data(), "the training examples")
    training: Training = key(Training(), "the optimizer and the training loop")
    loss: Loss = key(Loss(), "the comparison of student and teacher")
    beta: Beta = key(Beta(), "the mix of forward and reverse KL")
    lora: Lora | None = key(None, "low-rank adapters instead of full training; default: off")
    evaluation: Evaluation = key(Evaluation(), "the benchmarks, and how the models answer them", free=True)
    output: str | None = key(
        None, "the run directory; default: `runs/NAME`, or `runs/NAME-2` and so on if that exists", free=True
    )
    resume: Literal["never", "auto"] = key("never", "auto: continue from the newest checkpoint", free=True)

    @field_validator("lora", mode="before")
    @classmethod
    def _on_or_off(cls, lora: object) -> object:
        if isinstance(lora, bool):
            raise ValueError(f"write lora={'{}' if lora else 'null'}, not {str(lora).lower()}")
        return lora

    @field_validator("method", "template")
    @classmethod
    def _known(cls, name: str | None, info: Any) -> str | None:
        known = METHODS if info.field_name == "method" else TEMPLATES
        if name is not None and name not in known:
            raise ValueError(f"there is no {info.field_name} {name}; {did_you_mean(name, known)}")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        entry, dtype, precision = METHODS[self.method], self.student.dtype, self.training.precision
        if entry.teacher and self.teacher is None:
            raise wrong(f"method {self.method} needs a teacher; set teacher", "teacher", "method")
        if entry.warm and self.student.architecture is not None:
            raise wrong(
                f"method {self.method} starts from a trained student; train one with method=sft",
                "student.architecture",
                "method",
            )
        for name, cause in self.ineffective().items():
            section, _, rest = name.partition(".")
            if rest in getattr(self, section).model_fields_set:
                changed = cause.partition("=")[0]
                instead = f"use method={' or '.join(readers(name))}" if changed == "method" else f"change {changed}"
                raise wrong(f"{name} would have no effect with {cause}; remove it or {instead}", name, changed)
        if dtype == "float16":
            raise wrong(
                "student.dtype float16: its range is too small for Adam; use float32 with training.precision=bfloat16",
                "student.dtype",
            )
        if precision == "bfloat16" and dtype != "float32":
            raise wrong(
                f"training.precision bfloat16 needs weights in float32, not student.dtype {dtype}; remove one of them",
                "training.precision",
                "student.dtype",
            )
        steps, warmup = self.training.steps, self.training.warmup_steps
        if steps is not None and warmup > steps and self.resume == "never":  # runs of version 0.1 may continue
            message = f"training.warmup_steps={warmup} is more than training.steps={steps}; lower it"
            raise wrong(message, "training.warmup_steps", "training.steps")
        if self.loss.divergence is not None or self.loss.parameters:
            self._check_divergence()
        return self

    @property
    def instructions_template(self) -> str:
        """The template for rows without a prompt of their own."""
        return self.template or "alpaca"

    @property
    def divergence(self) -> str | None:
        """The method's divergence; None: the method has another objective."""
        return self.loss.divergence or METHODS[self.method].divergence

    @property
    def asks_teacher(self) -> bool:
        """Whether training itself needs the teacher, and not only the responses written before it."""
        entry = METHODS[self.method]
        name, _, value = (entry.text_only or "").partition("=")
        section, _, field = name.partition(".")
        text_only = bool(section) and getattr(getattr(self, section), field) == value
        return entry.teacher and not text_only

    def section(self, kind: type[S]) -> S:
        """The section of a class, such as a method's settings."""
        return next(value for _, value in self if isinstance(value, kind))

    def ineffective(self) -> dict[str, str]:
        """Keys without effect in this recipe, each with the key=value that causes it."""
        entry, idle = METHODS[self.method], {}
        for name in (name for name in recipe_fields(type(self)) if "." in name):
            section, _, field = name.partition(".")
            compares = section == "beta" or name in entry.reads
            if (methods := readers(name)) and self.method not in methods:
                idle[name] = f"method={self.method}"
            elif compares and entry.text_only and not self.asks_teacher:
                idle[name] = entry.text_only
            elif section == "beta" and self.divergence != "akd":
                idle[name] = f"loss.divergence={self.divergence}"
            elif isinstance(values := getattr(self, section), Section) and field in (own := values.ineffective()):
                idle[name] = f"{section}.{own[field]}"
        return idle

    def dump(self) -> dict[str, Any]:
        """The resolved recipe as plain data: the values that have an effect. Its dump as a recipe is the same again."""
        resolved, idle = self.model_dump(mode="json"), self.ineffective()
        if "loss.divergence" not in idle:
            from codedistill.losses import divergences  # not above: torch would slow down every recipe

            parameters = divergences.divergence_parameters(self.divergence or "") | self.loss.parameters
            resolved["loss"] |= {"divergence": self.divergence, "parameters": parameters}
        for name in idle:
            section, _, field = name.partition(".")
            del resolved[section][field]
        return {name: value for name, value in resolved.items() if value != {}}

    def _check_divergence(self) -> None:
        from codedistill.losses import DIVERGENCES
        from codedistill.losses.divergences import check_divergence

        known = [*DIVERGENCES, *(["akd"] if "beta" in METHODS[self.method].reads else [])]
        name = str(self.divergence)
        if name not in known:
            if name in METHODS:
                hint = f"use method={name}, without loss.divergence"
            else:
                other = OTHER_NAMES.get(name.lower())
                hint = f"did you mean {other}?" if other in known else did_you_mean(name, known)
            raise wrong(f"loss.divergence: method {self.method} has no {name}; {hint}", "loss.divergence", "method")
        try:
            check_divergence(name, self.loss.parameters)
        except ValueError as error:
            raise wrong(str(error), "loss.parameters", "loss.divergence") from None


def recipe_model() -> type[Recipe]:
    """`Recipe` with a section for each method that has settings, under the method's name."""
    return _with_sections(tuple((name, entry.settings) for name, entry in METHODS.items() if entry.settings))


@cache
def _with_sections(sections: tuple[tuple[str, type[Section]], ...]) -> type[Recipe]:
    fields: dict[str, Any] = {name: (kind, key(kind(), f"settings of the method `{name}`")) for name, kind in sections}
    return create_model("Recipe", __base__=Recipe, __doc__=Recipe.__doc__, **fields)


def recipe_fields(model: type[Section] | None = None, prefix: str = "") -> dict[str, FieldInfo]:
    """Every dotted key of a recipe (or of a section), with its field."""
    fields = {}
    for name, field in (model or recipe_model()).model_fields.items():
        fields[prefix + name] = field
        if section := section_of(field.annotation):
            fields |= recipe_fields(section, f"{prefix}{name}.")
    return fields


def free_keys() -> set[str]:
    """Keys and sections that a resumed run may change."""
    return {name for name, field in recipe_fields().items() if field.json_schema_extra == {"free": True}}


def section_of(annotation: Any) -> type[Section] | None:
    """The section in a field's type; None for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for each in get_args(annotation) if (found := section_of(each))), None)
