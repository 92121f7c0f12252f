"""docs/recipe.md says what the code says."""

from __future__ import annotations

from pathlib import Path

from codedistill.config import Recipe, recipe_keys
from codedistill.recipe_reference import recipe_reference

PAGE = Path(__file__).parents[1] / "docs" / "recipe.md"


def test_the_page_is_up_to_date() -> None:
    again = "write it again: python -m codedistill.recipe_reference > docs/recipe.md"
    assert PAGE.read_text(encoding="utf-8") == recipe_reference(), again


def test_every_key_says_what_it_is() -> None:
    schema = Recipe.model_json_schema()
    for name, section in {"the recipe": schema, **schema["$defs"]}.items():
        for key, field in section["properties"].items():
            assert field.get("description"), f"{name}: {key} has no description"


def test_every_key_has_a_row() -> None:
    rows = [line.split("|")[1].strip() for line in recipe_reference().splitlines() if line.startswith("| `")]
    assert {key.split(".")[-1] for key in recipe_keys()} <= {row.strip("`") for row in rows}
