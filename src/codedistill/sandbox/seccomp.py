"""The filter of system calls: no sockets, no new namespaces, nothing to inspect or steer other processes with, and no
memory that no limit counts or that outlives its maker.
"""

from __future__ import annotations

import os
import struct

from . import system

_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7
ARCHITECTURES = {"x86_64": (_X86_64, 0), "aarch64": (_AARCH64, 1)}
"""Machine name to (audit architecture, column of the tables below)."""

# name: (number on x86_64, number on aarch64), None where the architecture has no such call.
FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # Other processes, mounts, namespaces, keys, and what reaches around the filter.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430),
    "unshare": (272, 97), "setns": (308, 268), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "open_by_handle_at": (304, 265),
    "process_madvise": (440, 440), "migrate_pages": (256, 238), "move_pages": (279, 239), "quotactl": (179, 60),
    "syslog": (103, 116), "socket": (41, 198), "mknod": (133, None), "mknodat": (259, 33),
    # Memory that outlives its maker, or that neither the limit on memory nor that on files counts.
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180), "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # Marks on the home folder itself, which is the next program's.
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setxattrat": (463, 463), "removexattrat": (466, 466),
    # Priorities of other processes, such as the one that ends programs.
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274),
}  # fmt: skip

FORBIDDEN_IN_THE_OPEN: dict[str, tuple[int | None, int | None]] = {
    # Where other processes are visible to the program, signals to them; and changes of a file's attributes, which
    # Landlock does not cover.
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
}  # fmt: skip

_ONLY_ITSELF = {"kill": (62, 129), "tgkill": (234, 131)}
"""In the open: allowed where the first argument, a process, is the caller itself."""
_SIGNALLING = {"fcntl": ((72, 25), (8, 10, 15)), "ioctl": ((16, 29), (0x8901, 0x8902, 0x5412))}
"""In the open: second arguments (F_SETOWN, F_SETSIG, F_SETOWN_EX; FIOSETOWN, SIOCSPGRP, TIOCSTI) that make the kernel
send signals to another process, or type on its terminal."""
_LIMITS = (302, 261)
"""prlimit64: only where the first argument, a process, is 0, the caller: not on the process that ends programs."""
_PROCESS_CONTROL = (157, 167)
"""prctl: not with the option that would let the program outlive its supervisor."""
_SOCKET_PAIR, _LOCAL, _STREAM, _KIND_OF_SOCKET = (53, 199), 1, 1, 0xF
"""socketpair: only of AF_UNIX and SOCK_STREAM. An unconnected kind, or another family, reaches beyond the pair."""
_FORKS: dict[str, tuple[int | None, int | None]] = {"fork": (57, None), "vfork": (58, None)}
_CLONE, _CLONE3 = (56, 220), (435, 435)

_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag
_CLONE_PARENT = 0x00008000  # a child of the supervisor, which does not know it
_CLONE_THREAD = 0x00010000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _MASK, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
# Offsets in struct seccomp_data; of the arguments, the low half.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
PROCESS = struct.pack("<I", 0x7EDCBA98)
"""Stands for the process in a filter that is made before it starts."""

_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _EAGAIN, _ENOSYS = 1, 11, 38


def instructions(in_the_open: bool, forks: bool) -> bytes:
    """A filter in which PROCESS stands for the process. Without `forks` a program may start threads, no processes."""
    audit, column = ARCHITECTURES[os.uname().machine]
    allow = (_RETURN, 0, 0, _ALLOW)
    refuse, again, unknown = ((_RETURN, 0, 0, _FAIL | error) for error in (_EPERM, _EAGAIN, _ENOSYS))
    first, second = (_LOAD, 0, 0, _FIRST_ARGUMENT), (_LOAD, 0, 0, _SECOND_ARGUMENT)

    def only(number: int, *test: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
        """Allow the call `number` if `test` falls through, forbid it if the test's last instruction skips one."""
        return [(_EQUAL, 0, len(test) + 2, number), *test, allow, refuse]

    program = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, audit), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    if audit == _X86_64:
        program += [(_AT_LEAST, 0, 1, 0x40000000), refuse]  # the x32 numbers
    for calls in (FORBIDDEN | FORBIDDEN_IN_THE_OPEN if in_the_open else FORBIDDEN).values():
        if (number := calls[column]) is not None:
            program += [(_EQUAL, 0, 1, number), refuse]
    if not forks:
        for calls in _FORKS.values():
            if (number := calls[column]) is not None:
                program += [(_EQUAL, 0, 1, number), again]
    if in_the_open:
        for numbers in _ONLY_ITSELF.values():
            program += only(numbers[column], first, (_EQUAL, 0, 1, int.from_bytes(PROCESS, "little")))
        for numbers, commands in _SIGNALLING.values():
            program += [(_EQUAL, 0, 2 + 2 * len(commands), numbers[column]), second]
            for command in commands:
                program += [(_EQUAL, 0, 1, command), refuse]
            program += [allow]
    program += only(_LIMITS[column], first, (_EQUAL, 0, 1, 0))
    kind = (second, (_MASK, 0, 0, _KIND_OF_SOCKET), (_EQUAL, 0, 3, _STREAM))
    program += only(_SOCKET_PAIR[column], *kind, first, (_EQUAL, 0, 1, _LOCAL))
    program += only(_PROCESS_CONTROL[column], first, (_EQUAL, 1, 0, system.DEATH_SIGNAL))
    # clone3 keeps its flags in memory, where a filter cannot see them: without it, the C library takes clone.
    program += [(_EQUAL, 0, 1, _CLONE3[column]), unknown]
    program += [(_EQUAL, 0, 5, _CLONE[column]), first, (_ANY_BIT, 0, 1, _NEW_NAMESPACES | _CLONE_PARENT), refuse]
    program += [(_ANY_BIT, 1, 0, 0 if forks else _CLONE_THREAD), allow if forks else again, allow]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
