"""Whole off-policy training steps against trl's trainers: the same models, data, batches and dtype, on the CPU.

    python benchmarks/against_trl.py small-49k --data instructions.json --rival-python OTHER/bin/python

Random weights of Llama's kind (the pairs of training_step.py), saved and loaded as any model is; examples from --data
in the alpaca template. The tokenizer is a BPE trained on those examples and on Python's standard library, filled up
to the pair's vocabulary. codedistill runs its own training loop, method kd with every token weighing the same; trl
runs its own `train()`. Both see the batches that codedistill forms; `trl's batches` are drawn at random, as trl does.
One step warms up; the medians of the others count, each from one step's end to the next one's. Forward KL, one
process at a time. Memory is the peak resident set: as it is; and above `common`, which no trainer of these two models
can avoid: interpreter and libraries, both models' weights, the student's gradients and AdamW's two moments.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from resident import peak_megabytes, resident_megabytes
from training_step import PAIRS, Pair, Size, build, machine_rate

LEARNING_RATE = 1e-4
OURS, TRLS = "batches.json", "random_batches.json"


@dataclass(frozen=True)
class Found:
    """Seconds of each step after the first, and of ours by phase; losses of all steps; megabytes."""

    seconds: list[float]
    losses: list[float]
    before: float  # resident when the libraries are there
    peak: float
    phases: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Variant:
    title: str
    trainer: str | None = None  # None: codedistill
    rows: str = OURS
    checkpointing: bool = False
    method: str = "kd"


VARIANTS = {
    "kd": Variant("codedistill kd"),
    "akd": Variant("codedistill akd", method="akd"),
    "kd-checkpointing": Variant("codedistill kd, gradient checkpointing", checkpointing=True),
    "gkd": Variant("trl GKDTrainer", "gkd"),
    "gkd-checkpointing": Variant("trl GKDTrainer, gradient checkpointing", "gkd", checkpointing=True),
    "gkd-random": Variant("trl GKDTrainer, trl's batches", "gkd", TRLS),
    "distillation": Variant("trl DistillationTrainer", "distillation"),
    "distillation-checkpointing": Variant(
        "trl DistillationTrainer, gradient checkpointing", "distillation", checkpointing=True
    ),
}


class Clock:
    """Seconds by phase. A phase inside another is part of it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = False

    def timed(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            if self._inside:
                return call(*arguments, **named)
            self._inside, start = True, time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                self._inside = False
                self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

        return wrapper


class Enough(Exception):
    """Ends the training loop after its last step, before it saves anything."""


def prepare(folder: Path, pair: Pair, data: Path, batch: int, steps: int) -> None:
    """Both models with their tokenizer, and the rows of the first batches, in order: ours, and random ones."""
    import random

    import torch
    from transformers import PreTrainedTokenizerFast

    from codedistill.data import BatchPlan, encode_examples, load_examples
    from codedistill.prompts import TEMPLATES

    examples = load_examples(str(data))
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer([e.response for e in examples], pair.vocabulary),
        eos_token="<|endoftext|>",
        pad_token="<|pad|>",
    )
    torch.manual_seed(0)
    for name, size in (("teacher", pair.teacher), ("student", pair.student)):
        build(size, pair.vocabulary).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    encoded, _ = encode_examples(examples, TEMPLATES["alpaca"], tokenizer, 512)
    plan = BatchPlan(tuple(len(e.ids) for e in encoded), batch, 0)
    ours = [i for indices in plan.epoch(0)[:steps] for i in indices]
    drawn = random.Random(0).sample(range(len(encoded)), batch * steps)
    for name, order in ((OURS, ours), (TRLS, drawn)):
        rows = [{"ids": encoded[i].ids, "prompt_length": encoded[i].prompt_length} for i in order]
        (folder / name).write_text(json.dumps(rows))


