from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from codedistill.data import load_examples
from codedistill.errors import UserError


def test_the_three_shapes_in_the_three_formats(tmp_path: Path) -> None:
    rows = [{"instruction": "Do.", "input": " x ", "output": "y"}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "b.jsonl").write_text('{"prompt": "p", "completion": "c"}\n\n{"problem": "q", "solution": "s"}\n')
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
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
            "row 2: has the fields instruction; needs",
        ),
        ("a.jsonl", '{"instruction": "x", "output": 3}', "row 1: field output is a int, needs to be text"),
        ("a.jsonl", '{"instruction": "x", "output": "y"}\n{oops', "line 2: not valid JSON"),
        ("a.json", '{"a": 1}', "a JSON data file is a list of rows"),
        ("a.jsonl", '{"messages": [{"role": "user", "content": "hi"}]}', "row 1: messages needs"),
        ("a.jsonl", '{"conversations": [{"from": "gpt", "value": "hi"}]}', "row 1: messages needs"),
        ("a.jsonl", '{"conversations": "hi"}', "row 1: messages needs"),
        (
            "a.jsonl",
            '{"conversations": [{"from": ["x"], "value": "hi"}]}',
            "row 1: field from is a list, needs",
        ),
        ("a.json", "[" * 99_999, "a.json: not valid JSON: nested too deeply"),
        ("a.jsonl", "\n" + "[" * 99_999, "line 2: not valid JSON: nested too deeply"),
        ("a.jsonl.gz", "not packed", "cannot be read"),
        ("a.csv", "a,b", "unknown kind of file"),
        ("a.parquet", "not parquet", "cannot be read"),
    ],
)
def test_bad_data_names_file_and_row(tmp_path: Path, name: str, content: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(UserError) as error:
        load_examples(str(file))
    assert message in str(error.value)
    assert str(error.value).startswith(f"data.source {file}: ")
    assert "\n" not in str(error.value)


def test_a_missing_file() -> None:
    with pytest.raises(UserError, match=r"nowhere\.jsonl: no such file"):
        load_examples("data/nowhere.jsonl")
