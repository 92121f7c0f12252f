"""Idioms of checks: `shared` isolation gives the verdict of plain execution for every one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codedistill.sandbox import Limits, Program, run_programs

HERE = Path(__file__).with_name("idioms.jsonl")
ALL = Path(__file__).parents[3] / "shared" / "cases" / "idioms"


def differing(tasks: dict[str, dict[str, Any]], samples: list[dict[str, Any]]) -> list[str]:
    programs = [
        Program(row["solution"], tasks[row["task_id"]]["test"], tasks[row["task_id"]]["entry_point"]) for row in samples
    ]
    results = run_programs(programs, Limits(cpu_seconds=10))
    return [
        f"{row['task_id']}: {result.status}: {result.message}"
        for row, result in zip(samples, results, strict=True)
        if result.passed is not row["expected"]
    ]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_selection() -> None:
    rows = read(HERE)
    assert {row["expected"] for row in rows} == {True, False}
    assert differing({row["task_id"]: row for row in rows}, rows) == []


@pytest.mark.slow
def test_all_of_them() -> None:
    if not ALL.is_dir():
        pytest.skip("the collection is not here")
    samples = read(ALL / "samples.jsonl")
    assert len(samples) == 461
    assert differing({row["task_id"]: row for row in read(ALL / "benchmark.jsonl")}, samples) == []
