"""Teacher-written responses: made once, kept, and trained on exactly as if they were the data."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from codedistill.data import EncodingReport, Example
from codedistill.errors import UserError
from codedistill.generation import OwnEngine, Sampling
from codedistill.methods.base import RewriteContext, Rewritten
from codedistill.methods.seqkd import teacher_examples
from codedistill.models import Loaded, load_model
from codedistill.parallel import Processes
from codedistill.recipe.load import load_recipe
from codedistill.recipe.sections import ModelSpec
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import read_jsonl
from codedistill.teachers.responses import FILE, Order, keep_responses, write_responses
from codedistill.training import train
from codedistill.training.setup import encode_rewritten

SHORT = ["method=seqkd", "data.limit=6", "training.steps=2", "training.batch_size=3", "seqkd.max_new_tokens=5"]


def run(recipe: dict[str, Any], output: Path, overrides: Sequence[str]) -> dict[str, torch.Tensor]:
    resolved = load_recipe(recipe, [*overrides, f"output={output}"])
    return load_file(train(resolved, RunDirectory(output)).model / "model.safetensors")


@pytest.mark.parametrize(("objective", "twin"), [("divergence", "kd"), ("cross_entropy", "sft")])
def test_training_is_that_on_the_teachers_text(objective: str, twin: str, tmp_path: Path) -> None:
    """The same weights as kd or sft on a data file with the teacher's responses in it."""
    recipe: dict[str, Any] = {"teacher": "tiny/teacher", "student": "tiny/student"}
    common = ["training.steps=2", "training.batch_size=4", "training.learning_rate=1e-3"]
    with_teacher = ["method=seqkd", f"seqkd.objective={objective}", "seqkd.max_new_tokens=160"]
    ours = run(recipe, tmp_path / "a", [*common, *with_teacher, "data.limit=4"])
    rows = read_jsonl(tmp_path / "a" / FILE)
    assert [row["finish"] for row in rows] == ["eos"] * 4
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"prompt": r["prompt"], "completion": r["response"]}) + "\n" for r in rows))
    expected = run(recipe, tmp_path / "b", [*common, f"method={twin}", f"data.source={data}"])
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_responses_are_written_once_and_only_for_what_they_fit(
    micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    plain = OwnEngine.generate

    def counting(engine: OwnEngine, requests: Any, sampling: Any) -> Any:
        written.append(len(requests))
        return plain(engine, requests, sampling)

    monkeypatch.setattr(OwnEngine, "generate", counting)
    folder = tmp_path / "run"
    first = run(micro_recipe, folder, SHORT)
    rows = read_jsonl(folder / FILE)
    assert [row["id"] for row in rows] == list(range(6))
    assert rows[0]["prompt"].endswith("### Response:\n")
    about = json.loads((folder / FILE).with_suffix(".json").read_text())
    assert about["responses"] == 6
    assert about["sampling"] == {"temperature": 0.0, "seed": 0, "max_new_tokens": 5}
    assert not list(folder.glob(".*.partial"))

    again = run(micro_recipe, folder, [*SHORT, "seqkd.batch_size=2"])
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert written == [6]
    elsewhere = run(micro_recipe, tmp_path / "other", [*SHORT, f"seqkd.responses={folder / FILE}"])
    assert all(torch.equal(first[name], elsewhere[name]) for name in first)
    assert written == [6]
    with pytest.raises(UserError, match=r"seqkd\.responses .*template alpaca"):
        run(micro_recipe, tmp_path / "third", [*SHORT, "template=plain", f"seqkd.responses={folder}"])
    with pytest.raises(UserError, match=r"seqkd\.responses .*nowhere"):
        run(micro_recipe, tmp_path / "third", [*SHORT, f"seqkd.responses={tmp_path / 'nowhere.jsonl'}"])
    run(micro_recipe, folder, [*SHORT, "template=plain"])
    assert written == [6, 6]


@pytest.mark.parametrize("damage", ["a line lost", "the file lost", "half a line", "no response"])
def test_damaged_responses_are_written_again_and_never_trained_on(
    damage: str, micro_recipe: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    first = run(micro_recipe, folder, SHORT)
    file, text = folder / FILE, (folder / FILE).read_text()
    lines = text.splitlines(keepends=True)
    if damage == "a line lost":
        file.write_text("".join(lines[:2] + lines[3:]))
    elif damage == "the file lost":
        file.unlink()
    elif damage == "half a line":
        file.write_text(text[:-20])
    else:
        file.write_text(text.replace('"response"', '"answer"', 1))
    with pytest.raises(UserError, match=r"seqkd\.responses"):
        run(micro_recipe, tmp_path / "other", [*SHORT, f"seqkd.responses={file}"])
    shutil.rmtree(folder / "checkpoints")
    again = run(micro_recipe, folder, SHORT)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert file.read_text() == text


def test_a_refused_resume_leaves_the_responses_as_they_were(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(micro_recipe, folder, SHORT)
    before = (folder / FILE).read_bytes()
    for change, named in (
        ("seqkd.temperature=1.0", r"seqkd\.temperature=0\.0 .*1\.0"),
        ("seqkd.max_new_tokens=4", r"seqkd\.max_new_tokens=5 .*4"),
    ):
        others = [each for each in SHORT if each.split("=")[0] != change.split("=")[0]]
        with pytest.raises(UserError, match=named) as error:
            run(micro_recipe, folder, [*others, change, "resume=auto"])
        assert "None" not in str(error.value)
    (folder / FILE).write_text("")
    with pytest.raises(UserError, match=r"resume: .*teacher_responses\.jsonl"):
        run(micro_recipe, folder, [*SHORT, "resume=auto"])
    assert (folder / FILE).read_bytes() == b""
    (folder / FILE).write_bytes(before)
    about = (folder / FILE).with_suffix(".json")
    about.rename(folder / "away")
    with pytest.raises(UserError, match=r"resume: .*teacher_responses\.jsonl"):
        run(micro_recipe, folder, [*SHORT, "resume=auto"])
    (folder / "away").rename(about)
    run(micro_recipe, folder, [*SHORT, "resume=auto"])


@pytest.mark.parametrize("wrong", ["lora.targets=[nope]", "data.max_length=8"])
def test_what_can_be_wrong_is_found_before_the_teacher_writes(
    wrong: str, micro_recipe: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError):
        run(micro_recipe, tmp_path / "run", [*SHORT, wrong])
    assert not (tmp_path / "run" / FILE).exists()


@pytest.fixture
def teacher(micro_pair: dict[str, Path]) -> Loaded:
    return load_model(ModelSpec(path=str(micro_pair["teacher"])), "teacher")


def test_the_fingerprint_is_of_all_that_decides(teacher: Loaded) -> None:
    order = Order(teacher, {0: "a", 1: "b"}, Sampling(max_new_tokens=4), {})
    same = replace(order, sampling=Sampling(max_new_tokens=4, batch_size=1, seed=9), provenance={"x": 1})
    assert same.fingerprint() == order.fingerprint()
    others = [
        replace(order, prompts={0: "a", 1: "c"}),
        replace(order, prompts={0: "a", 2: "b"}),
        replace(order, sampling=Sampling(max_new_tokens=5)),
        replace(order, sampling=Sampling(max_new_tokens=4, temperature=1.0)),
        replace(order, sampling=Sampling(max_new_tokens=4, temperature=1.0, seed=1)),
    ]
    found = {other.fingerprint() for other in others} | {order.fingerprint()}
    with torch.no_grad():
        next(teacher.model.parameters())[0, 0] += 1e-3
    found.add(order.fingerprint())
    teacher.model.config.rope_parameters = {"rope_type": "default", "rope_theta": 77.0}
    found.add(order.fingerprint())
    teacher.model.generation_config.eos_token_id = [0, 5]
    found.add(order.fingerprint())
    teacher.tokenizer.add_tokens(["<new>"])
    found.add(order.fingerprint())
    assert len(found) == 10


def test_an_interrupted_call_is_gone_on_with(teacher: Loaded, tmp_path: Path) -> None:
    order = Order(teacher, {i: f"x = {i}" for i in range(5)}, Sampling(max_new_tokens=4, batch_size=2), {})

    class Killed(Exception):
        pass

    def kill(done: int, of: int) -> None:
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        write_responses(order, "print", tmp_path, 0, 1, kill)
    (partial,) = tmp_path.glob(".*.partial")
    with partial.open("a") as handle:
        handle.write('{"id": 4, "resp')  # what a killed process leaves
    seen: list[int] = []
    rows = write_responses(order, "print", tmp_path, 0, 1, lambda done, of: seen.append(done))
    assert seen == [4, 5]
    assert rows == write_responses(order, "another", tmp_path / "fresh", 0, 1, lambda done, of: None)
    keep_responses(tmp_path, rows, "print", {})
    assert read_jsonl(tmp_path / FILE) == rows


def test_processes_share_the_work(teacher: Loaded, tmp_path: Path) -> None:
    recipe = load_recipe({"teacher": "t", "student": "s"}, ["method=seqkd", "seqkd.max_new_tokens=4"])
    examples = [Example(i, "", instruction=f"sort {i}") for i in range(5)]
    whole = teacher_examples(recipe, examples, teacher, RewriteContext(tmp_path / "one", torch.device("cpu")))
    barrier, lists = threading.Barrier(2), {}

    def part(index: int) -> Rewritten:
        def gather(rows: list[Any]) -> list[Any]:
            lists[index] = rows
            barrier.wait(60)
            return [*lists[0], *lists[1]]

        place = RewriteContext(tmp_path / "two", torch.device("cpu"), Processes(index, 2, gather=gather))
        return teacher_examples(recipe, examples, teacher, place)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(part, (0, 1))) == [whole, whole]
    assert sorted(len(rows) for rows in lists.values()) == [2, 3]
    assert read_jsonl(tmp_path / "two" / FILE) == read_jsonl(tmp_path / "one" / FILE)


def test_an_unfinished_response_does_not_teach_to_stop() -> None:
    recipe = load_recipe({"teacher": "t", "student": "tiny/student", "method": "seqkd"})
    student = load_model(recipe.student, "student")
    examples = [Example(0, "return 1", instruction="one"), Example(1, "return 1", instruction="one")]
    encoded, report = encode_rewritten(
        recipe, Rewritten(examples, frozenset({1})), student, EncodingReport(2, 0, 0, "alpaca")
    )
    end = student.tokenizer.eos_token_id
    assert encoded[0].ids[-1] == end
    assert encoded[1].ids == encoded[0].ids[:-1]
    assert (report.examples, report.cut, report.dropped, report.unfinished) == (2, 0, 0, 1)


def test_unfinished_and_truncated_responses_are_reported_on_their_own(
    micro_recipe: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    output = Path(micro_recipe["output"])
    result = train(load_recipe(micro_recipe, SHORT), RunDirectory(output))
    unfinished = json.loads((output / FILE).with_suffix(".json").read_text())["unfinished"]
    assert unfinished > 0
    assert (result.unfinished, result.cut) == (unfinished, 0)
    assert [r.getMessage().partition("=")[0][-20:] for r in caplog.records if "no end" in r.getMessage()] == [
        "seqkd.max_new_tokens"
    ]
    assert not any("truncated" in r.getMessage() for r in caplog.records)
