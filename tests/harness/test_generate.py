"""Samples of a model: what a repeated or interrupted call keeps, and what it must not mix up."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import codedistill
from codedistill import generation
from codedistill.benchmarks import Benchmark, Problem, load_benchmark
from codedistill.errors import UserError
from codedistill.generation import OwnEngine
from codedistill.harness.execute import execute
from codedistill.harness.generate import write_samples
from codedistill.progress import Watch
from codedistill.recipe.sections import Evaluation, ModelSpec
from codedistill.runs.files import read_jsonl, write_jsonl
from codedistill.runs.schema import EvaluationSummary
from codedistill.tiny import ASSETS

pytestmark = pytest.mark.slow

SETTINGS = Evaluation(max_new_tokens=12)


@cache
def tasks(limit: int = 4) -> Benchmark:
    """The first tasks of a benchmark that is read once: reading it takes longer than to answer four tasks of it."""
    whole = load_benchmark("tiny") if limit == 300 else tasks(300)
    return replace(whole, problems=whole.problems[:limit])


def evaluate(model: Path, out: Path, settings: Evaluation = SETTINGS, limit: int = 4) -> EvaluationSummary:
    request = write_samples(ModelSpec(path=str(model)), tasks(limit), settings, out, None, Watch())
    return execute(out / "samples.jsonl", tasks(limit), settings, out, request=request)


@pytest.fixture(autouse=True)
def own_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the trial that chooses between the engines: it takes as long as the answers."""
    monkeypatch.setattr(generation, "generator_for", OwnEngine)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ASSETS / "student", tmp_path / "model"))


