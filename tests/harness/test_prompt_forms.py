"""How a problem is asked in each form, and that samples keep the raw text beside the program."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import codedistill.generation
import codedistill.models
import codedistill.training.save  # now: it would take a stub of load_model with it for good
from codedistill.benchmarks import load_benchmark, program_source
from codedistill.errors import UserError
from codedistill.harness.generate import prompt_for, write_samples
from codedistill.progress import Watch
from codedistill.recipe.sections import Evaluation, ModelSpec
from codedistill.runs.files import read_jsonl
from tests.benchmarks.rows import HUMANEVAL, write


class Tokenizer:
    """Marks the turns of a chat."""

    chat_template: str | None = "yes"
    added_tokens_decoder: dict[int, Any] = {}  # noqa: RUF012

    def get_vocab(self) -> dict[str, int]:
        return {}

    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> str:
        return "".join(f"[{m['role']}]{m['content']}" for m in messages) + "[assistant]"


def model(chat: str | None = "yes") -> Any:
    tokenizer = Tokenizer()
    tokenizer.chat_template = chat
    network = SimpleNamespace(to=lambda device: None)
    return SimpleNamespace(name="m", tokenizer=tokenizer, parameters=1, model=network, fingerprint=lambda: "weights")


@pytest.fixture
def tasks(tmp_path: Path) -> Any:
    return load_benchmark(str(write(tmp_path / "own.jsonl", HUMANEVAL)))


def test_forms(tasks: Any) -> None:
    problem = tasks.problems[1]
    code = 'def half(n):\n    """ Half of n. """'
    assert prompt_for(problem, None, model()) == code + "\n"
    asked = prompt_for(problem, "alpaca", model())
    assert f"### Instruction:\nComplete the following Python function.\n\n### Input:\n{code}\n\n" in asked
    assert asked.endswith("### Response:\n")
    assert prompt_for(problem, "plain", model()) == f"Complete the following Python function.\n{code}\n"
    chat = prompt_for(problem, "chat", model())
    assert chat == f"[user]Complete the following Python function.\n{code}[assistant]"


def test_chat_needs_a_chat_template(tasks: Any) -> None:
    with pytest.raises(UserError, match="model m: "):
        prompt_for(tasks.problems[0], "chat", model(chat=None))


TEMPLATE_OF = {"complete": None, "instruct": "plain", "chat": "chat"}

WRITES = {
    "complete": "    return n / 2\n",
    "instruct": "Sure!\n```python\ndef half(n):\n    return n / 2\n```\nDone.",
    "chat": "def half(n):\n    return n / 2<|im_end|>",
}


@pytest.mark.parametrize("form", list(WRITES))
def test_samples_keep_what_the_model_wrote(
    form: str, tasks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[Any] = []

    def generate(wanted: Any, sampling: Any) -> Any:
        requests.extend(wanted)
        finish = SimpleNamespace(value="eos")
        return (
            SimpleNamespace(index=r.index, sample=r.sample, text=WRITES[form], tokens=9, ids=[], finish=finish)
            for r in wanted
        )

    monkeypatch.setattr(codedistill.generation, "generator_for", lambda loaded: SimpleNamespace(generate=generate))
    monkeypatch.setattr(codedistill.models, "load_model", lambda spec, key: model())
    settings = Evaluation(form=form, samples=2, temperature=0.8)
    folder = tmp_path / "out"
    write_samples(ModelSpec(path="none"), tasks, settings, folder, "plain", Watch())
    rows = read_jsonl(folder / "samples.jsonl")
    assert [(row["task_id"], row["sample"]) for row in rows] == [(f"HumanEval/{i}", s) for i in (0, 1) for s in (0, 1)]
    for row in rows:
        problem = tasks.find(row["task_id"])
        assert row["completion"] == WRITES[form]
        assert row["solution"] == program_source(problem, WRITES[form])
        assert row["prompt"] == prompt_for(problem, TEMPLATE_OF[form], model())
        assert row["prompt_form"] == form
    # Only a base model that goes on with the code is stopped by code.
    assert all(bool(request.stop) == (form == "complete") for request in requests)
    assert json.loads((folder / "request.json").read_text())["form"] == form
