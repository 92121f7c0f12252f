"""The process of the untrusted program: runs the source, then serves the checks' calls of its names.

Nothing in here is trusted. By the time the source runs, this process holds no channel but the one to the checks, over
which it can say no more than what its functions return.
"""

from __future__ import annotations

import gc
import itertools
import operator
import os
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

from . import wire
from .origin import SOURCE_NAME, Origin, describe
from .remote import Peer

OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda target, *args, **kwargs: target(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "iter": iter,
    "next": next,
    "len": len,
    "bool": bool,
    "str": str,
    "repr": repr,
}

MODULE_NAME = "program"


def main(channel: socket.socket, calls: int | None = None) -> None:
    """Run the source that comes over `channel`, then serve calls until this process is ended, or `calls` of them."""
    process = os.getpid()
    lines: list[bytes] = []
    try:
        source = wire.receive_frame(channel).decode("utf-8", "surrogatepass")
    except EOFError:
        return

    def source_lines() -> list[bytes]:
        if not lines:
            lines.extend(source.encode("utf-8", "surrogatepass").split(b"\n"))
        return lines

    def explain(error: BaseException) -> Origin:
        if isinstance(error, MemoryError):
            gc.collect()
        return describe(error, source_lines)

    def before_reply() -> None:
        # A child that the program forked must not speak for it.
        if os.getpid() != process:
            os._exit(0)
        _flush()

    peer = Peer(channel, OPERATIONS, explain, before_reply)
    module = types.ModuleType(MODULE_NAME)
    # dataclasses, typing and pickle look a class's module up by its name.
    sys.modules[MODULE_NAME] = module
    try:
        names = peer.receive()[1]
        failure = _execute(source, module)
        before_reply()
        if failure is None:
            namespace = module.__dict__
            peer.send(["ready", [[name, peer.pack(namespace[name])] for name in names if name in namespace]])
        else:
            origin = explain(failure)._replace(raised_in="source")
            del failure
            peer.send(["error", origin.to_wire(peer.pack)])
        for _ in itertools.count() if calls is None else range(calls):
            peer.answer(peer.receive())
    except SystemExit as error:
        _leave(error)


def _execute(source: str, module: types.ModuleType) -> BaseException | None:
    try:
        code = compile(source, SOURCE_NAME, "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        return error
    return None


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BaseException:
        return


def _leave(error: SystemExit) -> None:
    _flush()
    code = error.code
    os._exit(code & 0xFF if isinstance(code, int) else 0 if code is None else 1)
