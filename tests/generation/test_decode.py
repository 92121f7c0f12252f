from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from codedistill.generation import Finish, OwnEngine, Request, Sampling
from codedistill.models import Loaded, load_model
from codedistill.recipe.sections import ModelSpec

PROMPTS = ["def f(x):", "Return the sum of the numbers in values that are even and", "a", "x = 1\n" * 9]


@pytest.fixture(scope="module")
def model(micro_pair: dict[str, Path]) -> Loaded:
    return load_model(ModelSpec(path=str(micro_pair["student"])), "model")


def texts(model: Loaded, requests: list[Request], sampling: Sampling) -> dict[tuple[int, int], str]:
    return {(c.index, c.sample): c.text for c in OwnEngine(model).generate(requests, sampling)}


def test_greedy_agrees_with_transformers_one_by_one(model: Loaded) -> None:
    network: Any = model.model
    requests = [Request(i, prompt) for i, prompt in enumerate(PROMPTS)]
    ours = texts(model, requests, Sampling(max_new_tokens=20))
    for i, prompt in enumerate(PROMPTS):
        ids = model.tokenizer(prompt, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            out = network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
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
    (done,) = OwnEngine(model).generate([Request(0, PROMPTS[0])], Sampling(max_new_tokens=3))
    assert (done.finish, done.tokens) == (Finish.LENGTH, 3)


def test_a_stop_sequence_ends_and_is_cut_off(model: Loaded) -> None:
    (free,) = OwnEngine(model).generate([Request(0, PROMPTS[0])], Sampling(max_new_tokens=20))
    stop = free.text[8:12]
    (done,) = OwnEngine(model).generate([Request(0, PROMPTS[0], stop=(stop,))], Sampling(max_new_tokens=20))
    assert done.finish is Finish.STOP
    assert done.text == free.text[: free.text.index(stop)]


def test_of_two_stop_sequences_that_one_token_completes_the_earlier_one_counts(model: Loaded) -> None:
    (free,) = OwnEngine(model).generate([Request(0, PROMPTS[0])], Sampling(max_new_tokens=20))
    longer = free.text[8:12]
    for stop in ((longer, longer[1:]), (longer[1:], longer)):
        (done,) = OwnEngine(model).generate([Request(0, PROMPTS[0], stop=stop)], Sampling(max_new_tokens=20))
        assert (done.finish, done.text) == (Finish.STOP, free.text[: free.text.index(longer)])


def test_a_completion_ends_where_the_context_does(model: Loaded) -> None:
    assert model.model.config.max_position_embeddings == 512
    requests = [Request(0, ids=(7,) * 505), Request(1, ids=(8,) * 490)]
    done = sorted(OwnEngine(model).generate(requests, Sampling(max_new_tokens=15)), key=lambda c: c.index)
    assert [(c.tokens, c.finish) for c in done] == [(7, Finish.LENGTH), (15, Finish.LENGTH)]


def test_a_prompt_that_fills_the_context_loses_its_beginning(model: Loaded) -> None:
    rows = torch.Generator().manual_seed(3)
    ids = tuple(torch.randint(5, 900, (600,), generator=rows).tolist())
    long, short = (
        next(iter(OwnEngine(model).generate([Request(0, ids=each)], Sampling(20)))) for each in (ids, ids[-511:])
    )
    assert (long.tokens, long.finish) == (1, Finish.LENGTH)
    assert long.ids == short.ids


@pytest.mark.parametrize("several", [True, False])
def test_the_generation_settings_may_name_further_end_tokens(several: bool, micro_pair: dict[str, Path]) -> None:
    model = load_model(ModelSpec(path=str(micro_pair["student"])), "model")
    (free,) = OwnEngine(model).generate([Request(0, PROMPTS[0])], Sampling(max_new_tokens=20))
    end = next(token for i, token in enumerate(free.ids) if i > 3 and token not in free.ids[:i])
    model.model.generation_config.eos_token_id = [model.tokenizer.eos_token_id, end] if several else end
    (done,) = OwnEngine(model).generate([Request(0, PROMPTS[0])], Sampling(max_new_tokens=20))
    at = free.ids.index(end)
    assert (done.finish, done.tokens, done.ids) == (Finish.EOS, at, free.ids[: at + 1])
    assert done.text == model.tokenizer.decode(free.ids[:at])


def test_an_end_token_is_not_part_of_the_text() -> None:
    model = load_model(ModelSpec(path="tiny/student"), "model")
    (done,) = OwnEngine(model).generate([Request(0, "def count_even(nums):\n")], Sampling(max_new_tokens=150))
    assert "<|" not in done.text
