"""Completions with special tokens in them: they mark thoughts and ends, and are not in the decoded text."""

from __future__ import annotations

from dataclasses import dataclass
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
    text, tokens = text_with_special_tokens(done, stops, model)
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
