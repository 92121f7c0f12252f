"""Recipes from files, shipped names and mappings: read, overridden, validated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from codedistill.errors import UserError
from codedistill.recipe.explain import explain, near
from codedistill.recipe.model import Recipe, recipe_keys
from codedistill.recipe.sections import Evaluation, Model, ModelSpec, Section

S = TypeVar("S", bound=Section)


RECIPES = Path(__file__).parent / "shipped"


DEFAULT_RECIPE = "tiny"


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
