"""The recipe's `loss` and `beta` sections against plain autograd over full logits in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from codedistill.losses import DIVERGENCES, forward_kl, reverse_kl
from codedistill.methods.base import StepStatistics

Bench = Callable[..., Any]


def means(values: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    """Sum over examples of the mean over each one's rows: `normalization: sample` before its division."""
    return torch.stack([values[owner == b].mean() for b in range(int(owner.max()) + 1)]).sum()


CASES: dict[str, dict[str, float]] = {
    "forward_kl": {},
    "reverse_kl": {},
    "jsd": {"beta": 0.3},
    "skew_forward_kl": {"alpha": 0.2},
    "skew_reverse_kl": {"alpha": 0.2},
    "total_variation": {},
    "alpha_beta": {"alpha": 0.5, "beta": 0.4},
    "akl": {"head_mass": 0.3},
    "todi": {},
}


def test_every_divergence_has_a_case() -> None:
    assert CASES.keys() == DIVERGENCES.keys()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("squared", "share"), [(False, 0.0), (True, 0.25)])
def test_loss_and_gradient_by_name(name: str, squared: bool, share: float, bench: Bench) -> None:
    """The squared temperature and the cross-entropy share mean the same whatever the divergence."""
    overrides = [f"loss.parameters.{key}={value}" for key, value in CASES[name].items()]
    switches = [f"loss.squared_temperature={squared}", f"loss.cross_entropy_weight={share}", "loss.temperature=2"]
    made = bench(["method=kd", f"loss.divergence={name}", *overrides, *switches], wide=True)
    batch = made.batch
    out = made.method.loss(batch)
    ours = made.gradients(out.loss)

    student, teacher = made.logits(made.student, batch), made.logits(made.teacher, batch).detach()
    divergence = DIVERGENCES[name](student, teacher, 2.0, **CASES[name]) * (4.0 if squared else 1.0)
    hard = torch.nn.functional.cross_entropy(student, batch.targets, reduction="none")
    plain = means((1 - share) * divergence + share * hard, batch.owner)
    assert out.loss.item() == pytest.approx(plain.item(), rel=1e-6)
    assert out.count == batch.examples
    forward = means(forward_kl(student, teacher, 2.0), batch.owner).item()
    assert out.metrics["forward_kl"].item() == pytest.approx(forward)
    for a, b in zip(ours, made.gradients(plain), strict=True):
        assert torch.allclose(a, b, atol=1e-6, rtol=1e-6)


def shares(made: Any, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        logits = made.logits(made.student, batch), made.logits(made.teacher, batch)
        return forward_kl(*logits), reverse_kl(*logits)


def test_beta_per_token_is_each_rows_share(bench: Bench) -> None:
    made = bench(["beta.strategy=per_token"], wide=True)
    batch = made.batch
    forward, reverse = shares(made, batch)
    beta = reverse / (forward + reverse)
    out = made.method.loss(batch)
    assert out.loss.item() == pytest.approx(means((1 - beta) * forward + beta * reverse, batch.owner).item())
    assert out.metrics["beta"].item() == pytest.approx(means(beta, batch.owner).item())


def test_beta_per_example_is_each_examples_share(bench: Bench) -> None:
    made = bench(["beta.strategy=per_example"], wide=True)
    batch = made.batch
    forward, reverse = shares(made, batch)
    expected, betas = 0.0, 0.0
    for b in range(batch.examples):
        f, r = forward[batch.owner == b].mean().item(), reverse[batch.owner == b].mean().item()
        expected, betas = expected + (f * f + r * r) / (f + r), betas + r / (f + r)
    out = made.method.loss(batch)
    assert out.loss.item() == pytest.approx(expected)
    assert out.metrics["beta"].item() == pytest.approx(betas)
    logged = made.method.after_step(StepStatistics(1.0, {"forward_kl": 2.0, "reverse_kl": 3.0, "beta": 0.45}))
    assert logged["beta"] == 0.45


def test_gap_driven_beta_follows_the_gaps(bench: Bench) -> None:
    made = bench(["beta.strategy=gap", "beta.initial=0.2", "beta.smoothing=0.5", "beta.head_mass=0.3"], wide=True)
    batch = made.batch
    out = made.method.loss(batch)
    with torch.no_grad():
        p, q = (torch.softmax(made.logits(who, batch), -1) for who in (made.teacher, made.student))
    head = torch.zeros_like(p, dtype=torch.bool)
    for row, order in enumerate(p.argsort(-1, descending=True).tolist()):
        mass = 0.0
        for place, entry in enumerate(order):
            mass += p[row, entry].item()
            if place and mass > 0.3:
                break
            head[row, entry] = True
    gap = (p - q).abs()
    assert out.metrics["head_gap"].item() == pytest.approx(means((gap * head).sum(-1), batch.owner).item())
    assert out.metrics["tail_gap"].item() == pytest.approx(means((gap * ~head).sum(-1), batch.owner).item())
    means_of_step = {"forward_kl": 1.0, "reverse_kl": 2.0, "head_gap": 0.1, "tail_gap": 0.3}
    logged = made.method.after_step(StepStatistics(0.0, means_of_step))
    assert logged["beta"] == 0.2
    assert made.method.state_dict()["beta"]["value"] == pytest.approx(0.5 * 0.2 + 0.5 * 0.75)


@pytest.mark.parametrize("strategy", ["per_token", "per_example"])
def test_variants_know_no_micro_batches(strategy: str, bench: Bench) -> None:
    made = bench([f"beta.strategy={strategy}"], wide=True)
    from codedistill.data import collate

    pad = made.student.tokenizer.pad_token_id
    whole = made.method.loss(made.batch).loss.item()
    parts = sum(made.method.loss(collate([example], pad)).loss.item() for example in made.examples)
    assert whole == pytest.approx(parts, rel=1e-6)
