"""The shared entries of two heads, and pairs that are refused."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from codedistill.errors import UserError
from codedistill.models import Loaded, own_vocabulary, shared_vocabulary


class Words:
    """A tokenizer of words; those it does not know become number 0."""

    def __init__(self, vocabulary: dict[str, int], end: int = 1, case: Callable[[str], str] = str) -> None:
        self.vocabulary, self.eos_token_id, self.case = vocabulary, end, case

    def get_vocab(self) -> dict[str, int]:
        return dict(self.vocabulary)

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [self.vocabulary.get(word, 0) for word in self.case(text).split()]}


KNOWN = {"<unknown>": 0, "<end>": 1, "def": 2, "Write": 3, "return": 4, "naïve": 5}


def loaded(name: str, tokenizer: Words, entries: int) -> Loaded:
    head = SimpleNamespace(weight=torch.zeros(entries, 2))
    model: Any = SimpleNamespace(get_output_embeddings=lambda: head)
    return Loaded(name, model, tokenizer)


@pytest.mark.parametrize(("teacher", "student"), [(6, 6), (6, 8), (8, 6), (16, 8)])
def test_both_heads_are_cut_to_the_tokens(teacher: int, student: int) -> None:
    assert shared_vocabulary(loaded("t", Words(KNOWN), teacher), loaded("s", Words(KNOWN), student)) == 6


def test_numbers_that_no_token_has_are_kept() -> None:
    """Ids are places in the head: the last one counts, not how many there are."""
    gaps = {"<unknown>": 0, "<end>": 1, "def": 9}
    assert own_vocabulary(loaded("s", Words(gaps), 16)) == 10
    assert own_vocabulary(loaded("s", Words(gaps), 10)) == 10


@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        (Words(KNOWN), Words(KNOWN | {"def": 4, "return": 2}), "token 'def' has id 2 against 4"),
        (Words(KNOWN | {"more": 6}), Words(KNOWN), "token 'more' has id 6 against None"),
        (Words(KNOWN), Words(KNOWN, end=0), "they end a text with different tokens"),
        (Words(KNOWN), Words(KNOWN, case=str.lower), "they split 'Write a function tha' differently"),
    ],
)
def test_tokenizers_that_differ_are_refused(teacher: Words, student: Words, message: str) -> None:
    with pytest.raises(UserError) as error:
        shared_vocabulary(loaded("big", teacher, 16), loaded("small", student, 16))
    assert message in str(error.value)
    assert "teacher big and student small have different tokenizers" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("teacher", "student", "who"), [(5, 6, "big"), (6, 5, "small")])
def test_a_head_that_lacks_tokens_is_refused(teacher: int, student: int, who: str) -> None:
    with pytest.raises(UserError, match=f"{who}: its head has 5 entries, its tokenizer 6; resize the embeddings"):
        shared_vocabulary(loaded("big", Words(KNOWN), teacher), loaded("small", Words(KNOWN), student))
