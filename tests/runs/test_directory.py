"""What lies in a run directory, and that files are whole or absent."""

from __future__ import annotations

import ast
import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest

import codedistill
from codedistill import evaluate
from codedistill.errors import UserError
from codedistill.runs import files
from codedistill.runs.directory import RunDirectory, free_directory, newest_directory, require_outside_of_runs
from codedistill.runs.files import read_jsonl, read_unfinished, set_aside, write_jsonl, write_text


def test_rows_come_back_whatever_is_in_their_strings(tmp_path: Path) -> None:
    rows = [{"text": "line\u2028separator"}, {"text": "lone \ud800 surrogate"}, {"text": "null \x00, form feed \x0c"}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl") == rows
    raw = json.dumps({"text": "a\u2028b"}, ensure_ascii=False)  # as other tools write it
    (tmp_path / "raw.jsonl").write_text(f"{raw}\r\n\n{raw}", encoding="utf-8")
    assert read_jsonl(tmp_path / "raw.jsonl") == [{"text": "a\u2028b"}] * 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1}\n{"a": ', 2),
        ("[1]\n", 1),
        ('\n{"a": ' + "[" * 99_999, 2),
        ('{"a": ' + "7" * 5000 + "}", 1),
    ],
)
def test_a_broken_line_is_named(text: str, line: int, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(UserError) as error:
        read_jsonl(tmp_path / "rows.jsonl")
    assert str(error.value).startswith(f"{tmp_path / 'rows.jsonl'}: line {line}: ")


def test_a_packed_file_and_one_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n'))
    (tmp_path / "rows.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n')
    assert read_jsonl(tmp_path / "rows.jsonl.gz") == read_jsonl(tmp_path / "rows.jsonl") == [{"a": 1}]
    for content in (b"no gzip", gzip.compress(b"{}")[:-9]):
        (tmp_path / "rows.jsonl.gz").write_bytes(content)
        with pytest.raises(UserError, match=r"rows\.jsonl\.gz"):
            read_jsonl(tmp_path / "rows.jsonl.gz")


@pytest.mark.parametrize("rest", [b'{"a": ', b"[3]\n", b"\x00\x00\xff", b'{"a": \xff}\n{"a', b"[" * 99_999])
def test_what_a_killed_process_left_of_a_row_is_passed_over(rest: bytes, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"a": 1}\n{"a": 2}\n' + rest)
    assert read_unfinished(file) == [{"a": 1}, {"a": 2}]
    with file.open("a") as handle:
        handle.write('{"a": 5}\n')
    assert read_unfinished(file) == [{"a": 1}, {"a": 2}, {"a": 5}]
    assert read_unfinished(tmp_path / "none.jsonl") == []


def test_files_are_set_aside_and_never_over_others(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "a").write_text(str(number))
        assert set_aside([tmp_path / "a", tmp_path / "b"]) == tmp_path / f"earlier-{number}"
        assert not (tmp_path / "a").exists()
    assert [(tmp_path / f"earlier-{n}" / "a").read_text() for n in (1, 2)] == ["1", "2"]
    assert set_aside([tmp_path / "a", tmp_path / "b"]) is None
    assert not (tmp_path / "earlier-3").exists()


def test_a_failed_write_is_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("old")
    with pytest.raises(UserError, match="taken: "):
        write_text(tmp_path / "taken", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken" / "file").read_text() == "old"


def test_runs_of_one_name_are_numbered(tmp_path: Path) -> None:
    assert free_directory("a", tmp_path) == tmp_path / "a"
    for name in ("a", "a-2"):
        write_text(RunDirectory(tmp_path / name).metrics, "{}\n")
    assert free_directory("a", tmp_path) == tmp_path / "a-3"
    assert newest_directory("a", tmp_path) == tmp_path / "a-2"


@pytest.mark.parametrize("name", ["config.json", "model", "report.html", "report.md", "summary.json"])
def test_what_is_of_no_run_is_not_overwritten(name: str, tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.require_own()
    (tmp_path / "evaluation").mkdir()  # completions of an earlier run may be there
    directory.require_own()
    write_text(tmp_path / name, "")
    with pytest.raises(UserError, match=re.escape(name)):
        directory.require_own()
    write_text(directory.recipe, "")
    directory.require_own()


def test_a_folder_in_a_run_is_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    require_outside_of_runs(Path("runs/tiny/evaluation"))
    write_text(RunDirectory(Path("runs/tiny")).recipe, "")
    with pytest.raises(UserError, match="runs/tiny"):
        require_outside_of_runs(Path("runs/tiny/evaluation/student/tiny"))
    require_outside_of_runs(Path("runs/evaluations/tiny"))


def test_every_file_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: Counter[str] = Counter()

    def counted(path: Path, text: str) -> None:
        written[path.name] += 1
        write_text(path, text)

    monkeypatch.setattr(files, "write_text", counted)
    evaluate("tiny/student", "tiny", {"limit": 1, "max_new_tokens": 4}, tmp_path / "out")
    kept = {path.name for path in (tmp_path / "out").iterdir()}
    assert {name: written[name] for name in kept} == dict.fromkeys(kept, 1)
    assert kept == {"request.json", "samples.jsonl", "results.jsonl", "summary.json"}


def test_names_of_files_stand_once() -> None:
    """Outside of directory.py no string of the source is the name of a file with a schema."""
    files = vars(RunDirectory(Path()).evaluation("student", "tiny")).values()
    names = {"metrics.jsonl", *(path.name for path in files if isinstance(path, Path) and path.suffix)}
    assert {"samples.jsonl", "results.partial.jsonl", "summary.json"} < names
    root = Path(codedistill.__file__).parent
    for file in root.rglob("*.py"):
        strings = {n.value for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant)}
        assert not names & strings or file == root / "runs" / "directory.py", f"{file}: {names & strings}"
