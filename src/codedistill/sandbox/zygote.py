"""The clean process from which programs are forked: it supervises them and holds neither sources nor checks.

Started as a fresh isolated interpreter, never forked from the caller. It forks one checker, which serves many programs,
and per program one candidate, ahead of its use. It keeps the clock, collects the output, kills what is left, reports.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import json
import os
import resource
import select
import signal
import sys
import time
import types
from _socket import SHUT_RDWR, socketpair
from collections.abc import Callable
from typing import Any, NoReturn

from . import candidate, checker, preload, system, wire
from .checker import ENDED
from .layers import Layer, set_limit
from .opening import open_layer
from .report import ALONE, BUSY, PATIENCE, Report

NOTHING, OUTPUT, CHANNEL = 0, 1, 3
"""File descriptors of a candidate: /dev/null, the standard output, the channel to the checks."""

CHECKER_PATIENCE = 0.5
"""Seconds that the checker gets to notice that the program is gone."""

LAST_MOMENTS = 0.2
"""Seconds from a process's last closed descriptor to its end, at most: it may only have closed the descriptor."""

PROGRAMS_PER_CHECKER = 2_000
"""Then the worker is replaced: checks are trusted, but they may leave things behind."""


def main() -> None:
    """argv: control descriptor, layer, work folder, and limits and folders with packages as JSON.

    Says the layer's name, then serves until hung up on.
    """
    descriptor = int(sys.argv[1])
    control = wire.Socket(fileno=fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, CHANNEL + 1))
    os.close(descriptor)
    os.dup2(NOTHING, CHANNEL)  # taken, so that nothing else gets it
    sys.path[:] = map(os.path.realpath, sys.path)  # programs are shown no links to them
    limits: Any = types.SimpleNamespace(**json.loads(sys.argv[4]))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory runs out, a program goes first, not the training beside it
    preload.load()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who then hangs up
    try:
        layer = open_layer(sys.argv[2], sys.argv[3], limits, third_party=json.loads(sys.argv[5]))
        zygote = Zygote(control, layer, limits)
    except OSError as error:
        _tell(control, {"fault": error.strerror or str(error), "passing": error.errno in PASSING_FAULTS})
        return
    _tell(control, {"layer": zygote.layer.full_name()})
    zygote.serve()
    os._exit(0)  # what an interpreter does at its end would keep the caller waiting


PASSING_FAULTS = (errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.EMFILE, errno.EBUSY, errno.EINTR, errno.ENOSPC)
"""A want of something that others use; the last one is what there is to say of too many namespaces."""


def _tell(control: wire.Socket, fields: dict[str, Any]) -> None:
    wire.send_frame(control, wire.dumps({"d": list(fields.items())}))


