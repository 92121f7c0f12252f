"""Names that programs import rather than define, to tell a forgotten import from other unknown names.

Names of the standard library are looked up in its modules. The lists below hold all others.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
from functools import cache

_PACKAGES = (
    "np pd plt tf nx sns sp cv2 jnp numpy pandas scipy sympy torch tensorflow keras jax networkx sklearn matplotlib "
    "seaborn requests bs4 nltk tqdm yaml BeautifulSoup DataFrame"
)
PACKAGES = frozenset(_PACKAGES.split())
"""Packages from outside the standard library, their usual abbreviations and their best-known members."""

_PLAIN = "bisect cmath collections datetime fractions functools hashlib heapq itertools json math os re sys"
PLAIN = frozenset(_PLAIN.split())
"""Module names that are never variable names; `math.foo` therefore means the module even if it has no `foo`."""

_USED_BARE = (
    "abc array bisect cmath collections contextlib copy dataclasses datetime decimal enum fractions functools hashlib "
    "heapq itertools json math operator pathlib random re statistics string sys textwrap time typing"
)
_LOOKED_INTO = (
    "argparse ast asyncio base64 binascii calendar cmd code codecs colorsys csv ctypes difflib email gc getpass glob "
    "html inspect io keyword locale logging numbers os pickle platform pprint queue secrets select shutil signal "
    "socket sqlite3 stat struct subprocess tempfile threading token tokenize traceback types unicodedata "
    "unittest urllib uuid warnings weakref xml zlib"
)
MODULES = frozenset(f"{_USED_BARE} {_LOOKED_INTO}".split())
"""Modules of the standard library whose members are looked up. Many of their names are also used for variables."""

_CONSTANTS = (
    "pi tau inf nan ascii_lowercase ascii_uppercase ascii_letters hexdigits octdigits punctuation maxsize stdin stdout "
    "argv"
)
CONSTANTS = frozenset(_CONSTANTS.split())
"""Members that are neither functions nor common variable names."""

_OWN_NAMES = (
    "add sub mod index pos contains concat compress merge search match split replace unique fill wrap indent shorten "
    "verify member fields"
)
OWN_NAMES = frozenset(_OWN_NAMES.split())
"""Members whose names are at least as often those of a program's own functions."""


def is_class_or_constant(name: str) -> bool:
    """Whether a name is an import however it is used: `Counter`, `List`, `pi`."""
    return name in CONSTANTS or (name[:1].isupper() and name in _members())


def is_function(name: str) -> bool:
    """Whether a name that is used as a function is an import."""
    return name in _members() and name not in OWN_NAMES


def is_module_member(module: str, attribute: str) -> bool:
    """Whether `module.attribute` is a member of a standard module. `numbers.append(1)`, for example, is not."""
    if module in PLAIN:
        return True
    if module not in MODULES:
        return False
    found = importlib.import_module(module)
    return hasattr(found, attribute) or (
        hasattr(found, "__path__") and importlib.util.find_spec(f"{module}.{attribute}") is not None
    )


@cache
def _members() -> frozenset[str]:
    """The names that are used without their module, as after `from math import sqrt`."""
    names: set[str] = set()
    for module in map(importlib.import_module, _USED_BARE.split()):
        names.update(getattr(module, "__all__", None) or dir(module))
    return frozenset(n for n in names if len(n) > 1 and not n.startswith("_") and not hasattr(builtins, n))
