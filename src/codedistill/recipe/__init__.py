"""The recipe: every setting of a run.

model.py      the recipe and its validation
sections.py   its sections; those of methods are in methods/settings.py
load.py       recipes from files, shipped names and mappings, with overrides; whether their models and files exist
explain.py    validation errors in one line
reference.py  the meaning of every key, for docs/recipe.md and `recipes show`
shipped/      the recipes that come with the package
"""

from typing import Literal

Dtype = Literal["float32", "bfloat16", "float16"]
"""Types that weights are loaded in."""

Precision = Literal["float32", "bfloat16"]
"""Types that training computes matrix products in."""
