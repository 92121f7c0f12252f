"""The recipe: every knob of a run, validated at the door.

A recipe file says only what differs from the defaults. `load_recipe` merges the file with `key=value` overrides and
validates once; whatever is wrong becomes a one-line `UserError` with the file, the key and a suggestion.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from codedistill.errors import UserError

RECIPES = Path(__file__).parent / "recipes"
DEFAULT_RECIPE = "tiny"


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSpec(Section):
    """A model: a folder, a hub id or `tiny/teacher`; or a new one from an `architecture`."""

    path: str | None = Field(None, description="folder in transformers' format, hub id, tiny/teacher or tiny/student")
    tokenizer: str | None = Field(None, description="folder or hub id of the tokenizer; default: the model's own")
    keep_layers: int | None = Field(None, ge=1, description="cut the model to so many of its layers, evenly spread")
    architecture: dict[str, Any] | None = Field(None, description="fields of a transformers config: random weights")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @model_validator(mode="after")
    def _one_origin(self) -> ModelSpec:
        if (self.path is None) == (self.architecture is None):
            raise ValueError("give either a path or an architecture")
        if self.architecture is not None and self.tokenizer is None:
            raise ValueError("an architecture needs a tokenizer beside it")
        return self

    def __str__(self) -> str:
        return self.path or f"new {(self.architecture or {}).get('model_type', 'model')}"


def _spec(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


Model = Annotated[ModelSpec, BeforeValidator(_spec)]


class Data(Section):
    """Where the examples come from and how long they may be."""

    source: str = Field("tiny", description="tiny, tiny/text, a JSON, JSONL or Parquet file, or a hub id")
    limit: int | None = Field(None, ge=1, description="use only the first so many rows")
    max_length: int = Field(512, ge=8, description="tokens per example; longer ones are cut")


class Training(Section):
    """The optimiser and the loop."""

    steps: int | None = Field(None, ge=1, description="optimiser steps; instead of epochs")
    epochs: int | None = Field(None, ge=1, description="passes over the data; 1 when neither is given")
    batch_size: int = Field(8, ge=1, description="examples per optimiser step and process")
    micro_batch_size: int | None = Field(None, ge=1, description="examples per forward pass; default: batch_size")
    learning_rate: float = Field(1e-5, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    adam_betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float | None = Field(1.0, gt=0)
    seed: int = Field(0, ge=0)
    checkpoint_every: int = Field(200, ge=1, description="optimiser steps between checkpoints")
    keep_checkpoints: int = Field(1, ge=1)
    gradient_checkpointing: bool = False

    @model_validator(mode="after")
    def _one_length(self) -> Training:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give steps or epochs, not both")
        return self


class Loss(Section):
    """How the divergence is measured."""

    temperature: float = Field(1.0, gt=0)
    normalization: Literal["sample", "token"] = "sample"
    chunk_rows: int | None = Field(None, ge=1, description="rows per pass through the heads; default: by memory")


class Beta(Section):
    """The mix of the two divergences: beta weighs the reverse KL."""

    strategy: Literal["M1", "M2", "M3", "fixed"] = "M3"
    initial: float | tuple[float, float] = (0.1, 0.6)
    learning_rate: float = Field(0.01, gt=0)
    regulariser: Literal["eq13", "algorithm1", "none"] = "eq13"
    regulariser_weight: float = Field(0.5, ge=0, description="lambda of eq. 14")
    epsilon: float = Field(1e-4, gt=0)

    @model_validator(mode="after")
    def _in_range(self) -> Beta:
        bounds = self.initial if isinstance(self.initial, tuple) else (self.initial, self.initial)
        if not 0 <= bounds[0] <= bounds[1] <= 1:
            raise ValueError("initial is a number in [0, 1] or a rising pair of them")
        if self.strategy == "fixed" and isinstance(self.initial, tuple):
            raise ValueError("a fixed beta needs beta.initial, one number in [0, 1]")
        return self


class Lora(Section):
    """Low-rank adapters on the student."""

    rank: int = Field(8, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    targets: list[str] | None = Field(None, description="module names; default: the family's attention projections")


class Evaluation(Section):
    """Which benchmarks judge the models, and how they are asked."""

    benchmarks: list[str] = Field(default_factory=lambda: ["tiny"])
    limit: int | None = Field(None, ge=1, description="only the first so many tasks of each benchmark")
    form: Literal["complete", "instruct", "chat"] = "instruct"
    samples: int = Field(1, ge=1, description="completions per task")
    temperature: float = Field(0.0, ge=0, description="0: greedy")
    seed: int = Field(0, ge=0)
    max_new_tokens: int = Field(512, ge=1)
    batch_size: int = Field(32, ge=1)
    timeout: float = Field(5.0, gt=0, description="seconds a program may take")


Method = Literal["sft", "kd", "rkd", "akd"]


class Recipe(Section):
    """A whole run. `codedistill recipes show tiny` prints one."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    teacher: Model | None = None
    student: Model
    method: Method = "akd"
    template: Literal["alpaca", "starcoder", "instruct_eval", "chat", "plain"] = "alpaca"
    data: Data = Data()
    training: Training = Training()
    loss: Loss = Loss()
    beta: Beta = Beta()
    lora: Lora | None = None
    evaluation: Evaluation = Evaluation()
    output: str | None = Field(None, description="the run directory; default: runs/<name>, numbered if taken")
    resume: Literal["never", "auto"] = Field("never", description="auto: go on from the newest whole checkpoint")

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.method != "sft" and self.teacher is None:
            raise ValueError(f"method {self.method} needs a teacher")
        if self.method != "akd" and self.beta.model_fields_set:
            keys = ", ".join(f"beta.{key}" for key in sorted(self.beta.model_fields_set))
            raise ValueError(f"{keys} would have no effect with method {self.method}; remove it or use method=akd")
        return self

    def dump(self) -> dict[str, Any]:
        """The resolved recipe as plain data: every value that is used."""
        resolved = self.model_dump(mode="json")
        if self.method != "akd":  # validated again on resume, where an explicit beta would be refused
            del resolved["beta"]
        return resolved


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
        values.setdefault("name", path.stem)
    for override in overrides:
        _apply(values, override)
    return validate(values, where)


