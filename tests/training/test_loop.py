from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from codedistill.errors import CodedistillError
from codedistill.recipe.load import load_recipe
from codedistill.recipe.sections import Training
from codedistill.runs.directory import RunDirectory
from codedistill.training import StepMetrics, train
from codedistill.training.step import learning_rate


def run(
    recipe: dict[str, Any], output: Path, overrides: Sequence[str] = ()
) -> tuple[dict[str, torch.Tensor], list[StepMetrics]]:
    seen: list[StepMetrics] = []
    result = train(
        load_recipe(recipe, [*overrides, f"output={output}"]), RunDirectory(output), lambda m, total: seen.append(m)
    )
    return load_file(result.model / "model.safetensors"), seen


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "kd", "rkd", "akd"])
@pytest.mark.parametrize("normalization", ["sample", "token"])
def test_micro_batches_change_nothing(
    method: str, normalization: str, micro_recipe: dict[str, Any], tmp_path: Path
) -> None:
    common = [
        f"method={method}",
        f"loss.normalization={normalization}",
        "training.steps=5",
        "training.learning_rate=1e-5",  # Adam turns the rounding of a tiny gradient into a part of this
    ]
    whole, metrics = run(micro_recipe, tmp_path / "a", common)
    parts, metrics_of_parts = run(
        micro_recipe, tmp_path / "b", [*common, "training.micro_batch_size=1", "loss.chunk_rows=3"]
    )
    for name in whole:
        assert torch.allclose(whole[name], parts[name], atol=1e-6, rtol=0), name
    for a, b in zip(metrics, metrics_of_parts, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-5)
        assert a.grad_norm == pytest.approx(b.grad_norm, rel=1e-4)  # Adam alone would hide a wrong scale
        assert a.beta == pytest.approx(b.beta, abs=1e-6)
        assert a.tokens == b.tokens


