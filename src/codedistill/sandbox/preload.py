"""Modules that programs commonly import: loaded once, before the first fork, so that no program pays for them."""

from __future__ import annotations

import importlib
from _socket import socketpair
from contextlib import closing

from . import candidate, wire

MODULES = (
    "bisect",
    "collections",
    "collections.abc",
    "copy",
    "functools",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "string",
    "time",
    "types",
    "typing",
)
"""Few: the cost of a fork grows with the memory of the process, so what is rarely used costs less when it is used."""


def load() -> None:
    for name in MODULES:
        importlib.import_module(name)


def rehearse() -> None:
    """Play a few programs in this process: what the interpreter prepares on first use is then there for every fork."""
    for _ in range(12):
        ours, theirs = socketpair()
        with closing(ours), closing(theirs):
            source = b"from typing import List\n\ndef f(x: List[int]) -> int:\n    return sum(x)\n"
            wire.send_frame(ours, wire.join(wire.dumps(["f"]), source))
            for _ in range(3):
                wire.send_frame(ours, wire.dumps(["ask", "call", {"y": 0}, {"t": [[1, 2]]}, {"d": []}]))
            candidate.Program(theirs).run(calls=3)
