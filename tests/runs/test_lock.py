"""One writer to a folder, and files that are whole whoever else writes them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from codedistill.errors import UserError
from codedistill.runs.files import write_json
from codedistill.runs.lock import hold, is_held

HOLDER = """
import sys, time
from pathlib import Path
from codedistill.runs.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

STARTER = """
import sys
from pathlib import Path
from codedistill.runs.directory import free_directory
print("ready", flush=True)
sys.stdin.readline()
print(free_directory("a", Path(sys.argv[1])).name)
"""

WRITER = """
import sys
from pathlib import Path
from codedistill.runs.files import write_json
for _ in range(60):
    write_json(Path(sys.argv[1]), [sys.argv[2]] * 500)
"""


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert is_held(folder)
        with pytest.raises(UserError, match=rf"{folder}: .*\(process {other.pid}\)"), hold(folder):
            pass
        other.kill()
    assert not is_held(folder)  # whatever the process left behind
    with hold(folder):
        assert is_held(folder)
    assert not folder.exists()  # nothing was put into it


def test_a_folder_that_was_made_for_nothing_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(tmp_path / "out"):
        raise ZeroDivisionError
    assert not (tmp_path / "out").exists()
    with pytest.raises(ZeroDivisionError), hold(tmp_path / "some" / "model" / "tiny"):
        raise ZeroDivisionError
    assert not (tmp_path / "some").exists()
    with hold(tmp_path / "out"):
        (tmp_path / "out" / "file").touch()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["file"]


def test_a_folder_that_is_not_empty_stays(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with hold(tmp_path):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_short_wait_is_not_an_error(tmp_path: Path) -> None:
    with hold(tmp_path):
        waiting = threading.Thread(target=lambda: held.append(_held(tmp_path)))
        held: list[bool] = []
        waiting.start()
        waiting.join(0.15)
        assert waiting.is_alive()
    waiting.join()
    assert held == [True]


def _held(folder: Path) -> bool:
    with hold(folder):
        return is_held(folder)


def test_runs_that_start_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    starts = [
        subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for start in starts:  # all have imported what they need and wait
        assert start.stdout is not None
        assert start.stdout.readline() == b"ready\n"
    for start in starts:
        assert start.stdin is not None
        start.stdin.write(b"go\n")
        start.stdin.flush()
    found = sorted(start.communicate()[0].decode().strip() for start in starts)
    assert found == ["a", "a-2", "a-3", "a-4"]


def test_two_processes_may_write_one_file(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    write_json(file, ["a"] * 500)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), name]) for name in "ab"]
    while any(writer.poll() is None for writer in writers):
        assert len(set(json.loads(file.read_text()))) == 1
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [found.name for found in tmp_path.iterdir()] == ["file.json"]
