"""The folder of a finished student, as other tools find it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from codedistill.data.encode import encode_prompt
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
