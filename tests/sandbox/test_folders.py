"""Deleting what a program has left, whatever it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codedistill.sandbox.folders import empty_folder


def _nest(folder: Path, depth: int) -> None:
    """Folders within folders, deeper than a path may be long."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


def test_deep_folders(tmp_path: Path) -> None:
    _nest(tmp_path, 1500)
    (tmp_path / "e").mkdir()
    _nest(tmp_path / "e", 5)
    empty_folder(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_wide_and_locked_folders(tmp_path: Path) -> None:
    for outer in range(10):
        for inner in range(10):
            folder = tmp_path / f"{outer}" / f"{inner}"
            folder.mkdir(parents=True)
            (folder / "file").write_text("x")
            folder.chmod(0)
        (tmp_path / f"{outer}").chmod(0)
    tmp_path.chmod(0)
    empty_folder(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [".", "below"])
def test_links_are_not_followed(tmp_path: Path, place: str) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    victim.mkdir()
    (victim / "file").write_text("kept")
    victim.chmod(0o755)
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "link").symlink_to(victim)
    (folder / place / "file").hardlink_to(victim / "file")
    os.mkfifo(folder / place / "pipe")
    empty_folder(str(folder))
    assert list(folder.iterdir()) == []
    assert (victim / "file").read_text() == "kept"
    assert victim.stat().st_mode & 0o777 == 0o755
