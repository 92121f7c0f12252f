"""The process of the trusted checks in `data` isolation: calls the program's function and forms the verdict.

Checks and expected answers exist in this process only, and so does the channel on which the verdict leaves.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import json
import marshal
import os
import signal
import socket
import sys
import time
import types
from typing import Any, NoReturn

from . import system, wire
from .candidate import REACHED
from .failures import MESSAGE_LIMIT, NAME_LIMIT, describe, message_of


class Gone(BaseException):
    """The program's process ended or broke the protocol. Not an Exception: checks must not swallow it by accident."""


class ChecksFault(Exception):
    """No program could pass these checks in `data` isolation."""


class Candidate:
    """The `candidate` that the checks call."""

    def __init__(self, channel: socket.socket, name: str) -> None:
        self.__name__ = name
        self._channel = channel
        self.codedistill_calls = 0
        self.codedistill_gone = ""

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        self.codedistill_calls += 1
        try:
            message = wire.dumps([arguments, keywords])
        except Exception as error:
            raise ChecksFault(f"their arguments cannot be sent: {message_of(error)}") from None
        if b'{"opaque":' in message:
            raise ChecksFault("they pass an object that is not plain data; use isolation 'shared'")
        return self.exchange(message)

    def exchange(self, message: bytes | None = None) -> Any:
        """Send a message, if there is one, and make a value or an exception of the answer."""
        try:
            if message is not None:
                wire.send_frame(self._channel, message)
            answer = wire.loads(wire.receive_frame(self._channel))
        except (EOFError, OSError):
            self.codedistill_gone = "ended before the checks were done"
        except wire.WireError as error:
            self.codedistill_gone = f"broke the protocol: {error}"
        else:
            match answer:
                case ["value", value]:
                    return value
                case ["error", dict(failure), list(bases)]:
                    raise _exception(failure, bases)
            self.codedistill_gone = "broke the protocol: an unexpected message"
        raise Gone(self.codedistill_gone)


def _exception(failure: dict[str, Any], bases: list[Any]) -> BaseException:
    """The program's exception as one of the same name: a built-in class, or one made from its built-in bases."""
    name, message = failure.get("error_type"), failure.get("message")
    name = name if isinstance(name, str) and name.isidentifier() and len(name) <= NAME_LIMIT else "Exception"
    message = message[:MESSAGE_LIMIT] if isinstance(message, str) else ""
    found = [getattr(builtins, base, None) for base in bases if isinstance(base, str)]
    base = next((kind for kind in found if isinstance(kind, type) and issubclass(kind, BaseException)), Exception)
    known = {"__init__": lambda self, *arguments: None, "__str__": lambda self: message}
    error: BaseException
    if base.__name__ == name:
        try:
            error = base(message)
        except Exception:  # UnicodeDecodeError and its like want other arguments
            error = type(name, (base,), known)()
    else:
        error = type(name, (base,), known)()
    line, raised_in = failure.get("line"), failure.get("raised_in")
    error.codedistill_failure = {  # type: ignore[attr-defined]
        "status": "memory" if isinstance(error, MemoryError) else "failed",
        "error_type": name,
        "message": message,
        "line": line if type(line) is int and line > 0 else None,
        "raised_in": "checks" if raised_in == "checks" else "source",
        "raised_deliberately": failure.get("raised_deliberately") is True,
    }
    return error


def serve(supervisor: socket.socket) -> None:
    """Run the checks of one program after the other, each time in a process that no other checks have changed."""
    gc.freeze()  # a collection in a child would copy every page of these objects
    while True:
        pid = os.fork()
        if pid == 0:
            _serve(supervisor)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == FAULT:
            wire.send_facts(supervisor, [LOST, pid, 0.0])
        elif os.WEXITSTATUS(status) == DONE:
            return


STARTED, FINISHED, HUNG_UP, LOST = "started", "finished", "hung up", "lost"
"""News for the supervisor, with the process and its CPU time. HUNG_UP: the program closed its channel and will end."""

DONE, WORN, FAULT = 0, 1, 70


def _serve(supervisor: socket.socket) -> NoReturn:
    """Take a job and a program's channel at a time, until some checks may have left something behind."""
    try:
        system.prctl(system.DEATH_SIGNAL, signal.SIGKILL)
        gc.enable()
        while True:
            word, descriptors, _, _ = socket.recv_fds(supervisor, 1, 2)
            if not word:
                os._exit(DONE)
            wire.send_facts(supervisor, [STARTED, os.getpid(), time.process_time()])
            with contextlib.ExitStack() as stack:
                job, channel = (stack.enter_context(socket.socket(fileno=each)) for each in descriptors)
                news, stateful = FINISHED, False
                with contextlib.suppress(EOFError, OSError):  # the caller has gone and needs no verdict
                    token, facts, source, code = (wire.receive_frame(job) for _ in range(4))
                    about = json.loads(facts)
                    stateful = about["stateful"]
                    candidate = Candidate(channel, about["entry_point"])
                    verdict = _judge(job, candidate, source, marshal.loads(code))
                    news = HUNG_UP if candidate.codedistill_gone else FINISHED
                    job.sendall(token if verdict is None else json.dumps(verdict).encode())
            wire.send_facts(supervisor, [news, os.getpid(), time.process_time()])
            if stateful:
                os._exit(WORN)
            # Free the program's values and the functions that refer to each other before the next checks.
            sys.modules.pop("checks", None)
            gc.collect()
    finally:
        os._exit(FAULT)


def _judge(job: socket.socket, candidate: Candidate, source: bytes, code: types.CodeType) -> dict[str, Any] | None:
    """None: every check held."""
    reached = False
    try:
        with contextlib.suppress(OSError):  # it ended early; the answer says how
            wire.send_frame(candidate._channel, wire.to_bytes(candidate.__name__))
            wire.send_frame(candidate._channel, source)
        candidate.exchange()
        candidate.exchange(wire.dumps([None, None]))  # is there such a function?
        job.sendall(REACHED)
        reached = True
        module = types.ModuleType("checks")
        sys.modules["checks"] = module
        namespace = module.__dict__
        if not hasattr(builtins, candidate.__name__) and candidate.__name__ != "check":
            namespace[candidate.__name__] = candidate
        exec(code, namespace)
        namespace["check"](candidate)
    except BaseException as error:
        if not candidate.codedistill_gone:
            failure: dict[str, Any] | None = error.__dict__.get("codedistill_failure")
            if failure is not None:
                if (failure["line"] or 0) > source.count(b"\n") + 1:
                    failure["line"] = None
                return failure | {"reached_checks": reached}
            failure = describe(error, "")
            if isinstance(error, ChecksFault) or not (candidate.codedistill_calls or failure["status"] == "memory"):
                why = (
                    failure["message"]
                    if isinstance(error, ChecksFault)
                    else "{error_type}: {message}".format(**failure)
                )
                return failure | {"status": "broken_checks", "message": why}
            return failure | {"reached_checks": reached}
    if candidate.codedistill_gone:  # even if the checks caught it
        return {"status": "gone", "message": candidate.codedistill_gone, "reached_checks": reached}
    return None