class _Candidate:
    """A forked process that waits for its source."""

    def __init__(self, layer: Layer, program: candidate.Program) -> None:
        self.checks_end, self.program_end = socketpair()
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        # The descriptors are put where the child wants them before it is forked: what the zygote does in its own memory
        # is cheaper than what a child does in memory that it shares.
        os.dup2(writer, OUTPUT)
        os.dup2(self.program_end.fileno(), CHANNEL)
        os.close(writer)
        try:
            self.pid = _fork(_live, layer, program)
        except OSError:
            self.program_end.close()
            self.checks_end.close()
            os.close(self.reader)
            raise
        finally:
            os.dup2(NOTHING, OUTPUT)
            os.dup2(NOTHING, CHANNEL)
        self.pidfd = os.pidfd_open(self.pid)
        self.status: int | None = None
        self.usage: Any = None

    def reap(self) -> None:
        if self.status is None:
            _, self.status, self.usage = os.wait4(self.pid, 0)

    def cpu_seconds(self) -> float:
        """What the process has used so far. Not once it has been reaped."""
        return time.clock_gettime((~self.pid << 3) | 2)  # CPUCLOCK_SCHED, see clock_getcpuclockid(3)

    def hang_up(self) -> None:
        """Tell the checker that nothing more is to come: children of the program may still hold the channel open."""
        try:
            self.program_end.shutdown(SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        self.program_end.close()
        self.checks_end.close()
        os.close(self.reader)
        os.close(self.pidfd)


def _live(layer: Layer, program: candidate.Program) -> None:
    try:
        layer.enter_program(CHANNEL)
    except BaseException as error:
        wire.send_frame(program.channel, wire.dumps(["unfit", f"{type(error).__name__}: {error}"]))
        raise
    gc.freeze()  # what the zygote has made since, so that the first collection does not go through it
    gc.enable()
    program.run()


class Zygote:
    """Serves one caller, one program at a time."""

    def __init__(self, control: wire.Socket, layer: Layer, limits: Any) -> None:
        self.control = control
        self.layer = layer
        self.limits = limits
        preload.rehearse()
        layer.prepare()
        gc.freeze()  # less memory is copied after a fork
        self.checks, theirs = socketpair()
        self.checker_pid = _fork(self._check, theirs)
        theirs.close()
        layer.separate()
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        candidate.add_exits()  # the checks' names are told from builtins without them
        self.program = candidate.Program(_socket_at(CHANNEL))
        self.served = 0
        self.next: _Candidate | None = self._fork_candidate()

    def _fork_candidate(self) -> _Candidate | None:
        try:
            return _Candidate(self.layer, self.program)
        except OSError:
            return None

    def _check(self, theirs: wire.Socket) -> None:
        system.die_with_parent(signal.SIGKILL)
        self.control.close()
        self.checks.close()
        # It holds a copy of every value that a program returns, beside its own expected one.
        set_limit(resource.RLIMIT_AS, 2 * self.limits.memory_mb * 2**20)
        gc.enable()
        checker.serve(theirs)

    def serve(self) -> None:
        while True:
            word, descriptors = wire.receive_descriptors(self.control, 1)
            if not word:
                break
            self._serve_one(descriptors[0], alone=word == ALONE)
        if self.next is not None:
            self._end(self.next)
        self.checks.close()
        self.layer.leave()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()  # so that the time they took counts as the caller's

    def _serve_one(self, job: int, alone: bool) -> None:
        self.served += 1
        runner, self.next = self.next or self._fork_candidate(), None
        if runner is None:
            os.close(job)
            self._report(Report(worn=True, fault="could not start a process"))
            return
        start = time.monotonic()
        wire.send_descriptors(self.checks, b"j", job, runner.checks_end.fileno())
        os.close(job)
        watch = _Watch(self, runner, start, alone)
        watch.wait()
        ended_by_itself = runner.status is not None
        seconds = time.monotonic() - start
        self._end(runner)
        worn = watch.checker_is_lost or self.served >= PROGRAMS_PER_CHECKER
        status, usage = runner.status if ended_by_itself else None, runner.usage
        cpu, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        self._report(Report(worn, watch.timed_out, seconds, status, cpu, memory, bytes(watch.output)))
        if not worn:
            self.layer.tidy()
            self.next = self._fork_candidate()

    def _report(self, report: Report) -> None:
        wire.send_frame(self.control, report.to_bytes())

    def _end(self, runner: _Candidate) -> None:
        if runner.status is None:
            os.kill(runner.pid, signal.SIGKILL)
            runner.reap()
        self.layer.sweep()
        runner.close()


class _Watch:
    """Waits until the checker is done with a program or the time is over, and keeps the program's output."""

    def __init__(self, zygote: Zygote, runner: _Candidate, start: float, alone: bool) -> None:
        self.zygote = zygote
        self.runner = runner
        self.start = start
        self.patience = 1.0 if alone else PATIENCE
        limits = zygote.limits
        self.deadline = start + min(limits.wall_seconds, self.patience * limits.cpu_seconds)
        self.output = bytearray()
        self.timed_out = False
        self.checker_is_lost = False

    def wait(self) -> None:
        runner, checks, control = self.runner, self.zygote.checks.fileno(), self.zygote.control.fileno()
        poll = select.poll()
        for descriptor in (checks, runner.reader, runner.pidfd):
            poll.register(descriptor, select.POLLIN)
        poll.register(control, select.POLLRDHUP)
        while True:
            left = self.deadline - time.monotonic()
            if left <= 0:
                left = self._seconds_left()
            ready = dict(poll.poll(left * 1000 + 1)) if left > 0 else {}
            if checks in ready:
                word = self.zygote.checks.recv(1)
                self.checker_is_lost = not word
                if word == ENDED:
                    self._wait_for_its_end()
                break
            if left <= 0 or control in ready:
                self.timed_out = True
                self._give_up()
                break
            if runner.pidfd in ready:
                poll.unregister(runner.pidfd)
                runner.reap()
                self._read_output()
                runner.hang_up()
            if runner.reader in ready and not self._read_output():
                poll.unregister(runner.reader)
        self._read_output()

    def _seconds_left(self) -> float:
        """From `deadline` on: until the clocks are to be looked at again. 0 or less: the time is over."""
        limits = self.zygote.limits
        left = self.start + limits.wall_seconds - time.monotonic()
        if self.runner.status is None:
            used = self.runner.cpu_seconds()
            if left <= 0 and used >= BUSY * limits.wall_seconds:
                left += (self.patience - 1) * limits.wall_seconds
            left = min(left, self.patience * limits.cpu_seconds - used)
        return float(left)

    def _wait_for_its_end(self) -> None:
        """A process that dies closes its descriptors before it can be asked what it died of."""
        poll = select.poll()
        poll.register(self.runner.pidfd, select.POLLIN)
        if self.runner.status is None and poll.poll(LAST_MOMENTS * 1000):
            self.runner.reap()

    def _give_up(self) -> None:
        """The time is over: end the program, then see whether the checker comes back."""
        pid = self.runner.pid
        if self.runner.status is None:
            os.kill(pid, signal.SIGKILL)
        self.runner.hang_up()
        poll = select.poll()
        poll.register(self.zygote.checks.fileno(), select.POLLIN)
        self.checker_is_lost = not poll.poll(CHECKER_PATIENCE * 1000) or not self.zygote.checks.recv(1)
        if self.checker_is_lost:
            os.kill(self.zygote.checker_pid, signal.SIGKILL)

    def _read_output(self) -> bool:
        """Keep what fits, drop the rest. False at the end of the stream."""
        for _ in range(64):
            try:
                data = os.read(self.runner.reader, 65_536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.output += data[: max(0, self.zygote.limits.output_bytes - len(self.output))]
        return True


def _socket_at(descriptor: int) -> wire.Socket:
    """A socket object whose descriptor each candidate's channel is put on before the fork."""
    ours, theirs = socketpair()
    with contextlib.closing(ours), contextlib.closing(theirs):
        os.dup2(theirs.fileno(), descriptor)
    sock = wire.Socket(fileno=descriptor)
    os.dup2(NOTHING, descriptor)
    return sock


def _fork(body: Callable[..., None], *arguments: Any) -> int:
    pid = system.fork()
    if pid == 0:
        _child(body, arguments)
    return pid


def _child(body: Callable[..., None], arguments: tuple[Any, ...]) -> NoReturn:
    try:
        body(*arguments)
        os._exit(0)
    finally:
        os._exit(70)
