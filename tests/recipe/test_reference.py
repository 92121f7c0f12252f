"""docs/recipe.md says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from codedistill.losses import DIVERGENCES, REGULARISERS, STRATEGIES
from codedistill.losses.rows import CHUNK_BYTES
from codedistill.methods.settings import CHOICE, METHODS
from codedistill.recipe.load import load_recipe, shipped_recipes
from codedistill.recipe.model import recipe_fields
from codedistill.recipe.reference import recipe_reference, with_meanings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "recipe.md"


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
    assert {key.split(".")[-1] for key in recipe_fields()} <= {row.strip("`") for row in rows}


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table with this heading by the names in their first cell."""
    _, _, table = (DOCS / page).read_text(encoding="utf-8").partition(f"\n| {heading} |")
    lines = table.split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: row for row in cells for name in re.findall(r"`(\w+)`", row[0])}


def test_the_table_of_methods_says_what_they_read() -> None:
    found = {name: row[2] for name, row in rows("methods.md", "`method`").items()}
    assert found.keys() == METHODS.keys()
    for name, entry in METHODS.items():
        sections = []
        if entry.reads:
            sections.append("loss" if set(CHOICE) <= set(entry.reads) else "loss, without the divergence")
        sections += ["beta"] * ("beta" in entry.reads) + [name] * (entry.settings is not None)
        assert found[name] == "; ".join(sections), name


def test_the_table_of_strategies_says_what_they_read() -> None:
    found = {name: re.findall(r"`(\w+)`", row[4]) for name, row in rows("losses.md", "strategy").items()}
    assert found == {name: list(entry.reads) for name, entry in STRATEGIES.items()}


def test_the_tables_of_divergences_and_regularizers_are_whole() -> None:
    assert rows("losses.md", "name").keys() == DIVERGENCES.keys()
    assert rows("losses.md", "regularizer").keys() == REGULARISERS.keys()


def test_the_size_of_a_chunk_is_the_one_in_use() -> None:
    assert f"({CHUNK_BYTES // 2**20} MiB together" in (DOCS / "losses.md").read_text(encoding="utf-8")
