"""However a step's examples are cut up, over micro-batches, chunks or processes, the student becomes the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from codedistill.errors import CodedistillError
from codedistill.losses import forward_kl
from codedistill.methods.base import LossSum, Method
from codedistill.methods.kd import Distillation
from codedistill.methods.sft import SupervisedFineTuning
from codedistill.recipe.load import load_recipe
from tests.methods.method_runs import run, short_recipe_of

pytestmark = pytest.mark.slow

COMMON = ["training.steps=5", "training.learning_rate=1e-5", "data.limit=24"]
METHODS_ON_DATA: dict[str, list[str]] = {
    "sft": ["method=sft"],
    "kd": ["method=kd", "loss.normalization=token", "loss.cross_entropy_weight=0.2"],
    "rkd": ["method=rkd", "loss.temperature=2"],
    "akd": ["method=akd"],
    "jsd": ["method=kd", "loss.divergence=jsd"],
    "gap": ["method=akd", "beta.strategy=gap"],
    "per_example": ["method=akd", "beta.strategy=per_example"],
    "seqkd": ["method=seqkd", "seqkd.max_new_tokens=8"],
}

ON_POLICY: dict[str, list[str]] = {
    "gkd": ["method=gkd", "gkd.max_new_tokens=4"],
    "minillm": [
        "method=minillm",
        "minillm.max_new_tokens=4",
        "minillm.corpus=tiny/text",
        "minillm.corpus_limit=9",
        "loss.normalization=token",  # the corpus has a count of its own
    ],
}
BY_TWO = {name: METHODS_ON_DATA[name] for name in ("sft", "kd", "rkd", "akd", "gap", "seqkd")} | ON_POLICY
# 17 examples in batches of 8: the last batch of an epoch has one, and so one of two processes has none.
SPLIT = ["training.steps=5", "training.learning_rate=1e-5", "data.limit=17"]
DROPOUT = ["training.steps=6", "lora={rank: 2, dropout: 0.2}", "training.micro_batch_size=2"]

WORKER = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from codedistill.recipe.load import load_recipe
from codedistill.runs.directory import RunDirectory
from codedistill.training import Interrupted, train
for values, stop_at in json.loads(Path(sys.argv[1]).read_text()):
    def stop(metrics, total):  # the first process alone is interrupted
        if metrics.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
    recipe = load_recipe(values)
    try:
        train(recipe, RunDirectory(Path(recipe.output)), stop)
        assert stop_at is None
    except Interrupted:
        assert stop_at is not None
# All assertions have held. Gloo's threads sometimes abort an interpreter that ends by itself.
torch.distributed.barrier()
sys.stderr.flush()
os._exit(0)
"""


