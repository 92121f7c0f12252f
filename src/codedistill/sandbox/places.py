"""The files of the machine that a program may read: the interpreter, its library and the system's, and no packages.

Benchmarks are distributed as packages, answers included. So no package is shown, and of a Python installation nothing
but its programs and its library: the rest of it may hold environments full of packages.
"""

from __future__ import annotations

import os
import re
import sys

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_SYSTEM = (
    *("/bin", "/sbin", "/usr/bin", "/usr/sbin"),
    *("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64"),
    *("/usr/share/zoneinfo", "/etc/localtime", "/etc/ld.so.cache"),
)

_STORES = ("/nix/store/", "/gnu/store/")
"""Where some systems keep every installed thing in a folder of its own."""


def library() -> str:
    """Folder of Python's own modules."""
    return os.path.realpath(os.path.dirname(os.__file__))


def readable_places() -> list[str]:
    """Existing files and folders, none of them below another one."""
    folders = [library(), *(os.path.realpath(folder) for folder in sys.path if os.path.isdir(folder))]
    wanted = {*_SYSTEM, os.path.dirname(os.path.realpath(sys.executable))}
    for folder in folders:
        # The folder that also has the shared libraries: X/lib for X/lib/python3.11 and X/lib/python3.11/lib-dynload.
        python = os.path.dirname(folder) if os.path.basename(folder) == "lib-dynload" else folder
        above = os.path.dirname(python)
        wanted.add(above if os.path.basename(above).startswith("lib") else python)
    if library().startswith(_STORES):
        # What this process has mapped, and what Python's extension modules name as the places of their libraries.
        files = [
            os.path.join(folder, name) for folder in folders for name in os.listdir(folder) if name.endswith(".so")
        ]
        for path in ("/proc/self/maps", *files):
            with open(path, "rb") as file:
                wanted.update(map(os.fsdecode, re.findall(rb"/(?:nix|gnu)/store/[\w.+?=-]+", file.read())))
    found: list[str] = []
    for place in sorted(wanted):
        if os.path.exists(place) and not any(place.startswith(f"{above}/") for above in found):
            found.append(place)
    return found


def hidden_places(places: list[str], third_party: list[str]) -> list[str]:
    """Folders below the readable places that hold packages: `third_party`, and the packages of any Python."""
    places = [os.path.realpath(place) for place in places if os.path.isdir(place)]
    hidden = {path for path in map(os.path.realpath, third_party) if path.startswith(tuple(f"{p}/" for p in places))}
    for place in (place for place in places if os.path.basename(place).startswith("lib")):
        pythons = [os.path.join(place, name) for name in os.listdir(place) if name.startswith(("python", "pypy"))]
        for python in filter(os.path.isdir, pythons):
            packages = [name for name in os.listdir(python) if name.endswith("-packages")]
            hidden.update(os.path.realpath(os.path.join(python, name)) for name in packages)
    needed = f"{library()}/"
    return sorted(path for path in hidden if os.path.isdir(path) and not needed.startswith(f"{path}/"))


def third_party_places() -> list[str]:
    """The calling process's import paths outside of Python's own library, its virtual environment, and this package."""
    own = {library(), os.path.join(library(), "lib-dynload")}
    found = {os.path.realpath(path) for path in (*sys.path, os.path.join(os.path.dirname(__file__), "..", ".."))}
    if sys.prefix != sys.base_prefix:
        found.add(os.path.realpath(sys.prefix))
    return sorted(found - own)
