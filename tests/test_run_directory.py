"""What lies in a run directory, and that files are whole or absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codedistill.errors import UserError
from codedistill.run_directory import (
    RunDirectory,
    free_directory,
    newest_directory,
    read_jsonl,
    write_jsonl,
    write_text,
)


def test_rows_come_back_whatever_is_in_their_strings(tmp_path: Path) -> None:
    rows = [{"text": "line\u2028separator"}, {"text": "lone \ud800 surrogate"}, {"text": "null \x00, form feed \x0c"}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl") == rows
    raw = json.dumps({"text": "a\u2028b"}, ensure_ascii=False)  # as other tools write it
    (tmp_path / "raw.jsonl").write_text(f"{raw}\r\n\n{raw}", encoding="utf-8")
    assert read_jsonl(tmp_path / "raw.jsonl") == [{"text": "a\u2028b"}] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"a": 1}\n{"a": ', "line 2: not valid JSON"), ("[1]\n", "line 1: not a JSON object")],
)
def test_a_broken_line_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(UserError, match=message):
        read_jsonl(tmp_path / "rows.jsonl")


def test_a_failed_write_is_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("old")
    with pytest.raises(UserError, match="taken: cannot be written: Is a directory"):
        write_text(tmp_path / "taken", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken" / "file").read_text() == "old"


def test_runs_of_one_name_are_numbered(tmp_path: Path) -> None:
    assert free_directory("a", tmp_path) == tmp_path / "a"
    for name in ("a", "a-2"):
        write_text(RunDirectory(tmp_path / name).metrics, "{}\n")
    assert free_directory("a", tmp_path) == tmp_path / "a-3"
    assert newest_directory("a", tmp_path) == tmp_path / "a-2"
