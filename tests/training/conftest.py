"""The fixtures of the tests of methods."""

from __future__ import annotations

from tests.methods.conftest import bench, loaded_pair, short_data, short_recipe

__all__ = ["bench", "loaded_pair", "short_data", "short_recipe"]