def _tokenizer(texts: list[str], vocabulary: int) -> Any:
    """Byte-level BPE. Entries that the training does not fill are names that no text contains."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = level, decoders.ByteLevel()
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocabulary, 40_000),
        special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *(path.read_text(errors="replace") for path in library)], trainer)
    written = json.loads(tokenizer.to_str())
    entries = written["model"]["vocab"]
    entries |= {f"<unused {i}>": i for i in range(len(entries), vocabulary)}
    return Tokenizer.from_str(json.dumps(written))


def ours(job: dict[str, Any]) -> Found:
    """Steps of codedistill's own training loop in this process."""
    import torch

    from codedistill.run_directory import RunDirectory
    from codedistill.training import StepMetrics, train

    torch.set_num_threads(job["threads"])
    clock = Clock()
    time_phases(clock)
    before = resident_megabytes()
    ends: list[float] = []
    losses: list[float] = []
    phases: list[dict[str, float]] = []

    def note(metrics: StepMetrics, _: int) -> None:
        ends.append(time.perf_counter())
        losses.append(metrics.loss)
        phases.append(dict(clock.seconds))
        clock.seconds.clear()
        if len(ends) == job["steps"]:
            raise Enough

    with tempfile.TemporaryDirectory() as place, suppress(Enough):
        train(recipe(job), RunDirectory(Path(place)), note)
    seconds = [b - a for a, b in pairwise(ends)]
    return Found(seconds, losses, before, peak_megabytes(), phases[1:])


def time_phases(clock: Clock) -> None:
    """Puts the clock around the parts of the training loop."""
    import torch
    from accelerate import Accelerator

    import codedistill.methods.kd as kd
    from codedistill.models.heads import HiddenStates
    from codedistill.teachers import LiveTeacher

    for place, name, phase in (
        (LiveTeacher, "signal", "teacher"),
        (HiddenStates, "forward", "student forward"),
        (kd, "fused_divergence", "loss"),
        (Accelerator, "backward", "backward"),
        (torch.optim.AdamW, "step", "optimiser"),
    ):
        setattr(place, name, clock.timed(phase, getattr(place, name)))


def recipe(job: dict[str, Any]) -> Any:
    from codedistill.config import Recipe

    return Recipe.model_validate(
        {
            "teacher": job["folder"] + "/teacher",
            "student": job["folder"] + "/student",
            "method": job["method"],
            "template": "alpaca",
            "data": {"source": job["data"]},
            "loss": {"normalization": "token"},
            "training": {
                "batch_size": job["batch"],
                "epochs": 1,
                "learning_rate": LEARNING_RATE,
                "gradient_checkpointing": job["checkpointing"],
            },
        }
    )


def run(variant: Variant, options: argparse.Namespace, folder: Path) -> Found | str:
    """A variant in a process of its own, or the last line of what went wrong."""
    job = {
        **asdict(variant),
        "folder": str(folder),
        "data": str(Path(options.data).resolve()),
        "steps": options.steps + 1,
        "batch": options.batch,
        "threads": options.threads,
        "learning_rate": LEARNING_RATE,
    }
    here = Path(__file__)
    command = [sys.executable, str(here), "--job"]
    if variant.trainer is not None:
        command = [options.rival_python, str(here.with_name("trl_steps.py"))]
    done = subprocess.run([*command, json.dumps(job)], capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["?"])[-1][:160]
    return Found(**json.loads(done.stdout.strip().splitlines()[-1]))


@dataclass(frozen=True)
class Sums:
    """A batch in numbers: all positions, those that are no padding, those that predict a response token."""

    positions: int
    tokens: int
    responses: int


def batches(folder: Path, name: str, size: int) -> list[Sums]:
    rows = json.loads((folder / name).read_text())
    parts = [rows[i : i + size] for i in range(0, len(rows), size)]
    lengths = [[len(row["ids"]) for row in part] for part in parts]
    return [
        Sums(max(n) * len(n), sum(n), sum(len(row["ids"]) - row["prompt_length"] for row in part))
        for n, part in zip(lengths, parts, strict=True)
    ]


