"""One writer to a folder, and files that are whole whoever else writes them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from codedistill.errors import UserError
from codedistill.runs import lock as locks
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
        with pytest.raises(UserError, match=rf"in use by a live run \(process {other.pid}\)"), hold(folder):
            pass
        other.kill()
    assert not is_held(folder)  # whatever the process left behind
    with hold(folder):
        assert is_held(folder)
    assert not list(folder.iterdir())


def test_a_folder_that_was_made_for_nothing_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(tmp_path / "out"):
        raise ZeroDivisionError
    assert not (tmp_path / "out").exists()
    with hold(tmp_path / "out"):
        (tmp_path / "out" / "file").touch()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["file"]


def test_whoever_asks_only_does_not_stop_a_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hold(tmp_path):
        waiting = threading.Thread(target=lambda: held.append(_held(tmp_path)))
        held: list[bool] = []
        waiting.start()
        waiting.join(1.5 * locks.PAUSE)
        assert waiting.is_alive()
    waiting.join()
    assert held == [True]


def _held(folder: Path) -> bool:
    with hold(folder):
        return is_held(folder)


def test_two_processes_may_write_one_file(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    write_json(file, ["a"] * 500)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), name]) for name in "ab"]
    while any(writer.poll() is None for writer in writers):
        assert len(set(json.loads(file.read_text()))) == 1
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [found.name for found in tmp_path.iterdir()] == ["file.json"]
