"""Whether this processor computes bfloat16 correctly."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

from codedistill.errors import UserError


def require_bfloat16(key: str) -> None:
    """Refuse bfloat16 on a CPU that announces it and computes it wrongly.

    Raises:
        UserError: it does; `key` is the recipe key that asks for bfloat16.
    """
    if (fault := bfloat16_fault()) is not None:
        raise UserError(
            f"{key} bfloat16: {fault} on this CPU; set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16, or use {key}=float32"
        )


@cache
def bfloat16_fault() -> str | None:
    """How a matrix product on the CPU failed; None if it works. It runs in its own process, because some virtual
    machines announce instructions that they lack, and the first one kills the process."""
    code = "import torch; a = torch.ones(64, 64, dtype=torch.bfloat16); assert (a @ a).sum() == 64**3"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    if done.returncode == 0:
        return None
    return f"a matrix product ended with {'signal' if done.returncode < 0 else 'code'} {abs(done.returncode)}"
