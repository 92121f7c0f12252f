from __future__ import annotations

from pathlib import Path

import pytest
import torch

from codedistill.config import ModelSpec
from codedistill.generation import Finish, Request, Sampling, generate
from codedistill.models import Loaded, load_model

PROMPTS = ["def f(x):", "Return the sum of the numbers in values that are even and", "a", "x = 1\n" * 9]


@pytest.fixture(scope="module")
def model(micro_pair: dict[str, Path]) -> Loaded:
    return load_model(ModelSpec(path=str(micro_pair["student"])), "model")


def texts(model: Loaded, requests: list[Request], sampling: Sampling) -> dict[tuple[int, int], str]:
    return {(c.index, c.sample): c.text for c in generate(model, requests, sampling)}


def test_greedy_agrees_with_transformers_one_by_one(model: Loaded) -> None:
    requests = [Request(i, prompt) for i, prompt in enumerate(PROMPTS)]
    ours = texts(model, requests, Sampling(max_new_tokens=20))
    for i, prompt in enumerate(PROMPTS):
        ids = model.tokenizer(prompt, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            out = model.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
        assert ours[i, 0] == model.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True), prompt


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_batching_changes_nothing(model: Loaded, temperature: float) -> None:
    requests = [Request(i, prompt, sample=s) for i, prompt in enumerate(PROMPTS) for s in range(2)]
    together = texts(model, requests, Sampling(max_new_tokens=16, temperature=temperature, seed=3, batch_size=8))
    alone = texts(model, requests, Sampling(max_new_tokens=16, temperature=temperature, seed=3, batch_size=1))
    assert together == alone
    assert len(together) == len(requests)


def test_samples_differ_and_seeds_decide(model: Loaded) -> None:
    requests = [Request(0, PROMPTS[0], sample=s) for s in range(3)]
    one = texts(model, requests, Sampling(max_new_tokens=16, temperature=1.0, seed=1))
    assert len(set(one.values())) == 3
    assert one == texts(model, requests, Sampling(max_new_tokens=16, temperature=1.0, seed=1))
    assert one != texts(model, requests, Sampling(max_new_tokens=16, temperature=1.0, seed=2))


def test_the_token_limit_is_said(model: Loaded) -> None:
    (done,) = generate(model, [Request(0, PROMPTS[0])], Sampling(max_new_tokens=3))
    assert (done.finish, done.tokens) == (Finish.LENGTH, 3)


def test_a_stop_sequence_ends_and_is_cut_off(model: Loaded) -> None:
    (free,) = generate(model, [Request(0, PROMPTS[0])], Sampling(max_new_tokens=20))
    stop = free.text[8:12]
    (done,) = generate(model, [Request(0, PROMPTS[0], stop=(stop,))], Sampling(max_new_tokens=20))
    assert done.finish is Finish.STOP
    assert done.text == free.text[: free.text.index(stop)]


def test_an_end_token_is_not_part_of_the_text() -> None:
    model = load_model(ModelSpec(path="tiny/student"), "model")
    (done,) = generate(model, [Request(0, "def count_even(nums):\n")], Sampling(max_new_tokens=150))
    assert "<|" not in done.text
