"""The folder of a finished student, as other tools find it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedModel

from codedistill.data.encode import encode_prompt
from codedistill.errors import UserError
from codedistill.prompts import TEMPLATES
from codedistill.recipe.load import load_recipe
from codedistill.runs.directory import RunDirectory
from codedistill.tiny import ASSETS
from codedistill.training import train
from codedistill.training.save import with_chat_template

INSTRUCTION = 'Add "x" to {{ y }}.\nKeep the {% rest %} \\n as it is: naïve.'


def asked(tokenizer: Any, *contents: str) -> str:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


@pytest.fixture
def tokenizer() -> Any:
    found = AutoTokenizer.from_pretrained(ASSETS / "teacher")
    assert not found.chat_template
    return found


@pytest.mark.parametrize("name", ["alpaca", "starcoder", "instruct_eval"])
def test_chat_mode_asks_as_the_template_does(name: str, tokenizer: Any, tmp_path: Path) -> None:
    template = TEMPLATES[name]
    with_chat_template(tokenizer, template).save_pretrained(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    once = template.render(INSTRUCTION, "", tokenizer)
    assert asked(saved, INSTRUCTION) == once
    assert asked(saved, INSTRUCTION, "def f(): ...", INSTRUCTION) == f"{once}def f(): ...{tokenizer.eos_token}{once}"
    assert not tokenizer.chat_template  # the one that training goes on with is as it was


def test_chat_mode_begins_with_what_the_tokenizer_puts_before_every_text(tokenizer: Any) -> None:
    tokenizer.bos_token = "<|pad|>"
    rule = TemplateProcessing(single="<|pad|> $A", special_tokens=[("<|pad|>", tokenizer.bos_token_id)])
    tokenizer.backend_tokenizer.post_processor = rule
    trained = encode_prompt(TEMPLATES["alpaca"].render(INSTRUCTION, "", tokenizer), tokenizer)
    saved = with_chat_template(tokenizer, TEMPLATES["alpaca"])
    assert trained[0] == tokenizer.bos_token_id
    assert saved(asked(saved, INSTRUCTION), add_special_tokens=False)["input_ids"] == trained


@pytest.mark.parametrize("name", ["plain", "chat"])
def test_prompts_of_any_form_make_no_chat_template(name: str, tokenizer: Any) -> None:
    assert not with_chat_template(tokenizer, TEMPLATES[name]).chat_template


def test_a_chat_template_of_its_own_stays(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    assert with_chat_template(tokenizer, TEMPLATES["alpaca"]).chat_template == "{{ messages[0]['content'] }}"


def test_a_run_saves_it_and_an_adapter_with_a_card_of_its_own(micro_recipe: dict[str, Any]) -> None:
    directory = RunDirectory(Path(micro_recipe["output"]))
    recipe = load_recipe(micro_recipe, ["lora={rank: 2}", "training.steps=1"])
    train(recipe, directory)
    saved: Any = AutoTokenizer.from_pretrained(directory.model)
    assert asked(saved, INSTRUCTION) == TEMPLATES["alpaca"].render(INSTRUCTION, "", saved)
    adapter = directory.model / "adapter"
    card = (adapter / "README.md").read_text()
    assert "More Information Needed" not in card
    assert "# micro: the adapter" in card
    assert (
        json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == micro_recipe["student"]
    )


def test_the_adapter_names_its_base_as_the_recipe_does(micro_recipe: dict[str, Any]) -> None:
    directory = RunDirectory(Path(micro_recipe["output"]))
    train(
        load_recipe(micro_recipe, ["lora={rank: 2}", "training.steps=1", "student=tiny/student", "method=sft"]),
        directory,
    )
    for name in ("README.md", "adapter_config.json"):
        text = (directory.model / "adapter" / name).read_text()
        assert "tiny/student" in text
        assert str(ASSETS) not in text


def losing_weights(after: int, calls: list[Path]) -> Any:
    """`save_pretrained` of a family that loses a weight, from call number `after` on."""
    plain = PreTrainedModel.save_pretrained

    def save(self: Any, folder: Path, *arguments: Any, **options: Any) -> None:
        plain(self, folder, *arguments, **options)
        calls.append(folder)
        if len(calls) > after:
            weights = load_file(Path(folder) / "model.safetensors")
            name = max(weights, key=lambda each: weights[each].numel())
            save_file(weights | {name: weights[name] * 2}, Path(folder) / "model.safetensors", {"format": "pt"})

    return save


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("more", [[], ["lora={rank: 2}"]])
def test_a_student_that_does_not_survive_saving_is_refused(
    after: int, more: list[str], micro_recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first step, and if only the trained one is lost, before it takes its place."""
    directory, calls = RunDirectory(Path(micro_recipe["output"])), list[Path]()
    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedModel, "save_pretrained", losing_weights(after, calls))
        with pytest.raises(UserError, match="student") as error:
            train(load_recipe(micro_recipe, more), directory)
    assert "\n" not in str(error.value)
    assert len(calls) == after + 1
    assert directory.metrics.exists() == bool(after)
    assert not directory.model.exists()
    if after:
        train(load_recipe(micro_recipe, [*more, "resume=auto"]), directory)
        assert directory.model.exists()


def test_a_large_student_is_not_loaded_again(micro_recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[Path]()
    monkeypatch.setattr("codedistill.training.save.COMPARED_BYTES", 1000)
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", losing_weights(9, calls))
    train(load_recipe(micro_recipe), RunDirectory(Path(micro_recipe["output"])))
    assert len(calls) == 1


@pytest.mark.parametrize(("teacher", "evaluated"), [("null", "chat"), (None, "alpaca")])
def test_a_student_trained_on_chats_says_so(
    teacher: str | None,
    evaluated: str,
    micro_recipe: dict[str, Any],
    micro_pair: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A run's evaluation asks in this way, too, unless a teacher without a chat template is to answer."""
    tokenizer = AutoTokenizer.from_pretrained(micro_pair["student"])
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b = 1"}]
    (tmp_path / "chats.jsonl").write_text((json.dumps({"messages": turns}) + "\n") * 8)
    overrides = [
        f"student={{path: {micro_pair['student']}, tokenizer: {tmp_path / 'tokenizer'}}}",
        f"data.source={tmp_path / 'chats.jsonl'}",
        "template=alpaca",
        "method=sft",
        *([] if teacher is None else [f"teacher={teacher}"]),
    ]
    result = train(load_recipe(micro_recipe, overrides), RunDirectory(Path(micro_recipe["output"])))
    assert result.template == evaluated
    assert json.loads((result.model / "codedistill.json").read_text())["template"] == "chat"
    card = (result.model / "README.md").read_text()
    assert "alpaca" not in card
    assert "chat" in card
    assert any("template alpaca" in r.getMessage() for r in caplog.records)
