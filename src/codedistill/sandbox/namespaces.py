"""The strongest layer: a program sees a file system, a network and a process table made for it alone.

A worker's zygote lives in namespaces of its own, made once. A root folder in memory shows the interpreter and the
system's libraries read-only; beside them there is only the program's home, in memory too and limited in size. Programs
run in a process namespace below the zygote's, so they see neither it nor the checks, and one signal ends them all.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from typing import TYPE_CHECKING

from . import system
from .layers import DEVICES, NOBODY, Layer, hidden_places, readable_places, set_limit

if TYPE_CHECKING:
    from .model import Limits

_INSIDE = 1000
"""User and group id inside the namespaces."""

_FILES_AT_MOST = 20_000


class _Piece:
    """A file or folder of the machine, to be shown read-only at the same path of another root."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.link = os.readlink(path) if os.path.islink(path) and os.path.isdir(path) else None  # /bin -> usr/bin
        self.is_folder = os.path.isdir(path)
        self.tree = system.clone_tree(path) if self.link is None else None

    def place(self) -> None:
        target = self.path.lstrip("/")
        if self.tree is None:
            os.symlink(str(self.link), target)
            return
        os.makedirs(target if self.is_folder else os.path.dirname(target), exist_ok=True)
        if not self.is_folder:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o666))
        system.attach_tree(self.tree, target)
        os.close(self.tree)


class NamespaceLayer(Layer):
    """`Layer` without anything in common with the machine but the kernel."""

    name = "namespaces"
    in_the_open = False

    def __init__(self, folder: str, limits: Limits) -> None:
        super().__init__(folder, limits)
        self._sweeper: socket.socket | None = None

    def prepare(self) -> None:
        """Raises OSError where one of the namespaces is not to be had."""
        root = os.getuid() == 0
        self._leave_the_machine()
        self._become_first_process()
        system.mount("none", "/", None, system.MS_REC | system.MS_PRIVATE)
        # In the kernel's eyes the zygote is still the caller here, who alone may be able to reach these places.
        pieces = [_Piece(place) for place in (*readable_places(), *DEVICES) if os.path.exists(place)]
        hidden = [path for path in hidden_places() if os.path.isdir(path)]
        _mount_memory(self.folder, f"size=4m,nr_inodes=4096,mode=755,uid={_INSIDE},gid={_INSIDE}")
        os.chdir(self.folder)
        if root:
            os.setgroups([])
        os.setresgid(_INSIDE, _INSIDE, _INSIDE)
        os.setresuid(_INSIDE, _INSIDE, _INSIDE)
        system.die_with_parent(signal.SIGKILL)  # only now: a change of user cancels it
        self._furnish(pieces, hidden)
        system.pivot_root(".", ".")
        system.unmount(".")
        os.chdir("/")
        system.forbid_inspection()

    def _leave_the_machine(self) -> None:
        """Unshare everything, with the user mapped to one without privileges."""
        user, group = os.getuid(), os.getgid()
        outside = (NOBODY, NOBODY) if user == 0 else (user, group)
        ours, theirs = socket.socketpair()
        helper = os.fork()
        if helper == 0:
            # Only a process that stayed outside may write the maps.
            try:
                theirs.recv(1)
                here = f"/proc/{os.getppid()}"
                if user != 0:
                    _write(f"{here}/setgroups", "deny")
                _write(f"{here}/uid_map", f"{_INSIDE} {outside[0]} 1")
                _write(f"{here}/gid_map", f"{_INSIDE} {outside[1]} 1")
                os._exit(0)
            except BaseException:
                os._exit(1)
        try:
            flags = system.CLONE_NEWUSER | system.CLONE_NEWNS | system.CLONE_NEWPID | system.CLONE_NEWNET
            system.unshare(flags | system.CLONE_NEWIPC | system.CLONE_NEWUTS)
        finally:
            ours.sendall(b"m")
            _, status = os.waitpid(helper, 0)
            ours.close()
            theirs.close()
        if status != 0:
            raise OSError("the user could not be mapped into a namespace")

    @staticmethod
    def _become_first_process() -> None:
        """Go on in a child, the first process of the new process namespace; the parent only waits for it."""
        pid = os.fork()
        if pid:
            os.closerange(3, 65_536)
            _, status = os.waitpid(pid, 0)
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)

    def _furnish(self, pieces: list[_Piece], hidden: list[str]) -> None:
        """Build the root folder in the current one."""
        for piece in pieces:
            piece.place()
        for path in hidden:
            if os.path.isdir(path.lstrip("/")):
                _mount_memory(path.lstrip("/"), "size=4k,nr_inodes=2,mode=555")
                system.make_read_only(path.lstrip("/"))
        os.mkdir("tmp")
        size = f"size={self.limits.file_mb}m,nr_inodes={_FILES_AT_MOST}"
        _mount_memory("tmp", f"{size},mode=700,uid={_INSIDE},gid={_INSIDE}")
        os.symlink("/tmp", "dev/shm")
        system.make_read_only(".")
        self.home = "/tmp"

    def separate(self) -> None:
        """Start the first process of the programs' namespace: they cannot hurt it, and it can kill them all at once."""
        system.unshare(system.CLONE_NEWPID)
        self._sweeper, theirs = socket.socketpair()
        pid = os.fork()
        if pid:
            theirs.close()
            self._confine_zygote()
            return
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans end here; nobody asks how
            os.closerange(3, theirs.fileno())
            os.closerange(theirs.fileno() + 1, 65_536)
            system.die_with_parent(signal.SIGKILL)
            while theirs.recv(1):
                _kill_everything()
                theirs.sendall(b"k")
        finally:
            os._exit(0)

    def _confine_zygote(self) -> None:
        """The zygote needs no privilege any more and is out of a program's reach: its children inherit all of it."""
        super().separate()
        # The zygote, its parent, the checker and the sweeper are of the same user.
        set_limit(resource.RLIMIT_NPROC, self.limits.processes + 4)
        system.drop_capabilities()
        if self.filter is not None:
            system.filter_system_calls(self.filter)

    def confine(self) -> None:
        """Done once for all by the zygote."""

    def sweep(self, program: int) -> None:
        assert self._sweeper is not None
        self._sweeper.sendall(b"k")
        if not self._sweeper.recv(1):
            raise OSError("the sweeper has ended")


def _kill_everything() -> None:
    """All processes of the namespace but its first one, which this is. Returns when they are gone."""
    try:
        while True:
            os.kill(-1, signal.SIGKILL)
            time.sleep(0.0005)
    except ProcessLookupError:
        return


def _mount_memory(target: str, options: str) -> None:
    system.mount("tmpfs", target, "tmpfs", system.MS_NOSUID | system.MS_NODEV, options)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
