"""The head that losses read: what each family does to its logits; a family that does more is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoModel

from codedistill.errors import UserError
from codedistill.models.heads import check_head, output_head
from tests.families import FAMILIES, micro

IDS = torch.arange(24).reshape(2, 12)


@pytest.mark.parametrize("family", FAMILIES)
def test_our_head_gives_the_models_own_logits(family: str) -> None:
    model = micro(family)
    check_head(model, "teacher x")
    with torch.no_grad():
        hidden = model.get_decoder()(input_ids=IDS, use_cache=False).last_hidden_state
        own = model(IDS, use_cache=False).logits
        torch.testing.assert_close(output_head(model).logits(hidden), own, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "part", "value"),
    [
        ("granite", "scale", 1 / 3.0),
        ("hyperclovax", "scale", 0.4),
        ("cohere", "scale", 0.3),
        ("falcon_h1", "scale", 0.3),
        ("gemma2", "softcap", 2.0),
        ("recurrent_gemma", "softcap", 1.5),
        ("llama", "scale", 1.0),
        ("llama", "softcap", None),
        ("llama", "bias", None),
    ],
)
def test_what_a_family_does_to_its_logits_by_hand(family: str, part: str, value: float | None) -> None:
    assert getattr(output_head(micro(family)), part) == (None if value is None else pytest.approx(value, rel=1e-12))


def test_a_bias_is_the_heads_own_parameter() -> None:
    """Not a copy: it learns with the others."""
    model = micro("phi")
    head = output_head(model)
    assert head.bias is model.lm_head.bias
    assert head.weight is model.lm_head.weight


def scaled(logits: torch.Tensor) -> torch.Tensor:
    return logits * 1.01


def capped(logits: torch.Tensor) -> torch.Tensor:
    return 5.0 * torch.tanh(logits / 5.0)


def shifted_entry(logits: torch.Tensor) -> torch.Tensor:
    return logits + torch.nn.functional.one_hot(torch.tensor(5), logits.shape[-1]) * 0.1


def not_a_number(logits: torch.Tensor) -> torch.Tensor:
    return logits * float("nan")


@pytest.mark.parametrize("change", [scaled, capped, shifted_entry, not_a_number])
def test_logits_that_are_more_than_the_head_knows_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = micro("llama")
    check_head(model, "student s")
    plain = type(model).forward

    def forward(self: Any, *arguments: Any, **options: Any) -> Any:
        out = plain(self, *arguments, **options)
        out.logits = change(out.logits)
        return out

    monkeypatch.setattr(type(model), "forward", forward)
    with pytest.raises(UserError, match="student s: llama"):
        check_head(model, "student s")


@pytest.mark.parametrize("family", ["llama", "phi", "gemma2", "cohere", "granite"])
def test_heads_of_bfloat16_are_not_refused_for_their_rounding(family: str) -> None:
    check_head(micro(family).bfloat16(), "teacher x")


def test_a_model_without_a_head_is_refused() -> None:
    with pytest.raises(UserError, match="teacher x: LlamaModel has no output head; give a causal language model"):
        check_head(AutoModel.from_config(micro("llama").config), "teacher x")
