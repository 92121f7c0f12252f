"""The Landlock layer: the real file system, of which the kernel shows a program no more than it needs."""

from __future__ import annotations

import fcntl
import os

from . import system
from .places import DEVICES, hidden_places, readable_places
from .rlimits import Layer

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15

# ABI version: (file rights it knows, network rights, scopes, bytes of the attribute structure). Rights are a growing
# set of bits: 13 in the first version, then REFER, TRUNCATE and IOCTL_DEV; TCP bind and connect since 4; signals and
# abstract sockets since 6. See Documentation/userspace-api/landlock.rst of the kernel.
VERSIONS: dict[int, tuple[int, int, int, int]] = {
    1: (2**13 - 1, 0, 0, 8),
    2: (2**14 - 1, 0, 0, 8),
    3: (2**15 - 1, 0, 0, 8),
    4: (2**15 - 1, 3, 0, 16),
    5: (2**16 - 1, 3, 0, 16),
    6: (2**16 - 1, 3, 3, 24),
}


class LandlockLayer(Layer):
    """`Layer` with file access limited to the home folder (all) and to the interpreter and the libraries (reading)."""

    name = "landlock"
    protects = "files outside its folder are out of reach, but for reading the interpreter and the libraries"
    guards_files = True

    def prepare(self) -> None:
        version = min(system.landlock_version(), max(VERSIONS))
        if version < 1:
            raise OSError("the kernel has no Landlock, or has it switched off")
        super().prepare()
        files, network, scopes, size = VERSIONS[version]
        ruleset = system.landlock_ruleset(files, network, scopes, size)
        # Out of the way of the descriptors that a candidate is given.
        self._ruleset = fcntl.fcntl(ruleset, fcntl.F_DUPFD_CLOEXEC, 32)
        os.close(ruleset)
        self._files = files
        places = readable_places()
        hidden = hidden_places(places, self.third_party)
        for place in places:
            self._show(place, hidden)
        for device in DEVICES:
            if os.path.exists(device):
                system.landlock_allow(self._ruleset, device, (_READ_FILE | _WRITE_FILE) & files)
        system.landlock_allow(self._ruleset, self.home, files)

    def _show(self, place: str, hidden: list[str]) -> None:
        """Allow reading below `place` but for the hidden places: rules only ever add, so these are walked around."""
        place = os.path.realpath(place)
        if place in hidden:
            return
        if not any(path.startswith(f"{place}/") for path in hidden):
            rights = _EXECUTE | _READ_FILE | (_READ_DIR if os.path.isdir(place) else 0)
            system.landlock_allow(self._ruleset, place, rights & self._files)
            return
        for entry in os.scandir(place):
            if not entry.is_symlink():
                self._show(entry.path, hidden)

    def confine(self) -> None:
        system.landlock_restrict(self._ruleset)
        super().confine()
