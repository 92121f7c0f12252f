"""Samples of a model: what a repeated or interrupted call keeps, and what it must not mix up."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from codedistill import evaluate
from codedistill.config import Evaluation
from codedistill.errors import UserError
from codedistill.run_directory import read_jsonl, write_jsonl
from codedistill.tiny import ASSETS

SETTINGS = Evaluation(limit=4, max_new_tokens=60)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ASSETS / "student", tmp_path / "model"))


def change_weights(folder: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", {"format": "pt"})


def test_finished_samples_are_used_again(model: Path, tmp_path: Path) -> None:
    first = evaluate(model, "tiny", SETTINGS, tmp_path / "out")
    rows = read_jsonl(tmp_path / "out" / "samples.jsonl")
    rows[0]["solution"] = "marked = 1\n"  # tells kept rows from new ones
    write_jsonl(tmp_path / "out" / "samples.jsonl", rows)
    evaluate(model, "tiny", SETTINGS, tmp_path / "out")
    assert read_jsonl(tmp_path / "out" / "samples.jsonl") == rows
    assert first.values["model"] == str(model)
    assert first.values["template"] == "alpaca"


def test_other_weights_in_the_same_folder_are_another_model(model: Path, tmp_path: Path) -> None:
    evaluate(model, "tiny", SETTINGS, tmp_path / "out")
    before = read_jsonl(tmp_path / "out" / "samples.jsonl")
    (tmp_path / "out" / "samples.jsonl").rename(tmp_path / "out" / "samples.partial.jsonl")
    change_weights(model, lambda tensors: {name: -tensor for name, tensor in tensors.items()})
    evaluate(model, "tiny", SETTINGS, tmp_path / "out")
    after = read_jsonl(tmp_path / "out" / "samples.jsonl")
    assert [row["task_id"] for row in after] == [row["task_id"] for row in before]
    assert all(a["completion"] != b["completion"] for a, b in zip(after, before, strict=True))


def test_missing_tensors_are_an_error(model: Path) -> None:
    def drop(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: tensor for name, tensor in tensors.items() if "layers.2.mlp" not in name}

    change_weights(model, drop)
    with pytest.raises(UserError, match=r"its weights lack 3 tensors, model\.layers\.2\.mlp"):
        evaluate(model, "tiny", SETTINGS)


def test_a_broken_weights_file_is_an_error(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"version https://git-lfs")
    with pytest.raises(UserError, match="cannot be loaded"):
        evaluate(model, "tiny", SETTINGS)


def test_the_defaults_leave_the_prompt_whole() -> None:
    """The window is 512 tokens, and so is the default limit of a completion."""
    settings = Evaluation(limit=3)
    assert settings.max_new_tokens >= 512
    assert evaluate("tiny/teacher", "tiny", settings).values["pass@1"] > 0


def test_an_unknown_template_and_an_unusable_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="template nope: does not exist; known: alpaca"):
        evaluate("tiny/student", "tiny", SETTINGS, template="nope")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be used: File exists"):
        evaluate("tiny/student", "tiny", SETTINGS, tmp_path / "file")