def launch(jobs: list[tuple[dict[str, Any], int | None]], folder: Path) -> None:
    """Train every recipe in turn with two processes over gloo, some stopped by a signal after a step."""
    (folder / "worker.py").write_text(WORKER)
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(folder / "worker.py"), str(folder / "jobs.json")],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def two(micro_pair: dict[str, Path], short_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs by two processes: each of BY_TWO by its name; minillm straight, and resumed after it was stopped."""
    folder = tmp_path_factory.mktemp("two")
    recipe = short_recipe_of(micro_pair, short_data, folder)

    def job(name: str, overrides: list[str], stop_at: int | None = None) -> tuple[dict[str, Any], int | None]:
        every = [*overrides, "training.batch_size=4", f"output={folder / name}"]
        return load_recipe(recipe, every).model_dump(mode="json", exclude_unset=True), stop_at

    jobs = [job(name, [*SPLIT, *overrides]) for name, overrides in BY_TWO.items()]
    jobs.append(job("straight", [*DROPOUT, *ON_POLICY["minillm"]]))
    jobs.append(job("resumed", [*DROPOUT, *ON_POLICY["minillm"]], stop_at=3))
    jobs.append(job("resumed", [*DROPOUT, *ON_POLICY["minillm"], "resume=auto"]))
    launch(jobs, folder)
    return folder


def assert_close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], atol=1e-6, rtol=0), (name, (a[name] - b[name]).abs().max())


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.parametrize("name", BY_TWO)
def test_two_processes_of_four_are_one_of_eight(
    name: str, two: Path, short_recipe: dict[str, Any], tmp_path: Path
) -> None:
    whole = run(short_recipe, tmp_path / "one", [*SPLIT, *BY_TWO[name]])
    assert_close(whole.weights, weights_of(two / name))
    rows = metrics_of(two / name)
    assert len(rows) == 5
    for ours, theirs in zip(whole.metrics, rows, strict=True):
        assert theirs["loss"] == pytest.approx(ours.loss, rel=1e-4, abs=1e-6)
        assert theirs["grad_norm"] == pytest.approx(ours.grad_norm, rel=1e-3)  # Adam alone would hide a scale
        assert theirs["tokens"] == ours.tokens


def test_two_processes_stop_together_and_go_on_bit_for_bit(two: Path) -> None:
    """A signal reaches one of them between two updates of a batch; each one's responses come from the checkpoint."""
    straight, resumed = weights_of(two / "straight"), weights_of(two / "resumed")
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    assert metrics_of(two / "straight") == metrics_of(two / "resumed")


@pytest.mark.parametrize("name", METHODS_ON_DATA)
def test_eight_micro_batches_of_one_are_one_of_eight(name: str, short_recipe: dict[str, Any], tmp_path: Path) -> None:
    overrides = [*COMMON, *METHODS_ON_DATA[name]]
    whole = run(short_recipe, tmp_path / "a", overrides)
    cut = run(short_recipe, tmp_path / "b", [*overrides, "training.micro_batch_size=1"])
    assert_close(whole.weights, cut.weights)
    for a, b in zip(whole.metrics, cut.metrics, strict=True):
        assert a.grad_norm == pytest.approx(b.grad_norm, rel=1e-3)
        assert a.extra == pytest.approx(b.extra, rel=1e-4)


@pytest.mark.parametrize("name", ["sft", "kd", "akd", "jsd"])
def test_chunks_change_nothing(name: str, short_recipe: dict[str, Any], tmp_path: Path) -> None:
    overrides = [*COMMON, *METHODS_ON_DATA[name]]
    whole = run(short_recipe, tmp_path / "a", overrides)
    for rows in (1, 7) if name == "akd" else (7,):
        chunked = run(short_recipe, tmp_path / str(rows), [*overrides, f"loss.chunk_rows={rows}"])
        assert_close(whole.weights, chunked.weights)


@pytest.mark.parametrize(
    ("owner", "part", "overrides", "named"),
    [
        (
            Distillation,
            "cross_entropy",
            ["method=kd", "loss.divergence=jsd", "loss.cross_entropy_weight=0.5"],
            ["kd", "jsd", "cross_entropy"],
        ),
        (Distillation, "loss", [], ["akd", "loss", "gradient"]),
        (Distillation, "reverse_kl", [], ["akd", "reverse_kl"]),
        (SupervisedFineTuning, "loss", ["method=sft"], ["sft", "loss", "gradient"]),
    ],
)
def test_what_is_not_finite_is_named_and_never_applied(
    owner: type[Method],
    part: str,
    overrides: list[str],
    named: list[str],
    short_recipe: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fault is in the second of four micro-batches of the third step: its two examples are named."""
    plain, calls, faulty, heads = owner.loss, [], [], []

    def broken(self: Any, batch: Any) -> LossSum:
        calls.append(batch.example_ids)
        out = plain(self, batch)
        if len(calls) == 9:
            heads.extend([self._head.weight, self._head.weight.detach().clone()])
        if len(calls) != 10:
            return out
        faulty.extend(batch.example_ids)
        if part in out.metrics:
            return replace(out, metrics={**out.metrics, part: out.metrics[part] * float("nan")})
        return replace(out, loss=out.loss * float("nan"))

    monkeypatch.setattr(owner, "loss", broken)
    common = ["training.micro_batch_size=2", "training.checkpoint_every=1"]
    with pytest.raises(CodedistillError) as error:
        run(short_recipe, tmp_path / "run", [*COMMON, *common, *overrides])
    assert all(name in str(error.value) for name in ["step 3", *named, str(faulty)])
    assert len(faulty) == 2
    assert torch.equal(*heads)
    assert "step-2" in str(error.value)
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-2"]
    if part != "loss":
        return
    monkeypatch.setattr(owner, "loss", plain)
    resumed = run(short_recipe, tmp_path / "run", [*COMMON, *common, *overrides, "resume=auto"])
    straight = run(short_recipe, tmp_path / "straight", [*COMMON, *common, *overrides])
    assert all(torch.equal(resumed.weights[name], straight.weights[name]) for name in straight.weights)


@pytest.mark.parametrize("overrides", [["method=kd"], ["method=akd", "beta.strategy=fixed", "beta.initial=0.3"]])
def test_a_divergence_that_is_only_reported_may_be_infinite(
    overrides: list[str], short_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Distillation.loss

    def broken(self: Any, batch: Any) -> LossSum:
        out = plain(self, batch)
        return replace(out, metrics={**out.metrics, "reverse_kl": torch.tensor(float("inf"))})

    monkeypatch.setattr(Distillation, "loss", broken)
    run(short_recipe, tmp_path / "run", [*COMMON, *overrides])
    rows = metrics_of(tmp_path / "run")
    assert [row["reverse_kl"] for row in rows] == [None] * 5
    assert all(row["forward_kl"] > 0 for row in rows)
    with pytest.raises(CodedistillError, match=r"method akd: .*reverse_kl"):
        run(short_recipe, tmp_path / "akd", COMMON)


class Overflow(torch.autograd.Function):
    """The same number, with a gradient that is none."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, outer: torch.Tensor) -> torch.Tensor:
        return outer * float("inf")


def test_a_gradient_alone_stops_too(
    short_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Distillation.loss

    def broken(self: Distillation, batch: Any) -> LossSum:
        out = plain(self, batch)
        return replace(out, loss=Overflow.apply(out.loss))

    monkeypatch.setattr(Distillation, "loss", broken)
    with pytest.raises(CodedistillError, match=r"step 1, method akd: gradient not finite on examples \["):
        run(short_recipe, tmp_path / "run", COMMON)


@pytest.mark.parametrize("normalization", ["sample", "token"])
def test_the_gradient_is_that_of_the_mean(
    normalization: str, bench: Any, short_recipe: dict[str, Any], tmp_path: Path
) -> None:
    """The norm that is logged, from full logits: neither a sum over examples nor divided twice."""
    overrides = ["method=kd", f"loss.normalization={normalization}", "training.steps=1", "data.limit=8"]
    (metrics,) = run(short_recipe, tmp_path / "run", [*overrides, "training.micro_batch_size=3"]).metrics
    made = bench(["method=kd"], count=8)
    batch = made.batch
    rows = forward_kl(made.logits(made.student, batch), made.logits(made.teacher, batch).detach())
    means = rows if normalization == "token" else torch.stack([rows[batch.owner == b].mean() for b in range(8)])
    norm = torch.stack([g.norm() for g in made.gradients(means.mean())]).norm()
    assert metrics.grad_norm == pytest.approx(norm.item(), rel=1e-4)
    assert metrics.loss == pytest.approx(means.mean().item(), rel=1e-4)
