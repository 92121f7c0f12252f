"""The recipe: every knob of a run, validated at the door.

A recipe file says only what differs from the defaults. `load_recipe` merges the file with `key=value` overrides and
validates once; whatever is wrong becomes a one-line `UserError` with the file, the key and a suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from codedistill.config_errors import OTHER_NAMES, explain, near
from codedistill.errors import UserError
from codedistill.methods import METHODS
from codedistill.sections import (
    Beta,
    Data,
    Evaluation,
    Gkd,
    Lora,
    Loss,
    Minillm,
    Model,
    ModelSpec,
    Section,
    Seqkd,
    Training,
)

__all__ = [
    "Beta",
    "Data",
    "Evaluation",
    "Gkd",
    "Lora",
    "Loss",
    "Minillm",
    "Model",
    "ModelSpec",
    "Recipe",
    "Section",
    "Seqkd",
    "Training",
    "described_recipes",
    "find_recipe",
    "load_evaluation",
    "load_recipe",
    "load_spec",
    "read_yaml",
    "recipe_keys",
    "shipped_recipes",
    "validate",
]

S = TypeVar("S", bound=Section)

RECIPES = Path(__file__).parent / "recipes"
DEFAULT_RECIPE = "tiny"


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


def load_recipe(recipe: str | Path | Mapping[str, Any] | Recipe | None = None, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe by file, by shipped name or from a mapping, apply `key=value` overrides, validate.

    Raises:
        UserError: no such recipe, not YAML, an unknown key, a wrong type or a contradiction.
    """
    if isinstance(recipe, Recipe):
        where, values = "recipe", recipe.model_dump(mode="json", exclude_unset=True)
    elif isinstance(recipe, Mapping):
        where, values = "recipe", _copy(recipe)
    else:
        path = find_recipe(str(recipe or DEFAULT_RECIPE))
        where, values = path.name, read_yaml(path)
        values.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-") or "run")
    overrides = list(overrides)
    for override in overrides:
        _apply(values, override)
    return validate(values, where, overrides)


def load_evaluation(settings: Evaluation | Mapping[str, Any], overrides: Iterable[str] = ()) -> Evaluation:
    """Settings of an evaluation without a run, as such or as a mapping of the section's keys, with overrides.

    Raises:
        UserError: as of `load_recipe`; keys carry their section's name.
    """
    values = settings.model_dump(mode="json", exclude_unset=True) if isinstance(settings, Evaluation) else settings
    return load_recipe({"student": "tiny/student", "method": "sft", "evaluation": values}, overrides).evaluation


class _OneModel(Section):
    """A model that nothing trains: what a student may not be, such as float16, it may."""

    student: Model


def load_spec(model: str | Path | Mapping[str, Any]) -> ModelSpec:
    """A model as a recipe names one: a folder, a hub id, or a mapping of `student`'s keys.

    Raises:
        UserError: as of `load_recipe`.
    """
    given = model if isinstance(model, Mapping) else {"path": str(model)}
    return _validated(_OneModel, {"student": _copy(given)}, "recipe").student


def validate(values: Mapping[str, Any], where: str, overrides: Sequence[str] = ()) -> Recipe:
    """A `Recipe` from plain data, or a `UserError` that names its cause, the key and what to do.

    The cause is one of the `overrides` that are in the data already, or `where` the rest of it comes from.
    """
    return _validated(Recipe, values, where, overrides)


def _validated(section: type[S], values: Mapping[str, Any], where: str, overrides: Sequence[str] = ()) -> S:
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, where, overrides, recipe_keys())) from None


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path that exists, or the name of a shipped one."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = RECIPES / f"{name.removesuffix('.yaml')}.yaml"
    if shipped.is_file():
        return shipped
    known = shipped_recipes()
    close = near(name, known)
    hint = f"did you mean {close[0]}?" if close else f"shipped recipes: {', '.join(known)}"
    raise UserError(f"recipe {name}: no such file and no such shipped recipe; {hint}")


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package, such as `tiny`."""
    return sorted(path.relative_to(RECIPES).with_suffix("").as_posix() for path in RECIPES.rglob("*.yaml"))


def described_recipes() -> dict[str, str]:
    """The shipped recipes that are meant to be run as they are or copied, each with the first line of its file."""
    names = [name for name in shipped_recipes() if "/" not in name]  # in folders are those that made the embedded pair
    return {name: (RECIPES / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name in names}


class _Loader(yaml.SafeLoader):
    """YAML as the standard has it: a key that stands twice in a mapping is an error, not silently the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file, or a `UserError` with the line where it goes wrong."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"{path}: {line}not valid YAML: {getattr(error, 'problem', None) or error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: a recipe is a mapping of keys to values, this is a {type(values).__name__}")
    return values


def _copy(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in mapping.items()}


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"override {override!r}: write key=value, for example training.steps=100")
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        reason = f": {getattr(error, 'problem', None) or error}"
        if _cut_off(text):
            reason = "; quote the whole argument, such as 'student={path: FOLDER}'"
        raise UserError(f"override {override!r}: the value is not valid YAML{reason}") from None
    if isinstance(value, str):
        value = _number(value)
    *parents, last = key.split(".")
    for parent in parents:
        child = values.get(parent)
        if isinstance(child, str) and parent in ("teacher", "student"):
            child = {"path": child}
        if child is not None and not isinstance(child, dict):
            raise UserError(
                f"override {override!r}: {parent} is a section with keys, but the recipe says {parent}: {child!r}"
            )
        values[parent] = child or {}
        values = values[parent]
    if parents == ["training"] and last in ("steps", "epochs"):  # the override wins over the recipe's other one
        values.pop("epochs" if last == "steps" else "steps", None)
    values[last] = value


def _cut_off(text: str) -> bool:
    """A brace or a bracket that opens and does not close: a shell takes an argument apart at its spaces."""
    return any(text.count(opening) > text.count(closing) for opening, closing in ("{}", "[]"))


def _number(text: str) -> str | float:
    """YAML 1.1 reads 1e-3 as a string; people mean a number."""
    try:
        return float(text)
    except ValueError:
        return text


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
