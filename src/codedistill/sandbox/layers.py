"""What stands between a program and the machine, from the strongest layer to the weakest.

    namespaces   own user, process, network, IPC and mount namespaces: another file system, no network, no other process
    landlock     the kernel's Landlock rules over the real file system
    rlimits      limits only: files of the same user are within reach

The strongest one that works is chosen. `+seccomp` at the end of a layer's name: system calls are filtered as well.
"""

from __future__ import annotations

from .landlock import LandlockLayer
from .namespaces import NamespaceLayer
from .rlimits import Layer

LAYERS: dict[str, type[Layer]] = {layer.name: layer for layer in (NamespaceLayer, LandlockLayer, Layer)}
