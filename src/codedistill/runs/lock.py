"""One writer to a folder. The lock ends with its process, however that ends, so that none is ever left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from codedistill.errors import UserError

LOCK = ".lock"

ATTEMPTS, PAUSE = 5, 0.1
"""Tries at a lock: whoever only asks whether a folder is held, holds it for a moment."""


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder for this process. It is made if need be, and removed again if nothing was put into it.

    Raises:
        UserError: another live process holds it, or it cannot be used.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _locked(folder / LOCK)
    except OSError as error:
        raise UserError(f"output {folder}: cannot be used: {error.strerror}; choose another output") from None
    with handle:
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(folder / LOCK)
                if made:
                    folder.rmdir()


def is_held(folder: Path) -> bool:
    """Another process holds the folder, or this one does."""
    try:
        with (folder / LOCK).open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _locked(path: Path) -> IO[str]:
    owner = "unknown"
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE * bool(attempt))
        handle = path.open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            owner = handle.read().strip() or owner
        else:
            if _is_file(handle, path):
                return handle
        handle.close()
    raise UserError(
        f"output {path.parent}: in use by a live run (process {owner}); wait for it or choose another output"
    )


def _is_file(handle: IO[str], path: Path) -> bool:
    """The open file still has that name: its last holder may have removed it since."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
