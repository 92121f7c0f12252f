"""The process of the untrusted program: runs the source, then serves the checks' calls of its names.

Nothing in here is trusted. By the time the source runs, this process holds no channel but the one to the checks, over
which it can say no more than what its functions return.
"""

from __future__ import annotations

import builtins
import copy
import gc
import itertools
import math
import operator
import os
import sys
import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from . import wire
from .origin import SOURCE_NAME, place_of
from .peer import Peer
from .remote import BETWEEN_TWO
from .signatures import tell_signature
from .surroundings import changed


def _run(coroutine: Any) -> Any:
    import asyncio  # a large module, and rarely needed

    return asyncio.run(coroutine)


def _exit(target: Any, kind: type[BaseException] | None, error: BaseException | None) -> Any:
    if kind is not None and error is None:
        error = kind()
    return type(target).__exit__(target, kind, error, None)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda target, *args, **kwargs: target(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "iter": iter,
    "next": next,
    "reversed": reversed,
    "len": len,
    "bool": bool,
    "str": str,
    "repr": repr,
    "format": format,
    "bytes": bytes,
    "dir": dir,
    "int": int,
    "float": float,
    "complex": complex,
    "index": operator.index,
    "abs": abs,
    "neg": operator.neg,
    "pos": operator.pos,
    "invert": operator.invert,
    "round": round,
    "trunc": math.trunc,
    "floor": math.floor,
    "ceil": math.ceil,
    "isinstance": lambda target, value: isinstance(value, target),
    "issubclass": lambda target, value: issubclass(value, target),
    "enter": lambda target: type(target).__enter__(target),
    "exit": _exit,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "hash": hash,
    "signature": tell_signature,
    "run": _run,
    **BETWEEN_TWO,
}

MODULE_NAME = "program"


class Program:
    """One program to be. Made before the fork, so that what can be made ahead of it costs no program anything."""

    def __init__(self, channel: wire.Socket) -> None:
        self.channel = channel
        self.peer = Peer(channel, OPERATIONS, self._place, self._before_reply)
        self.peer.within = self._within
        self.module = types.ModuleType(MODULE_NAME)
        self.process = 0
        self.source = ""
        self.lines: list[bytes] = []

    def run(self, calls: int | None = None) -> None:
        """Run the source that comes over the channel, then serve calls until this process is ended, or `calls`."""
        self.process = os.getpid()
        try:
            names, source = wire.split(wire.receive_frame(self.channel))
        except EOFError:
            return
        self.source = wire.to_text(source)
        wanted = _DECODE(names)
        # dataclasses, typing and pickle look a class's module up by its name.
        sys.modules[MODULE_NAME] = self.module
        peer = self.peer
        try:
            failure = _execute(self.source, self.module)
            self._before_reply()
            if failure is None:
                namespace = self.module.__dict__
                peer.send(["ready", [[name, peer.pack(namespace[name])] for name in wanted if name in namespace]])
            else:
                form = peer.error_form(failure)
                del failure
                peer.send(form)
            for _ in itertools.count() if calls is None else range(calls):
                peer.answer(peer.receive())
        except SystemExit as error:
            _leave(error)

    def _source_lines(self) -> list[bytes]:
        if not self.lines:
            self.lines.extend(self.source.encode("utf-8", "surrogatepass").split(b"\n"))
        return self.lines

    def _place(self, error: BaseException) -> list[Any]:
        if isinstance(error, MemoryError):
            gc.collect()
        return place_of(error, self._source_lines)

    def _within(self, changes: Any) -> AbstractContextManager[None]:
        return changed(changes, lambda text: self.peer.send(["print", text]))

    def _before_reply(self) -> None:
        # A child that the program forked must not speak for it.
        if os.getpid() != self.process:
            os._exit(0)
        _flush()


_DECODE = wire.make_decoder(lambda tag, payload: None)


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