def change_weights(folder: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", {"format": "pt"})


def test_finished_samples_are_used_again(model: Path, tmp_path: Path) -> None:
    first = evaluate(model, tmp_path / "out")
    rows = read_jsonl(tmp_path / "out" / "samples.jsonl")
    rows[0]["solution"] = "marked = 1\n"  # tells kept rows from new ones
    write_jsonl(tmp_path / "out" / "samples.jsonl", rows)
    evaluate(model, tmp_path / "out")
    assert read_jsonl(tmp_path / "out" / "samples.jsonl") == rows
    assert first.model == str(model)
    assert first.template == "alpaca"


def test_other_weights_in_the_same_folder_are_another_model(model: Path, tmp_path: Path) -> None:
    evaluate(model, tmp_path / "out")
    before = read_jsonl(tmp_path / "out" / "samples.jsonl")
    (tmp_path / "out" / "samples.jsonl").rename(tmp_path / "out" / "samples.partial.jsonl")
    change_weights(model, lambda tensors: {name: -tensor for name, tensor in tensors.items()})
    evaluate(model, tmp_path / "out")
    after = read_jsonl(tmp_path / "out" / "samples.jsonl")
    assert [row["task_id"] for row in after] == [row["task_id"] for row in before]
    assert all(a["completion"] != b["completion"] for a, b in zip(after, before, strict=True))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_another_request_moves_the_earlier_one_aside(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(model, out)
    made = {name: (out / name).read_bytes() for name in files(out)}
    assert set(made) == {"request.json", "samples.jsonl", "results.jsonl", "summary.json"}
    changed = Evaluation(max_new_tokens=5)
    evaluate(model, out, changed)
    assert {name: (out / "earlier-1" / name).read_bytes() for name in files(out / "earlier-1")} == made
    assert all(row["tokens"] <= 5 for row in read_jsonl(out / "samples.jsonl"))
    evaluate(model, out, changed)
    assert files(out) == {*made, "earlier-1"}


def test_fewer_tasks_lose_no_samples(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(model, out)
    rows = read_jsonl(out / "samples.jsonl")
    for row in rows:
        row["solution"] = f"marked = {row['task_id']!r}\n"
    write_jsonl(out / "samples.jsonl", rows)
    for limit in (2, 3, 1):
        summary = evaluate(model, out, limit=limit)
        assert (summary.tasks, summary.benchmark_tasks) == (limit, 300)
        assert read_jsonl(out / "samples.jsonl") == rows[:limit]
        assert len(read_jsonl(out / "results.jsonl")) == limit
    evaluate(model, out)
    assert read_jsonl(out / "samples.jsonl") == rows
    assert not (out / "samples.partial.jsonl").exists()
    # the verdicts of four tasks and of two lie where they were moved
    counts = [len(read_jsonl(out / f"earlier-{n}" / "results.jsonl")) for n in (1, 2, 3, 4)]
    assert counts == [4, 2, 3, 1]


def test_samples_alone_do_not_stay_beside_the_verdicts_of_others(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(model, out)
    write_samples(ModelSpec(path=str(model)), tasks(2), SETTINGS, out, None, Watch())
    assert files(out) == {"request.json", "samples.jsonl", "samples.partial.jsonl", "earlier-1"}


def interrupted(model: Path, out: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """A call that is stopped after so many samples."""
    plain = OwnEngine.generate

    def stopped(*arguments: Any) -> Any:
        for number, done in enumerate(plain(*arguments)):
            if number == after:
                raise KeyboardInterrupt
            yield done

    with monkeypatch.context() as patch:
        patch.setattr(OwnEngine, "generate", stopped)
        with pytest.raises(KeyboardInterrupt):
            evaluate(model, out)


def asked_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many completions each call wants from now on."""
    plain, wanted = OwnEngine.generate, []

    def counted(engine: OwnEngine, requests: Any, sampling: Any) -> Any:
        wanted.append(len(requests))
        return plain(engine, requests, sampling)

    monkeypatch.setattr(OwnEngine, "generate", counted)
    return wanted


def test_an_interrupted_call_goes_on_where_it_was(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    interrupted(model, out, monkeypatch, 3)
    assert files(out) == {"request.json", "samples.partial.jsonl"}
    wanted = asked_again(monkeypatch)
    evaluate(model, out)
    evaluate(model, tmp_path / "whole")
    assert wanted == [1, 4]
    assert read_jsonl(out / "samples.jsonl") == read_jsonl(tmp_path / "whole" / "samples.jsonl")


def test_a_row_that_was_written_by_half_is_made_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    interrupted(model, out, monkeypatch, 3)
    partial = out / "samples.partial.jsonl"
    partial.write_bytes(partial.read_bytes()[:-20])
    wanted = asked_again(monkeypatch)
    evaluate(model, out)
    assert wanted == [2]
    assert len(read_jsonl(out / "samples.jsonl")) == 4


@pytest.mark.parametrize("name", ["samples.jsonl", "samples.partial.jsonl"])
@pytest.mark.parametrize("change", [{"prompt": "another"}, {"prompt": None}, {"task_id": None}, {"sample": "0"}])
def test_samples_of_another_prompt_are_not_taken(
    change: dict[str, Any], name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the way to ask has changed between two versions, or somebody has edited the file."""
    out = tmp_path / "out"
    evaluate(model, out)
    rows = read_jsonl(out / "samples.jsonl")
    rows[1] = {key: value for key, value in (rows[1] | change).items() if value is not None}
    (out / "samples.jsonl").unlink()
    write_jsonl(out / name, rows)
    wanted = asked_again(monkeypatch)
    evaluate(model, out)
    assert wanted == [4]
    assert read_jsonl(out / "earlier-1" / name) == rows


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 99_999])
def test_a_broken_request_is_another_one(text: str, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(model, out)
    (out / "request.json").write_text(text)
    evaluate(model, out)
    assert (out / "earlier-1" / "request.json").read_text() == text


def test_samples_of_another_tool_are_not_overwritten(model: Path, tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"samples\.jsonl"):
        evaluate(model, tmp_path)
    assert (tmp_path / "samples.jsonl").read_text() == "{}\n"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("")
    with pytest.raises(UserError, match=r"output .*run: "):
        evaluate(model, tmp_path / "run")


def test_missing_tensors_are_an_error(model: Path, tmp_path: Path) -> None:
    def drop(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: tensor for name, tensor in tensors.items() if "layers.2.mlp" not in name}

    change_weights(model, drop)
    with pytest.raises(UserError, match=r"3 tensors, model\.layers\.2\.mlp"):
        evaluate(model, tmp_path / "out")


def test_a_broken_weights_file_is_an_error(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").write_bytes(b"version https://git-lfs")
    with pytest.raises(UserError, match=str(model)):
        evaluate(model, tmp_path / "out")


def test_the_defaults_leave_the_prompt_whole(tmp_path: Path) -> None:
    """The window is 512 tokens, and so is the default limit of a completion."""
    assert Evaluation().max_new_tokens >= 512
    assert evaluate(Path("tiny/teacher"), tmp_path, Evaluation(), 3).pass_at_1 > 0


def test_an_unknown_template_and_an_unusable_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"template nope: .*alpaca"):
        codedistill.evaluate("tiny/student", "tiny", SETTINGS, template="nope")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"output .*file: "):
        evaluate(Path("tiny/student"), tmp_path / "file")


@pytest.mark.parametrize("template", ["plain", "chat", None])
def test_a_student_is_asked_with_the_template_that_trained_it(
    template: str | None, model: Path, tmp_path: Path
) -> None:
    if template is not None:
        (model / "codedistill.json").write_text(json.dumps({"template": template}))
    config = json.loads((model / "tokenizer_config.json").read_text())
    chat = {"chat_template": "{% for message in messages %}<{{ message.content }}>{% endfor %}"}
    (model / "tokenizer_config.json").write_text(json.dumps(config | chat))
    summary = evaluate(model, tmp_path / "out", Evaluation(max_new_tokens=1), limit=1)
    assert summary.template == (template or "alpaca")
    (row,) = read_jsonl(tmp_path / "out" / "samples.jsonl")
    marks = {"plain": "Complete", "chat": "<Complete", None: "Below is"}
    assert row["prompt"].startswith(marks[template])


@pytest.mark.parametrize("text", ["[]", "{", '{"template": 3}', "\udcff"])
def test_a_broken_note_of_the_template_counts_as_none(text: str, model: Path, tmp_path: Path) -> None:
    (model / "codedistill.json").write_bytes(text.encode(errors="surrogateescape"))
    assert evaluate(model, tmp_path / "out", Evaluation(max_new_tokens=1), limit=1).template == "alpaca"


def test_completions_that_were_cut_off_are_counted_by_what_cut_them(model: Path, tmp_path: Path) -> None:
    summary = evaluate(model, tmp_path / "out", Evaluation(max_new_tokens=3))
    assert (summary.truncated, summary.context_full) == (4, 0)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 60}))
    summary = evaluate(model, tmp_path / "small", Evaluation(max_new_tokens=100))
    assert summary.truncated == summary.context_full > 0


def test_a_benchmark_that_can_judge_nothing_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    tasks = Benchmark("own", (Problem("own/3", "", "f", "assert f(1)\n"),), "0" * 64, "own.jsonl")
    with pytest.raises(UserError, match=r"^own\.jsonl: own/3: "):
        write_samples(ModelSpec(path="no such model"), tasks, SETTINGS, tmp_path / "out", None, Watch())
    assert not (tmp_path / "out").exists()
