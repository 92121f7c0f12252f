"""Recipes from files, shipped names and mappings: read, overridden, validated.

`require_inputs` looks for the models and files of a recipe before anything is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from codedistill.data.examples import require_source
from codedistill.errors import UserError, did_you_mean
from codedistill.methods.settings import Minillm, Seqkd
from codedistill.models.names import find_folder, resolve
from codedistill.recipe.explain import Override, explain
from codedistill.recipe.model import Recipe, recipe_fields, recipe_model
from codedistill.recipe.sections import Evaluation, ModelSpec, Section

S = TypeVar("S", bound=Section)

RECIPES = Path(__file__).parent / "shipped"
DEFAULT_RECIPE = "tiny"


def load_recipe(recipe: str | Path | Mapping[str, Any] | Recipe | None = None, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe by file, by shipped name or from a mapping, apply `key=value` overrides, validate.

    Raises:
        UserError: no such recipe, not YAML, an unknown key, a wrong type or a contradiction.
    """
    where: str | Path = "recipe"
    if isinstance(recipe, Recipe):
        values = recipe.model_dump(mode="json", exclude_unset=True)
    elif isinstance(recipe, Mapping):
        values = deepcopy(dict(recipe))
    else:
        where = find_recipe(str(recipe or DEFAULT_RECIPE))
        values = read_yaml(where)
        values.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", where.stem).lstrip("._-") or "run")
    parsed = parse_overrides(overrides)
    changes = {each.path[1]: each.value for each in parsed if each.path[:-1] == ("training",)}
    if isinstance(training := values.get("training"), dict):
        # An override of the length replaces the recipe's other measure of length, and shortens a longer warm-up.
        for one, other in (("steps", "epochs"), ("epochs", "steps")):
            if one in changes and other not in changes:
                training.pop(other, None)
        steps, warmup = changes.get("steps"), training.get("warmup_steps")
        if isinstance(steps, int) and isinstance(warmup, int) and steps < warmup:
            training["warmup_steps"] = steps
    return _validated(recipe_model(), values, "a recipe", where, parsed)


def load_evaluation(settings: Evaluation | Mapping[str, Any], overrides: Iterable[str] = ()) -> Evaluation:
    """Settings of an evaluation without a run: keys of the recipe's section, with overrides.

    An override may name the section, as in evaluation.limit=10, or omit it.

    Raises:
        UserError: as for `load_recipe`.
    """
    values = settings.model_dump(mode="json", exclude_unset=True) if isinstance(settings, Evaluation) else settings
    parsed = parse_overrides(overrides, section="evaluation")
    return _validated(Evaluation, values, "an evaluation", "settings", parsed)


def load_spec(model: str | Path | Mapping[str, Any]) -> ModelSpec:
    """A model by folder, by hub id or by a mapping of the keys of `student`. It may be in float16: nothing trains it.

    Raises:
        UserError: as for `load_recipe`.
    """
    return _validated(ModelSpec, model if isinstance(model, Mapping) else {"path": str(model)}, "a model", "model")


def _validated(
    section: type[S], values: Mapping[str, Any], kind: str, where: str | Path, overrides: Sequence[Override] = ()
) -> S:
    """The section with these values and overrides, or a `UserError` for its first fault."""
    changed = deepcopy(dict(values))
    for override in overrides:
        place, (*parents, last) = changed, override.path
        for parent in parents:
            child = place.get(parent)
            if isinstance(child, str) and parent in ("teacher", "student"):
                child = {"path": child}
            if child is not None and not isinstance(child, dict):
                text = f"override {override.text!r}: {parent} is a section with keys, but the recipe says {parent}: "
                raise UserError(f"{text}{child!r}", key=parent, override=override.text)
            place[parent] = child or {}
            place = place[parent]
        place[last] = override.value
    try:
        return section.model_validate(changed)
    except ValidationError as error:
        raise explain(error, kind, list(recipe_fields(section)), where, overrides) from None


