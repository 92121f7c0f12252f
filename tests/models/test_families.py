"""What works for one family must work for every family, or be refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from codedistill.errors import UserError
from codedistill.generation import Mixture, OwnEngine, Request, Sampling, TransformersGenerator, generator_for
from codedistill.models import Loaded, load_model, verify_saved
from codedistill.models.heads import check_head
from codedistill.models.lora import add_adapters, merged
from codedistill.recipe.sections import Lora, ModelSpec
from codedistill.tiny import ASSETS
from tests.families import ALL, PER_LAYER, STATEFUL, micro

FEW = {"llama", "gemma2", "mamba", "recurrent_gemma", "smollm3", "qwen2_moe", "deepseek_v3"}
PROMPTS = [(7, 9, 12, 300, 301), (5,), tuple(range(20, 38)), (40, 41)]


def some(families: Any) -> list[Any]:
    """A handful of families always, the others in the slow tests."""
    return [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in families]


def family(name: str) -> Loaded:
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "teacher")
    return Loaded(name, micro(name, len(tokenizer)), tokenizer)


def saved(name: str, folder: Path) -> Path:
    loaded = family(name)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def uncached(model: Any, prompt: tuple[int, ...], count: int, ends: list[int]) -> tuple[int, ...]:
    """Greedy decoding that computes everything again for each token."""
    made: list[int] = []
    while len(made) < count and not set(made) & set(ends):
        ids = torch.tensor([[*prompt, *made]])
        made.append(int(model(input_ids=ids, use_cache=False).logits[0, -1].argmax()))
    return tuple(made)


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=torch.arange(2, 20)[None], use_cache=False).logits
    return found


@pytest.mark.parametrize("name", some(ALL))
def test_generation_is_uncached_greedy_decoding(name: str) -> None:
    loaded = family(name)
    requests = [Request(i, ids=prompt) for i, prompt in enumerate(PROMPTS)]
    found = {c.index: c.ids for c in generator_for(loaded).generate(requests, Sampling(10, batch_size=3))}
    for i, prompt in enumerate(PROMPTS):
        assert found[i] == uncached(loaded.model, prompt, 10, loaded.end_tokens), prompt


@pytest.mark.parametrize("name", ["llama", "mamba"])
def test_transformers_generates_as_the_own_engine_does(name: str) -> None:
    """Sampling, stop sequences, limits and mixtures, too: they must not depend on who generates."""
    loaded = family("llama")
    mixture = Mixture(family(name).model, 0.4) if name == "llama" else None
    requests = [Request(i, ids=p, limit=9 - i, sample=s) for i, p in enumerate(PROMPTS) for s in range(2)]
    sampling = Sampling(9, temperature=0.8, seed=4, batch_size=3, vocabulary=900)
    ours, theirs = (
        {(c.index, c.sample): c for c in each.generate(requests, sampling)}
        for each in (OwnEngine(loaded, mixture), TransformersGenerator(loaded, mixture))
    )
    assert ours == theirs


def test_a_family_without_a_cache_of_keys_is_given_to_transformers_and_llama_is_not() -> None:
    assert isinstance(generator_for(family("llama")), OwnEngine)
    assert isinstance(generator_for(family("mamba")), TransformersGenerator)


def test_a_model_that_nobody_can_generate_with_is_refused() -> None:
    loaded = family("llama")
    model: Any = loaded.model
    plain = model.forward
    model.forward = lambda **given: 1 / 0 if "attention_mask" in given else plain(**given)
    with pytest.raises(UserError, match="llama"):
        generator_for(loaded)


@pytest.mark.parametrize("keep", [2, 3])
@pytest.mark.parametrize("name", some(PER_LAYER))
def test_a_cut_model_is_the_same_after_saving(name: str, keep: int, tmp_path: Path) -> None:
    cut = load_model(ModelSpec(path=str(saved(name, tmp_path / "whole")), keep_layers=keep), "student")
    cut.model.save_pretrained(tmp_path / "cut")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "cut")
    assert torch.equal(logits(again), logits(cut.model))
    assert again.config.num_hidden_layers == keep


def test_a_cut_that_its_settings_cannot_describe_is_refused(tmp_path: Path) -> None:
    """Jamba names its layers by period and offset: of 0, 2, 3 no such pair is true."""
    with pytest.raises(UserError, match=r"student\.keep_layers 3: .*jamba"):
        load_model(ModelSpec(path=str(saved("jamba", tmp_path)), keep_layers=3), "student")


def test_a_model_that_changes_by_saving_is_refused() -> None:
    loaded = family("smollm3")
    verify_saved(loaded.model, loaded.tokenizer, "student")
    attention: Any = loaded.model.get_decoder().layers[1].self_attn
    attention.use_rope = not attention.use_rope
    with pytest.raises(UserError, match="logits differ"):
        verify_saved(loaded.model, loaded.tokenizer, "student")


@pytest.mark.parametrize("name", ["llama", "deepseek_v2", "deepseek_v3", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_adapters_merge_into_what_they_were(name: str) -> None:
    model = micro(name)
    before = logits(model)
    adapted = add_adapters(model, Lora(dropout=0.0)).eval()
    assert torch.equal(logits(adapted), before)  # the trial merge left nothing behind
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.05)
    expected = logits(adapted)
    assert not torch.allclose(expected, before, atol=1e-3)
    torch.testing.assert_close(logits(merged(adapted)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", some(STATEFUL))
def test_heads_of_stateful_families_are_read(name: str) -> None:
    check_head(micro(name), "student")


def test_a_model_that_sees_later_tokens_is_refused() -> None:
    model = micro("llama")
    plain = model.forward

    def forward(input_ids: torch.Tensor, **rest: Any) -> Any:
        out = plain(input_ids=input_ids, **rest)
        out.logits = out.logits + out.logits.mean(1, keepdim=True)
        return out

    model.forward = forward
    with pytest.raises(UserError, match=r"student: llama .* causal"):
        check_head(model, "student")
