"""The input and output of the sandbox: programs, limits and results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a program ended. Exactly one holds, and only PASSED means that every check was run and held."""

    PASSED = "passed"
    FAILED = "failed"  # an exception, such as a failed assertion
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASHED = "crashed"  # ended by a signal
    EXITED = "exited"  # ended before the checks were done: sys.exit, os._exit
    BROKEN_CHECKS = "broken_checks"  # no verdict: no program could pass these checks


class Isolation(StrEnum):
    """Where the checks of a program run."""

    DATA = "data"
    """In a process of their own, which calls the program. Only plain data travels between the two."""
    SHARED = "shared"
    """In the program's process and namespace, as plain Python does."""


@dataclass(frozen=True)
class Program:
    """A program and its checks.

    `source` is untrusted. `checks` is trusted code that defines `check(candidate)`; the sandbox calls
    `check(<entry_point>)`, where the entry point is a name or an expression. With `entry_point` None, `checks` is a
    plain script that uses the names of `source`; it needs `shared`.
    """

    source: str
    checks: str = ""
    entry_point: str | None = None
    isolation: Isolation = Isolation.SHARED

    def __post_init__(self) -> None:
        object.__setattr__(self, "isolation", Isolation(self.isolation))
        if self.entry_point is None and self.isolation is Isolation.DATA:
            raise ValueError("a Program without an entry_point needs isolation='shared'")


@dataclass(frozen=True)
class Limits:
    """What one program may use. `workers` is how many programs run at the same time (None: one per CPU)."""

    cpu_seconds: float = 5.0
    """CPU time of the program, the children that it has waited for, and its checks, together."""
    idle_seconds: float | None = None
    """Time in which neither the program nor its checks compute. None: `cpu_seconds`, but at least 10."""
    memory_mb: int = 2048
    """Address space of one process of the program, in MiB."""
    file_mb: int = 64
    """Largest file, and, where the layer has its own file system, all files together, in MiB."""
    processes: int = 32
    """Processes and threads of the program together."""
    open_files: int = 64
    output_bytes: int = 65_536
    """How much of the standard output is kept. The rest is read and dropped."""
    workers: int | None = None

    def __post_init__(self) -> None:
        for name in ("cpu_seconds", "memory_mb", "file_mb", "processes", "open_files"):
            if getattr(self, name) <= 0:
                raise ValueError(f"Limits.{name} must be above 0, not {getattr(self, name)!r}")
        if self.open_files < 16:
            raise ValueError(f"Limits.open_files must be at least 16, not {self.open_files}")
        if self.output_bytes < 0:
            raise ValueError(f"Limits.output_bytes must not be negative, not {self.output_bytes}")
        for name in ("idle_seconds", "workers"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"Limits.{name} must be above 0 or None, not {value!r}")


@dataclass(frozen=True)
class Result:
    """The end of one program."""

    status: Status
    error_type: str | None = None
    """Name of the exception's class; 'TimeoutError' for a timeout; a signal's name for a crash; None for a pass."""
    message: str = ""
    """At most 500 characters."""
    line: int | None = None
    """1-based line of `Program.source`: the innermost frame of the program's own code, or the line of a SyntaxError."""
    raised_in: str | None = None
    """'source' or 'checks': where the exception was raised."""
    reached_checks: bool = False
    """The source ran to its end and the checks began to use it."""
    raised_deliberately: bool = False
    """A `raise` statement of the source raised the exception."""
    seconds: float = 0.0
    """Wall time."""
    cpu_seconds: float = 0.0
    """CPU time that counts against `Limits.cpu_seconds`."""
    stdout: str = ""
    layer: str = ""
    """The layer that confined the program; docs/sandbox.md describes the layers."""

    @property
    def passed(self) -> bool:
        return self.status is Status.PASSED
