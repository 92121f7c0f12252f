"""The layers that work on this machine, found by running a program on each."""

from __future__ import annotations

import functools
import logging
import os
import time
from typing import Any

from codedistill.errors import InfrastructureError, UserError
from codedistill.sandbox.layers import LAYERS
from codedistill.sandbox.model import Isolation, Limits, Program, Status
from codedistill.sandbox.worker import Worker, WorkerError

log = logging.getLogger(__name__)

CHOICE = "CODEDISTILL_SANDBOX"
"""Environment variable with the name of the layer to use, instead of the strongest one that works."""

ATTEMPTS = 3
"""Tries of a layer before a weaker one is taken, if it failed for lack of a resource that may be free again."""

PROBE = Program(
    "def one():\n    return 1\n", "def check(candidate):\n    assert candidate() == 1\n", "one", Isolation.DATA
)
"""A program that passes."""


@functools.cache
def sandbox_layer() -> str:
    """Name of the strongest layer that works on this machine, tried once per process. A weaker one causes a warning.

    `+seccomp` at its end: system calls are filtered too, sockets among them. The environment variable
    CODEDISTILL_SANDBOX names a layer to use instead.

    Raises:
        UserError: CODEDISTILL_SANDBOX names no layer, or one that does not work here.
        InfrastructureError: no layer works here.
    """
    wanted = os.environ.get(CHOICE)
    if wanted:
        if wanted not in LAYERS:
            raise UserError(f"{CHOICE}={wanted}: no layer of this name; there are {', '.join(LAYERS)}")
        full_name, fault = _try(wanted)
        if full_name is None:
            raise UserError(f"{CHOICE}={wanted}: this layer does not work here: {fault}")
        return full_name
    faults: list[str] = []
    for name in LAYERS:
        full_name, fault = _try(name)
        if full_name is not None:
            if faults:
                log.warning("the sandbox uses a weaker layer, %s (%s)", full_name, "; ".join(faults))
            if name == "rlimits" and os.getuid() != 0:
                log.warning("on this layer programs can read and change your files; see docs/sandbox.md")
            return full_name
        faults.append(f"{name}: {fault}")
    raise InfrastructureError("no layer of the sandbox works here: " + "; ".join(faults))


def describe_layers() -> list[dict[str, Any]]:
    """Every layer, strongest first, as JSON values.

    Keys: `name`; `protects`, in words; `available`; `used`, by `run_programs`; `seccomp`, whether system calls are
    filtered on it; `why`, what failed where it is not available.
    """
    layers: list[dict[str, Any]] = []
    wanted = os.environ.get(CHOICE)
    for name, layer in LAYERS.items():
        full_name, fault = _try(name)
        first = not any(layer["used"] for layer in layers)
        used = full_name is not None and (name == wanted if wanted else first)
        layers.append(
            {
                "name": name,
                "protects": layer.protects,
                "available": full_name is not None,
                "used": used,
                "seccomp": full_name is not None and full_name.endswith("+seccomp"),
                "why": fault,
            }
        )
    return layers


@functools.cache
def _try(layer: str) -> tuple[str | None, str]:
    """The layer's full name and '', or None and what failed."""
    fault = ""
    for attempt in range(ATTEMPTS):
        time.sleep(0.3 * attempt)
        try:
            return _probe(layer), ""
        except (WorkerError, OSError, EOFError) as error:
            fault = str(error) or type(error).__name__
            if isinstance(error, WorkerError) and not error.passing:
                break
    return None, fault


def _probe(layer: str) -> str:
    worker = Worker(layer, Limits(cpu_seconds=30))
    try:
        result = worker.run(PROBE)
    finally:
        worker.close()
    if result.status is not Status.PASSED:
        raise WorkerError(f"a correct program got the verdict {result.status}: {result.message}")
    return worker.layer
