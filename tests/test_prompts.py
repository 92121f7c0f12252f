from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from codedistill.errors import UserError
from codedistill.prompts import TEMPLATES


def tokenizer(*tokens: str, chat: str | None = None) -> Any:
    def apply(messages: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool) -> str:
        assert not tokenize
        assert add_generation_prompt
        return "".join(f"[{m['role']}]{m['content']}" for m in messages) + "[assistant]"

    return SimpleNamespace(get_vocab=lambda: dict.fromkeys(tokens, 0), chat_template=chat, apply_chat_template=apply)


PREAMBLE = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("alpaca", "x", PREAMBLE + "### Instruction:\nDo.\n\n### Input:\nx\n\n### Response:\n"),
        ("alpaca", "", PREAMBLE + "### Instruction:\nDo.\n\n### Response:\n"),
        ("starcoder", "x", "<fim_prefix>Do.\nx<fim_suffix><fim_middle>"),
        ("starcoder", "", "<fim_prefix>Do.<fim_suffix><fim_middle>"),
        ("plain", "x", "Do.\nx\n"),
        ("chat", "x", "[user]Do.\nx[assistant]"),
    ],
)
def test_rendering(name: str, given: str, expected: str) -> None:
    assert TEMPLATES[name].render("Do.", given, tokenizer(chat="yes")) == expected


def test_instruct_eval_asks_for_code_alone() -> None:
    text = TEMPLATES["instruct_eval"].render("Do.", "", tokenizer())
    assert text.startswith("Please complete the following Python code without providing any additional tasks")
    assert text.endswith("\nDo.")


def test_starcoder_refuses_a_tokenizer_without_its_tokens() -> None:
    with pytest.raises(UserError) as error:
        TEMPLATES["starcoder"].check(tokenizer("a"))
    assert error.value.key == "template"
    assert "<fim_prefix>, <fim_suffix>, <fim_middle>" in str(error.value)
    TEMPLATES["starcoder"].check(tokenizer("<fim_prefix>", "<fim_suffix>", "<fim_middle>"))


def test_chat_refuses_a_tokenizer_without_a_template() -> None:
    with pytest.raises(UserError) as error:
        TEMPLATES["chat"].check(tokenizer())
    assert error.value.key == "template"
