"""Deleting the folders of programs, whatever they contain."""

from __future__ import annotations

import os


def empty_folder(path: str) -> None:
    """Delete everything in a folder, whatever its modes. Raises OSError where something cannot be deleted.

    A program can nest folders deeper than a path may be long, or than a recursion may be deep. So nothing here goes
    down: a folder's own folders are moved up to the top before the folder is deleted. And nothing follows a link that a
    program puts in a folder's place: folders are opened first and changed by their descriptor.
    """
    top = _open_folder(path)
    try:
        moved = f"moved-{os.urandom(8).hex()}-"  # no name that is there already
        number = 0
        while names := os.listdir(top):
            for name in names:
                if _unlinked(name, top):
                    continue
                folder = _open_folder(name, top)
                try:
                    for inner in os.listdir(folder):
                        if not _unlinked(inner, folder):
                            os.close(_open_folder(inner, folder))  # what may not be written to may not be moved either
                            os.rename(inner, f"{moved}{number}", src_dir_fd=folder, dst_dir_fd=top)
                            number += 1
                finally:
                    os.close(folder)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _open_folder(name: str, above: int | None = None) -> int:
    """Descriptor of a folder that may now be listed and changed. Raises OSError if it is a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        folder = os.open(name, flags, dir_fd=above)
    except PermissionError:  # never for root, for whom alone a changed mode could be another's
        os.chmod(name, 0o700, dir_fd=above)
        folder = os.open(name, flags, dir_fd=above)
    os.fchmod(folder, 0o700)
    return folder


def _unlinked(name: str, folder: int) -> bool:
    """Delete an entry of a folder. False if it is a folder itself."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return False
    return True
