"""The caller's end of one zygote: starts it, hands it programs, makes Results of its reports."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from codedistill.sandbox import wire
from codedistill.sandbox.folders import remove_folder
from codedistill.sandbox.model import Limits, Program, Result, Status
from codedistill.sandbox.places import third_party_places
from codedistill.sandbox.report import ALONE, BESIDE_OTHERS, BUSY, PATIENCE, REACHED, Report

log = logging.getLogger(__name__)

GRACE_SECONDS = 20.0
"""How long after a program's own wall time the zygote's silence means that it is stuck."""

_BOOT = """
import gc, sys, types
gc.disable()
for name, path in (("codedistill", sys.argv[6]), ("codedistill.sandbox", sys.argv[7])):
    sys.modules[name] = module = types.ModuleType(name)
    module.__path__ = [path]
from codedistill.sandbox import zygote
zygote.main()
"""
# The package's own __init__ files are not run: a zygote is to hold nothing but the standard library. What it holds, it
# keeps: looking for garbage would cost a tenth of its start.


_ISOLATED = ("-s", "-P", "-S")
"""With `_ENVIRONMENT` as it is, the same as -I and -S: nothing of the user's, and no third-party packages. But -I would
also make the interpreter deaf to PYTHONHASHSEED."""

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "LD_BIND_NOW": "1"}
"""The same hashes in every worker: else the order of a set, and with it a verdict, could depend on the worker. And no
function of a shared library is looked up by name after a fork: that would be done again in every program's process."""


class WorkerError(Exception):
    """The zygote failed, not the program. `passing`: it may be otherwise the next time."""

    def __init__(self, message: str, passing: bool = True) -> None:
        super().__init__(message)
        self.passing = passing


class ChecksFault(Exception):
    """The checks, not the program, are at fault, as the message says."""


class Outcome(NamedTuple):
    result: Result
    doubtful: bool
    """The machine may have had its part in it."""


class Worker:
    """One zygote and the programs that run in it, one after the other. `layer` names the layer it stands on."""

    def __init__(self, layer: str, limits: Limits) -> None:
        self.limits = limits
        self.folder = tempfile.mkdtemp(prefix="codedistill-")
        self._control, theirs = socket.socketpair()
        here = Path(__file__).resolve().parent
        settings = json.dumps({**asdict(limits), "cpu_seconds": limits.cpu_budget})
        hidden = json.dumps(third_party_places())
        arguments = [str(theirs.fileno()), layer, self.folder, settings, hidden, str(here.parent), str(here)]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, *_ISOLATED, "-c", _BOOT, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=_ENVIRONMENT,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            _be_patient(self._control, 60.0)
            hello = _decoded(wire.receive_frame(self._control))
            _be_patient(self._control, PATIENCE * limits.wall_seconds + GRACE_SECONDS)
        except BaseException:
            self.close()
            raise
        if "layer" not in hello:
            self.close()
            raise WorkerError(str(hello.get("fault")), passing=bool(hello.get("passing")))
        self.layer = str(hello["layer"])
        self.worn = False
        """The zygote asks to be replaced."""

    def run(self, program: Program, alone: bool = False) -> Outcome:
        """`alone`: nothing else runs on this machine, so that whatever comes of it is the program's doing.

        Raises:
            ChecksFault: the program was not judged, because its checks cannot judge any.
            WorkerError: anything else failed; this worker must be closed then.
        """
        try:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    wire.send_descriptors(self._control, ALONE if alone else BESIDE_OTHERS, theirs.fileno())
                _be_patient(ours, PATIENCE * self.limits.wall_seconds + GRACE_SECONDS)
                verdict = self._converse(ours, program)
            report = Report.from_bytes(wire.receive_frame(self._control))
        except (OSError, EOFError, struct.error, wire.WireError) as error:
            raise WorkerError(f"{type(error).__name__}: {error}") from error
        self.worn = report.worn
        if report.fault:
            raise WorkerError(report.fault)
        outcome = settle(verdict, report, self.limits, alone)
        return outcome._replace(result=replace(outcome.result, layer=self.layer, cpu_seconds=report.cpu_seconds))

    def _converse(self, job: socket.socket, program: Program) -> dict[str, Any]:
        """Send the job to the checker and read what it says until it has nothing more to say."""
        verdict: dict[str, Any] = {"status": "silent", "reached_checks": False}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            texts = (text.encode("utf-8", "surrogatepass") for text in (program.source, program.checks))
            wire.send_frame(job, wire.join(wire.dumps(program.entry_point), *texts))
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                news = wire.receive_frame(job)
                if news == REACHED:
                    verdict["reached_checks"] = True
                else:
                    verdict = _decoded(news)
        return verdict

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
        try:
            remove_folder(self.folder)
        except OSError as error:
            log.warning("%s could not be removed: %s", self.folder, error)