def validate(values: Mapping[str, Any], where: str) -> Recipe:
    """A `Recipe` from plain data, or a `UserError` that names `where`, the key and what to do."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error)}") from None


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path that exists, or the name of a shipped one."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = RECIPES / f"{name.removesuffix('.yaml')}.yaml"
    if shipped.is_file():
        return shipped
    known = shipped_recipes()
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"shipped recipes: {', '.join(known)}"
    raise UserError(f"recipe {name}: no such file and no such shipped recipe; {hint}")


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package, such as `tiny`."""
    return sorted(path.relative_to(RECIPES).with_suffix("").as_posix() for path in RECIPES.rglob("*.yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file, or a `UserError` with the line where it goes wrong."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
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
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"override {override!r}: the value is not valid YAML") from None
    if isinstance(value, str):
        value = _number(value)
    *parents, last = key.split(".")
    for parent in parents:
        child = values.get(parent)
        if isinstance(child, str) and parent in ("teacher", "student"):
            child = {"path": child}
        values[parent] = child if isinstance(child, dict) else {}
        values = values[parent]
    if parents == ["training"] and last in ("steps", "epochs"):  # the override wins over the recipe's other one
        values.pop("epochs" if last == "steps" else "steps", None)
    values[last] = value


def _number(text: str) -> str | float:
    """YAML 1.1 reads 1e-3 as a string; people mean a number."""
    try:
        return float(text)
    except ValueError:
        return text


def _explain(error: ValidationError) -> str:
    """The first problem in one line; how many more there are, if any."""
    first, *others = error.errors(include_url=False)
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        return f"{key} is not a recipe key; {_suggest(location)}{more}"
    if first["type"] == "missing":
        return f"{key} is missing; add it, for example {key}=tiny/{key}{more}"
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
    given = "" if isinstance(first["input"], dict) or first["type"] == "value_error" else f", not {first['input']!r}"
    return f"{key + ': ' if key else ''}{message}{given}{more}"


def _suggest(location: list[str]) -> str:
    known = recipe_keys()
    near = [k for k in known if k.split(".")[-1] == location[-1]]  # the right name in the wrong section
    if not near:
        near = difflib.get_close_matches(".".join(location), known, 1, 0.6)
    if not near:
        tails = {k.split(".")[-1]: k for k in known}
        near = [tails[t] for t in difflib.get_close_matches(location[-1], list(tails), 1, 0.7)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    section = [k for k in known if k.rpartition(".")[0] == ".".join(location[:-1])]
    return f"known here: {', '.join(section)}"


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
