"""Whole methods over heads that scale, cap, shift or pad their logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from codedistill.methods import METHODS
from tests.families import pad_head, shift_logits
from tests.methods.full_logits import distillation_loss, minillm_loss, picked

Bench = Callable[..., Any]
SETTINGS = {
    "seqkd": ["loss.cross_entropy_weight=0.2"],
    "akd": ["beta.initial=0.3"],
    "gkd": ["gkd.max_new_tokens=6"],
    "minillm": ["minillm.max_new_tokens=6"],
}
PAIRS = [
    {"student": "phi", "teacher": "gemma2"},
    {"student": "gemma2", "teacher": "cohere"},
    {"student": "granite", "teacher": "phi"},
]


def overrides_of(method: str) -> list[str]:
    return [f"method={method}", *SETTINGS.get(method, [])]


@pytest.mark.parametrize("families", PAIRS)
@pytest.mark.parametrize("method", ["sft", "akd", "gkd", "minillm"])
def test_what_families_do_to_their_logits_is_in_the_loss(method: str, families: dict[str, str], bench: Bench) -> None:
    made = bench(overrides_of(method), wide=True, families=families)
    batch = made.step()
    if method == "minillm":
        with torch.no_grad():
            old = picked(made.logits(made.student, batch), batch.targets)
        expected = minillm_loss(made, batch, old)
    else:
        expected = distillation_loss(made, batch, beta=0.3)
    out = made.method.loss(batch)
    assert (out.loss / out.count).item() == pytest.approx(expected.item(), rel=1e-6)
    for a, b in zip(made.gradients(out.loss / out.count), made.gradients(expected), strict=True):
        assert torch.allclose(a, b, atol=1e-7, rtol=1e-5)


def padded(models: dict[str, Any]) -> None:
    pad_head(models["student"], 5)
    pad_head(models["teacher"], 9)


def shifted(models: dict[str, Any]) -> None:
    shift_logits(models["student"], 3.0)
    shift_logits(models["teacher"], -2.0)


@pytest.mark.parametrize("change", [padded, shifted])
@pytest.mark.parametrize("method", METHODS)
def test_what_says_nothing_about_tokens_changes_nothing(
    method: str, change: Callable[[dict[str, Any]], None], bench: Bench, corpus: Path
) -> None:
    """Not what is written, not the loss, not its gradient."""
    overrides = [*overrides_of(method), *([f"minillm.corpus={corpus}"] if method == "minillm" else [])]
    plain, made = bench(overrides, wide=True), bench(overrides, wide=True, change=change)
    batch = made.step()
    assert torch.equal(batch.ids, plain.step().ids)
    losses = [each.method.loss(batch).loss for each in (plain, made)]
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-9)
    for a, b in zip(plain.gradients(losses[0]), made.gradients(losses[1]), strict=True):
        torch.testing.assert_close(b[: len(a)], a, rtol=1e-6, atol=1e-9)
        assert not b[len(a) :].any()