def _be_patient(sock: socket.socket, seconds: float) -> None:
    """Like `settimeout`, but in the kernel: no poll before every message, and MSG_WAITALL waits for all."""
    time = struct.pack("ll", ceil(seconds), 0)
    for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, direction, time)


def _no_references(tag: str, payload: Any) -> Any:
    raise wire.WireError("a reference where none may be")


_DECODE = wire.make_decoder(_no_references)


def _decoded(frame: bytes) -> dict[str, Any]:
    message = _DECODE(frame)
    if not isinstance(message, dict):
        raise wire.WireError("not a message")
    return message


def settle(verdict: dict[str, Any], report: Report, limits: Limits, alone: bool = False) -> Outcome:
    """What the checker said and how the processes ended, together.

    Raises:
        ChecksFault: the checker says that it is the checks' fault.
        WorkerError: neither explains the end.
    """
    seconds, stdout = report.seconds, report.stdout.decode("utf-8", "replace")
    reached = verdict.get("reached_checks", False)

    def outcome(status: Status, error_type: str, message: str, doubtful: bool = False) -> Outcome:
        result = Result(status, error_type, message, reached_checks=reached, seconds=seconds, stdout=stdout)
        return Outcome(result, doubtful)

    said = verdict["status"]
    if said == "checks":
        raise ChecksFault(verdict["message"])
    if report.timed_out or seconds > limits.wall_seconds or report.cpu_seconds > limits.cpu_budget:
        # Whoever computed all the time has had more of it than anything beside it can have cost.
        enough = BUSY * PATIENCE * min(limits.wall_seconds, limits.cpu_budget)
        doubtful = not alone and report.cpu_seconds < enough
        if report.cpu_seconds > limits.cpu_budget:
            return outcome(Status.TIMEOUT, "TimeoutError", f"used {report.cpu_seconds:.1f} s of CPU time", doubtful)
        return outcome(Status.TIMEOUT, "TimeoutError", f"not done after {limits.wall_seconds:g} s", doubtful)
    if said in ("passed", "failed", "memory"):
        fields = {name: verdict[name] for name in ("error_type", "message", "line", "raised_in", "raised_deliberately")}
        result = Result(Status(said), **fields, reached_checks=reached, seconds=seconds, stdout=stdout)
        return Outcome(result, doubtful=False)
    status = report.candidate
    if said == "unstarted":
        raise WorkerError(f"the program's process could not be made ready: {verdict['message']}")
    if said == "silent" and status is None:
        raise WorkerError("the checks' process ended without a verdict")
    if status is None:
        return outcome(Status.EXITED, "SystemExit", verdict["message"])
    if os.WIFSIGNALED(status):
        return _signalled(os.WTERMSIG(status), report, limits, alone, outcome)
    code = os.WEXITSTATUS(status)
    return outcome(Status.EXITED, "SystemExit", f"ended with exit code {code} before the checks were done")


def _signalled(number: int, report: Report, limits: Limits, alone: bool, outcome: Callable[..., Outcome]) -> Outcome:
    if number == signal.SIGXCPU:
        return outcome(Status.TIMEOUT, "TimeoutError", f"used {report.cpu_seconds:.1f} s of CPU time")
    # The kernel ends processes so when the machine runs out of memory, and not only those whose fault that is.
    doubtful = number == signal.SIGKILL and not alone
    if number == signal.SIGKILL and report.memory_mb >= 0.9 * limits.memory_mb:
        return outcome(Status.MEMORY, "MemoryError", f"used {report.memory_mb:.0f} MiB", doubtful)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return outcome(Status.CRASHED, name, f"ended by {name}", doubtful)
