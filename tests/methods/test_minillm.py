"""MiniLLM as a method: its loss and gradient from full logits, its rollouts, and whole runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from codedistill.data import collate
from codedistill.errors import UserError
from codedistill.losses import forward_kl, reverse_kl
from codedistill.methods.minillm import mixed_log_probability, returns, rewards
from codedistill.methods.settings import Minillm
from codedistill.recipe.load import load_recipe
from tests.methods.method_runs import assert_same_run, interrupted_run, run

Bench = Callable[..., Any]
SHORT = ["method=minillm", "minillm.max_new_tokens=8", "data.limit=24"]


def test_the_published_settings_are_the_defaults() -> None:
    settings = load_recipe({"teacher": "t", "student": "s", "method": "minillm"}).section(Minillm)
    assert (settings.teacher_share, settings.clip, settings.gamma) == (0.2, 0.2, 0.95)
    assert (settings.reward_scaling, settings.reward_clip, settings.updates) == (0.5, 100.0, 4)
    assert (settings.length_normalised, settings.single_step, settings.corpus) == (True, True, None)


@pytest.mark.parametrize(
    ("overrides", "keys"),
    [
        (["method=minillm", "minillm.corpus_weight=1"], ["minillm.corpus_weight", "minillm.corpus=null"]),
        (["method=minillm", "loss.temperature=2"], ["loss.temperature", "minillm"]),
        (["method=gkd", "gkd.student_fraction=0", "gkd.temperature=1"], ["gkd.temperature", "gkd.student_fraction=0"]),
        (["method=minillm", "student={architecture: {model_type: llama}, tokenizer: t}"], ["minillm", "method=sft"]),
    ],
)
def test_recipes_that_cannot_be_meant(overrides: list[str], keys: list[str]) -> None:
    recipe: dict[str, Any] = {"teacher": "t"} if "student" in overrides[-1] else {"teacher": "t", "student": "s"}
    with pytest.raises(UserError) as error:
        load_recipe(recipe, overrides)
    assert all(key in str(error.value) for key in keys)


def picked(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(logits, -1)[torch.arange(len(targets)), targets]


def means(values: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    return torch.stack([values[owner == b].mean() for b in range(int(owner.max()) + 1)]).sum()


def expected_loss(made: Any, batch: Any, old: torch.Tensor, whiten: bool, single_step: bool) -> torch.Tensor:
    """The method's loss from full logits. old: log-probabilities of the tokens under the student that wrote them."""
    settings = made.recipe.minillm
    student, teacher = made.logits(made.student, batch), made.logits(made.teacher, batch).detach()
    new, log_p = picked(student, batch.targets), picked(teacher, batch.targets)
    advantage = torch.cat(
        [
            returns(
                rewards(log_p[batch.owner == b], old[batch.owner == b], settings.reward_scaling, settings.reward_clip),
                settings.gamma,
                own=not single_step,
                length_normalised=True,
            )
            for b in range(batch.examples)
        ]
    )
    if whiten:
        advantage = (advantage - advantage.mean()) / (advantage.var(unbiased=False) + 1e-8).sqrt()
    ratio = (new - mixed_log_probability(log_p, old, settings.teacher_share)).exp()
    policy = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(0.8, 1.2))
    return means(policy + (reverse_kl(student, teacher) if single_step else 0.0), batch.owner)


@pytest.mark.parametrize(("whiten", "single_step"), [(True, True), (False, True), (True, False)])
def test_loss_and_gradient_from_full_logits(whiten: bool, single_step: bool, bench: Bench) -> None:
    """At the first update and, with the student moved, at the second, where ratios differ and clipping sets in."""
    switches = [f"minillm.whiten={whiten}", f"minillm.single_step={single_step}"]
    made = bench([*SHORT, *switches], wide=True)
    pad = made.student.tokenizer.pad_token_id
    first = made.method.start_step(0, made.examples)
    batch = collate(first, pad)
    with torch.no_grad():
        old = picked(made.logits(made.student, batch), batch.targets)
    for step in (0, 1):
        if step:
            with torch.no_grad():
                for parameter in made.student.model.parameters():
                    parameter.add_(0.02 * torch.randn_like(parameter))
        assert made.method.start_step(step, made.examples) == first
        out = made.method.loss(batch)
        ours = made.gradients(out.loss)
        plain = expected_loss(made, batch, old, whiten, single_step)
        assert out.loss.item() == pytest.approx(plain.item(), rel=1e-5, abs=1e-6)
        for a, b in zip(ours, made.gradients(plain), strict=True):
            assert torch.allclose(a, b, atol=1e-6, rtol=1e-5)
        log_p = picked(made.logits(made.teacher, batch), batch.targets)
        assert out.metrics["reward"].item() == pytest.approx(means(log_p - old, batch.owner).item(), rel=1e-5)
    assert made.method.start_step(4, made.examples) != first


