"""The process of the untrusted program: runs the source, then serves the checks' calls of its names.

Nothing in here is trusted. By the time the source runs, this process holds no channel but the one to the checks, over
which it can say no more than what its functions return.
"""

from __future__ import annotations

import builtins
import gc
import itertools
import operator
import os
import socket
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

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


class Program:
    """One program to be. Made before the fork, so that what can be made ahead of it costs no program anything."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.peer = Peer(channel, OPERATIONS, self._explain, self._before_reply)
        self.module = types.ModuleType(MODULE_NAME)
        self.process = 0
        self.source = ""
        self.lines: list[bytes] = []

    def run(self, calls: int | None = None) -> None:
        """Run the source that comes over the channel, then serve calls until this process is ended, or `calls`."""
        self.process = os.getpid()
        try:
            self.source = wire.receive_frame(self.channel).decode("utf-8", "surrogatepass")
        except EOFError:
            return
        # dataclasses, typing and pickle look a class's module up by its name.
        sys.modules[MODULE_NAME] = self.module
        peer = self.peer
        try:
            names = peer.receive()[1]
            failure = _execute(self.source, self.module)
            self._before_reply()
            if failure is None:
                namespace = self.module.__dict__
                peer.send(["ready", [[name, peer.pack(namespace[name])] for name in names if name in namespace]])
            else:
                origin = self._explain(failure)._replace(raised_in="source")
                del failure
                peer.send(["error", origin.to_wire(peer.pack)])
            for _ in itertools.count() if calls is None else range(calls):
                peer.answer(peer.receive())
        except SystemExit as error:
            _leave(error)

    def _source_lines(self) -> list[bytes]:
        if not self.lines:
            self.lines.extend(self.source.encode("utf-8", "surrogatepass").split(b"\n"))
        return self.lines

    def _explain(self, error: BaseException) -> Origin:
        if isinstance(error, MemoryError):
            gc.collect()
        return describe(error, self._source_lines)

    def _before_reply(self) -> None:
        # A child that the program forked must not speak for it.
        if os.getpid() != self.process:
            os._exit(0)
        _flush()


class Exit:
    """`exit` and `quit`, which an interpreter that leaves `site` out does not have."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Use {self.name}() or Ctrl-D (i.e. EOF) to exit"

    def __call__(self, code: Any = None) -> NoReturn:
        raise SystemExit(code)


def add_exits() -> None:
    """Give this process, and those that it forks, the builtins `exit` and `quit`."""
    for name in ("exit", "quit"):
        setattr(builtins, name, Exit(name))


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
