"""One writer to a folder. The operating system frees the lock when its process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from codedistill.errors import UserError

LOCK = ".lock"

PATIENCE = 0.5
"""Seconds to wait for a lock, because `is_held` takes it for a moment."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder for this process. Folders that this makes are removed again if nothing was put into them.

    Raises:
        UserError: another live process holds it, or it cannot be used.
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=PATIENCE)
    try:
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        if list(folder.iterdir()) == [path]:  # nothing but a claim, see `free_directory`
            made = [folder]
        lock.acquire()
    except Timeout:
        owner = ""
        with suppress(OSError):
            owner = f" (process {path.read_text()})"
        raise UserError(f"output {folder}: in use by a live run{owner}; wait for it or choose another output") from None
    except OSError as error:
        raise UserError(f"output {folder}: cannot be used: {error.strerror or error}; choose another output") from None
    try:
        with suppress(OSError):
            path.write_text(str(os.getpid()))
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the release: a process that waits for the removed file then opens a new one
        lock.release()
        with suppress(OSError):
            for each in made:
                each.rmdir()


def is_held(folder: Path) -> bool:
    """Whether another process or this one holds the folder."""
    path = folder / LOCK
    try:
        with FileLock(path, timeout=0) if path.exists() else nullcontext():
            return False
    except Timeout:
        return True
    except OSError:
        return False