def test_the_loss_is_the_papers(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    """First step, computed again from full logits in float64: eq. 3, 4, 9; mean over examples of means over rows."""
    from codedistill.data import BatchPlan, collate, encode_examples, load_examples
    from codedistill.models import load_model
    from codedistill.prompts import TEMPLATES

    recipe = load_recipe(micro_recipe, ["beta.strategy=fixed", "beta.initial=0.3", "loss.temperature=2.0"])
    seen: list[StepMetrics] = []
    train(recipe, RunDirectory(tmp_path / "run"), lambda m, total: seen.append(m))
    assert recipe.teacher is not None
    teacher, student = load_model(recipe.teacher, "teacher"), load_model(recipe.student, "student")
    examples, _ = encode_examples(load_examples("tiny", 40), TEMPLATES["alpaca"], student.tokenizer, 512)
    plan = BatchPlan(tuple(len(e.ids) for e in examples), 8, recipe.training.seed)
    batch = collate([examples[i] for i in plan.epoch(0)[0]], student.tokenizer.pad_token_id)
    values = {"forward": 0.0, "reverse": 0.0}
    with torch.no_grad():
        log_p, log_q = (
            torch.log_softmax(m.model.double()(batch.ids, attention_mask=batch.attention).logits / 2.0, -1).flatten(
                0, 1
            )[batch.rows]
            for m in (teacher, student)
        )
    for b in range(8):
        own = batch.owner == b
        p, q = log_p[own], log_q[own]
        values["forward"] += (p.exp() * (p - q)).sum(-1).mean().item() / 8
        values["reverse"] += (q.exp() * (q - p)).sum(-1).mean().item() / 8
    assert seen[0].forward_kl == pytest.approx(values["forward"], rel=1e-4)
    assert seen[0].reverse_kl == pytest.approx(values["reverse"], rel=1e-4)
    assert seen[0].loss == pytest.approx(0.7 * values["forward"] + 0.3 * values["reverse"], rel=1e-4)
    assert seen[0].beta == 0.3


@pytest.mark.parametrize(("method", "beta"), [("kd", 0.0), ("rkd", 1.0)])
def test_kd_and_rkd_are_the_ends_of_beta(
    method: str, beta: float, micro_recipe: dict[str, Any], tmp_path: Path
) -> None:
    named, _ = run(micro_recipe, tmp_path / "a", [f"method={method}"])
    fixed, _ = run(micro_recipe, tmp_path / "b", ["beta.strategy=fixed", f"beta.initial={beta}"])
    assert all(torch.equal(named[name], fixed[name]) for name in named)


def test_a_student_that_is_its_teacher_has_nothing_to_learn(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    same = micro_recipe | {"student": micro_recipe["teacher"]}
    _, metrics = run(same, tmp_path / "a", ["training.steps=1"])
    assert metrics[0].loss == pytest.approx(0.0, abs=1e-6)
    assert metrics[0].grad_norm == pytest.approx(0.0, abs=1e-5)


def test_training_lowers_the_loss(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    _, metrics = run(micro_recipe, tmp_path / "a", ["training.steps=25", "training.learning_rate=5e-3", "method=kd"])
    first, last = metrics[0].loss, metrics[-1].loss
    assert first is not None
    assert last is not None
    assert last < 0.8 * first


def test_the_saved_student_loads_with_transformers(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    run(micro_recipe, tmp_path / "a", ["lora={rank: 2}"])
    folder = tmp_path / "a" / "model"
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    model, info = loaded
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not any("lora" in name for name, _ in model.named_parameters())
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    assert '"alpaca"' in (folder / "codedistill.json").read_text()


def test_adapters_alone_learn_and_merge_to_what_was_trained(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    before = load_file(Path(micro_recipe["student"]) / "model.safetensors")
    after, _ = run(micro_recipe, tmp_path / "a", ["lora={rank: 2}", "training.learning_rate=1e-2"])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if any(t in name for t in ("q_proj", "k_proj", "v_proj"))}


def test_a_loss_that_is_not_finite_stops_the_run(
    micro_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codedistill.methods.kd import Distillation

    plain, calls = Distillation.loss, []

    def broken(self: Distillation, batch: Any) -> Any:
        calls.append(1)
        out = plain(self, batch)
        return out if len(calls) < 4 else replace(out, loss=out.loss * float("nan"))

    monkeypatch.setattr(Distillation, "loss", broken)
    with pytest.raises(CodedistillError, match=r"step 4, method akd: loss, .*gradient .*examples \["):
        run(micro_recipe, tmp_path / "a", ["training.checkpoint_every=1"])
    assert [p.name for p in (tmp_path / "a" / "checkpoints").iterdir()] == ["step-3"]


def test_schedules_by_hand() -> None:
    training = Training(learning_rate=1.0, warmup_steps=2, schedule="linear")
    assert [learning_rate(training, step, 6) for step in range(6)] == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    cosine = Training(learning_rate=1.0, schedule="cosine")
    assert learning_rate(cosine, 2, 4) == pytest.approx(0.5)
    assert learning_rate(Training(learning_rate=1.0), 5, 6) == 1.0


def test_epochs_give_the_number_of_steps(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    _, metrics = run(micro_recipe, tmp_path / "a", ["training.epochs=2"])
    assert [m.epoch for m in metrics] == [0] * 5 + [1] * 5
    assert metrics[5].beta != pytest.approx(metrics[4].beta, abs=0.02)  # M3 draws beta anew


def test_data_not_trained_on_as_it_is_is_said(
    micro_recipe: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data.jsonl"
    rows = [("x", "return 1"), ("x", "return 1 + 2 + 3 + 4 + 5"), ("x " * 50, "y"), ("x", " ")]
    data.write_text("".join(json.dumps({"prompt": prompt, "completion": text}) + "\n" for prompt, text in rows))
    recipe = load_recipe(micro_recipe, [f"data.source={data}", "data.max_length=12", "training.steps=1"])
    result = train(recipe, RunDirectory(tmp_path / "run"))
    assert (result.cut, result.dropped, result.template) == (1, 1, "plain")
    assert "truncated 1 of 4 examples to 12 tokens; dropped 1" in caplog.text
    assert "1 of 4 responses are empty" in caplog.text
    assert json.loads((result.model / "codedistill.json").read_text())["template"] == "plain"


def test_a_template_that_no_row_uses_is_said(
    micro_recipe: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"prompt": "x", "completion": "return 1"}) + "\n")
    recipe = load_recipe(micro_recipe, [f"data.source={data}", "template=starcoder", "training.steps=1"])
    assert train(recipe, RunDirectory(tmp_path / "run")).template == "starcoder"
    assert [r.levelname for r in caplog.records if "template starcoder" in r.getMessage()] == ["WARNING"]
