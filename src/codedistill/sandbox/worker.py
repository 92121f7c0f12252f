"""The caller's end of one supervisor: starts it, hands it programs, makes Results of its reports."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codedistill.sandbox import wire
from codedistill.sandbox.checks_text import examine
from codedistill.sandbox.folders import empty_folder
from codedistill.sandbox.model import Isolation, Limits, Program, Result, Status
from codedistill.sandbox.places import third_party_places

log = logging.getLogger(__name__)

GRACE_SECONDS = 30.0
"""How long after a program's last moment the supervisor's silence means that it is stuck."""

ANSWER_LIMIT = 65_536
"""Bytes that are kept of the message of the process with the checks. The rest is read and dropped."""

_BOOT = """
import gc, sys, types
gc.disable()
for name, path in (("codedistill", sys.argv[6]), ("codedistill.sandbox", sys.argv[7])):
    sys.modules[name] = module = types.ModuleType(name)
    module.__path__ = [path]
from codedistill.sandbox import supervisor
supervisor.main()
"""
# The package's own __init__ files are not run, so that a supervisor holds nothing but the standard library. It needs no
# garbage collection, which would cost a tenth of its start.

_ISOLATED = ("-s", "-P", "-S")
"""With `_ENVIRONMENT`, the same as -I and -S: nothing of the user's, and no third-party packages. But -I would also
make the interpreter ignore PYTHONHASHSEED."""

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
"""The same hashes in every worker; otherwise the order of a set, and with it a verdict, could depend on the worker."""


class WorkerError(Exception):
    """The supervisor failed, not the program. `passing`: another attempt may succeed."""

    def __init__(self, message: str, passing: bool = True) -> None:
        super().__init__(message)
        self.passing = passing


class Worker:
    """One supervisor and the programs that run in it, one after the other. `layer` names the layer it stands on."""

    def __init__(self, layer: str, limits: Limits) -> None:
        self.limits = limits
        self.folder = tempfile.mkdtemp(prefix="codedistill-")
        self._control, theirs = socket.socketpair()
        here = Path(__file__).resolve().parent
        idle = max(10.0, limits.cpu_seconds) if limits.idle_seconds is None else limits.idle_seconds
        # Hard limit, for a program that computes a little all the time. Far above what a busy machine costs.
        wall = 12 * (limits.cpu_seconds + idle)
        self._patience = wall + GRACE_SECONDS
        settings = asdict(limits) | {"idle_seconds": idle, "wall_seconds": wall}
        command = [sys.executable, *_ISOLATED, "-c", _BOOT, str(theirs.fileno()), layer, self.folder]
        command += [json.dumps(settings), json.dumps(third_party_places()), str(here.parent), str(here)]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=_ENVIRONMENT,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            self._control.settimeout(60)
            hello = json.loads(wire.receive_frame(self._control))
            self._control.settimeout(self._patience)
        except BaseException:
            self.close()
            raise
        if "layer" not in hello:
            self.close()
            raise WorkerError(str(hello.get("fault")), passing=bool(hello.get("passing")))
        self.layer = str(hello["layer"])

    def run(self, program: Program) -> Result:
        """Raises WorkerError where something but the program failed; this worker must be closed then."""
        facts = examine(program.checks, program.entry_point)
        if facts.fault:
            return Result(Status.BROKEN_CHECKS, "ChecksError", facts.fault[:500], layer=self.layer)
        token = secrets.token_bytes(32)
        guard = {"modules": facts.modules, "builtins": facts.builtins, "assigned": facts.assigned}
        about = {"entry_point": program.entry_point, "stateful": facts.stateful, "guard": guard}
        job = (token, json.dumps(about).encode(), wire.to_bytes(program.source), facts.code)
        try:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    mode = b"d" if program.isolation is Isolation.DATA else b"s"
                    socket.send_fds(self._control, [mode], [theirs.fileno()])
                ours.settimeout(self._patience)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    for part in job:
                        wire.send_frame(ours, part)
                answer = bytearray()
                with contextlib.suppress(ConnectionResetError):
                    while data := ours.recv(65_536):
                        answer += data[: max(0, ANSWER_LIMIT - len(answer))]
            report = json.loads(wire.receive_frame(self._control))
            stdout = wire.receive_frame(self._control).decode("utf-8", "replace")
        except (OSError, EOFError, ValueError, wire.WireError) as error:
            raise WorkerError(f"{type(error).__name__}: {error}") from error
        if report["fault"]:
            raise WorkerError(report["fault"])
        reached, message = answer[:1] == b"r", bytes(answer.removeprefix(b"r"))
        fields = _settle(message, message == token, program.isolation, report, self.limits)
        return Result(
            **{"reached_checks": reached} | fields,
            seconds=report["seconds"],
            cpu_seconds=report["cpu_seconds"],
            stdout=stdout,
            layer=self.layer,
        )

    def close(self) -> None:
        """End the supervisor and everything that it started, and remove its folder."""
        self._control.close()
        process = getattr(self, "_process", None)
        if process is not None:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        try:
            empty_folder(self.folder)
            os.rmdir(self.folder)
        except OSError as error:
            log.warning("%s could not be removed: %s", self.folder, error)


def _settle(
    message: bytes, has_token: bool, isolation: Isolation, report: dict[str, Any], limits: Limits
) -> dict[str, Any]:
    """The verdict's fields of Result, from the message of the process with the checks and the end of the processes.

    Raises:
        WorkerError: neither explains the end.
    """
    verdict = _read(message, isolation)
    if verdict.get("status") == "broken_checks":
        return _ended(Status.BROKEN_CHECKS, "ChecksError", verdict["message"]) | {"reached_checks": False}
    if report["cpu_seconds"] > limits.cpu_seconds:
        return _ended(Status.TIMEOUT, "TimeoutError", f"used {report['cpu_seconds']:.1f} s of CPU time")
    if report["timed_out"]:
        return _ended(Status.TIMEOUT, "TimeoutError", f"not done after {report['seconds']:.1f} s")
    if has_token:
        return {"status": Status.PASSED, "reached_checks": True}
    if verdict.get("status") in ("failed", "memory"):
        return verdict | {"status": Status(verdict["status"])}
    status = report["status"]
    if isolation is Isolation.DATA and not verdict and (status is None or report["checks_lost"]):
        raise WorkerError("the checks' process ended without a verdict")
    if status is None:
        return _ended(Status.EXITED, "SystemExit", verdict.get("message", "broke the protocol"))
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return _ended(Status.TIMEOUT, "TimeoutError", f"used {report['cpu_seconds']:.1f} s of CPU time")
        if number == signal.SIGKILL and report["memory_mb"] >= 0.9 * limits.memory_mb:
            return _ended(Status.MEMORY, "MemoryError", f"used {report['memory_mb']:.0f} MiB")
        names = {int(known): known.name for known in signal.Signals}
        name = names.get(number, f"signal {number}")
        return _ended(Status.CRASHED, name, f"ended by {name}")
    code = os.WEXITSTATUS(status)
    return _ended(Status.EXITED, "SystemExit", f"ended with exit code {code} before the checks were done")


def _read(message: bytes, isolation: Isolation) -> dict[str, Any]:
    """The fields of a failure; empty for any other message.

    In `shared` isolation the program may have written the message, so each field is checked.
    """
    try:
        found = json.loads(message)
        status = found["status"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    if isolation is Isolation.DATA:
        return dict(found)
    if status not in ("failed", "memory"):
        return {}
    error_type, text, line = found.get("error_type"), found.get("message"), found.get("line")
    return {
        "status": status,
        "error_type": error_type[:100] if isinstance(error_type, str) else "Exception",
        "message": text[:500] if isinstance(text, str) else "",
        "line": line if type(line) is int and line > 0 else None,
        "raised_in": "source" if found.get("raised_in") == "source" else "checks",
        "raised_deliberately": found.get("raised_deliberately") is True,
        "reached_checks": found.get("reached_checks") is True,
    }


def _ended(status: Status, error_type: str, message: str) -> dict[str, Any]:
    return {"status": status, "error_type": error_type, "message": message}