def floor(pair: Pair, batch: Sums, examples: int) -> float:
    """Operations of the matrix products that no implementation avoids: no padding, heads on response rows only."""

    def products(size: Size) -> tuple[float, float]:
        layer = 4 * size.hidden**2 + 3 * size.hidden * size.intermediate
        attention = batch.tokens / examples * size.hidden  # causal: half of the pairs, in two products
        return size.layers * (layer + attention) * batch.tokens, size.hidden * pair.vocabulary * batch.responses

    return 2 * (3 * sum(products(pair.student)) + sum(products(pair.teacher)))


def common_megabytes(pair: Pair) -> float:
    def parameters(size: Size) -> int:
        layer = 4 * size.hidden**2 + 3 * size.hidden * size.intermediate + 2 * size.hidden
        return size.layers * layer + size.hidden + pair.vocabulary * size.hidden  # embeddings are tied

    return 4 * (parameters(pair.teacher) + 4 * parameters(pair.student)) / 2**20


def report(name: str, options: argparse.Namespace, folder: Path) -> None:
    pair = PAIRS[name]
    sums = {rows: batches(folder, rows, options.batch)[1:] for rows in (OURS, TRLS)}
    common, rate = common_megabytes(pair), machine_rate()
    print(f"\n{name}: vocabulary {pair.vocabulary}, batch {options.batch}, {options.steps} steps after the first,")
    for title, each in (("codedistill's batches", sums[OURS]), ("trl's batches", sums[TRLS])):
        total = [sum(getattr(s, part) for s in each) for part in ("positions", "tokens", "responses")]
        print(f"  {title}: {total[0]} positions, {total[1]} of them tokens, {total[2]} response tokens")
    print(f"{options.threads} threads, float32; {rate / 1e9:.0f} GFLOP/s; common {common:.0f} MB and the libraries")
    print(f"{'':42}{'s/step':>8}{'tok/s':>8}{'ratio':>7}{'peak MB':>9}{'ratio':>7}{'above':>8}{'ratio':>7}  losses")
    base: Found | None = None
    base_speed = 0.0
    for key in options.variants:
        variant = VARIANTS[key]
        found = run(variant, options, folder)
        if isinstance(found, str):
            print(f"{variant.title:42} cannot run here: {found}", flush=True)
            continue
        counted = sums[variant.rows]
        speed = statistics.median(s.responses / t for s, t in zip(counted, found.seconds, strict=True))
        if base is None:
            base, base_speed = found, speed
        above, base_above = (f.peak - f.before - common for f in (found, base))
        print(
            f"{variant.title:42}{statistics.median(found.seconds):8.2f}{speed:8.1f}{base_speed / speed:7.2f}"
            f"{found.peak:9.0f}{found.peak / base.peak:7.2f}{above:8.0f}{above / base_above:7.2f}"
            f"  {found.losses[0]:.5f} {found.losses[-1]:.5f}  libraries {found.before:.0f}",
            flush=True,
        )
        if found.phases:
            show_phases(found, [floor(pair, s, options.batch) / rate for s in counted])


def show_phases(found: Found, floors: list[float]) -> None:
    """Shares of all steps together."""
    total = sum(found.seconds)
    parts = {name: sum(step.get(name, 0.0) for step in found.phases) / total for name in found.phases[0]}
    parts["rest"] = 1.0 - sum(parts.values())
    print(
        "    "
        + ", ".join(f"{name} {share:.0%}" for name, share in parts.items())
        + f"; floor {sum(floors) / total:.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", nargs="?", default="small-49k", choices=PAIRS)
    parser.add_argument("--data", help="instructions with outputs: JSON, JSONL or Parquet")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, help="the first is the base")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rival-python", default=sys.executable, help="interpreter that has trl")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(asdict(ours(json.loads(options.job)))))
        return
    if options.data is None:
        parser.error("--data is missing")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), PAIRS[options.pair], Path(options.data), options.batch, options.steps + 1)
        report(options.pair, options, Path(folder))


if __name__ == "__main__":
    main()
