"""Responses that are written during training: what decides them, and how they are distributed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

from codedistill.data import Encoded
from codedistill.generation import Sampling

Bench = Callable[..., Any]


def responses(context: Any, examples: list[Encoded], step: int, share: float = 0.0, **sampling: Any) -> list[list[int]]:
    settings = {"max_new_tokens": 6, "temperature": 1.0, "vocabulary": context.student.vocabulary, **sampling}
    written = context.write(examples, step, Sampling(**settings), share)
    for before, after in zip(examples, written, strict=True):
        assert after.id == before.id
        assert after.prompt_length == before.prompt_length
        assert after.ids[: after.prompt_length] == before.ids[: before.prompt_length]
    return [list(e.ids[e.prompt_length :]) for e in written]


def test_seed_step_and_example_decide_and_nothing_else(bench: Bench) -> None:
    made = bench(["method=gkd"])
    context, examples = made.context, made.examples
    together = responses(context, examples, 3)
    assert together == responses(context, examples, 3, batch_size=1)
    assert together[::-1] == responses(context, examples[::-1], 3)
    assert together[1:2] == responses(context, examples[1:2], 3)
    assert together != responses(context, examples, 4)
    assert together != responses(context, examples, 3, seed=1)
    assert context.student.model.training


def test_greedy_is_what_transformers_writes(bench: Bench) -> None:
    made = bench(["method=gkd"])
    found = responses(made.context, made.examples, 0, temperature=0.0)
    for example, response in zip(made.examples, found, strict=True):
        ids = torch.tensor([example.ids[: example.prompt_length]])
        out = made.student.model.eval().generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
        )
        assert response == out[0, ids.shape[1] :].tolist()


def test_the_length_limit_holds(bench: Bench) -> None:
    made = bench(["method=gkd", "data.max_length=120"])
    examples = [Encoded(0, (5,) * 118 + (6,), 118), Encoded(1, (5,) * 30 + (6,), 30)]
    assert [len(r) for r in responses(made.context, examples, 0)] == [2, 6]


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_tokens_follow_the_mixture(share: float, bench: Bench) -> None:
    """2000 draws of one token against share * p + (1 - share) * q; the vocabulary is cut, the rest is renormalised."""
    made = bench(["method=minillm"])
    prompt = made.examples[0].ids[:10]
    examples = [Encoded(i, (*prompt, 1), 10) for i in range(2000)]
    drawn = responses(made.context, examples, 0, share, max_new_tokens=1, vocabulary=12, batch_size=500)
    counts = torch.bincount(torch.tensor(drawn).squeeze(-1), minlength=12)
    assert len(counts) == 12
    with torch.no_grad():
        p, q = (
            torch.softmax(who.model.eval()(torch.tensor([prompt])).logits[0, -1, :12].double(), -1)
            for who in (made.teacher, made.student)
        )
    assert (p - q).abs().sum() > 0.3
    assert chisquare(counts.numpy(), (2000 * (share * p + (1 - share) * q)).numpy()).pvalue > 1e-3


def test_an_end_token_ends_and_is_kept(bench: Bench) -> None:
    made = bench(["method=gkd"])
    assert made.student.tokenizer.eos_token_id == 0
    assert responses(made.context, made.examples, 0, vocabulary=1) == [[0]] * 4


def test_the_student_writes_without_dropout_and_goes_on_with_it(bench: Bench) -> None:
    student = bench(["method=gkd"]).context.student
    student.model.train()
    with student.evaluating():
        assert not student.model.training
    assert student.model.training
