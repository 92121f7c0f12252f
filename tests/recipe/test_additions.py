"""A newcomer's additions, made from outside of the package: one entry each, and a run trains with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from codedistill.data import Batch
from codedistill.errors import UserError
from codedistill.losses import DIVERGENCES, REGULARISERS, STRATEGIES, BetaPolicy, BetaStatistics, forward_kl
from codedistill.losses.beta_config import Strategy
from codedistill.methods.base import LossSum, MethodContext
from codedistill.methods.kd import Distillation
from codedistill.methods.settings import METHODS, MethodEntry
from codedistill.prompts import TEMPLATES, Template
from codedistill.recipe.load import load_recipe
from codedistill.recipe.reference import recipe_reference
from codedistill.recipe.sections import Section, key
from codedistill.runs.directory import RunDirectory
from codedistill.training import StepMetrics, train


def run(recipe: Mapping[str, Any], output: Path, *overrides: str) -> list[StepMetrics]:
    """The metrics of a run of three steps."""
    seen: list[StepMetrics] = []
    settled = load_recipe(recipe, ["training.steps=3", f"output={output}", *overrides])
    train(settled, RunDirectory(output), lambda metrics, _: seen.append(metrics))
    return seen


def test_a_template(micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def question(instruction: str, given: str) -> str:
        asked.append(instruction)
        return f"Q: {instruction}\n{given}\nA: "

    data = tmp_path / "data.jsonl"
    rows = [{"instruction": f"Return {i}.", "input": "", "output": f"return {i}"} for i in range(8)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setitem(TEMPLATES, "question", Template("question", question))
    run(micro_recipe, tmp_path / "run", "template=question", f"data.source={data}", "method=sft")
    assert "Return 7." in asked
    saved = json.loads((tmp_path / "run" / "model" / "tokenizer_config.json").read_text())
    template = saved.get("chat_template") or (tmp_path / "run" / "model" / "chat_template.jinja").read_text()
    assert "Q: " in template
    assert "| `question` | `Q: INSTRUCTION" in recipe_reference()


class Rising(BetaPolicy):
    """beta grows by `learning_rate` at every step."""

    def update(self, statistics: BetaStatistics) -> float:
        self.value += self.config.learning_rate
        return 0.0


def test_a_strategy_of_beta(micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Strategy(f"{__name__}:Rising", reads=("initial", "learning_rate"), draws=False)
    monkeypatch.setitem(STRATEGIES, "rising", entry)
    chosen = ["beta.strategy=rising", "beta.initial=0.2"]
    metrics = run(micro_recipe, tmp_path / "run", *chosen, "beta.learning_rate=0.1")
    assert [step.beta for step in metrics] == pytest.approx([0.2, 0.3, 0.4])
    for wrong, fault in (("beta.epsilon=0.1", "beta.epsilon"), ("beta.initial=[0.1, 0.2]", "beta.initial")):
        with pytest.raises(UserError) as error:
            load_recipe(micro_recipe, [*chosen[: 1 if fault == "beta.initial" else 2], wrong])
        assert error.value.key == fault


def test_a_regularizer(micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGULARISERS, "slope", (lambda beta, _: 1e6 * beta, lambda beta, _: 1e6))
    chosen = ["beta.regulariser=slope", "beta.initial=0.5", "beta.learning_rate=0.1"]
    # Adam's first steps have the size of the learning rate, against the slope.
    assert [step.beta for step in run(micro_recipe, tmp_path / "run", *chosen)] == pytest.approx([0.5, 0.4, 0.3])


def scaled(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, by: float = 2.0) -> Tensor:
    return by * forward_kl(student_logits, teacher_logits, temperature)


def test_a_divergence(micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIVERGENCES, "scaled", scaled)
    whole = run(micro_recipe, tmp_path / "a", "method=kd", "loss.divergence=scaled", "loss.parameters.by=3")
    plain = run(micro_recipe, tmp_path / "b", "method=kd")
    assert plain[0].loss is not None
    assert whole[0].loss == pytest.approx(3 * plain[0].loss, rel=1e-5)
    assert load_recipe(micro_recipe, ["method=kd", "loss.divergence=scaled"]).dump()["loss"]["parameters"] == {"by": 2}
    with pytest.raises(UserError) as error:
        load_recipe(micro_recipe, ["method=kd", "loss.divergence=scaled", "loss.parameters.times=3"])
    assert error.value.key == "loss.parameters"


class Louder(Section):
    """Distillation with a louder loss."""

    volume: float = key(2.0, "the loss is multiplied by this", gt=0)
    batch_size: int = key(4, "examples that are shouted at once", free=True, ge=1)


class LouderDistillation(Distillation):
    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self._volume = context.recipe.section(Louder).volume

    def loss(self, batch: Batch) -> LossSum:
        out = super().loss(batch)
        return replace(out, loss=self._volume * out.loss)


def test_a_method_with_settings(micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as error:
        load_recipe(micro_recipe, ["method=sft", "louder.volume=3"])
    assert error.value.key == "louder"
    entry = MethodEntry(
        f"{__name__}:LouderDistillation", ("loss.temperature",), settings=Louder, divergence="forward_kl"
    )
    monkeypatch.setitem(METHODS, "louder", entry)
    plain = run(micro_recipe, tmp_path / "a", "method=kd")
    loud = run(micro_recipe, tmp_path / "b", "method=louder", "louder.volume=3")
    assert plain[0].loss is not None
    assert loud[0].loss == pytest.approx(3 * plain[0].loss, rel=1e-5)

    # The section is like any other: ranges, readers, the resolved recipe, the reference and resuming follow from it.
    for overrides, fault in (
        (["method=louder", "louder.volume=0"], "louder.volume"),
        (["method=louder", "louder.volum=1"], "louder.volum"),
        (["method=louder", "loss.squared_temperature=true"], "loss.squared_temperature"),
        (["method=kd", "louder.volume=3"], "louder.volume"),
    ):
        with pytest.raises(UserError) as error:
            load_recipe(micro_recipe, overrides)
        assert error.value.key == fault
    resolved = load_recipe(micro_recipe, ["method=louder"]).dump()
    assert resolved["louder"] == {"volume": 2.0, "batch_size": 4}
    assert load_recipe(resolved).dump() == resolved
    assert "## `louder`\n\nDistillation with a louder loss. Read by `louder`." in recipe_reference()
    again = ["method=louder", "louder.volume=3", "resume=auto"]
    run(micro_recipe, tmp_path / "b", *again, "louder.batch_size=2")
    with pytest.raises(UserError) as error:
        run(micro_recipe, tmp_path / "b", "method=louder", "louder.volume=4", "resume=auto")
    assert error.value.key == "louder.volume"
