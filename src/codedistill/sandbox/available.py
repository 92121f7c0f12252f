"""Which layers work on this machine: found out by running a program on each."""

from __future__ import annotations

import functools
from typing import Any

from codedistill.errors import InfrastructureError
from codedistill.sandbox.model import Limits, Program, Status
from codedistill.sandbox.worker import Worker, WorkerError

LAYERS = {
    "namespaces": "file system, process table and network of its own",
    "landlock": "files outside its folder are out of reach, but for reading the interpreter and the libraries",
    "rlimits": "limits only: what the user may read and write, a program may",
}
"""Strongest first, with what each one does."""

_PROBE = Program("def one():\n    return 1\n", "def check(candidate):\n    assert candidate() == 1\n", "one")


@functools.cache
def sandbox_layer() -> str:
    """Name of the strongest layer that works on this machine, tried once per process.

    `+seccomp` at its end: system calls are filtered too, sockets among them. Raises InfrastructureError where none
    works.
    """
    faults = []
    for name in LAYERS:
        full_name, fault = _try(name)
        if full_name is not None:
            return full_name
        faults.append(f"{name}: {fault}")
    raise InfrastructureError("no layer of the sandbox works here: " + "; ".join(faults))


def describe_layers() -> list[dict[str, Any]]:
    """Every layer, strongest first, as JSON values.

    Keys: `name`; `protects`, in words; `available`; `used` (by `run_programs`: the first available one); `seccomp`,
    whether system calls are filtered on it; `why`, what failed where it is not available.
    """
    layers: list[dict[str, Any]] = []
    for name, protects in LAYERS.items():
        full_name, fault = _try(name)
        available = full_name is not None
        layers.append(
            {
                "name": name,
                "protects": protects,
                "available": available,
                "used": available and not any(layer["available"] for layer in layers),
                "seccomp": full_name is not None and full_name.endswith("+seccomp"),
                "why": fault,
            }
        )
    return layers


@functools.cache
def _try(layer: str) -> tuple[str | None, str]:
    """The layer's full name and '', or None and what failed."""
    try:
        worker = Worker(layer, Limits(wall_seconds=30))
        try:
            result = worker.run(_PROBE)
        finally:
            worker.close()
    except (WorkerError, OSError, EOFError) as error:
        return None, str(error) or type(error).__name__
    if result.status is not Status.PASSED:
        return None, f"a correct program got the verdict {result.status}: {result.message}"
    return worker.layer, ""
