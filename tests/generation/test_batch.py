"""Sequences that come and go change nothing for the others, whatever the model's family keeps in its cache."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from codedistill.generation import Finish, Mixture, OwnEngine, Request, Sampling, own
from codedistill.models import Loaded, load_model
from codedistill.recipe.sections import ModelSpec
from codedistill.tiny import ASSETS

OLD = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256, "n_inner": 64}
NEW = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": NEW,
    "qwen2": {**NEW, "num_key_value_heads": 1},
    "starcoder2": {**NEW, "num_key_value_heads": 1, "sliding_window": None},
    "gpt2": OLD,
    "gpt_bigcode": OLD,
    "gptj": {**OLD, "rotary_dim": 4},
    "gpt_neox": NEW,
    "phi3": {**NEW, "pad_token_id": 0},
    "mistral": {**NEW, "num_key_value_heads": 1, "sliding_window": 9},
    "gemma2": {**NEW, "num_key_value_heads": 1, "head_dim": 16, "sliding_window": 9},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    "falcon": {**NEW, "alibi": True, "new_decoder_architecture": False},
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "word_embed_proj_dim": 32,
    },
    "mpt": {"d_model": 32, "n_heads": 2, "n_layers": 2, "max_seq_len": 256},
    "lfm2": {**NEW, "num_key_value_heads": 1, "layer_types": ["conv", "full_attention"]},
}
START = (7, 9, 12, 300, 301, 302, 5, 6, 7, 8)
PROMPTS = [(*START, *range(20, 20 + n)) for n in (1, 9, 3, 3, 14, 2, 6, 1, 11)]
LIMITS = (14, 3, 9, 1, 20, 6, 12, 17, 4)


def family(name: str) -> Loaded:
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "teacher")
    torch.manual_seed(5)
    config = AutoConfig.for_model(
        name, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, bos_token_id=None, **FAMILIES[name]
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # flat logits would let rounding choose
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.25)
    return Loaded(name, model, tokenizer)


def one_by_one(loaded: Loaded, prompts: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Greedy continuations by transformers, each prompt alone, with the end token if there is one."""
    found = []
    for prompt, limit in zip(prompts, LIMITS, strict=False):
        ids = torch.tensor([prompt])
        network: Any = loaded.model
        with torch.no_grad():
            out = network.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=limit,
                do_sample=False,
                eos_token_id=loaded.tokenizer.eos_token_id,
                pad_token_id=loaded.tokenizer.pad_token_id,
            )
        found.append(tuple(out[0, len(prompt) :].tolist()))
    return found


def decoded(loaded: Loaded, prompts: list[tuple[int, ...]], size: int) -> list[tuple[int, ...]]:
    requests = [Request(i, ids=p, limit=limit) for i, (p, limit) in enumerate(zip(prompts, LIMITS, strict=False))]
    done = sorted(OwnEngine(loaded).generate(requests, Sampling(20, batch_size=size)), key=lambda c: c.index)
    return [c.ids for c in done]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_decodes_as_transformers_does_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "ROOM", 2)  # blocks run full and move
    loaded = family(name)
    expected = one_by_one(loaded, PROMPTS)
    assert len({ids[:1] for ids in expected}) > 2, "the model says the same to everything"
    assert decoded(loaded, PROMPTS, 3) == expected


@pytest.fixture(scope="module")
def model(micro_pair: dict[str, Path]) -> Loaded:
    return load_model(ModelSpec(path=str(micro_pair["student"])), "model")


class Passes:
    """The shapes [rows, tokens] of a model's forward passes."""

    def __init__(self, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shapes: list[tuple[int, ...]] = []
        plain = loaded.model.forward

        def forward(input_ids: torch.Tensor, **rest: Any) -> Any:
            self.shapes.append(tuple(input_ids.shape))
            return plain(input_ids=input_ids, **rest)

        forward.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]
        monkeypatch.setattr(loaded.model, "forward", forward)

    @property
    def steps(self) -> list[int]:
        return [rows for rows, tokens in self.shapes if tokens == 1]


def test_free_places_are_taken(model: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """One long sequence and many short ones: fixed batches would take its length for each batch."""
    monkeypatch.setattr(own, "LEAST_SHARED", 10_000)
    passes = Passes(model, monkeypatch)
    requests = [Request(i, ids=(10 + i, 11), limit=30 if i == 0 else 5) for i in range(25)]
    done = list(OwnEngine(model).generate(requests, Sampling(30, batch_size=4)))
    assert sorted(c.index for c in done) == list(range(25))
    made = sum(c.tokens - 1 for c in done)  # the first token of each comes from its prompt
    assert max(passes.steps) == 4
    assert len(passes.steps) < 1.4 * made / 4
    assert sum(passes.steps) == made


def test_a_common_start_goes_through_the_model_once(model: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = decoded(model, PROMPTS, 4)
    passes = Passes(model, monkeypatch)
    assert decoded(model, PROMPTS, 4) == plain
    assert [shape for shape in passes.shapes if shape == (1, len(START))] == [(1, len(START))]
    assert max(tokens for _, tokens in passes.shapes) == 14
    monkeypatch.setattr(own, "LEAST_SHARED", 10_000)
    passes.shapes.clear()
    assert decoded(model, PROMPTS, 4) == plain
    assert max(tokens for _, tokens in passes.shapes) == 24


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_repeated_prompts_go_through_the_models_once(
    share: float, model: Loaded, micro_pair: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = None
    if share:
        mixture = Mixture(load_model(ModelSpec(path=str(micro_pair["teacher"])), "model").model, share)
    requests = [Request(i, ids=PROMPTS[i], sample=s) for i in (0, 4, 6) for s in range(4)]
    sampling = Sampling(9, temperature=1.0, seed=2, batch_size=12)
    passes = Passes(model, monkeypatch)
    together = {(c.index, c.sample): c.ids for c in OwnEngine(model, mixture).generate(requests, sampling)}
    assert [shape[0] for shape in passes.shapes if shape[1] > 1] == [1, 3]
    for request in requests:
        (alone,) = OwnEngine(model, mixture).generate([request], sampling)
        assert together[request.index, request.sample] == alone.ids


def test_a_stop_sequence_of_many_tokens_is_found(model: Loaded) -> None:
    (free,) = OwnEngine(model).generate([Request(0, ids=START)], Sampling(40))
    stop = free.text[5:-5]
    assert len(free.ids) == 40
    assert len(model.tokenizer(stop)["input_ids"]) > 16
    (done,) = OwnEngine(model).generate([Request(0, ids=START, stop=(stop,))], Sampling(40))
    assert done.finish is Finish.STOP
    assert done.text == free.text[:5]


def test_no_requests_no_completions(model: Loaded) -> None:
    assert list(OwnEngine(model).generate([], Sampling())) == []
