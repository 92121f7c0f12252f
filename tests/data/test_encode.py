from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoTokenizer

from codedistill.data import Example, encode_examples
from codedistill.data.encode import encode_prompt
from codedistill.errors import UserError
from codedistill.prompts import TEMPLATES
from codedistill.tiny import ASSETS


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(ASSETS / "teacher")


def test_the_response_and_its_end_token_carry_the_loss(tokenizer: Any) -> None:
    example = Example(0, "return 1", instruction="Return one.")
    (encoded,), report = encode_examples([example], TEMPLATES["alpaca"], tokenizer, 512)
    prompt = tokenizer.decode(encoded.ids[: encoded.prompt_length])
    assert prompt == TEMPLATES["alpaca"].render("Return one.", "", tokenizer)
    assert tokenizer.decode(encoded.ids[encoded.prompt_length : -1]) == "return 1"
    assert encoded.ids[-1] == tokenizer.eos_token_id
    assert (report.examples, report.cut, report.dropped) == (1, 0, 0)


def test_cut_and_dropped_are_counted(tokenizer: Any) -> None:
    examples = [
        Example(0, "return 1", prompt="x"),
        Example(1, "return 1 + 2 + 3", prompt="x"),
        Example(2, "y", prompt="x " * 50),
    ]
    encoded, report = encode_examples(examples, TEMPLATES["plain"], tokenizer, 8)
    assert [e.id for e in encoded] == [0, 1]
    assert all(len(e.ids) <= 8 for e in encoded)
    assert encoded[1].ids[-1] != tokenizer.eos_token_id  # cut: it does not end here
    assert (report.examples, report.cut, report.dropped) == (3, 1, 1)


def test_an_example_that_just_fits_is_not_cut(tokenizer: Any) -> None:
    example = Example(0, "return 1", prompt="x")
    (whole,), _ = encode_examples([example], TEMPLATES["plain"], tokenizer, 512)
    for room, cut in ((0, 0), (-1, 1)):
        (encoded,), report = encode_examples([example], TEMPLATES["plain"], tokenizer, len(whole.ids) + room)
        assert (encoded.ids, report.cut) == (whole.ids[: len(whole.ids) + room], cut)


def test_nothing_left_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(UserError, match=r"data\.max_length 8"):
        encode_examples([Example(0, "y", prompt="x " * 50)], TEMPLATES["plain"], tokenizer, 8)


def test_text_without_a_prompt_starts_after_the_document_separator(tokenizer: Any) -> None:
    (encoded,), _ = encode_examples([Example(0, "return 1", prompt="")], TEMPLATES["plain"], tokenizer, 64)
    assert encoded.prompt_length == 1
    assert encoded.ids[0] == tokenizer.eos_token_id


def test_a_chat_template_that_writes_the_first_token_gets_no_second() -> None:
    class Doubling:
        bos_token_id, eos_token_id = 1, 2

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [1, *([1] if text.startswith("<s>") else []), 7, 8]}

    assert encode_prompt("<s>hi", Doubling()) == encode_prompt("hi", Doubling()) == [1, 7, 8]


def test_the_template_is_that_of_most_examples(tokenizer: Any) -> None:
    own, instruction = Example(0, "y", prompt="x"), Example(1, "y", instruction="Return one.")
    for examples, template in (([own, own, instruction], "plain"), ([own, instruction, instruction], "alpaca")):
        assert encode_examples(examples, TEMPLATES["alpaca"], tokenizer, 512)[1].template == template


def test_messages_without_a_chat_template_name_their_row(tokenizer: Any) -> None:
    messages = Example(3, "y", messages=({"role": "user", "content": "x"},))
    with pytest.raises(UserError, match="row 4 is a chat, but the tokenizer has no chat template"):
        encode_examples([messages], TEMPLATES["alpaca"], tokenizer, 512)
