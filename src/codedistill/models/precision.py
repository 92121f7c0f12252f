"""What a processor computes rightly."""

from __future__ import annotations

import subprocess
import sys
from functools import cache


@cache
def bfloat16_fault() -> str | None:
    """How a matrix product on the CPU ended where it did not work, in a process of its own: some virtual machines
    announce instructions that they lack, and the first one kills."""
    code = "import torch; a = torch.ones(64, 64, dtype=torch.bfloat16); assert (a @ a).sum() == 64**3"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    if done.returncode == 0:
        return None
    return f"a matrix product ended with {'signal' if done.returncode < 0 else 'code'} {abs(done.returncode)}"
