"""The environment of a run: versions, hardware, git commit."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("codedistill", "torch", "transformers", "accelerate", "peft", "safetensors", "tokenizers", "numpy")


def describe_environment(fingerprints: dict[str, str]) -> dict[str, Any]:
    """Plain data for environment.json; `fingerprints` are SHA-256 sums of the run's inputs.

    Unknown values are None, as is `git` outside of a repository.
    """
    import torch

    processor, memory = platform.processor() or platform.machine(), None
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    with suppress(OSError, ValueError):
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    packages: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    git = None
    with suppress(OSError, subprocess.SubprocessError):
        commit, changes = (
            subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
        git = {"commit": commit, "changed": bool(changes)}
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": memory,
        "accelerators": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": packages,
        "git": git,
        "fingerprints": fingerprints,
    }


def package_version() -> str:
    """The version of codedistill that runs."""
    return metadata.version("codedistill")


def peak_memory_mb() -> float:
    """Peak memory of this process in megabytes: of the accelerator if there is one, else resident memory."""
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e6, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)