def require_inputs(recipe: Recipe, ask_hub: bool = True) -> None:
    """Look for models, data and responses of other runs.

    ask_hub: ask the hub whether it has a model that is not on this machine.

    Raises:
        UserError: one is missing; its `key` is the recipe key that names it.
    """
    for key, spec in (("teacher", recipe.teacher), ("student", recipe.student)):
        if spec is not None and spec.path is not None:
            (resolve if ask_hub else find_folder)(spec.path, key)
    require_source(recipe.data.source, "data.source")
    corpus = recipe.section(Minillm).corpus
    if recipe.method == "minillm" and corpus is not None:
        require_source(corpus, "minillm.corpus")
    responses = recipe.section(Seqkd).responses
    if recipe.method == "seqkd" and responses is not None and not Path(responses).exists():
        raise UserError(f"seqkd.responses {responses}: no such file", key="seqkd.responses", file=responses)


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path that exists, or the name of a shipped one."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = RECIPES / f"{name.removesuffix('.yaml')}.yaml"
    if shipped.is_file():
        return shipped
    hint = did_you_mean(name, shipped_recipes())
    raise UserError(f"recipe {name}: no such file and no such shipped recipe; {hint}", file=name)


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package, such as `tiny`."""
    return sorted(path.relative_to(RECIPES).with_suffix("").as_posix() for path in RECIPES.rglob("*.yaml"))


def described_recipes() -> dict[str, str]:
    """The shipped recipes to run or to copy, each with the first line of its file."""
    names = [name for name in shipped_recipes() if "/" not in name]  # recipes in folders built the embedded pair
    return {name: (RECIPES / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name in names}


class _Loader(yaml.SafeLoader):
    """YAML in which a repeated key of a mapping is an error, as in the standard. PyYAML takes the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is repeated", problem_mark=key.start_mark)
            seen.add(key.value)
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file, or a `UserError` with the line of the fault."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or error
        raise UserError(f"{path}: {line}not valid YAML: {reason}", file=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}", file=str(path)) from None
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise UserError(f"{path}: a recipe is a mapping of keys to values, this is a {kind}", file=str(path))
    return values


def parse_overrides(texts: Iterable[str], section: str = "") -> list[Override]:
    """`key=value` arguments. section: a prefix that the keys may have, and that is removed.

    Raises:
        UserError: not key=value, a value that is not YAML, or a key that an earlier argument has set.
    """
    overrides: list[Override] = []
    for text in texts:
        key, equals, given = text.partition("=")
        path = tuple(key.split("."))
        if not equals or not key:
            raise UserError(f"override {text!r}: write key=value, for example training.steps=100", override=text)
        try:
            value = yaml.load(given, _Loader)
        except yaml.YAMLError as error:
            reason = f": {getattr(error, 'problem', None) or error}"
            if any(given.count(opening) > given.count(closing) for opening, closing in ("{}", "[]")):
                # A shell has split the argument at its spaces.
                reason = "; quote the whole argument, such as 'student={path: FOLDER}'"
            message = f"override {text!r}: the value is not valid YAML{reason}"
            raise UserError(message, key=key, override=text) from None
        if isinstance(value, str):
            with suppress(ValueError):
                value = float(value)  # YAML 1.1 reads 1e-3 as a string
        new = Override(text, path[1:] if len(path) > 1 and path[0] == section else path, value)
        for earlier in overrides:
            if any(leaf[: len(new.path)] == new.path for leaf in _leaves(earlier.path, earlier.value)):
                message = f"override {text}: replaces the override {earlier.text}; remove one of them"
                raise UserError(message, key=".".join(new.path), override=text)
        overrides.append(new)
    return overrides


def _leaves(path: tuple[str, ...], value: object) -> list[tuple[str, ...]]:
    """The keys that a value sets at a path; an empty section sets itself."""
    if not isinstance(value, dict) or not value:
        return [path]
    return [leaf for name, each in value.items() for leaf in _leaves((*path, str(name)), each)]
