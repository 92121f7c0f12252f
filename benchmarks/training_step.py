"""Where an optimizer step's time goes, what each method costs beside KD, and how far the step is from its floor.

    python benchmarks/training_step.py tiny small-49k small-152k --methods sft kd rkd akd

Steps are those of codedistill's own training loop: everything between the end of one step and the end of the next, on
the same batches for every method. Pairs but the embedded one have random weights. Every method runs in a process of its
own; one step warms up, the median of the others counts, of the fastest round. Peak memory is the process's whole peak
resident set, the median of all rounds: what the allocator keeps makes it vary by some percent. The floor is the time
that this machine needs for the matrix products alone, at the rate measured for a large product in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairs import PAIRS, floor_operations, library_rows, machine_rate, save
from steps import Found, in_subprocess, show_phases

MODELS = {"tiny": {"teacher": "tiny/teacher", "student": "tiny/student"}}
"""Pairs that need not be made."""


@dataclass(frozen=True)
class Best:
    """A method's fastest round, and the median of its peaks."""

    found: Found
    megabytes: float


def recipe_of(name: str, method: str, batch: int, folder: Path) -> dict[str, Any]:
    models = MODELS.get(name, {who: str(folder / who) for who in ("teacher", "student")})
    data = {"source": "tiny", "limit": 2000} if name in MODELS else {"source": str(folder / "rows.jsonl")}
    return {
        **models,
        "method": method,
        "data": data | {"max_length": 256},
        "training": {"batch_size": batch, "epochs": 1, "learning_rate": 1e-4},
    }


def measure(name: str, methods: list[str], batch: int, options: argparse.Namespace) -> dict[str, Best]:
    rounds: dict[str, list[Found]] = {method: [] for method in methods}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if name not in MODELS:
            rows = library_rows(400)
            (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            save(PAIRS[name], folder, [])
        for _ in range(options.rounds):
            for method in methods:
                found = in_subprocess(recipe_of(name, method, batch, folder), options.steps, options.threads)
                if isinstance(found, str):
                    raise SystemExit(f"{name}, {method}: {found}")
                rounds[method].append(found)
    return {
        method: Best(min(runs, key=lambda run: run.median), statistics.median(run.peak for run in runs))
        for method, runs in rounds.items()
    }


def report(name: str, methods: list[str], batch: int, options: argparse.Namespace) -> None:
    pair, best = PAIRS[name], measure(name, methods, batch, options)
    rate, base = machine_rate(), best.get("kd", next(iter(best.values())))
    sizes = " and ".join(f"{size.parameters(pair.vocabulary) / 1e6:.1f} M" for size in (pair.teacher, pair.student))
    counts = base.found.counts
    tokens, responses = (statistics.mean(each) for each in zip(*((c.tokens, c.responses) for c in counts), strict=True))
    print(
        f"\n{name}: {sizes}, vocabulary {pair.vocabulary}; {len(counts)} batches of {batch} with {tokens:.0f} tokens"
        f" each, {responses:.0f} of them response; {options.threads} threads, float32"
    )
    print(f"{'method':8}{'ms':>8}{'to kd':>7}{'MB':>8}{'to kd':>7}")
    for method, run in best.items():
        floors = [floor_operations(pair, each, teacher=method != "sft") / rate for each in run.found.counts]
        print(
            f"{method:8}{run.found.median * 1000:8.0f}{run.found.median / base.found.median:7.3f}{run.megabytes:8.0f}"
            f"{run.megabytes / base.megabytes:7.3f}  {show_phases(run.found, floors)}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", default=["tiny"], metavar="PAIR", help=f"of {', '.join(PAIRS)}")
    parser.add_argument("--methods", nargs="+", default=["kd", "akd", "rkd", "sft"])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch", type=int, help="examples; default: 32 for tiny, else 4")
    parser.add_argument(
        "--rounds", type=int, default=2, help="each method runs so many times, in turn; the fastest counts"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    for name in options.pairs:
        report(name, options.methods, options.batch or (32 if name == "tiny" else 4), options)


if __name__ == "__main__":
    main()
