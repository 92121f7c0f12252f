"""The layers between a program and the machine, from the strongest to the weakest.

    namespaces   own user, process, network, IPC and mount namespaces: another file system, no network, no other process
    landlock     the kernel's Landlock rules over the real file system
    rlimits      limits only: files of the same user are within reach

The strongest one that works is chosen. `+seccomp` at the end of a layer's name: system calls are filtered as well.
"""

from __future__ import annotations

import fcntl
import os

from . import system
from .namespaces import NamespaceLayer
from .places import DEVICES, hidden_places, readable_places
from .rlimits import Layer

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3


class LandlockLayer(Layer):
    """`Layer` with file access limited to the home folder (all) and to the interpreter and the libraries (reading)."""

    name = "landlock"
    protects = "files outside its folder are out of reach, but for reading the interpreter and the libraries"
    guards_files = True

    def prepare(self) -> None:
        ruleset, files = system.landlock_ruleset()
        super().prepare()
        # Out of the way of the descriptors that a candidate is given.
        self._ruleset = fcntl.fcntl(ruleset, fcntl.F_DUPFD_CLOEXEC, 32)
        os.close(ruleset)
        places = readable_places()
        hidden = hidden_places(places, self.third_party)
        for place in places:
            self._show(place, hidden, files)
        for device in DEVICES:
            if os.path.exists(device):
                system.landlock_allow(self._ruleset, device, (_READ_FILE | _WRITE_FILE) & files)
        system.landlock_allow(self._ruleset, self.home, files)

    def _show(self, place: str, hidden: list[str], files: int) -> None:
        """Allow reading below `place` but for the hidden places: rules only ever add, so these are walked around."""
        place = os.path.realpath(place)
        if place in hidden:
            return
        if not any(path.startswith(f"{place}/") for path in hidden):
            rights = _EXECUTE | _READ_FILE | (_READ_DIR if os.path.isdir(place) else 0)
            system.landlock_allow(self._ruleset, place, rights & files)
            return
        for entry in os.scandir(place):
            if not entry.is_symlink():
                self._show(entry.path, hidden, files)

    def confine(self) -> None:
        system.landlock_restrict(self._ruleset)
        super().confine()


LAYERS: dict[str, type[Layer]] = {layer.name: layer for layer in (NamespaceLayer, LandlockLayer, Layer)}
