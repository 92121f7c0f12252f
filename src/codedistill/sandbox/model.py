"""What goes into the sandbox and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a program ended. Exactly one holds, and only PASSED means that every check was done and held."""

    PASSED = "passed"
    FAILED = "failed"  # an exception, a failing assertion among them
    TIMEOUT = "timeout"  # wall or CPU time
    MEMORY = "memory"
    CRASHED = "crashed"  # ended by a signal
    EXITED = "exited"  # ended by itself before the checks were done: sys.exit, os._exit


@dataclass(frozen=True)
class Program:
    """A program and the checks that it has to stand.

    `source` is untrusted. `checks` is trusted test code that defines `check(candidate)`; the sandbox calls
    `check(<entry_point>)`. With `entry_point` None, `checks` is a plain script that uses the names `source` defines.
    """

    source: str
    checks: str = ""
    entry_point: str | None = None


@dataclass(frozen=True)
class Limits:
    """What one program may use. `workers` is how many programs run at the same time (None: one per CPU)."""

    wall_seconds: float = 5.0
    cpu_seconds: float | None = None
    """CPU seconds of one process of the program. None: the wall time plus one."""
    memory_mb: int = 1024
    """Address space of one process of the program, in MiB."""
    file_mb: int = 64
    """Largest file, and, where the layer has its own file system, all files together, in MiB."""
    processes: int = 32
    """Processes and threads of the program together."""
    open_files: int = 64
    output_bytes: int = 65_536
    """How much of the standard output is kept. The rest is read and thrown away."""
    workers: int | None = None

    @property
    def cpu_budget(self) -> float:
        """CPU seconds of the program's first process, and of those of its children that it has waited for."""
        return self.cpu_seconds if self.cpu_seconds is not None else self.wall_seconds + 1

    def __post_init__(self) -> None:
        for name in ("wall_seconds", "memory_mb", "file_mb", "processes", "open_files"):
            if getattr(self, name) <= 0:
                raise ValueError(f"Limits.{name} must be above 0, not {getattr(self, name)!r}")
        if self.open_files < 16:
            raise ValueError(f"Limits.open_files must be at least 16, not {self.open_files}")
        if self.output_bytes < 0:
            raise ValueError(f"Limits.output_bytes must not be negative, not {self.output_bytes}")
        for name in ("cpu_seconds", "workers"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"Limits.{name} must be above 0 or None, not {value!r}")


@dataclass(frozen=True)
class Result:
    """What became of one program."""

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
    cpu_seconds: float = 0.0
    """CPU time of the program's first process, its threads and the children that it has waited for together."""
    stdout: str = ""
    layer: str = ""
    """What stood between the program and the machine: `sandbox_layer()` says what the names mean."""

    @property
    def passed(self) -> bool:
        return self.status is Status.PASSED
