"""Completions with special tokens in them: they mark thoughts and ends, and are not in the decoded text."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from codedistill.benchmarks import Problem, program_source
from codedistill.harness.generate import text_with_special_tokens

PIECES = [
    "[THINK]",
    "[/THINK]",
    "</s>",
    "def f(x):\n    return 0\n",
    "def f(x):\n    return sum(x)\n",
    "@@user@@",
    "hi\nprint(",
]
SPECIAL = {0, 1, 2, 5}


@dataclass
class Token:
    text: str
    special: bool

    def __str__(self) -> str:
        return self.text


class Tokenizer:
    bos_token_id = eos_token_id = 2

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": []}

    added_tokens_decoder = {id: Token(PIECES[id], True) for id in SPECIAL} | {3: Token(PIECES[3], False)}

    def decode(self, ids: Any, skip_special_tokens: bool, clean_up_tokenization_spaces: bool) -> str:
        return "".join(PIECES[id] for id in ids if not (skip_special_tokens and id in SPECIAL))


@dataclass
class Model:
    tokenizer = Tokenizer()


@dataclass
class Done:
    ids: tuple[int, ...]
    finish: str = "eos"

    @property
    def text(self) -> str:
        return Tokenizer().decode(self.ids, True, False)


def text_and_program(ids: tuple[int, ...], finish: str = "eos", stops: tuple[str, ...] = ()) -> tuple[str, str]:
    done: Any = Done(ids, finish)
    model: Any = Model()
    text, tokens = text_with_special_tokens(done, "", stops, model)
    return text, program_source(Problem("t/0", "def f(x):\n", "f", ""), text, finish=finish, special_tokens=tokens)


def test_thoughts_in_special_tokens_are_no_answer() -> None:
    assert text_and_program((0, 3, 1, 4, 2)) == ("".join(PIECES[i] for i in (0, 3, 1, 4)), PIECES[4])
    assert text_and_program((0, 3, 3), "length")[1] == ""


def test_a_special_token_ends_the_answer() -> None:
    assert text_and_program((4, 5, 6), "length")[1] == PIECES[4]
    assert text_and_program((4, 5, 6), "stop", ("\nprint(",))[0] == PIECES[4] + PIECES[5] + "hi"


def test_a_text_without_special_tokens_stays_as_it_is() -> None:
    assert text_and_program((4, 2)) == (PIECES[4], PIECES[4])
    assert text_and_program((4,), "length") == (PIECES[4], PIECES[4])


def test_the_blank_at_the_start_stays_with_decoders_that_drop_it() -> None:
    """As Llama's do; an indented first line would otherwise not fit the code it continues."""
    from tokenizers import Tokenizer as Core
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Core(models.WordLevel({"<unk>": 0, "</s>": 1, "\u2581def": 2, "\u2581return": 3, "\u25811": 4}, "<unk>"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]"]})
    special = tokenizer.convert_tokens_to_ids("[THINK]")
    model: Any = Model()
    model.tokenizer = tokenizer
    done: Any = SimpleNamespace(ids=(3, 4, special, 3, 1), finish="eos", text="")
    assert tokenizer.decode([3, 4]) == "return 1"
    text, tokens = text_with_special_tokens(done, "def", (), model)
    assert text.startswith(" return 1[THINK]")
    assert tokens == ["[THINK]"]
