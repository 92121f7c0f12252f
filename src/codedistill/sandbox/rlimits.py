"""The weakest layer, limits only, of which the others are made."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
from math import ceil
from typing import TYPE_CHECKING

from . import seccomp, system
from .folders import empty_folder
from .places import library

if TYPE_CHECKING:
    from .model import Limits

USERS = range(61_184, 65_520)
"""Users that programs run as where the sandbox is started by root: a free one for each worker, so that
programs of different workers cannot reach each other. No account has these numbers: systemd reserves them for temporary
users."""

DESCRIPTORS = 256
"""More than a supervisor ever has open."""


class Layer:
    """The weakest layer; the others build on it. One instance per supervisor, which outlives many programs.

    Order of calls: `prepare` and `separate` once; then per program `enter_program` in the forked process, `sweep` and
    `tidy`.
    """

    name = "rlimits"
    protects = "limits only: a program may read and write what the user may"
    in_the_open = True
    """Other processes and the machine's own files are visible to the program."""
    guards_files = False
    """The layer itself keeps a program from files outside its folder."""

    def __init__(self, folder: str, limits: Limits, third_party: list[str]) -> None:
        self.limits = limits
        self.third_party = third_party
        """Folders with packages, which programs must not read."""
        self.folder = folder
        self.home = os.path.join(folder, "program")
        self.user: int | None = None
        self.filtered = system.takes_filters()

    def prepare(self) -> None:
        """Make the supervisor itself ready. Raises OSError where this machine cannot have the layer."""
        if not self.filtered:
            # Nothing else keeps a program from starting a process that outlives it, or from signals to other ones.
            raise OSError("the kernel takes no filter of system calls, or this machine's system calls are not known")
        system.prctl(system.DUMPABLE, 0)
        os.mkdir(self.home, 0o700)
        if os.getuid() == 0:
            os.chmod(self.folder, 0o711)
            user, self._mark = _take_user()
            if _readable_as(user, self.folder):
                self.user = user
                os.chown(self.home, user, user)
            elif not self.guards_files:
                raise OSError("root would have to run programs as root: no other user can read this Python's library")
        # RLIMIT_NPROC counts all threads of the user on the whole machine, so here it can only stop a bomb of them.
        user, self._others = self.user if self.user is not None else os.getuid(), 64
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if entry.stat().st_uid == user:
                        self._others += len(os.listdir(f"/proc/{entry.name}/task"))

    def separate(self) -> None:
        """Called once, after the checker has been forked: every process forked from here on is a program's.

        The supervisor confines itself here as far as it can: its children inherit that at no cost.
        """
        os.chdir(self.home)
        os.environ.clear()
        os.environ.update(HOME=self.home, TMPDIR=self.home, LANG="C.UTF-8", PATH="/usr/bin:/bin")
        set_limit(resource.RLIMIT_CORE, 0)
        set_limit(resource.RLIMIT_FSIZE, self.limits.file_mb * 2**20)
        set_limit(resource.RLIMIT_NOFILE, self.limits.open_files)
        set_limit(resource.RLIMIT_AS, self.limits.memory_mb * 2**20)
        system.prctl(system.NO_NEW_PRIVILEGES, 1)
        # In the open, a child that outlives its program could not be told apart from other processes.
        self.filter = seccomp.instructions(self.in_the_open, forks=not self.in_the_open) if self.filtered else None
        # The supervisor watches the CPU time of the program's first process; this is for the processes that it starts.
        self.cpu = ceil(self.limits.cpu_seconds) + 1
        self.tidy()  # the first program finds the same as those after it

    def enter_program(self, highest_descriptor: int) -> None:
        """Confine the calling process, for good."""
        os.setsid()
        set_limit(resource.RLIMIT_CPU, self.cpu, self.cpu + 1)
        self.confine()
        os.closerange(highest_descriptor + 1, DESCRIPTORS)

    def confine(self) -> None:
        set_limit(resource.RLIMIT_NPROC, self.limits.processes + self._others)
        if self.user is not None:
            os.setgroups([])
            os.setresgid(self.user, self.user, self.user)
            os.setresuid(self.user, self.user, self.user)
        elif os.getuid() == 0:
            system.drop_capabilities()  # they lift limits
        system.prctl(system.DEATH_SIGNAL, signal.SIGKILL)  # a change of user would have cancelled it
        assert self.filter is not None
        system.filter_system_calls(self.filter.replace(seccomp.PROCESS, os.getpid().to_bytes(4, "little")))

    def sweep(self) -> None:
        """Kill the processes that the program has started. On this layer it cannot start any."""

    def tidy(self) -> None:
        """Empty the home folder for the next program, and reset its times, which could be a message."""
        empty_folder(self.home)
        os.utime(self.home, (0, 0))

    def leave(self) -> None:
        """End the processes of the layer itself."""


def _take_user() -> tuple[int, socket.socket]:
    """A user that no other worker on this machine has, and what keeps it ours while this process lives.

    Raises:
        OSError: there is none.
    """
    first = os.getpid() % len(USERS)
    for user in (*USERS[first:], *USERS[:first]):
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0codedistill-user-{user}")
        except OSError:
            mark.close()
        else:
            return user, mark
    raise OSError(errno.EAGAIN, "other workers have all the users that programs run as")


def _readable_as(user: int, folder: str) -> bool:
    """Can `user` reach the folder and Python's standard library?"""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os.stat(os.path.join(folder, "."))
            os.listdir(library())
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def set_limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit of the calling process, as far as an existing hard limit allows."""
    _, highest = resource.getrlimit(kind)
    hard = soft if hard is None else hard
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    resource.setrlimit(kind, (soft, hard))
