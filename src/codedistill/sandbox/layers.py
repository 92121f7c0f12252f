"""What stands between a program and the machine, from the strongest layer to the weakest.

    namespaces   own user, process, network, IPC and mount namespaces: another file system, no network, no other process
    landlock     the kernel's Landlock rules over the real file system
    rlimits      limits only: files of the same user are within reach

The strongest one that works is chosen. `+seccomp` at the end of a layer's name: system calls are filtered as well.
"""

from __future__ import annotations

import contextlib
import glob
import os
import resource
import signal
import sys
from math import ceil
from typing import TYPE_CHECKING

from . import seccomp, system

if TYPE_CHECKING:
    from .model import Limits

NOBODY = 65534
"""User and group that programs run as where the sandbox is started by root."""

DESCRIPTORS = 256
"""More than a zygote ever has open."""


class Layer:
    """The weakest layer; the others build on it. One instance per zygote, which outlives many programs.

    Order of calls: `prepare` and `separate` once; then per program `enter_program` in the forked process, `sweep` and
    `tidy`.
    """

    name = "rlimits"
    in_the_open = True
    """Other processes and the machine's own files are visible to the program."""
    guards_files = False
    """The layer itself keeps a program from files outside its folder."""

    def __init__(self, folder: str, limits: Limits) -> None:
        self.limits = limits
        self.folder = folder
        self.home = os.path.join(folder, "program")
        self.user: int | None = None
        self.filtered = seccomp.available()
        self.spare: list[int] = []
        """Processes of the zygote that are not the program's."""

    def prepare(self) -> None:
        """Make the zygote itself ready. Raises OSError where this machine cannot have the layer."""
        system.forbid_inspection()
        system.adopt_orphans()
        os.mkdir(self.home, 0o700)
        if os.getuid() == 0:
            os.chmod(self.folder, 0o711)
            if _readable_as(NOBODY, self.folder):
                self.user = NOBODY
                os.chown(self.home, NOBODY, NOBODY)
            elif not self.guards_files:
                raise OSError("root would have to run programs as root: no other user can read this Python's library")
        # RLIMIT_NPROC counts all processes of the user on the whole machine, so here it can only stop a fork bomb.
        self._others = _threads_of(self.user if self.user is not None else os.getuid()) + 64

    def full_name(self) -> str:
        return f"{self.name}+seccomp" if self.filtered else self.name

    def separate(self) -> None:
        """Called once, after the checker has been forked: every process forked from here on is a program's.

        What the zygote can take upon itself is done here: its children inherit it, and no program pays for it.
        """
        os.chdir(self.home)
        os.environ.clear()
        os.environ.update(HOME=self.home, TMPDIR=self.home, LANG="C.UTF-8", PATH="/usr/bin:/bin")
        set_limit(resource.RLIMIT_CORE, 0)
        set_limit(resource.RLIMIT_FSIZE, self.limits.file_mb * 2**20)
        set_limit(resource.RLIMIT_NOFILE, self.limits.open_files)
        set_limit(resource.RLIMIT_AS, self.limits.memory_mb * 2**20)
        system.forbid_new_privileges()
        # The limit on processes does not bind root.
        forks = os.getuid() != 0 or self.user is not None
        self.filter = seccomp.instructions(self.in_the_open, forks) if self.filtered else None
        cpu = self.limits.cpu_seconds if self.limits.cpu_seconds is not None else self.limits.wall_seconds + 1
        self.cpu = ceil(cpu)

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
        system.die_with_parent(signal.SIGKILL)  # a change of user would have cancelled it
        if self.filter is not None:
            system.filter_system_calls(seccomp.for_process(self.filter, os.getpid()))

    def sweep(self, program: int) -> None:
        """Kill what the program has started. The program itself has been reaped."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(program, signal.SIGKILL)
        while orphans := _children() - set(self.spare):
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in orphans:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def tidy(self) -> None:
        """Make the home folder empty for the next program."""
        os.chmod(self.home, 0o700)
        for name in os.listdir(self.home):
            remove_tree(os.path.join(self.home, name))


def _children() -> set[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return set(map(int, file.read().split()))
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == os.getpid()}


def _parent(process: int) -> int | None:
    try:
        with open(f"/proc/{process}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _threads_of(user: int) -> int:
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == user:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count


def _readable_as(user: int, folder: str) -> bool:
    """Can `user` reach the folder and Python's standard library?"""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os.stat(os.path.join(folder, "."))
            os.listdir(os.path.dirname(os.__file__))
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


def remove_tree(path: str) -> None:
    """Delete a file or a folder with everything in it, whatever its modes. Follows no links."""
    try:
        os.unlink(path)
        return
    except (IsADirectoryError, PermissionError):
        pass
    except FileNotFoundError:
        return
    pending = [path]
    while pending:
        folder = pending[-1]
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
        deeper = []
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    deeper.append(entry.path)
                else:
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)
        if deeper:
            pending += deeper
            continue
        pending.pop()
        os.rmdir(folder)


def readable_places() -> list[str]:
    """What a program may read of the machine's files: the interpreter, the system's libraries and programs."""
    places = ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/localtime", "/etc/ld.so.cache"]
    places = [place for place in places if os.path.exists(place)]
    for prefix in {os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)}:
        if not any(prefix == place or prefix.startswith(f"{place}/") for place in places):
            places.append(prefix)
    return places


def hidden_places() -> list[str]:
    """Third-party packages below the readable places: benchmarks are distributed as packages, answers included."""
    prefixes = {os.path.realpath(sys.base_prefix), "/usr", "/usr/local"}
    patterns = [f"{p}/lib*/python*/{kind}-packages" for p in prefixes for kind in ("site", "dist")]
    return sorted({os.path.realpath(path) for pattern in patterns for path in glob.glob(pattern)})


DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
