"""The process of the trusted checks: calls the program's names by proxy and tells the caller the verdict.

The checks and their expected answers exist in this process only, and so does the channel on which the verdict leaves.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import gc
import opcode
import os
import signal
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

from . import system, wire
from .exceptions import origin_of
from .names import is_module_of_checks, names_in, wanted_names
from .origin import MESSAGE_LIMIT, Origin, message_of
from .peer import ENDED_EARLY, Peer
from .remote import BETWEEN_TWO, Gone, tells_of_its_use
from .report import REACHED
from .surroundings import Surroundings
from .traces import may_leave_traces

CHECKS_NAME = "<checks>"

DONE, ENDED = b"d", b"e"
"""What the zygote is told after each program; the latter if the program's process hung up: it is about to end."""


def _getattr(target: Any, name: str) -> Any:
    # A frame or a function's globals would lead the program to the expected answers.
    if name.startswith(("_", "gi_", "cr_", "ag_", "tb_", "f_")):
        raise AttributeError(name)
    if isinstance(target, BaseException) and name != "args":  # others, such as `obj`, are objects of the checks
        raise AttributeError(name)
    return getattr(target, name)


def _setattr(target: Any, name: str, value: Any) -> None:
    """Only data of an object whose class the checks define: all else, others of the checks may rely on."""
    kind = type(target)
    if kind.__module__ != "checks" or isinstance(target, (type, BaseException)) or callable(target):
        raise TypeError(f"attributes of {kind.__name__!r} objects are not the program's to set")
    if name.startswith("_") or callable(getattr(target, name, None)):
        raise AttributeError(name)
    setattr(target, name, value)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda target, *args, **kwargs: target(*args, **kwargs),
    "getattr": _getattr,
    "setattr": _setattr,
    "getitem": lambda target, key: target[key],
    "iter": iter,
    "next": next,
    "len": len,
    "bool": bool,
    "str": str,
    "repr": repr,
    "hash": hash,
    **BETWEEN_TWO,
}
"""What the program may do with objects that the checks handed to it as arguments."""


class Checks(NamedTuple):
    """Checks, ready for any number of programs."""

    text: str
    entry_point: str | None
    code: types.CodeType
    wanted: frozenset[str]
    """Names to ask the program for."""
    may_leave_traces: bool


def serve(zygote: wire.Socket) -> None:
    """Take a job socket and a program's channel at a time, and say when each is done with."""
    limit = sys.getrecursionlimit()
    while True:
        word, descriptors = wire.receive_descriptors(zygote, 2)
        if not word:
            return
        job, channel = (wire.Socket(fileno=descriptor) for descriptor in descriptors)
        word = DONE
        with contextlib.suppress(OSError):  # hung up by the caller, who wants no verdict then
            word = _serve_one(job, channel, zygote)
        job.close()
        channel.close()
        sys.setrecursionlimit(limit)
        zygote.sendall(word)
        # What the program returned, and the checks' functions that know each other, would be in the next one's way.
        sys.modules.pop("checks", None)
        gc.collect()


def _serve_one(job: wire.Socket, channel: wire.Socket, zygote: wire.Socket) -> bytes:
    """Read one job (entry point, source, checks), do the checks, send one verdict. What the zygote is to be told."""
    try:
        entry_point, source, text = wire.split(wire.receive_frame(job))
    except EOFError:
        return DONE
    try:
        checks = _prepare(wire.to_text(text), _DECODE(entry_point))
    except MemoryError:
        raise  # the source may be what took the memory
    except Exception as error:
        _tell(job, {"status": "checks", "message": f"{type(error).__name__}: {message_of(error)}"})
        return DONE
    if not checks.may_leave_traces:
        return _conclude(job, _judge(job, channel, source, checks))
    pid = system.fork()
    if pid:
        return ENDED if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == ord(ENDED) else DONE
    try:
        system.die_with_parent(signal.SIGKILL)
        zygote.close()
        os._exit(ord(_conclude(job, _judge(job, channel, source, checks))))
    finally:
        os._exit(70)


def _conclude(job: wire.Socket, verdict: dict[str, Any]) -> bytes:
    _tell(job, verdict)
    return ENDED if verdict["status"] == "gone" and verdict["message"] == ENDED_EARLY else DONE


_DECODE = wire.make_decoder(lambda tag, payload: None)


@functools.lru_cache(maxsize=1)  # many programs in a row have the same checks
def _prepare(text: str, entry_point: str | None) -> Checks:
    code = compile(text, CHECKS_NAME, "exec", dont_inherit=True)
    return Checks(text, entry_point, code, frozenset(wanted_names(code, text, entry_point)), may_leave_traces(code))


def _tell(job: wire.Socket, fields: dict[str, Any]) -> None:
    wire.send_frame(job, wire.dumps({"d": list(fields.items())}))


def _judge(job: wire.Socket, channel: wire.Socket, source: memoryview, checks: Checks) -> dict[str, Any]:
    run = _Run(channel, source, checks)
    try:
        run.start()
        wire.send_frame(job, REACHED)
        run.check()
    except Gone as gone:
        return run.verdict("gone", None, str(gone))
    except Unfit as why:
        return run.verdict("unstarted", None, str(why))
    except BaseException as error:
        if run.peer.gone is not None:
            return run.verdict("gone", None, run.peer.gone)
        return run.failure(error)
    if run.peer.gone is not None:
        return run.verdict("gone", None, run.peer.gone)
    return run.verdict("passed", None, "")


