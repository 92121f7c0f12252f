from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from codedistill.data import load_examples
from codedistill.errors import UserError


def test_the_three_shapes_in_the_three_formats(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    rows = [{"instruction": "Do.", "input": " x ", "output": "y"}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "b.jsonl").write_text('{"prompt": "p", "completion": "c"}\n\n{"problem": "q", "solution": "s"}\n')
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "c.parquet")
    (alpaca,) = load_examples(str(tmp_path / "a.json"))
    assert (alpaca.instruction, alpaca.input, alpaca.response) == ("Do.", "x", "y")
    raw, magicoder = load_examples(str(tmp_path / "b.jsonl"))
    assert (raw.prompt, raw.response, raw.id) == ("p", "c", 0)
    assert (magicoder.instruction, magicoder.input, magicoder.response, magicoder.id) == ("q", "", "s", 1)
    assert load_examples(str(tmp_path / "c.parquet")) == [alpaca]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a.json.gz", "a.JSONL.gz", "a.txt.gz"])
def test_a_byte_order_mark_and_packing_change_nothing(name: str, tmp_path: Path) -> None:
    row = '{"text": "x = 1"}'
    text = "x = 1\n" if ".txt" in name else f"[{row}]" if ".json." in f"{name}." else row
    content = b"\xef\xbb\xbf" + text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (example,) = load_examples(str(tmp_path / name))
    assert (example.prompt, example.response) == ("", "x = 1")


ASKED, ANSWERED = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [ASKED, ANSWERED]},
        {"conversations": [ASKED, ANSWERED]},
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]},
        {"prompt": [ASKED], "completion": [ANSWERED]},
    ],
)
def test_chat_messages(row: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text(json.dumps(row))
    (example,) = load_examples(str(file))
    assert example.messages == ({"role": "user", "content": "hi"},)
    assert example.response == "hello"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[]", "holds no examples"),
        ("a.jsonl", "", "holds no examples"),
        (
            "a.jsonl",
            '{"instruction": "x", "output": "y"}\n{"instruction": "x"}\n',
            "line 2: has the fields instruction; needs",
        ),
        ("a.jsonl", '{"instruction": "x", "output": 3}', "line 1: field output is a int, needs to be text"),
        ("a.jsonl", '{"instruction": "x", "output": "y"}\n{oops', "line 2: not valid JSON"),
        ("a.json", '{"a": 1}', "line 1: has the fields a; needs"),
        ("a.jsonl", '{"messages": [{"role": "user", "content": "hi"}]}', "line 1: messages needs"),
        ("a.jsonl", '{"conversations": [{"from": "gpt", "value": "hi"}]}', "line 1: messages needs"),
        ("a.jsonl", '{"conversations": "hi"}', "line 1: messages needs"),
        (
            "a.jsonl",
            '{"conversations": [{"from": ["x"], "value": "hi"}]}',
            "line 1: field from is a list, needs",
        ),
        ("a.json", "[" * 99_999, "a.json: not valid JSON: nested too deeply"),
        ("a.jsonl", "\n" + "[" * 99_999, "not valid JSON: nested too deeply"),
        ("a.jsonl.gz", "not packed", "cannot be read"),
        ("a.csv", "a,b", "is an unknown kind of file"),
        ("a.parquet", "not parquet", "cannot be read"),
    ],
)
def test_bad_data_names_file_and_row(tmp_path: Path, name: str, content: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(UserError) as error:
        load_examples(str(file), strict=True)
    assert message in str(error.value)
    assert str(error.value).startswith(f"data.source {file}: ")
    assert "\n" not in str(error.value)


def test_a_missing_file() -> None:
    with pytest.raises(UserError, match=r"nowhere\.jsonl: no such file"):
        load_examples("data/nowhere.jsonl")


def loaded(tmp_path: Path, *rows: Any) -> list[Any]:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_examples(str(file))


GOOD = {"instruction": "x", "output": "y"}


def test_rows_that_cannot_be_used_are_skipped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(GOOD) + '\n\n{"instruction": "x"}\n' + json.dumps(GOOD) + "\n{oops\n")
    assert [example.id for example in load_examples(str(file))] == [0, 2]
    (warning,) = caplog.messages
    assert "skipped 2 of 4 rows" in warning
    assert "rows.jsonl: line 3: " in warning
    assert "line 5" in warning
    with pytest.raises(UserError, match=r"rows\.jsonl: line 3: "):
        load_examples(str(file), strict=True)


def test_an_empty_field_of_pandas_is_empty(tmp_path: Path) -> None:
    (example,) = loaded(tmp_path, GOOD | {"input": float("nan"), "system": float("nan"), "tools": None})
    assert (example.input, example.instruction, example.messages) == ("", "x", None)


def test_half_a_character_is_replaced_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = loaded(tmp_path, GOOD | {"instruction": "a \ud83d"}, GOOD | {"output": "\ud83d\ude00"})
    assert (first.instruction, second.response) == ("a \ufffd", "\U0001f600")
    assert "1 rows" in caplog.text


def test_json_lines_and_lists_are_read_under_either_suffix(tmp_path: Path) -> None:
    (tmp_path / "lines.json").write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD) + "\n")
    (tmp_path / "list.jsonl").write_text(json.dumps([GOOD, GOOD], indent=1))
    assert load_examples(str(tmp_path / "lines.json")) == load_examples(str(tmp_path / "list.jsonl"))


def test_system_and_history_become_turns(tmp_path: Path) -> None:
    extra = {"system": "French.", "history": [["q", "a"]]}
    alpaca, sharegpt = loaded(
        tmp_path,
        GOOD | extra | {"input": "i"},
        {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}], "system": "French."},
    )
    assert [(turn["role"], turn["content"]) for turn in alpaca.messages] == [
        ("system", "French."),
        ("user", "q"),
        ("assistant", "a"),
        ("user", "x\ni"),
    ]
    assert [turn["content"] for turn in sharegpt.messages] == ["French.", "x"]
    assert alpaca.response == sharegpt.response == "y"


def test_tools_and_calls_are_kept(tmp_path: Path) -> None:
    turns = [("human", "weather?"), ("function_call", '{"name": "w"}'), ("observation", "sun"), ("gpt", "It is sunny")]
    row = {"conversations": [{"from": a, "value": b} for a, b in turns], "tools": '[{"name": "w"}]'}
    (example,) = loaded(tmp_path, row)
    assert example.tools == [{"name": "w"}]
    assert [turn["role"] for turn in example.messages] == ["user", "assistant", "tool"]
    assert example.messages[1]["tool_calls"] == [{"type": "function", "function": {"name": "w"}}]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"prompt": "p", "completion": "c", "system": "s"}, "system"),
        ({"text": "t", "tools": [1]}, "tools"),
        (GOOD | {"history": ["q"]}, "history"),
        ({"messages": [ASKED, ANSWERED], "tools": "{"}, "tools"),
        ({"messages": [ASKED, {"role": "assistant", "content": [{"type": "image"}]}]}, "content"),
    ],
)
def test_fields_that_cannot_be_shown_are_refused(row: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"rows\.jsonl: line 1: .*{field}"):
        loaded(tmp_path, row)


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"codedistill\[parquet\]"):
        load_examples(str(tmp_path / "a.parquet"))
