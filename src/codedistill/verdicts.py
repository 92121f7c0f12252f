"""Programs of a samples file, run: verdicts by row and their summary."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codedistill import benchmarks, evaluation, sandbox
from codedistill.config import Evaluation
from codedistill.run_directory import write_json, write_jsonl
from codedistill.samples import read_samples
from codedistill.watch import Watch


@dataclass(frozen=True)
class ModelResult:
    """One model on one benchmark: what summary.json says, as a mapping with the design's keys."""

    values: Mapping[str, Any]

    @property
    def pass_at_1(self) -> float:
        return float(self.values["pass@1"])

    def to_json(self) -> dict[str, Any]:
        return dict(self.values)


def execute(
    samples: Path, tasks: benchmarks.Benchmark, settings: Evaluation, folder: Path, watch: Watch | None = None
) -> ModelResult:
    """Run every program of a samples file; results.jsonl and summary.json go to `folder`, in the samples' order.

    Raises:
        UserError: the file is malformed (by line) or names tasks that the benchmark does not have.
        InfrastructureError: the sandbox failed, so that there are no trustworthy verdicts.
    """
    start, watch = time.time(), watch or Watch()
    rows = read_samples(samples, tasks)
    problems = {problem.task_id: problem for problem in tasks.problems}
    programs = [
        sandbox.Program(row["solution"], problems[row["task_id"]].checks, problems[row["task_id"]].entry_point)
        for row in rows
    ]
    finished = 0

    def count(index: int, result: sandbox.Result) -> None:
        nonlocal finished
        finished += 1
        watch.count("executed", finished, len(programs))

    outcomes = sandbox.run_programs(programs, sandbox.Limits(wall_seconds=settings.timeout), count)
    results = [_result_row(row, problems[row["task_id"]], outcome) for row, outcome in zip(rows, outcomes, strict=True)]
    write_jsonl(folder / "results.jsonl", results)
    summary = evaluation.summarize(results)
    values = {
        "benchmark": tasks.name,
        **summary.to_json(),
        "sandbox": sandbox.sandbox_layer(),
        "sha256": tasks.sha256,
        "seconds": round(time.time() - start, 2),
    }
    write_json(folder / "summary.json", values)
    return ModelResult(values)


def _result_row(row: dict[str, Any], problem: benchmarks.Problem, outcome: sandbox.Result) -> dict[str, Any]:
    verdict = evaluation.Verdict(
        status=outcome.status.value,
        error_type=outcome.error_type,
        message=outcome.message,
        raised_in=outcome.raised_in,
        reached_checks=outcome.reached_checks,
        raised_deliberately=outcome.raised_deliberately,
        source=row["solution"],
        completion=row["completion"],
        entry_point=problem.entry_point,
        hit_token_limit=row["finish"] == "length",
    )
    return {
        "task_id": row["task_id"],
        "sample": row["sample"],
        "passed": outcome.status is sandbox.Status.PASSED,
        "status": outcome.status.value,
        "category": evaluation.classify(verdict),
        "error_type": outcome.error_type,
        "message": outcome.message,
        "line": outcome.line,
        "seconds": round(outcome.seconds, 4),
    }
