"""The clean process from which programs are forked: it supervises them, and never runs or reads their code.

Started as a fresh isolated interpreter, never forked from the caller. It forks one checker, which runs the checks of
`data` isolation, and one candidate per program. It measures time, collects output, kills leftovers and reports.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import io
import json
import os
import resource
import select
import signal
import socket
import sys
import time
import types
from collections.abc import Callable
from typing import Any, NoReturn

from . import candidate, checker, system, wire
from .layers import LAYERS
from .rlimits import Layer, set_limit

OUTPUT, CHANNEL = 1, 3
"""Descriptors of a candidate, beside /dev/null for 0 and 2. CHANNEL leads to the checks or, `shared`, to the caller."""

DATA, SHARED = b"d", b"s"
"""The isolation, sent with a job."""

IDLE_SHARE = 0.05
"""A program with less than this share of a CPU counts as idle. On a busy machine a computing one still gets more."""

TICK = 0.25
"""Seconds between looks at the clocks."""

LAST_MOMENTS = 1.0
"""Seconds from a process's last closed descriptor to its end, at most: it may only have closed the descriptor."""

PRELOADED = (
    *("bisect", "collections", "copy", "functools", "heapq", "itertools", "json", "math", "operator", "re"),
    *("string", "time", "types", "typing"),
)
"""Modules that programs commonly import: loaded once. Few, because the cost of a fork grows with the process."""

PASSING_FAULTS = (errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.EMFILE, errno.EBUSY, errno.EINTR, errno.ENOSPC)
"""Resources that other processes use up. ENOSPC also stands for too many namespaces."""


def main() -> None:
    """argv: control descriptor, layer, work folder, and limits and folders with packages as JSON.

    Sends the layer's name, then serves until the caller closes the connection.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    sys.path[:] = map(os.path.realpath, sys.path)  # programs are shown no links to them
    sys.executable = os.path.realpath(sys.executable)
    limits: Any = types.SimpleNamespace(**json.loads(sys.argv[4]))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # if memory is exhausted, a program ends first, not the training beside it
    for name in PRELOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, which then closes the connection
    try:
        supervisor = Supervisor(control, LAYERS[sys.argv[2]](sys.argv[3], limits, json.loads(sys.argv[5])), limits)
    except OSError as error:
        wire.send_facts(control, {"fault": error.strerror or str(error), "passing": error.errno in PASSING_FAULTS})
        return
    wire.send_facts(control, {"layer": supervisor.layer.name + "+seccomp" * supervisor.layer.filtered})
    supervisor.serve()
    os._exit(0)  # the interpreter's own shutdown would keep the caller waiting


Body = Callable[[int, candidate.Namespace], NoReturn]


class _Run:
    """One program: its first process and, in `data` isolation, the process of its checks."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.output = bytearray()
        self.timed_out = False
        self.pid = self.pidfd = self.checks_pid = 0
        self.status: int | None = None
        """Wait status of the first process, None while it has not ended by itself."""
        self.cpu = self.memory_mb = 0.0
        self.checks_cpu = self.checks_began = 0.0
        self.checks_lost = False

    def reap(self) -> int:
        _, status, usage = os.wait4(self.pid, 0)
        self.cpu, self.memory_mb, self.pid = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, 0
        return status

    def cpu_seconds(self) -> float:
        """CPU time of both processes so far."""
        used, own = self.cpu + self.checks_cpu, [(self.pid, 0.0), (self.checks_pid, self.checks_began)]
        for pid, began in own:
            if pid:
                with contextlib.suppress(OSError):  # ended, and reaped by the checker
                    used += time.clock_gettime((~pid << 3) | 2) - began  # CPUCLOCK_SCHED, see clock_getcpuclockid(3)
        return used


