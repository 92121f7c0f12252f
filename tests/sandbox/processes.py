"""Living processes of this machine, as /proc tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def processes_with(text: str) -> list[str]:
    """Command lines of living processes that contain `text`."""
    return [line for line in map(_command_line, _all()) if text in line]


def descendants(process: int) -> list[int]:
    """Living children of a process, theirs, and so on."""
    children: dict[int, list[int]] = {}
    for path in _all():
        children.setdefault(_parent(path), []).append(int(path.name))
    found = children.get(process, []).copy()
    for pid in found:
        found += children.get(pid, [])
    return found


def _all() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*")


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
