"""On-policy distillation: which responses are the student's, and what is computed on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from codedistill.data import collate
from codedistill.losses import DIVERGENCES, forward_kl, reverse_kl
from tests.methods.method_runs import assert_same_run, interrupted_run, run

Bench = Callable[..., Any]
ON_POLICY = ["method=gkd", "gkd.max_new_tokens=6", "training.steps=5", "data.limit=24"]


def test_without_student_responses_it_is_kd(short_recipe: dict[str, Any], tmp_path: Path) -> None:
    ours = run(short_recipe, tmp_path / "a", ["method=gkd", "gkd.student_fraction=0", "training.steps=2"])
    kd = run(short_recipe, tmp_path / "b", ["method=kd", "loss.divergence=jsd", "training.steps=2"])
    assert all(torch.equal(ours.weights[name], kd.weights[name]) for name in kd.weights)
    assert [m.extra["student_written"] for m in ours.metrics] == [0.0, 0.0]


def test_the_fraction_is_of_examples_and_seeded(bench: Bench) -> None:
    made = bench(["method=gkd", "gkd.student_fraction=0.3", "gkd.max_new_tokens=1"])
    drawn = [{i for i in range(400) if made.method.student_writes(step, i)} for step in range(2)]
    assert 90 <= len(drawn[0]) <= 150
    assert drawn[0] != drawn[1]
    again = bench(["method=gkd", "gkd.student_fraction=0.3"]).method
    assert drawn[0] == {i for i in range(400) if again.student_writes(0, i)}
    other = bench(["method=gkd", "gkd.student_fraction=0.3", "training.seed=1"]).method
    assert drawn[0] != {i for i in range(400) if other.student_writes(0, i)}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], lambda q, p: DIVERGENCES["jsd"](q, p, 1.0, beta=0.5)),
        (
            ["loss.divergence=skew_reverse_kl", "loss.parameters.alpha=0.2"],
            lambda q, p: DIVERGENCES["skew_reverse_kl"](q, p, 1.0, alpha=0.2),
        ),
        (
            ["loss.divergence=akd", "beta.strategy=fixed", "beta.initial=0.3"],
            lambda q, p: 0.7 * forward_kl(q, p) + 0.3 * reverse_kl(q, p),
        ),
    ],
)
def test_loss_and_gradient_on_mixed_responses(overrides: list[str], expected: Any, bench: Bench) -> None:
    made = bench(["method=gkd", "gkd.max_new_tokens=6", *overrides], wide=True)
    counts = [sum(made.method.student_writes(step, e.id) for e in made.examples) for step in range(20)]
    examples = made.method.start_step(next(step for step in range(20) if 0 < counts[step] < 4), made.examples)
    changed = [a.ids != b.ids for a, b in zip(made.examples, examples, strict=True)]
    assert set(changed) == {True, False}
    batch = collate(examples, made.student.tokenizer.pad_token_id)
    out = made.method.loss(batch)
    ours = made.gradients(out.loss)
    values = expected(made.logits(made.student, batch), made.logits(made.teacher, batch).detach())
    plain = torch.stack([values[batch.owner == b].mean() for b in range(4)]).sum()
    assert out.loss.item() == pytest.approx(plain.item(), rel=1e-6)
    assert out.metrics["student_written"].item() == pytest.approx(sum(changed))
    for a, b in zip(ours, made.gradients(plain), strict=True):
        assert torch.allclose(a, b, atol=1e-6, rtol=1e-6)


def test_micro_batches_change_nothing(short_recipe: dict[str, Any], tmp_path: Path) -> None:
    common = [*ON_POLICY, "training.learning_rate=1e-4", "loss.cross_entropy_weight=0.3"]
    whole = run(short_recipe, tmp_path / "a", common)
    parts = run(short_recipe, tmp_path / "b", [*common, "training.micro_batch_size=3", "gkd.batch_size=2"])
    for name in whole.weights:
        assert torch.allclose(whole.weights[name], parts.weights[name], atol=1e-6, rtol=0), name
    for name in ("student_written", "cross_entropy"):
        logged = [[m.extra[name] for m in each.metrics] for each in (whole, parts)]
        assert logged[0] == pytest.approx(logged[1], rel=1e-5), name


def test_an_interrupted_run_goes_on_bit_for_bit(short_recipe: dict[str, Any], tmp_path: Path) -> None:
    overrides = [*ON_POLICY, "loss.divergence=akd", "lora={rank: 2, dropout: 0.2}", "training.micro_batch_size=4"]
    whole = run(short_recipe, tmp_path / "a", overrides)
    assert_same_run(interrupted_run(short_recipe, tmp_path / "b", overrides, stop_at=3), whole)
