"""The layers by name, strongest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .landlock import LandlockLayer
from .layers import Layer
from .namespaces import NamespaceLayer

if TYPE_CHECKING:
    from .model import Limits

LAYERS: dict[str, type[Layer]] = {"namespaces": NamespaceLayer, "landlock": LandlockLayer, "rlimits": Layer}


def open_layer(name: str, folder: str, limits: Limits) -> Layer:
    return LAYERS[name](folder, limits)
