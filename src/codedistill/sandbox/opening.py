"""The layers by name, strongest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .landlock import LandlockLayer
from .layers import Layer
from .namespaces import NamespaceLayer

if TYPE_CHECKING:
    from .model import Limits

LAYERS: dict[str, type[Layer]] = {layer.name: layer for layer in (NamespaceLayer, LandlockLayer, Layer)}


def open_layer(name: str, folder: str, limits: Limits, third_party: list[str]) -> Layer:
    """`limits` with the CPU time filled in; `third_party`: folders with packages, which no program is to read."""
    return LAYERS[name](folder, limits, third_party)
