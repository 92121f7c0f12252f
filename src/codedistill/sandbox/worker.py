"""The caller's end of one zygote: starts it, hands it programs, makes Results of its reports."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from math import ceil
from pathlib import Path
from typing import Any

from codedistill.sandbox import wire
from codedistill.sandbox.model import Limits, Program, Result, Status
from codedistill.sandbox.report import Report

GRACE_SECONDS = 20.0
"""How long after a program's own wall time the zygote's silence means that it is stuck."""

_BOOT = """
import gc, sys, types
gc.disable()
for name, path in (("codedistill", sys.argv[5]), ("codedistill.sandbox", sys.argv[6])):
    sys.modules[name] = module = types.ModuleType(name)
    module.__path__ = [path]
from codedistill.sandbox import zygote
zygote.main()
"""
# The package's own __init__ files are not run: a zygote is to hold nothing but the standard library. What it holds, it
# keeps: looking for garbage would cost a tenth of its start.


class WorkerError(Exception):
    """The zygote failed, not the program."""


class Worker:
    """One zygote and the programs that run in it, one after the other. `layer` names the layer it stands on."""

    def __init__(self, layer: str, limits: Limits) -> None:
        self.limits = limits
        self.folder = tempfile.mkdtemp(prefix="codedistill-")
        self._control, theirs = socket.socketpair()
        here = Path(__file__).resolve().parent
        settings = json.dumps(asdict(limits))
        arguments = [str(theirs.fileno()), layer, self.folder, settings, str(here.parent), str(here)]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _BOOT, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            _be_patient(self._control, 60.0)
            hello = self._receive(self._control)
            _be_patient(self._control, limits.wall_seconds + GRACE_SECONDS)
        except BaseException:
            self.close()
            raise
        if "layer" not in hello:
            self.close()
            raise WorkerError(str(hello.get("fault")))
        self.layer = str(hello["layer"])
        self.worn = False
        """The zygote asks to be replaced."""

    def run(self, program: Program) -> Result:
        """Raises WorkerError if anything but the program failed; this worker must be closed then."""
        try:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    wire.send_descriptors(self._control, theirs.fileno())
                _be_patient(ours, self.limits.wall_seconds + GRACE_SECONDS)
                verdict = self._converse(ours, program)
            report = Report.from_bytes(wire.receive_frame(self._control))
        except (OSError, EOFError, struct.error, wire.WireError) as error:
            raise WorkerError(f"{type(error).__name__}: {error}") from error
        self.worn = report.worn
        if report.fault:
            raise WorkerError(report.fault)
        return replace(settle(verdict, report, self.limits), layer=self.layer, cpu_seconds=report.cpu_seconds)

    def _converse(self, job: socket.socket, program: Program) -> dict[str, Any]:
        """Send the job to the checker and read what it says until it has nothing more to say."""
        verdict: dict[str, Any] = {"status": "silent", "reached_checks": False}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.send_frame(job, wire.dumps(program.entry_point))
            wire.send_frame(job, program.source.encode("utf-8", "surrogatepass"))
            wire.send_frame(job, program.checks.encode("utf-8", "surrogatepass"))
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                news = self._receive(job)
                if news["status"] == "reached":
                    verdict["reached_checks"] = True
                else:
                    verdict = news
        return verdict

    @staticmethod
    def _receive(sock: socket.socket) -> dict[str, Any]:
        message = _DECODE(wire.receive_frame(sock))
        if not isinstance(message, dict):
            raise wire.WireError("not a message")
        return message

    def close(self) -> None:
        """End the zygote and everything that it started, and remove its folder."""
        self._control.close()
        process = getattr(self, "_process", None)
        if process is not None:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _be_patient(sock: socket.socket, seconds: float) -> None:
    """Like `settimeout`, but in the kernel: no poll before every message, and MSG_WAITALL waits for all."""
    time = struct.pack("ll", ceil(seconds), 0)
    for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, direction, time)


def _no_references(tag: str, payload: Any) -> Any:
    raise wire.WireError("a reference where none may be")


_DECODE = wire.make_decoder(_no_references)


def settle(verdict: dict[str, Any], report: Report, limits: Limits) -> Result:
    """What the checker said and how the processes ended, together. Raises WorkerError if neither explains the end."""
    seconds, stdout = report.seconds, report.stdout.decode("utf-8", "replace")
    reached = verdict["reached_checks"]

    def result(status: Status, error_type: str, message: str) -> Result:
        return Result(status, error_type, message, reached_checks=reached, seconds=seconds, stdout=stdout)

    said = verdict["status"]
    if said in ("passed", "failed", "memory"):
        fields = {name: verdict[name] for name in ("error_type", "message", "line", "raised_in", "raised_deliberately")}
        return Result(Status(said), **fields, reached_checks=reached, seconds=seconds, stdout=stdout)
    if report.timed_out:
        return result(Status.TIMEOUT, "TimeoutError", f"not done after {limits.wall_seconds:g} s")
    status = report.candidate
    if said == "unstarted":
        raise WorkerError(f"the program's process could not be made ready: {verdict['message']}")
    if said == "silent" and status is None:
        raise WorkerError("the checks' process ended without a verdict")
    if status is None:
        return result(Status.EXITED, "SystemExit", verdict["message"])
    if os.WIFSIGNALED(status):
        return _signalled(os.WTERMSIG(status), report, limits, result)
    code = os.WEXITSTATUS(status)
    return result(Status.EXITED, "SystemExit", f"ended with exit code {code} before the checks were done")


def _signalled(number: int, report: Report, limits: Limits, result: Any) -> Result:
    cpu = limits.cpu_seconds if limits.cpu_seconds is not None else limits.wall_seconds + 1
    if number == signal.SIGXCPU or (number == signal.SIGKILL and report.cpu_seconds >= cpu):
        return result(Status.TIMEOUT, "TimeoutError", f"used {report.cpu_seconds:.1f} s of CPU time")
    if number == signal.SIGKILL and report.memory_mb >= 0.9 * limits.memory_mb:
        return result(Status.MEMORY, "MemoryError", f"used {report.memory_mb:.0f} MiB")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return result(Status.CRASHED, name, f"ended by {name}")
