from __future__ import annotations

import string
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from codedistill.data import Encoded, Example, collate, encode_examples
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
    messages = Example(3, "y", messages=({"role": "user", "content": "x"},), origin="a.json: row 4")
    with pytest.raises(UserError, match=r"a\.json: row 4"):
        encode_examples([messages], TEMPLATES["alpaca"], tokenizer, 512)


CHAT = (
    "{% if tools %}TOOLS {{ tools | tojson }}\n{% endif %}{% for m in messages %}<{{ m.role }}>"
    "{% if m.tool_calls %}CALL {{ m.tool_calls | tojson }}{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHAT
TURNS = (
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "first"},
    {"role": "user", "content": "2"},
)
TOOLS = [{"name": "weather"}]
CALLS = {"role": "assistant", "content": "y", "tool_calls": [1]}


def chatting(template: str = CHAT) -> Any:
    """The embedded tokenizer with a token that ends turns beside the one that ends texts."""
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "teacher")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    tokenizer.chat_template = template
    return tokenizer


def spans_of(encoded: Encoded, tokenizer: Any) -> list[str]:
    return [tokenizer.decode(encoded.ids[start:end]) for start, end in encoded.spans]


@pytest.mark.parametrize(("turns", "expected"), [("all", ["first<|im_end|>"]), ("last", [])])
def test_a_chat_trains_its_assistant_turns_with_the_end_of_turn(turns: str, expected: list[str]) -> None:
    tokenizer = chatting()
    end = tokenizer.eos_token
    (encoded,), report = encode_examples(
        [Example(0, "second", messages=TURNS)], TEMPLATES["chat"], tokenizer, 512, turns
    )
    assert spans_of(encoded, tokenizer) == [*expected, f"second<|im_end|>{end}"]
    whole = "<user>one<|im_end|>\n<assistant>first<|im_end|>\n<user>2<|im_end|>\n<assistant>second<|im_end|>" + end
    assert tokenizer.decode(encoded.ids) == whole
    assert report.ends == (tokenizer.convert_tokens_to_ids("<|im_end|>"), tokenizer.eos_token_id)
    batch = collate([encoded], tokenizer.pad_token_id)
    assert batch.targets.tolist() == [t for start, e in encoded.spans for t in encoded.ids[start:e]]
    assert batch.ids.flatten()[batch.rows + 1].tolist() == batch.targets.tolist()


def test_a_chat_that_is_too_long_keeps_the_turns_that_fit() -> None:
    tokenizer = chatting()
    (whole,), _ = encode_examples([Example(0, "second", messages=TURNS)], TEMPLATES["chat"], tokenizer, 512)
    (encoded,), report = encode_examples(
        [Example(0, "second", messages=TURNS)], TEMPLATES["chat"], tokenizer, whole.prompt_length
    )
    assert spans_of(encoded, tokenizer) == ["first<|im_end|>"]
    assert (report.cut, report.dropped) == (1, 0)


def test_an_unfinished_response_teaches_no_end() -> None:
    tokenizer = chatting()
    example = Example(7, "second", messages=TURNS[:1])
    (encoded,), _ = encode_examples([example], TEMPLATES["chat"], tokenizer, 512, unfinished=frozenset({7}))
    assert spans_of(encoded, tokenizer) == ["second"]


def test_tools_and_tool_calls_reach_the_chat_template() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather"}}]}
    turns = (TURNS[0], call, {"role": "tool", "content": "sun"})
    (encoded,), _ = encode_examples(
        [Example(0, "fine", messages=turns, tools=TOOLS)], TEMPLATES["chat"], chatting(), 512
    )
    text = chatting().decode(encoded.ids)
    assert text.startswith('TOOLS [{"name": "weather"}]')
    assert 'CALL [{"function": {"name": "weather"}}]' in text


@pytest.mark.parametrize(
    ("template", "example"),
    [
        (NO_SYSTEM, {"messages": ({"role": "system", "content": "s"}, *TURNS)}),
        (CHAT.replace("tools", "nothing"), {"messages": TURNS, "tools": TOOLS}),
        (CHAT.replace("tool_calls", "nothing"), {"messages": TURNS, "answer": CALLS}),
    ],
)
def test_a_row_that_the_chat_template_cannot_show_is_refused_by_its_place(template: str, example: Any) -> None:
    row = Example(0, "y", origin="rows.jsonl: line 5", **example)
    with pytest.raises(UserError, match=r"^rows\.jsonl: line 5: ") as error:
        encode_examples([row], TEMPLATES["chat"], chatting(template), 512)
    assert "\n" not in str(error.value)


def blank_first() -> Any:
    """A tokenizer as Llama 2 has: a blank before every text, which decoding takes away again."""
    letters = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "\u2581", *string.ascii_letters]
    model = models.BPE({token: i for i, token in enumerate(letters)}, [], unk_token="<unk>", byte_fallback=True)
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def test_a_response_follows_its_prompt_without_a_blank_between() -> None:
    tokenizer = blank_first()
    prompt, response = "def f(x):\n", "    return x"
    (encoded,), _ = encode_examples([Example(0, response, prompt=prompt)], TEMPLATES["plain"], tokenizer, 512)
    assert tokenizer.decode(encoded.ids, skip_special_tokens=True) == prompt + response
