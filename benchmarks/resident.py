"""This process's resident memory, in megabytes. Linux only: both numbers come from /proc."""

from __future__ import annotations

from pathlib import Path


def resident_megabytes() -> float:
    """What is resident now."""
    return _status("VmRSS")


def peak_megabytes() -> float:
    """The most that was resident since the process began, or since `reset_peak`."""
    return _status("VmHWM")


def reset_peak() -> None:
    """From here on the peak counts anew."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
