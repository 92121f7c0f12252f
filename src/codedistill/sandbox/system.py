"""Linux system calls that the os module of Python 3.11 lacks. Every failure is an OSError."""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_PRIVATE, MS_REC = 1 << 18, 1 << 14
MS_NOSUID, MS_NODEV, MS_NOATIME = 2, 4, 1024
_MNT_DETACH = 2

DEATH_SIGNAL, DUMPABLE, NO_NEW_PRIVILEGES = 1, 4, 38
"""Options of `prctl`: the signal when the parent dies, which a change of user cancels; whether others of the same user
may look into the process, and cores are dumped; whether set-user-id programs gain nothing (both are inherited)."""

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SECCOMP_GET_ACTION_AVAIL, _SECCOMP_RET_ERRNO = 2, 0x00050000

# The newer calls have the same number on every architecture.
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return int(result)


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _checked(_libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]), f"mount {target}")


def enter_root() -> None:
    """Make the current folder the root, and let go of the old one."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, "pivot_root: not known for this architecture")
    _checked(_libc.syscall(number, b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/")


def clone_tree(path: str) -> int:
    """Descriptor of a detached, read-only copy of the mounts at `path` and below."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    tree = _checked(_libc.syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags), f"open_tree {path}")
    make_read_only("", tree, _AT_EMPTY_PATH | _AT_RECURSIVE)
    return tree


def attach_tree(tree: int, target: str) -> None:
    arguments = (_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    _checked(_libc.syscall(*arguments), f"move_mount {target}")


def make_read_only(path: str, descriptor: int = _AT_FDCWD, flags: int = 0) -> None:
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID, 0, 0, 0)
    arguments = (_MOUNT_SETATTR, descriptor, os.fsencode(path), flags, ctypes.byref(attributes), ctypes.c_size_t(32))
    _checked(_libc.syscall(*arguments), "mount_setattr")


def prctl(option: int, value: int) -> None:
    arguments = [ctypes.c_ulong(argument) for argument in (value, 0, 0, 0)]
    _checked(_libc.prctl(option, *arguments), f"prctl {option}")


def drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(header, nothing), "capset")


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def filter_system_calls(instructions: bytes) -> None:
    """Install a seccomp filter of classic BPF instructions (8 bytes each) for good."""
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = _FilterProgram(len(instructions) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    _checked(_libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(program), 0, 0), "seccomp")


def takes_filters() -> bool:
    """Does the kernel know filters of system calls that answer with an error, and do we know its system calls?"""
    number = _SECCOMP.get(os.uname().machine)
    if number is None or sys.byteorder != "little":
        return False
    action = ctypes.c_uint32(_SECCOMP_RET_ERRNO)
    return bool(_libc.syscall(number, _SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(action)) == 0)


# ABI version: (file rights it knows, network rights, scopes, bytes of the attribute structure). Rights are a growing
# set of bits: 13 in the first version, then REFER, TRUNCATE and IOCTL_DEV; TCP bind and connect since 4; signals and
# abstract sockets since 6. See Documentation/userspace-api/landlock.rst of the kernel.
_LANDLOCK_VERSIONS: dict[int, tuple[int, int, int, int]] = {
    1: (2**13 - 1, 0, 0, 8),
    2: (2**14 - 1, 0, 0, 8),
    3: (2**15 - 1, 0, 0, 8),
    4: (2**15 - 1, 3, 0, 16),
    5: (2**16 - 1, 3, 0, 16),
    6: (2**16 - 1, 3, 3, 24),
}


def landlock_ruleset() -> tuple[int, int]:
    """Descriptor of a ruleset that handles all that this kernel's Landlock can, and the file rights among it."""
    version = _libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        raise OSError("the kernel has no Landlock, or has it switched off")
    *rights, size = _LANDLOCK_VERSIONS[min(version, max(_LANDLOCK_VERSIONS))]
    attributes = (ctypes.c_uint64 * 3)(*rights)
    arguments = (_LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0))
    return _checked(_libc.syscall(*arguments), "landlock_create_ruleset"), rights[0]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def landlock_allow(ruleset: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(access, descriptor)
        arguments = (_LANDLOCK_ADD_RULE, ruleset, 1, ctypes.byref(rule), ctypes.c_uint32(0))
        _checked(_libc.syscall(*arguments), f"landlock_add_rule {path}")
    finally:
        os.close(descriptor)


def landlock_restrict(ruleset: int) -> None:
    _checked(_libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)), "landlock_restrict_self")
