"""The strongest layer: a program sees a file system, a network and a process table of its own.

A worker's supervisor lives in namespaces of its own, made once. A root folder in memory shows the interpreter and the
system's libraries read-only; beside them there is only the program's home, in memory too and limited in size. Programs
run in a process namespace below the supervisor's, so they see neither it nor the checks, and one signal ends them all.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from typing import TYPE_CHECKING

from . import system
from .places import DEVICES, hidden_places, readable_places
from .rlimits import Layer, set_limit

if TYPE_CHECKING:
    from .model import Limits

_INSIDE = 1000
"""User and group id inside the namespaces."""

_NOBODY = 65534
"""The user outside the namespaces, where the sandbox is started by root."""

_FILES_AT_MOST = 20_000
_HOMES = ("/tmp", "/home", "/program")


class NamespaceLayer(Layer):
    """`Layer` that shares nothing with the machine but the kernel."""

    name = "namespaces"
    protects = "file system, process table and network of its own"
    in_the_open = False

    def __init__(self, folder: str, limits: Limits, third_party: list[str]) -> None:
        super().__init__(folder, limits, third_party)
        self._sweeper: socket.socket | None = None
        self._like_new: tuple[int, ...] = ()
        """How the empty home folder looks."""

    def prepare(self) -> None:
        """Raises OSError if one of the namespaces cannot be made."""
        root = os.getuid() == 0
        self._leave_the_machine()
        pid = os.fork()
        if pid:  # its child, the first process of the new process namespace, goes on; this one only waits for it
            os.closerange(3, 65_536)
            _, status = os.waitpid(pid, 0)
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        system.mount("none", "/", None, system.MS_REC | system.MS_PRIVATE)
        # To the kernel the supervisor is still the caller, and only the caller may be able to reach these places.
        places = readable_places()
        hidden = hidden_places(places, self.third_party)
        trees: dict[str, tuple[int | str, bool]] = {}
        for place in (*places, *DEVICES):
            is_folder = os.path.isdir(place)
            if os.path.islink(place) and is_folder:  # /bin -> usr/bin
                trees[place] = os.readlink(place), is_folder
            elif os.path.exists(place):
                trees[place] = system.clone_tree(place), is_folder
        _mount_memory(self.folder, f"size=4m,nr_inodes=4096,mode=755,uid={_INSIDE},gid={_INSIDE}")
        os.chdir(self.folder)
        if root:
            os.setgroups([])
        os.setresgid(_INSIDE, _INSIDE, _INSIDE)
        os.setresuid(_INSIDE, _INSIDE, _INSIDE)
        system.prctl(system.DEATH_SIGNAL, signal.SIGKILL)  # only now: a change of user cancels it
        self._furnish(trees, hidden)
        system.enter_root()
        system.prctl(system.DUMPABLE, 0)

    def _leave_the_machine(self) -> None:
        """Unshare everything, with the user mapped to one without privileges."""
        user, group = os.getuid(), os.getgid()
        outside = (_NOBODY, _NOBODY) if user == 0 else (user, group)
        ours, theirs = socket.socketpair()
        mapper = os.fork()
        if mapper == 0:
            # Only a process that stayed outside may write the maps.
            try:
                theirs.recv(1)
                here = f"/proc/{os.getppid()}"
                maps = {"setgroups": "deny"} if user != 0 else {}
                maps |= {"uid_map": f"{_INSIDE} {outside[0]} 1", "gid_map": f"{_INSIDE} {outside[1]} 1"}
                for name, text in maps.items():
                    with open(f"{here}/{name}", "w") as file:
                        file.write(text)
                os._exit(0)
            except BaseException:
                os._exit(1)
        try:
            flags = system.CLONE_NEWUSER | system.CLONE_NEWNS | system.CLONE_NEWPID | system.CLONE_NEWNET
            system.unshare(flags | system.CLONE_NEWIPC | system.CLONE_NEWUTS)
        finally:
            ours.sendall(b"m")
            _, status = os.waitpid(mapper, 0)
            ours.close()
            theirs.close()
        if status != 0:
            raise OSError("the user could not be mapped into a namespace")

    def _furnish(self, trees: dict[str, tuple[int | str, bool]], hidden: list[str]) -> None:
        """Build the root folder in the current one. `trees`: by path, its copy or where it leads; is it a folder?"""
        for place, (tree, is_folder) in trees.items():
            target = place.lstrip("/")
            if isinstance(tree, str):
                os.symlink(tree, target)
                continue
            os.makedirs(target if is_folder else os.path.dirname(target), exist_ok=True)
            if not is_folder:
                os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o666))
            system.attach_tree(tree, target)
            os.close(tree)
        for path in hidden:
            if os.path.isdir(path.lstrip("/")):
                _mount_memory(path.lstrip("/"), "size=4k,nr_inodes=2,mode=555")
                system.make_read_only(path.lstrip("/"))
        # Python itself may be installed below one of the first two.
        self.home = next(home for home in _HOMES if not any(place.startswith(f"{home}/") for place in trees))
        os.makedirs(self.home.lstrip("/"))
        size = f"size={self.limits.file_mb}m,nr_inodes={_FILES_AT_MOST}"
        _mount_memory(self.home.lstrip("/"), f"{size},mode=700,uid={_INSIDE},gid={_INSIDE}", system.MS_NOATIME)
        os.symlink(self.home, "dev/shm")
        system.make_read_only(".")

    def separate(self) -> None:
        """Start the first process of the programs' namespace: they cannot hurt it, and it can kill them all at once."""
        system.unshare(system.CLONE_NEWPID)
        self._sweeper, theirs = socket.socketpair()
        if os.fork() == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans end here, and their status is not needed
                os.closerange(3, theirs.fileno())
                os.closerange(theirs.fileno() + 1, 65_536)
                system.prctl(system.DEATH_SIGNAL, signal.SIGKILL)
                while theirs.recv(1):
                    answer = _MORE
                    try:
                        os.kill(-1, signal.SIGKILL)  # all processes of the namespace but this one, its first
                    except ProcessLookupError:
                        answer = _GONE
                    theirs.sendall(answer)
            finally:
                os._exit(0)
        theirs.close()
        # The supervisor needs no privilege any more and is out of a program's reach: its children inherit all of it.
        super().separate()
        # Supervisor, its parent, checker, the checker's child for some checks, and sweeper run as the same user.
        set_limit(resource.RLIMIT_NPROC, self.limits.processes + 5)
        system.drop_capabilities()
        if self.filter is not None:
            system.filter_system_calls(self.filter)

    def confine(self) -> None:
        """Done once for all by the supervisor."""

    def sweep(self) -> None:
        assert self._sweeper is not None
        while True:
            self._sweeper.sendall(b"k")
            answer = self._sweeper.recv(1)
            if answer == _GONE:
                return
            if not answer:
                raise OSError("the sweeper has ended")
            # A program without a filter can make children of its parent, this process, which must reap them.
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.0005)

    def tidy(self) -> None:
        """Empty the home folder unless its size, mode and times show that it is untouched."""

        def look() -> tuple[int, ...]:
            found = os.stat(self.home)
            return found.st_size, found.st_nlink, found.st_mode, found.st_mtime_ns, found.st_atime_ns

        if look() != self._like_new:
            super().tidy()
            self._like_new = look()

    def leave(self) -> None:
        assert self._sweeper is not None
        self._sweeper.close()


_GONE, _MORE = b"g", b"m"


def _mount_memory(target: str, options: str, flags: int = 0) -> None:
    system.mount("tmpfs", target, "tmpfs", system.MS_NOSUID | system.MS_NODEV | flags, options)
