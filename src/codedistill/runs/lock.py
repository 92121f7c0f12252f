"""One writer to a folder. The operating system frees the lock when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from codedistill.errors import UserError

LOCK = ".lock"

PATIENCE = 0.5
"""Seconds to wait for a lock: `is_held` takes it for a moment."""


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder for this process. It is created if need be, and removed again if nothing was put into it.

    Raises:
        UserError: another live process holds it, or it cannot be used.
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=PATIENCE)
    try:
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        made = made or list(folder.iterdir()) == [path]  # nothing but a claim, see `free_directory`
        lock.acquire()
    except Timeout:
        owner = ""
        with contextlib.suppress(OSError):
            owner = f" (process {path.read_text()})"
        raise UserError(f"output {folder}: in use by a live run{owner}; wait for it or choose another output") from None
    except OSError as error:
        raise UserError(f"output {folder}: cannot be used: {error.strerror or error}; choose another output") from None
    try:
        with contextlib.suppress(OSError):
            path.write_text(str(os.getpid()))
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # before the release: whoever waits for the removed file then opens a new one
        lock.release()
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def is_held(folder: Path) -> bool:
    """Another process holds the folder, or this one does."""
    path = folder / LOCK
    try:
        with FileLock(path, timeout=0) if path.exists() else contextlib.nullcontext():
            return False
    except Timeout:
        return True
    except OSError:
        return False