class Supervisor:
    """Serves one caller, one program at a time."""

    def __init__(self, control: socket.socket, layer: Layer, limits: Any) -> None:
        self.control = control
        self.layer = layer
        self.limits = limits
        layer.prepare()
        self.checks, theirs = socket.socketpair()

        def check() -> None:
            system.prctl(system.DEATH_SIGNAL, signal.SIGKILL)
            control.close()
            self.checks.close()
            # It holds a copy of every value that a program returns, beside the expected one.
            set_limit(resource.RLIMIT_AS, 2 * limits.memory_mb * 2**20)
            checker.serve(theirs)

        _fork(check)
        theirs.close()
        layer.separate()
        # Opened on a pipe, as in programs, so that Python finds out once that it cannot seek.
        reader, writer = os.pipe()
        os.dup2(writer, OUTPUT)
        raw = io.FileIO(OUTPUT, "w", closefd=False)
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace")
        sys.__stdout__ = sys.stdout  # type: ignore[misc]
        os.close(reader)
        os.close(writer)
        self.namespace = candidate.make_namespace()
        gc.freeze()  # a collection in a child would copy every page of these objects

    def serve(self) -> None:
        while True:
            word, descriptors, _, _ = socket.recv_fds(self.control, 1, 1)
            if not word:
                break
            run = _Run()
            fault = ""
            try:
                self._run(run, word, descriptors[0])
            except (OSError, EOFError) as error:
                fault = str(error) or "the process of the checks has ended"
            about = {
                "fault": fault,
                "timed_out": run.timed_out,
                "seconds": time.monotonic() - run.start,
                "status": run.status,
                "checks_lost": run.checks_lost,
                "cpu_seconds": run.cpu + run.checks_cpu,
                "memory_mb": run.memory_mb,
            }
            wire.send_facts(self.control, about)
            wire.send_frame(self.control, bytes(run.output))
            if fault:
                break
            self.layer.tidy()
        self.checks.close()
        self.layer.leave()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()  # so that the time they took counts as the caller's

    def _run(self, run: _Run, word: bytes, job: int) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, job)
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            with theirs:
                channel = theirs.fileno() if word == DATA else job
                reader = self._start(run, channel, candidate.serve if word == DATA else candidate.run_with_checks)
                stack.callback(os.close, reader)
                stack.callback(os.close, run.pidfd)
                try:
                    if word == DATA:
                        socket.send_fds(self.checks, [b"j"], [job, ours.fileno()])
                        _, run.checks_pid, run.checks_began = json.loads(wire.receive_frame(self.checks))
                    self._watch(run, reader, theirs if word == DATA else None)
                finally:
                    if run.pid:
                        os.kill(run.pid, signal.SIGKILL)
                        run.reap()
                    if run.checks_pid:
                        os.kill(run.checks_pid, signal.SIGKILL)
                        self._close_checks(run)
                    self.layer.sweep()

    def _start(self, run: _Run, channel: int, body: Body) -> int:
        """Fork the candidate; its confinement has succeeded when this returns. The reading end of its output."""
        reader, writer = os.pipe()
        ready, news = os.pipe()
        os.set_blocking(reader, False)

        def live() -> None:
            report = os.dup(news) if news == CHANNEL else news
            try:
                os.dup2(channel, CHANNEL)
                os.dup2(writer, OUTPUT)
                self.layer.enter_program(CHANNEL)  # closes all others, `report` among them
            except BaseException as error:
                os.write(report, f"{type(error).__name__}: {error}".encode())
                raise
            gc.enable()
            body(CHANNEL, self.namespace)

        try:
            run.pid = _fork(live)
        finally:
            os.close(writer)
            os.close(news)
        run.pidfd = os.pidfd_open(run.pid)
        with open(ready, "rb") as file:
            fault = file.read()
        if fault:
            raise OSError(f"a program's process could not be made ready: {fault.decode()}")
        return reader

    def _watch(self, run: _Run, reader: int, program_end: socket.socket | None) -> None:
        """Until there is a verdict or the time is over. `program_end`: the candidate's end of its channel to checks."""
        poll = select.poll()
        for descriptor in (reader, run.pidfd):
            poll.register(descriptor, select.POLLIN)
        poll.register(self.control, select.POLLRDHUP)
        if program_end is not None:
            poll.register(self.checks, select.POLLIN)
        limits, looked, used, idle = self.limits, run.start, 0.0, 0.0
        while not run.timed_out:
            ready = dict(poll.poll(1000 * TICK))
            if reader in ready and not self._read_output(run, reader):
                poll.unregister(reader)
            if run.pidfd in ready:
                poll.unregister(run.pidfd)
                run.status = run.reap()
                if program_end is None:
                    break
                with contextlib.suppress(OSError):  # children of the program may still hold its end open
                    program_end.shutdown(socket.SHUT_RDWR)
            if self.checks.fileno() in ready:
                self._close_checks(run)
                break
            now, computed = time.monotonic(), run.cpu_seconds()
            if now - looked >= TICK:
                if computed - used < IDLE_SHARE * (now - looked):
                    idle += min(now - looked, 4 * TICK)  # more if the whole machine stood still
                looked, used = now, computed
            late = idle > limits.idle_seconds or now - run.start > limits.wall_seconds
            run.timed_out = late or computed > limits.cpu_seconds or self.control.fileno() in ready
        self._read_output(run, reader)

    def _close_checks(self, run: _Run) -> None:
        news, _, cpu = json.loads(wire.receive_frame(self.checks))
        run.checks_pid, run.checks_cpu = 0, max(0.0, cpu - run.checks_began)
        run.checks_lost = news == checker.LOST
        if news == checker.HUNG_UP and run.status is None:
            # A process that ends closes its descriptors before its status can be read.
            poll = select.poll()
            poll.register(run.pidfd, select.POLLIN)
            if poll.poll(LAST_MOMENTS * 1000):
                run.status = run.reap()

    def _read_output(self, run: _Run, reader: int) -> bool:
        """Keep what fits, drop the rest. False at the end of the stream."""
        for _ in range(64):
            try:
                data = os.read(reader, 65_536)
            except BlockingIOError:
                return True
            if not data:
                return False
            run.output += data[: max(0, self.limits.output_bytes - len(run.output))]
        return True


def _fork(body: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        body()
        os._exit(0)
    finally:
        os._exit(70)