_UNNOTICED = frozenset({"globals", "locals", "vars", "dir", "eval", "exec", "modules", "callable", "type"})
"""Ways to look at what a program defines that ask nothing of it."""


class Unfit(Exception):
    """The program's process could not be confined."""


class _Run:
    """One program under its checks."""

    def __init__(self, channel: wire.Socket, source: memoryview, checks: Checks) -> None:
        self.peer = Peer(channel, OPERATIONS, lambda error: [None, "checks", False])
        self.channel = channel
        self.source = source
        self.checks = checks
        self.reached = False
        self.unnoticed = bool(_UNNOTICED & names_in(checks.code))
        """Something of the program's can make a difference to the checks without anybody noticing."""
        self.namespace: dict[str, Any] = {}

    def start(self) -> None:
        """Let the program run its source and fetch the names that the checks use."""
        wanted, entry_point = self.checks.wanted, self.checks.entry_point
        with contextlib.suppress(OSError):  # it died early: receive() tells
            wire.send_frame(self.channel, wire.join(wire.dumps(sorted(wanted)), self.source))
        message = self.peer.receive()
        if message[0] == "unfit":
            raise Unfit(message[1])
        if message[0] == "error":
            error = self.peer.error_of(message)
            origin = origin_of(error)
            if origin is not None:
                error.codedistill_origin = origin._replace(raised_in="source")  # type: ignore[attr-defined]
            raise error
        module = types.ModuleType("checks")
        sys.modules["checks"] = module
        self.namespace = module.__dict__
        try:
            for name, value in message[1]:
                if name in wanted:
                    trusted = name != entry_point and is_module_of_checks(name, self.checks.text)
                    self.namespace[name] = sys.modules[name] if trusted else value
                    self.unnoticed |= not trusted and not tells_of_its_use(value)
        except (TypeError, ValueError):
            self.peer.gone = "broke the protocol: not a list of names"
            raise Gone(self.peer.gone) from None

    def check(self) -> None:
        code, entry_point = self.checks.code, self.checks.entry_point
        if self.checks.may_leave_traces:
            self.peer.surroundings = Surroundings(names_in(code)).changes
        if entry_point is None:
            exec(code, self.namespace)
            return
        missing = entry_point not in self.namespace
        # Under its own name only if that is not a builtin, which the checks may need themselves.
        function = self.namespace[entry_point] if not missing else None
        if hasattr(builtins, entry_point) or entry_point == "check":
            self.namespace.pop(entry_point, None)
        exec(code, self.namespace)
        if "check" not in self.namespace:
            raise ChecksFault("they define no function `check`")
        if missing:
            raise NameError(f"name {entry_point!r} is not defined", name=entry_point)
        self.reached = True
        self.namespace["check"](function)

    def failure(self, error: BaseException) -> dict[str, Any]:
        origin = origin_of(error)
        status = "memory" if isinstance(error, MemoryError) else "failed"
        if origin is not None:
            lines = bytes(self.source).count(b"\n") + 1
            line = origin.line if origin.line is not None and origin.line <= lines else None
            return self.verdict(status, type(error).__name__, origin.message, origin._replace(line=line))
        kind, message = type(error).__name__, message_of(error)
        if self._is_fault_of_the_checks(error):
            return self.verdict("checks", kind, message if kind == "ChecksFault" else f"{kind}: {message}")
        self.reached = self.reached or isinstance(error, AssertionError)
        return self.verdict(status, kind, message, Origin(message, None, "checks", False))

    def _is_fault_of_the_checks(self, error: BaseException) -> bool:
        """Would the checks have raised it whatever the program is? No wherever that is not sure."""
        if isinstance(error, ChecksFault) or _is_failed_import(error):
            return True
        # A name that the program was to define, or memory that its source takes.
        missing = isinstance(error, NameError) and error.name in self.checks.wanted
        return not (missing or isinstance(error, MemoryError) or self.peer.touched or self.unnoticed)

    def verdict(
        self, status: str, error_type: str | None, message: str, origin: Origin | None = None
    ) -> dict[str, Any]:
        return {
            "status": status,
            "error_type": error_type,
            "message": message[:MESSAGE_LIMIT],
            "line": origin.line if origin else None,
            "raised_in": origin.raised_in if origin else None,
            "reached_checks": status == "passed" or self.reached or self.peer.asked > 0,
            "raised_deliberately": origin.deliberate if origin else False,
        }


class ChecksFault(Exception):
    """The checks are no checks."""


def _is_failed_import(error: BaseException) -> bool:
    """Is it an import statement of the checks that failed?"""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None or step.tb_frame.f_code.co_filename != CHECKS_NAME:
        return False
    return isinstance(error, ImportError) and step.tb_frame.f_code.co_code[step.tb_lasti] in _IMPORTS


_IMPORTS = tuple(opcode.opmap[name] for name in ("IMPORT_NAME", "IMPORT_FROM"))
