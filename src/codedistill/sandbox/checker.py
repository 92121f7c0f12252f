"""The process of the trusted checks: calls the program's names by proxy and tells the caller the verdict.

The checks and their expected answers exist in this process only, and so does the channel on which the verdict leaves.
"""

from __future__ import annotations

import builtins
import contextlib
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

from . import wire
from .names import is_module_of_checks, wanted_names
from .origin import MESSAGE_LIMIT, Origin, describe, origin_of, rebuild
from .remote import Gone, Peer

CHECKS_NAME = "<checks>"

READY = b"ready"
"""First frame of a candidate that is confined and waits for its source."""


def _getattr(target: Any, name: str) -> Any:
    # A frame or a function's globals would lead the program to the expected answers.
    if name.startswith(("_", "gi_", "cr_", "ag_", "tb_", "f_")):
        raise AttributeError(name)
    return getattr(target, name)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda target, *args, **kwargs: target(*args, **kwargs),
    "getattr": _getattr,
    "getitem": lambda target, key: target[key],
    "iter": iter,
    "next": next,
    "len": len,
    "bool": bool,
    "str": str,
    "repr": repr,
}
"""What the program may do with objects that the checks handed to it as arguments."""


def serve(zygote: socket.socket) -> None:
    """Take a job socket and a program's channel at a time, and say when each is done with."""
    limit = sys.getrecursionlimit()
    while True:
        descriptors = wire.receive_descriptors(zygote, 2)
        if not descriptors:
            return
        hung_up = contextlib.suppress(OSError)  # by the caller, who wants no verdict then
        with socket.socket(fileno=descriptors[0]) as job, socket.socket(fileno=descriptors[1]) as channel, hung_up:
            _serve_one(job, channel)
        sys.setrecursionlimit(limit)
        zygote.sendall(b"d")


def _serve_one(job: socket.socket, channel: socket.socket) -> None:
    """Read one job (entry point, source, checks), do the checks, send one verdict."""
    try:
        entry_point = wire.make_decoder(lambda tag, payload: None)(wire.receive_frame(job))
        source = wire.receive_frame(job)
        checks = wire.receive_frame(job).decode("utf-8", "surrogatepass")
    except EOFError:
        return
    verdict = _judge(job, channel, entry_point, source, checks)
    wire.send_frame(job, wire.dumps({"d": list(verdict.items())}))


def _judge(
    job: socket.socket, channel: socket.socket, entry_point: str | None, source: bytes, checks: str
) -> dict[str, Any]:
    run = _Run(channel, entry_point)
    try:
        hello = wire.receive_frame(channel)
    except (EOFError, OSError) as error:
        hello = str(error).encode()
    if hello != READY:
        return run.verdict("unstarted", None, hello.decode("utf-8", "replace"))
    try:
        run.start(source, checks)
        wire.send_frame(job, wire.dumps({"d": [["status", "reached"]]}))
        run.check()
    except Gone as gone:
        return run.verdict("gone", None, str(gone))
    except BaseException as error:
        if run.peer.gone is not None:
            return run.verdict("gone", None, run.peer.gone)
        return run.failure(error)
    if run.peer.gone is not None:
        return run.verdict("gone", None, run.peer.gone)
    return run.verdict("passed", None, "")


class _Run:
    """One program under its checks."""

    def __init__(self, channel: socket.socket, entry_point: str | None) -> None:
        self.peer = Peer(channel, OPERATIONS, lambda error: describe(error, list))
        self.channel = channel
        self.entry_point = entry_point
        self.reached = False
        self.code: types.CodeType | None = None
        self.namespace: dict[str, Any] = {}

    def start(self, source: bytes, checks: str) -> None:
        """Let the program run its source and fetch the names that the checks use."""
        self.code = compile(checks, CHECKS_NAME, "exec", dont_inherit=True)
        wanted = wanted_names(self.code, checks, self.entry_point)
        with contextlib.suppress(OSError):  # it died early: receive() tells
            wire.send_frame(self.channel, source)
        self.peer.send(["names", sorted(wanted)])
        message = self.peer.receive()
        if message[0] == "error":
            raise rebuild(message[1])
        module = types.ModuleType("checks")
        sys.modules["checks"] = module
        self.namespace = module.__dict__
        try:
            for name, value in message[1]:
                if name in wanted:
                    trusted = name != self.entry_point and is_module_of_checks(name, checks)
                    self.namespace[name] = sys.modules[name] if trusted else value
        except (TypeError, ValueError):
            self.peer.gone = "broke the protocol: not a list of names"
            raise Gone(self.peer.gone) from None

    def check(self) -> None:
        assert self.code is not None
        if self.entry_point is None:
            exec(self.code, self.namespace)
            return
        missing = self.entry_point not in self.namespace
        # Under its own name only if that is not a builtin, which the checks may need themselves.
        function = self.namespace[self.entry_point] if not missing else None
        if hasattr(builtins, self.entry_point):
            self.namespace.pop(self.entry_point, None)
        exec(self.code, self.namespace)
        if missing:
            raise NameError(f"name {self.entry_point!r} is not defined", name=self.entry_point)
        self.reached = True
        self.namespace["check"](function)

    def failure(self, error: BaseException) -> dict[str, Any]:
        origin = origin_of(error)
        if origin is None:
            kind, message = type(error), _message(error)
            status = "memory" if isinstance(error, MemoryError) else "failed"
            self.reached = self.reached or isinstance(error, AssertionError)
            return self.verdict(status, Origin(kind.__name__, (), message, (), None, "checks", False), message)
        status = "memory" if "MemoryError" in (origin.error_type, *origin.bases) else "failed"
        return self.verdict(status, origin, origin.message)

    def verdict(self, status: str, origin: Origin | None, message: str) -> dict[str, Any]:
        return {
            "status": status,
            "error_type": origin.error_type if origin else None,
            "message": message[:MESSAGE_LIMIT],
            "line": origin.line if origin else None,
            "raised_in": origin.raised_in if origin else None,
            "reached_checks": status == "passed" or self.reached or self.peer.asked > 0,
            "raised_deliberately": origin.deliberate if origin else False,
        }


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MESSAGE_LIMIT]
    except BaseException:
        return ""