@pytest.mark.parametrize(("share", "normalization"), [(0.5, "sample"), (0.0, "sample"), (0.3, "token")])
def test_the_corpus_loss(share: float, normalization: str, bench: Bench) -> None:
    """(1 - k) cross entropy + k forward KL on the drawn texts, as a mean of its own beside the other parts."""
    corpus = [f"minillm.corpus_teacher_share={share}", "minillm.corpus=tiny/text", "minillm.corpus_limit=9"]
    normal = f"loss.normalization={normalization}"
    overrides = [*SHORT, normal, *corpus, "minillm.corpus_weight=0.5"]
    made = bench(overrides, wide=True)
    pad = made.student.tokenizer.pad_token_id
    written = made.method.start_step(0, made.examples)
    out = made.method.loss(collate(written, pad))
    assert max(made.method.text_for(i).id for i in range(200)) == 8
    drawn = [made.method.text_for(e.id) for e in written]
    other = bench([*overrides, "training.seed=1"]).method
    assert drawn != [other.text_for(e.id) for e in written]
    texts = collate(drawn, pad)
    student, teacher = made.logits(made.student, texts), made.logits(made.teacher, texts)
    values = (1 - share) * -picked(student, texts.targets) + share * forward_kl(student, teacher)
    mean = values.mean() if normalization == "token" else means(values, texts.owner) / texts.examples
    assert (out.metrics["corpus_loss"] / out.count).item() == pytest.approx(0.5 * mean.item(), rel=1e-5)
    parts = sum(out.metrics[name] for name in ("policy_loss", "single_step_loss", "corpus_loss"))
    assert out.loss.item() == pytest.approx(parts.item(), rel=1e-6)
    again = made.step(1)
    assert again.ids.tolist() == collate(written, pad).ids.tolist()
    assert made.method.loss(again).metrics["corpus_loss"] != out.metrics["corpus_loss"]  # other texts


def test_an_interrupted_run_goes_on_with_the_same_corpus(bench: Bench, corpus: Path) -> None:
    one, other = (
        bench([*SHORT, f"minillm.corpus={source}", "minillm.corpus_limit=1"]).method for source in (corpus, "tiny/text")
    )
    one.load_state_dict(one.state_dict())
    with pytest.raises(UserError, match=r"minillm\.corpus"):
        other.load_state_dict(one.state_dict())


def test_a_batch_of_responses_serves_several_updates(short_recipe: dict[str, Any], tmp_path: Path) -> None:
    """40 examples in batches of 8 make 5 batches, and with 2 updates of each 10 steps an epoch."""
    small = ["method=minillm", "data.limit=40", "minillm.updates=2", "minillm.max_new_tokens=3", "training.epochs=1"]
    recipe = short_recipe | {"training": {"batch_size": 8, "learning_rate": 1e-3}}
    metrics = run(recipe, tmp_path / "a", small).metrics
    assert [m.epoch for m in metrics] == [0] * 10
    rewards = [m.extra["reward"] for m in metrics]
    assert rewards[::2] == rewards[1::2]
    assert len(set(rewards)) == 5


def test_micro_batches_change_nothing(short_recipe: dict[str, Any], tmp_path: Path) -> None:
    common = [*SHORT, "training.learning_rate=1e-4", "minillm.corpus=tiny/text", "minillm.corpus_limit=20"]
    common += ["loss.normalization=token", "training.steps=5"]
    whole = run(short_recipe, tmp_path / "a", common)
    parts = run(short_recipe, tmp_path / "b", [*common, "training.micro_batch_size=3", "loss.chunk_rows=5"])
    for name in whole.weights:
        assert torch.allclose(whole.weights[name], parts.weights[name], atol=1e-6, rtol=0), name
    for a, b in zip(whole.metrics, parts.metrics, strict=True):
        assert a.extra == pytest.approx(b.extra, rel=1e-4, abs=1e-5)


def test_an_interrupted_run_goes_on_bit_for_bit(short_recipe: dict[str, Any], tmp_path: Path) -> None:
    """Stopped between two updates of one batch: its responses come from the checkpoint."""
    corpus = ["minillm.corpus=tiny/text", "minillm.corpus_limit=20"]
    overrides = [*SHORT, *corpus, "lora={rank: 2, dropout: 0.2}", "training.steps=7"]
    whole = run(short_recipe, tmp_path / "a", overrides)
    assert_same_run(interrupted_run(short_recipe, tmp_path / "b", overrides, stop_at=3), whole)


def test_it_lowers_the_reverse_kl(short_recipe: dict[str, Any], tmp_path: Path) -> None:
    overrides = [*SHORT, "training.steps=24", "training.learning_rate=5e-3", "minillm.updates=1"]
    metrics = run(short_recipe, tmp_path / "a", overrides).metrics
    values = [m.reverse_kl or 0.0 for m in metrics]
    assert sum(values[-4:]) < 0.7 * sum(values[:4])
