"""The sources of benchmarks, and the errors without one."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from codedistill.benchmarks import BENCHMARKS, load_benchmark
from codedistill.errors import UserError
from tests.benchmarks.rows import EVALPLUS, HUMANEVAL, HUMANEVAL_HUB, MBPP, MBPP_HUB, write


class Hub:
    """Stands in for the package `datasets`."""

    def __init__(self, **rows: Any) -> None:
        self.rows, self.asked = rows, []  # type: ignore[var-annotated]

    def load_dataset(self, name: str, config: str | None, split: str) -> Any:
        self.asked.append((name, config, split))
        found = self.rows.get(name.rpartition("/")[2])
        if not isinstance(found, list):
            raise found or ConnectionError(f"Couldn't reach '{name}' on the Hub\nand a long story")
        return found


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(**rows: Any) -> Hub:
        stub = Hub(**rows)
        module = types.ModuleType("datasets")
        module.load_dataset = stub.load_dataset  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "datasets", module)
        return stub

    return install


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # an import of it fails


def message(name: str) -> str:
    with pytest.raises(UserError) as caught:
        load_benchmark(name)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_tiny_is_always_there() -> None:
    tasks = load_benchmark("tiny", 5)
    assert (tasks.name, len(tasks.problems)) == ("tiny", 5)
    assert tasks.sha256 == hashlib.sha256(Path(tasks.source).read_bytes()).hexdigest()


def test_humaneval_from_the_installed_package() -> None:
    tasks = load_benchmark("humaneval")
    assert [problem.task_id for problem in tasks.problems] == [f"HumanEval/{i}" for i in range(164)]
    assert tasks.sha256 == hashlib.sha256(gzip.decompress(Path(tasks.source).read_bytes())).hexdigest()


@pytest.mark.parametrize("name", ["own.jsonl", "own.jsonl.gz"])
def test_a_file(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, HUMANEVAL)
    tasks = load_benchmark(str(path))
    assert (tasks.name, tasks.source) == ("own", str(path))
    assert [p.prompt for p in tasks.problems] == [row["prompt"] for row in HUMANEVAL]
    assert tasks.sha256 == hashlib.sha256("".join(json.dumps(r) + "\n" for r in HUMANEVAL).encode()).hexdigest()
    assert len(load_benchmark(str(path), 1).problems) == 1


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    for name, text in (("own.jsonl", json.dumps(HUMANEVAL[0])), ("own.json", json.dumps(HUMANEVAL))):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert load_benchmark(str(tmp_path / name)).problems[0].task_id == "HumanEval/0"


def test_a_json_list(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps(HUMANEVAL, indent=1))
    assert len(load_benchmark(str(tmp_path / "own.json")).problems) == 2


def test_a_path_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "humaneval", HUMANEVAL)
    assert len(load_benchmark("humaneval").problems) == 2


def test_a_name_with_its_path(tmp_path: Path, hub: Any) -> None:
    asked = hub(mbpp=MBPP).asked
    path = write(tmp_path / "data.jsonl", MBPP)
    tasks = load_benchmark(f"mbpp={path}")
    assert (tasks.name, [p.task_id for p in tasks.problems]) == ("mbpp", ["Mbpp/11", "Mbpp/510"])
    assert [p.task_id for p in load_benchmark(str(path)).problems] == ["Mbpp/10", "Mbpp/11", "Mbpp/510", "Mbpp/511"]
    assert asked == []


@pytest.mark.parametrize(
    ("name", "identity", "rows", "count"),
    [
        ("humaneval", ("openai/openai_humaneval", None, "test"), {"openai_humaneval": HUMANEVAL}, 2),
        ("humaneval_plus", ("evalplus/humanevalplus", None, "test"), {"humanevalplus": HUMANEVAL_HUB}, 3),
        ("mbpp", ("google-research-datasets/mbpp", "full", "test"), {"mbpp": MBPP}, 2),
        ("mbpp_plus", ("evalplus/mbppplus", None, "test"), {"mbppplus": MBPP_HUB}, 3),
    ],
)
def test_the_hub(name: str, identity: Any, rows: Any, count: int, hub: Any) -> None:
    stub = hub(**rows)
    tasks = load_benchmark(name)
    assert stub.asked == [identity]
    assert (tasks.name, tasks.source, len(tasks.problems)) == (name, identity[0], count)
    assert tasks.sha256 == load_benchmark(name).sha256 != hashlib.sha256(b"").hexdigest()


def test_the_hub_fails_and_the_package_has_it(hub: Any, caplog: pytest.LogCaptureFixture) -> None:
    hub()
    with caplog.at_level(logging.WARNING):
        assert len(load_benchmark("humaneval").problems) == 164
    (record,) = caplog.records
    assert "openai/openai_humaneval" in record.getMessage()
    assert "Couldn't reach" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert "HumanEval.jsonl.gz" in record.getMessage()


def test_without_the_hubs_package_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    load_benchmark("humaneval")
    assert not caplog.records


@pytest.mark.parametrize("name", ["humaneval_plus", "mbpp", "mbpp_plus"])
def test_not_found_anywhere(name: str, hub: Any) -> None:
    assert "pip install 'codedistill[hub]'" in message(name)
    assert f"give its file as {name}=PATH" in message(name)
    hub()
    assert "Couldn't reach" in message(name)


def test_humaneval_without_package_and_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.files", lambda name: [])
    assert "pip install 'codedistill[humaneval]'" in message("humaneval")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("humanevl", "did you mean humaneval?"),
        ("HumanEval+", "did you mean humaneval_plus?"),
        ("humaneval-plus", "did you mean humaneval_plus?"),
        ("MBPP", "did you mean mbpp?"),
        ("mbppplus", "did you mean mbpp_plus?"),
        ("qqqq", f"known: {', '.join(BENCHMARKS)}"),
        ("gone.jsonl", "gone.jsonl: no such file"),
        ("mbpp=gone.jsonl", "mbpp: no such file: gone.jsonl"),
        ("mbp=gone.jsonl", "no such file"),
        ("", "does not exist"),
    ],
)
def test_unknown_names_have_a_suggestion(name: str, says: str) -> None:
    assert says in message(name)


def damaged(row: Any, **change: Any) -> Any:
    return {key: value for key, value in (row | change).items() if value is not ...}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ""),
        ("\n\n", ""),
        ("{", "line 1"),
        ('{"task_id": ' + "7" * 5000 + "}", "line 1"),
        ('\n{"task_id": ' + "[" * 99_999 + "}", "line 2"),
        (json.dumps(HUMANEVAL[0]) + "\n\n[]\n", "line 3"),
        (json.dumps(HUMANEVAL[0]) + "\n" + json.dumps(HUMANEVAL[0]), "line 2: task_id HumanEval/0"),
        (json.dumps(damaged(HUMANEVAL[0], test=...)), "line 1: test "),
        (json.dumps(damaged(HUMANEVAL[0], prompt=7)), "line 1: prompt "),
        (json.dumps(damaged(MBPP[0], code=...)), "line 1: code "),
        (json.dumps(damaged(MBPP[0], test_list=["assert other(1)"])), "line 1: test_list "),
        (json.dumps(damaged(EVALPLUS[0], plus_input="x")), "line 1: plus_input "),
        (json.dumps(damaged(EVALPLUS[0], canonical_solution=...)), "line 1: canonical_solution "),
        (json.dumps(damaged(EVALPLUS[2], base_input=[[1, 2]])), "line 1: "),
        ("[{}]", "row 1: task_id "),
        ("[\n\n{},\n3]", "row 2"),
        ("[1", ""),
        ("[" + "7" * 5000 + "]", ""),
        ("[" * 99_999, ""),
    ],
)
def test_malformed_files_are_named_by_line(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text(text)
    found = message(str(tmp_path / "bad.jsonl"))
    assert says in found
    assert str(tmp_path / "bad.jsonl") in found


def test_an_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl.gz").write_bytes(b"no gzip")
    assert "bad.jsonl.gz" in message(str(tmp_path / "bad.jsonl.gz"))
    (tmp_path / "bad.jsonl").write_bytes(b"\xff\xfe")
    assert "bad.jsonl" in message(str(tmp_path / "bad.jsonl"))


def test_tasks_are_found_by_id_and_by_number(tmp_path: Path) -> None:
    tasks = load_benchmark(str(write(tmp_path / "m.jsonl", MBPP)))
    for name in ("Mbpp/11", "11", 11):
        problem = tasks.find(name)
        assert problem is not None
        assert problem.task_id == "Mbpp/11"
    unknown: tuple[object, ...] = ("Mbpp/1", "1", 0, None, "", "/11", [11], "x/11")
    for other in unknown:
        assert tasks.find(other) is None


def test_a_number_that_two_tasks_end_in_finds_none(tmp_path: Path) -> None:
    rows = [HUMANEVAL[0] | {"task_id": name} for name in ("a/1", "b/1", "b/11", "7")]
    tasks = load_benchmark(str(write(tmp_path / "own.jsonl", rows)))
    assert tasks.find(1) is None
    assert [tasks.find(name) for name in ("b/1", 11, 7)] == [tasks.problems[n] for n in (1, 2, 3)]
