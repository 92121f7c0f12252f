"""Rows of results.jsonl: the columns that are documented, and what stood between each program and the machine."""

from __future__ import annotations

import json
from pathlib import Path

from codedistill.benchmarks import Benchmark, Problem
from codedistill.config import Evaluation
from codedistill.run_directory import read_jsonl
from codedistill.sandbox import sandbox_layer
from codedistill.verdicts import execute

COLUMNS = ["task_id", "sample", "passed", "status", "category", "error_type", "message", "line", "seconds", "sandbox"]


def test_rows(tmp_path: Path) -> None:
    tasks = Benchmark("own", (Problem("a", "", "f", "def check(f):\n    assert f() == 1\n"),), "0" * 64, "here")
    sources = ["def f():\n    return 1\n", "def f():\n    return 2\n", "def f():\n    exit(1)\n"]
    rows = [{"task_id": "a", "solution": source} for source in sources]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = execute(tmp_path / "samples.jsonl", tasks, Evaluation(timeout=10), tmp_path).to_json()
    results = read_jsonl(tmp_path / "results.jsonl")
    assert [list(row) for row in results] == [COLUMNS] * 3
    assert [row["status"] for row in results] == ["passed", "failed", "exited"]
    assert {row["sandbox"] for row in results} == {summary["sandbox"]} == {sandbox_layer()}
