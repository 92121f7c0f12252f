"""Whole off-policy training steps against trl's trainers: the same models, data, batches and dtype, on the CPU.

    python benchmarks/against_trl.py small-49k --data instructions.json --rival-python OTHER/bin/python

Random weights of Llama's kind (pairs.py); examples from --data in the alpaca template. codedistill runs its own loop
with every token weighing the same; trl runs its own `train()`. Both see the batches that codedistill forms; `trl's
batches` are drawn at random, as trl does. One step warms up; the medians of the others count, each from one step's end
to the next one's. Forward KL, one process at a time. Memory is the peak resident set: as it is; and above `common`,
which no trainer of these two models can avoid: interpreter and libraries, both models' weights, the student's gradients
and AdamW's two moments.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pairs import PAIRS, Counts, common_megabytes, floor_operations, machine_rate, save
from steps import Found, in_subprocess, result_of, show_phases

LEARNING_RATE = 1e-4
OURS, TRLS = "batches.json", "random_batches.json"


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


def prepare(folder: Path, options: argparse.Namespace) -> None:
    """Both models with their tokenizer, and the rows of the first batches, in order: ours, and random ones."""
    from transformers import AutoTokenizer

    from codedistill.data import BatchPlan, encode_examples, load_examples
    from codedistill.prompts import TEMPLATES

    examples, count = load_examples(options.data), options.steps + 1
    save(PAIRS[options.pair], folder, [example.response for example in examples])
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    encoded, _ = encode_examples(examples, TEMPLATES["alpaca"], tokenizer, 512)
    plan = BatchPlan(tuple(len(e.ids) for e in encoded), options.batch, 0)
    ours = [i for indices in plan.epoch(0)[:count] for i in indices]
    drawn = random.Random(0).sample(range(len(encoded)), options.batch * count)
    for name, order in ((OURS, ours), (TRLS, drawn)):
        rows = [{"ids": encoded[i].ids, "prompt_length": encoded[i].prompt_length} for i in order]
        (folder / name).write_text(json.dumps(rows))


def run(variant: Variant, options: argparse.Namespace, folder: Path) -> Found | str:
    """A variant in a process of its own, or the last line of what went wrong."""
    if variant.trainer is None:
        return in_subprocess(recipe_of(variant, options, folder), options.steps, options.threads)
    job = {
        **asdict(variant),
        "folder": str(folder),
        "steps": options.steps + 1,
        "batch": options.batch,
        "threads": options.threads,
        "learning_rate": LEARNING_RATE,
    }
    script = Path(__file__).with_name("trl_steps.py")
    return result_of([options.rival_python, str(script), json.dumps(job)])


def recipe_of(variant: Variant, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    return {
        "teacher": str(folder / "teacher"),
        "student": str(folder / "student"),
        "method": variant.method,
        "template": "alpaca",
        "data": {"source": str(Path(options.data).resolve())},
        "loss": {"normalization": "token"},
        "training": {
            "batch_size": options.batch,
            "epochs": 1,
            "learning_rate": LEARNING_RATE,
            "gradient_checkpointing": variant.checkpointing,
        },
    }


def batches(folder: Path, name: str, size: int) -> list[Counts]:
    """The batches of a file of rows, but the first."""
    rows = json.loads((folder / name).read_text())
    parts = [rows[i : i + size] for i in range(size, len(rows), size)]
    lengths = [[len(row["ids"]) for row in part] for part in parts]
    return [
        Counts(len(n), max(n) * len(n), sum(n), sum(len(row["ids"]) - row["prompt_length"] for row in part))
        for n, part in zip(lengths, parts, strict=True)
    ]


def report(options: argparse.Namespace, folder: Path) -> None:
    pair = PAIRS[options.pair]
    counts = {rows: batches(folder, rows, options.batch) for rows in (OURS, TRLS)}
    common, rate = common_megabytes(pair), machine_rate()
    print(
        f"\n{options.pair}: vocabulary {pair.vocabulary}, batch {options.batch}, {options.steps} steps after the first,"
    )
    for title, each in (("codedistill's batches", counts[OURS]), ("trl's batches", counts[TRLS])):
        total = [sum(getattr(batch, part) for batch in each) for part in ("positions", "tokens", "responses")]
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
        own = counts[variant.rows]
        speed = statistics.median(each.responses / t for each, t in zip(own, found.seconds, strict=True))
        if base is None:
            base, base_speed = found, speed
        above, base_above = (each.peak - each.before - common for each in (found, base))
        print(
            f"{variant.title:42}{found.median:8.2f}{speed:8.1f}{base_speed / speed:7.2f}"
            f"{found.peak:9.0f}{found.peak / base.peak:7.2f}{above:8.0f}{above / base_above:7.2f}"
            f"  {found.losses[0]:.5f} {found.losses[-1]:.5f}  libraries {found.before:.0f}",
            flush=True,
        )
        if found.phases:
            print(f"    {show_phases(found, [floor_operations(pair, each) / rate for each in own])}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", nargs="?", default="small-49k", choices=PAIRS)
    parser.add_argument("--data", required=True, help="instructions with outputs: JSON, JSONL or Parquet")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, help="the first is the base")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rival-python", default=sys.executable, help="interpreter that has trl")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place), options)
        report(options, Path(place))


if __name__ == "__main__":
    main()
