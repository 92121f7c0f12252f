"""Deleting what programs leave behind, whatever they made of it.

A program can nest folders deeper than a path may be long, or than a recursion may be deep. So nothing here goes down:
a folder's own folders are moved up to the top before the folder is deleted.
"""

from __future__ import annotations

import os


def empty_folder(path: str) -> None:
    """Delete everything in a folder, whatever its modes. Follows no links. No other process may write to it meanwhile.

    Raises OSError where something cannot be deleted.
    """
    os.chmod(path, 0o700)
    names = os.listdir(path)
    if not names:
        return
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        moved = f"moved-{os.urandom(8).hex()}-"  # no name that is there already
        number = 0
        while names:
            for name in names:
                if not _unlinked(name, top):
                    number = _lift_folders(name, top, moved, number)
                    os.rmdir(name, dir_fd=top)
            names = os.listdir(top)
    finally:
        os.close(top)


def remove_folder(path: str) -> None:
    """`empty_folder`, and then the folder itself."""
    empty_folder(path)
    os.rmdir(path)


def _unlinked(name: str, folder: int) -> bool:
    """Delete an entry of a folder that is no folder itself. False if it is one."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return False
    return True


def _lift_folders(name: str, top: int, moved: str, number: int) -> int:
    """Delete the files of `top`'s folder `name`, and move its folders to `top`, with names that count up."""
    os.chmod(name, 0o700, dir_fd=top)
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for inner in os.listdir(folder):
            if not _unlinked(inner, folder):
                os.chmod(inner, 0o700, dir_fd=folder)  # what may not be written to may not be moved either
                os.rename(inner, f"{moved}{number}", src_dir_fd=folder, dst_dir_fd=top)
                number += 1
    finally:
        os.close(folder)
    return number
