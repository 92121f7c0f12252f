"""What a zygote is told of one program and reports of it.

Packed by hand: each page that a process that forks writes to costs it time.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

BUSY = 0.95
"""A program that had this share of its time limit on a CPU was not kept from computing."""

PATIENCE = 2.0
"""Beside other programs, a program that computes all the time gets this many times its time limit. Sharing a CPU's
caches and execution units makes computing slower, but not by more: who is not done then would not be done alone."""

ALONE, BESIDE_OTHERS = b"a", b"b"
"""What comes with a job: whether the machine runs anything else meanwhile, so that computing may be slower."""

REACHED = b"r"
"""What the caller is told when the source has run to its end and the checks begin, before the verdict."""

_HEAD = struct.Struct("<??d?iddI")


class Report(NamedTuple):
    """How a program's processes ended."""

    worn: bool = False
    """The zygote asks to be replaced."""
    timed_out: bool = False
    seconds: float = 0.0
    candidate: int | None = None
    """The wait status of the program's first process, None if it did not end by itself."""
    cpu_seconds: float = 0.0
    memory_mb: float = 0.0
    stdout: bytes = b""
    fault: str = ""
    """Not empty: there was no program, for this reason."""

    def to_bytes(self) -> bytes:
        worn, timed_out, seconds, status, cpu, memory, stdout, fault = self
        ended, status = status is not None, status or 0
        return _HEAD.pack(worn, timed_out, seconds, ended, status, cpu, memory, len(stdout)) + stdout + fault.encode()

    @staticmethod
    def from_bytes(data: bytes) -> Report:
        """Raises struct.error for what is too short to be a report."""
        worn, timed_out, seconds, ended, status, cpu, memory, size = _HEAD.unpack_from(data)
        stdout, fault = data[_HEAD.size : _HEAD.size + size], data[_HEAD.size + size :].decode()
        return Report(worn, timed_out, seconds, status if ended else None, cpu, memory, stdout, fault)
