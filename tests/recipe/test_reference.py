"""docs/recipe.md says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from codedistill.recipe.load import load_recipe, shipped_recipes
from codedistill.recipe.model import recipe_fields, recipe_keys
from codedistill.recipe.reference import recipe_reference, with_meanings

PAGE = Path(__file__).parents[2] / "docs" / "recipe.md"


def test_the_page_is_up_to_date() -> None:
    again = "write it again: python -m codedistill.recipe.reference > docs/recipe.md"
    assert PAGE.read_text(encoding="utf-8") == recipe_reference(), again


def test_every_key_says_what_it_is() -> None:
    for key, field in recipe_fields().items():
        assert field.description, f"{key} has no description"


RECIPES = [
    *((name, []) for name in shipped_recipes()),
    ("tiny", ["method=kd", "loss.divergence=jsd", "lora={targets: [q_proj]}", "student.dtype=bfloat16"]),
    ("tiny", ["output='runs/# 1: \u00e9'"]),
]


@pytest.mark.parametrize(("name", "overrides"), RECIPES)
def test_a_recipe_with_meanings_is_the_same_recipe(name: str, overrides: list[str]) -> None:
    resolved = load_recipe(name, overrides).dump()
    shown = with_meanings(resolved)
    assert yaml.safe_load(shown) == resolved
    keys = [line for line in shown.splitlines() if not line.endswith(":")]
    assert all("  # " in line for line in keys)
    assert (
        "  steps: 500  # optimizer steps; instead of epochs" in with_meanings(load_recipe("tiny").dump()).splitlines()
    )


def test_every_key_has_a_row() -> None:
    rows = [line.split("|")[1].strip() for line in recipe_reference().splitlines() if line.startswith("| `")]
    assert {key.split(".")[-1] for key in recipe_keys()} <= {row.strip("`") for row in rows}
